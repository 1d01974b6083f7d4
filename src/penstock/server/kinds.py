"""Sources that the settings name: found by entry point, checked whole, imported only then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any, cast

import msgspec
from msgspec import Struct

from penstock.core.errors import Invalid, PenstockError
from penstock.core.event import notice_id, path_members, subject_of
from penstock.core.function import check_name
from penstock.core.ports import Loss, Source, SourceContext, SourceKind
from penstock.core.rows import DeadLetter, DeadLetterKind

GROUP = "penstock.sources"
BUILT_IN = "folder"
"""Folders are ``[[storages]]``: they take part in publishing, too."""


class SourceEntry(Struct, frozen=True, kw_only=True):
    """One ``[[sources]]`` of the settings.

    Attributes:
        kind: Name of an entry point of the group ``penstock.sources``.
        name: Of this source; unique.
        settings: The kind's own settings, checked.
    """

    kind: str
    name: str
    settings: Any


def known_kinds() -> list[str]:
    """Return the kinds that are installed."""
    return sorted({point.name for point in entry_points(group=GROUP)} - {BUILT_IN})


def load_kind(kind: str) -> SourceKind:
    """Return the class of this kind.

    Raises:
        Invalid: There is none, or what it needs is not installed.
    """
    points = [point for point in entry_points(group=GROUP, name=kind) if kind != BUILT_IN]
    if not points:
        raise Invalid(f"there is no kind of source {kind!r}; installed are: {', '.join(known_kinds())}")
    try:
        return cast(SourceKind, points[0].load())
    except ImportError as error:
        extra = kind.rpartition("-")[2]
        raise Invalid(
            f"the source {kind!r} needs a package that is not installed ({error}); "
            f"install it with: pip install 'penstock[{extra}]'"
        ) from error


def entries(tables: Any, taken: frozenset[str], faults: list[str]) -> tuple[SourceEntry, ...]:
    """Return the sources that ``[[sources]]`` means; what is wrong is added to ``faults``.

    Args:
        tables: As read from the file.
        taken: Names of folder storages.
        faults: Every fault found, each naming its place.
    """
    if not isinstance(tables, list | tuple):
        faults.append("sources: expected tables, each headed [[sources]]")
        return ()
    found: list[SourceEntry] = []
    for place, table in enumerate(tables):
        try:
            entry = _entry(table, taken | {each.name for each in found}, taken)
        except Invalid as error:
            faults.append(f"sources[{place}]: {error}")
        else:
            found.append(entry)
    return tuple(found)


def _entry(table: Any, taken: frozenset[str], folders: frozenset[str]) -> SourceEntry:
    if not isinstance(table, dict):
        raise Invalid("expected a table headed [[sources]]")
    rest = dict(table)
    kind, name = rest.pop("kind", None), rest.pop("name", None)
    if not isinstance(kind, str) or not isinstance(name, str):
        raise Invalid("each source needs a 'kind' and a 'name', both texts")
    check_name("source", name)
    if name in taken:
        raise Invalid(f"the name {name!r} is taken by another source or storage")
    settings = _settings(load_kind(kind), kind, name, rest)
    storage = getattr(settings, "storage", None)
    if isinstance(storage, str) and storage in folders:
        raise Invalid(f"{name!r}: storage {storage!r} is a folder's; give it a name of its own")
    return SourceEntry(kind=kind, name=name, settings=settings)


def _settings(found: SourceKind, kind: str, name: str, rest: dict[str, Any]) -> Any:
    unknown = sorted(rest.keys() - set(found.Settings.__struct_fields__))
    if unknown:
        known = ", ".join(found.Settings.__struct_fields__)
        raise Invalid(f"{name!r} ({kind}): unknown setting {unknown[0]!r}; known are {known}")
    try:
        return msgspec.convert(rest, found.Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(f"{name!r} ({kind}): {error}") from error


def open_sources(
    configured: Sequence[SourceEntry], context: Callable[[str], SourceContext], refused: dict[str, str]
) -> tuple[Source, ...]:
    """Open each source; one that cannot work is told in ``refused``, the others go on.

    Args:
        configured: From the settings.
        context: Called with a source's name; returns its ``SourceContext``.
        refused: Receives name and reason.
    """
    opened = []
    for entry in configured:
        try:
            opened.append(load_kind(entry.kind).open(entry.settings, context(entry.name)))
        except PenstockError as error:
            refused[entry.name] = str(error)
    return tuple(opened)


def loss_letter(source: str, loss: Loss) -> DeadLetter:
    """Return what a person is told where notices were lost; the same loss again makes no second letter."""
    shown = path_members(loss.folder)["path"]
    return DeadLetter(
        id=notice_id(loss.storage, "lost", loss.folder, loss.reason.encode()),
        tenant="",
        kind=DeadLetterKind.NOTICE,
        subject=subject_of(loss.folder),
        reason=f"source {source!r}: events of {shown} in {loss.storage!r} may be missing: {loss.reason}",
        body=b"",
        at_ns=loss.at_ns,
    )
