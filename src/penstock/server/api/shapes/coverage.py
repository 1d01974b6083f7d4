"""What is known of the completeness of storages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from penstock.core.event import subject_of
from penstock.core.rows import HeardRow, TreeRow
from penstock.server.api.times import when
from penstock.server.heard import is_silent


class TreeView(Struct, kw_only=True):
    """A folder of a storage, with all below it.

    ``state`` is ``open`` while something lost is not made good, ``proven`` once a comparison has found it
    whole, else ``unproven``. ``proven`` is up to when everything was told; the numbers are those of the
    comparison under way, else of the last one.
    """

    storage: str
    folder: str
    state: str
    since: str | None
    lost: str | None
    proven: str | None
    by: str
    reason: str
    listed: int
    created: int
    deleted: int
    trouble: str


class HeardView(Struct, kw_only=True):
    """A source (``door`` is empty), or a door that its notices name; ``usual_s``: its usual silence."""

    source: str
    door: str
    last: str | None
    usual_s: float
    count: int
    silent: bool


class Coverage(Struct, kw_only=True):
    """The trees, and who was heard of when."""

    trees: list[TreeView]
    heard: list[HeardView]


class ReconcileAnswer(Struct, kw_only=True):
    """An order (done when ``proven`` of its tree is ``lost`` or later), or what a trial found."""

    storage: str
    folder: str
    lost: str | None = None
    listed: int = 0
    created: int = 0
    deleted: int = 0
    found: list[dict[str, Any]] = []


def tree_views(rows: Iterable[TreeRow]) -> list[TreeView]:
    """Return the trees by storage and folder; what was proven of a folder above holds below it."""
    ordered = sorted(rows, key=lambda row: (row.storage, row.folder))
    return [_tree(row, ordered) for row in ordered]


def _tree(row: TreeRow, rows: Sequence[TreeRow]) -> TreeView:
    proven_ns = max(other.proven_ns for other in rows if _holds(other, row))
    return TreeView(
        storage=row.storage,
        folder=subject_of(row.folder),
        state="open" if row.lost_ns else "proven" if proven_ns else "unproven",
        since=when(row.since_ns),
        lost=when(row.lost_ns),
        proven=when(proven_ns),
        by=row.by,
        reason=row.reason,
        listed=row.listed,
        created=row.created,
        deleted=row.deleted,
        trouble=row.trouble,
    )


def _holds(above: TreeRow, row: TreeRow) -> bool:
    if above.storage != row.storage:
        return False
    return above.folder == row.folder or row.folder.startswith(above.folder.rstrip(b"/") + b"/")


def heard_views(rows: Iterable[HeardRow], now_ns: int) -> list[HeardView]:
    """Return who was heard of, by source and door."""
    return [
        HeardView(
            source=row.source,
            door=row.door,
            last=when(row.last_ns),
            usual_s=round(row.gap_ns / 1e9, 1),
            count=row.count,
            silent=is_silent(row, now_ns),
        )
        for row in sorted(rows, key=lambda row: (row.source, row.door))
    ]
