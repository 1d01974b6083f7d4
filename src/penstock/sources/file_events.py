"""Events about files of outside storages, and the dead letters of what no event can be made of. Pure.

For storages that are told of by notices; the folder source has ``describe``. New content without a version of
the storage's own gets its id from the notice; with one from the version (see ``core.identity``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from penstock.core.errors import Invalid
from penstock.core.event import (
    DATASCHEMA,
    FILE_DELETED,
    NEW_CONTENT,
    Event,
    FileRecord,
    content_id,
    digest,
    json_data,
    notice_id,
    path_members,
    subject_of,
)
from penstock.core.identity import unversioned_id, version_gone_id
from penstock.core.rows import DeadLetter, DeadLetterKind

LETTER_BYTES_MAX = 1 << 16
"""Bytes of an unreadable record kept in its dead letter."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS_FROM = 10**11
"""Numbers of seconds from here on (the year 5138) are taken for milliseconds."""


class Storage:
    """Makes the events of one storage."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._source = f"/storages/{name}"

    def identity(self, kind: str, path: bytes, version: str | None, native: Sequence[bytes]) -> str:
        """Return the id of an event: by content where there is a version, else by the notice."""
        if kind in NEW_CONTENT:
            if version is not None:
                return content_id(self.name, path, version)
            return unversioned_id(self.name, path, *native)
        if kind == FILE_DELETED and version is not None:
            return version_gone_id(self.name, path, version)
        return notice_id(self.name, kind, path, *native)

    def event(
        self,
        kind: str,
        path: bytes,
        *,
        native: Sequence[bytes],
        time: str | None,
        version: str | None = None,
        **members: Any,
    ) -> Event:
        """Return an event.

        Args:
            kind: Its type.
            path: Absolute.
            native: What tells this notice from every other of its kind about this path, however often
                it is delivered.
            time: RFC 3339, the storage's clock.
            version: The storage's own name of the content.
            members: Further members of the file record.
        """
        subject = subject_of(path)
        text = path_members(path)
        record = FileRecord(
            storage=self.name, path=text["path"], path_raw=text.get("path_raw"), version=version, **members
        )
        return Event(
            id=self.identity(kind, path, version, native),
            source=self._source,
            type=kind,
            subject=subject,
            time=time,
            partitionkey=subject[: subject.rfind("/")] or "/",
            datacontenttype="application/json",
            dataschema=DATASCHEMA,
            data=json_data(record),
        )


def unreadable(source: str, record: bytes, error: Invalid, at_ns: int, subject: str = "") -> DeadLetter:
    """Return the dead letter of a record that could not be read; the same record makes the same letter."""
    shown = record if len(record) <= LETTER_BYTES_MAX else record[:LETTER_BYTES_MAX]
    return DeadLetter(
        id=f"{source}:{digest(source.encode(), record)}",
        tenant="",
        kind=DeadLetterKind.NOTICE,
        subject=subject or f"/sources/{source}",
        reason=f"source {source!r}: {error}",
        body=shown,
        at_ns=at_ns,
    )


def readable(
    records: Iterable[bytes],
    normalise: Callable[[bytes], Iterable[Event]],
    poison: Callable[[bytes, Invalid], None],
) -> Iterator[Event]:
    """Yield the events of all records; those that cannot be read go to ``poison``, and do not stop it."""
    for record in records:
        try:
            yield from normalise(record)
        except Invalid as error:
            poison(record, error)


def rfc3339_of(value: Any, place: str) -> str | None:
    """Return a time as RFC 3339: a number of seconds or milliseconds since 1970, or a text of the ISO kinds.

    ``2026-10-14_09:20:03.412+0200`` is understood, too. A text without a zone is taken for UTC.

    Raises:
        Invalid: It is no time; ``place`` names it.
    """
    moment = _moment(value, place)
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def nanoseconds_of(value: Any, place: str) -> int | None:
    """Return a time of the same forms as POSIX nanoseconds, to the microsecond.

    Raises:
        Invalid: It is no time; ``place`` names it.
    """
    moment = _moment(value, place)
    if moment is None:
        return None
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def _moment(value: Any, place: str) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip().replace("_", "T", 1))
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if value >= _MS_FROM else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise Invalid(
        f"{place} is {value!r}: expected a time such as 2026-10-14T09:20:03Z, or seconds since 1970"
    )
