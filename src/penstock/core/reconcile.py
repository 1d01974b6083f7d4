"""Reconcile: a listing is compared with the ledger, and what was not told is told. Pure.

Both come in the order of their paths, so a page of each is held, whatever the number of files. Where they
differ, the path is looked at once more, and ``verdict`` decides by what is there then: a listing is old when
it has been read, and what has changed since has its own notices. The ids are those that the lost notices
would have had:

- content with a version of its storage's: by path and version, whoever tells of it;
- content without: by what the storage says of it. A notice of it that comes late is recognised by
  ``core.identity`` (rule 2), if the storage's times of both are near;
- the end of content: by path and the version that ended.

Content that nobody told of and that is older than our asking was there before: it is taken in, and not told.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from penstock.core.event import (
    DATASCHEMA,
    FILE_CREATED,
    FILE_DELETED,
    Event,
    FileRecord,
    content_id,
    json_data,
    notice_id,
    path_members,
    subject_of,
)
from penstock.core.identity import end_id, fold, returned_id, unversioned_id
from penstock.core.ports import Listed, Stamp
from penstock.core.rows import FileState

SAME_S = 5
"""Seconds between the storage's time of a notice and that of a listed file, at most, if only times say that
both are one write."""
RECONCILED = "reconciled"
"""The ``notice`` in the origin of events that a comparison raised."""
_PATH = itemgetter(0)


class Difference(Struct, frozen=True):
    """A path at which a listing and the ledger are not of one mind; without ``stamp`` it is not listed."""

    path: bytes
    stamp: Stamp | None


class Merge:
    """Compares two sequences of stamps, each in the order of its paths, a page of each at a time."""

    def __init__(self) -> None:
        self._listed: Sequence[Stamp] = ()
        self._known: Sequence[Stamp] = ()
        self._listing, self._knowing = True, True

    @property
    def wants_listed(self) -> bool:
        """Whether it can go on only with a further page of the listing, or its end."""
        return self._listing and not self._listed

    @property
    def wants_known(self) -> bool:
        """Whether it can go on only with a further page of the ledger, or its end."""
        return self._knowing and not self._known

    def listed(self, page: Sequence[Stamp] | None) -> None:
        """Take a page of the listing, which was wanted; None ends it."""
        self._listed, self._listing = page or (), page is not None

    def known(self, page: Sequence[Stamp] | None) -> None:
        """Take a page of the ledger, which was wanted; None ends it."""
        self._known, self._knowing = page or (), page is not None

    def differences(self) -> list[Difference]:
        """Return where both differ, by path, as far as both are here, and forget so far."""
        if self.wants_listed or self.wants_known:
            return []
        ends = [page[-1][0] for page, more in self._sides() if more]
        listed, self._listed = _cut(self._listed, min(ends, default=None))
        known, self._known = _cut(self._known, min(ends, default=None))
        return _differences(listed, known)

    def _sides(self) -> tuple[tuple[Sequence[Stamp], bool], ...]:
        return (self._listed, self._listing), (self._known, self._knowing)


def _cut(page: Sequence[Stamp], end: bytes | None) -> tuple[Sequence[Stamp], Sequence[Stamp]]:
    if end is None or not page or page[-1][0] <= end:
        return page, ()
    place = bisect_right(page, end, key=_PATH)
    return page[:place], page[place:]


def _differences(listed: Sequence[Stamp], known: Sequence[Stamp]) -> list[Difference]:
    if listed == known:
        return []
    here = set(listed)
    different: dict[bytes, Stamp | None] = {}
    for stamp in here.symmetric_difference(known):
        if stamp in here:
            different[stamp[0]] = stamp
        else:
            different.setdefault(stamp[0], None)
    return [Difference(path, different[path]) for path in sorted(different)]


class Verdict(Struct, frozen=True):
    """What is to be done about a path.

    Attributes:
        event: To be told; None if there is nothing to tell.
        row: To be known without an event; with one, only if that event was told before: its notice came out
            of order, and the ledger was led astray.
    """

    event: Event | None = None
    row: FileState | None = None


NOTHING = Verdict()


def verdict(
    storage: str, found: Listed | None, before: FileState | None, *, since_ns: int, now_ns: int
) -> Verdict:
    """Return what is to be told of a path.

    Args:
        storage: Name of the storage.
        found: What is there now; None if there is surely nothing.
        before: What is known, read both before and after looking, and the same each time.
        since_ns: What is older and unknown was there before anybody asked; 0 if there is no such time.
        now_ns: The time by which an end is told.
    """
    if found is None:
        return _missing(before, now_ns) if before is not None and before.present else NOTHING
    if before is None and 0 < found.born_ns < since_ns:
        return Verdict(row=_untold(storage, found))
    if before is not None and before.present and found.version and before.version == found.version:
        return NOTHING
    time_ns = found.born_ns or found.mtime_ns
    version = found.version or _own_version(found, before)
    if before is not None and not (before.version and version):  # else it cannot be the same
        told = _content(storage, found, before, version, time_ns)
        if fold(before, told).known:
            return NOTHING
    if before is not None and before.present:
        time_ns = max(time_ns, before.ctime_ns + 1000)  # It is there now, so it came after what was known.
    event = _content(storage, found, before, version, time_ns)
    return Verdict(event, _known(storage, found, version, time_ns, event.id))


def _missing(before: FileState, now_ns: int) -> Verdict:
    return Verdict(_end(before, now_ns), replace(before, present=False, event_id=""))


def _content(storage: str, found: Listed, before: FileState | None, version: str, time_ns: int) -> Event:
    if not version:
        native = (found.native.encode(), b"%d" % found.size, b"%d" % found.mtime_ns)
        identity = unversioned_id(storage, found.path, b"listed", *native)
    elif before is not None and not before.present and before.version == version:
        identity = returned_id(before)
    else:
        identity = content_id(storage, found.path, version)
    return _event(
        identity,
        FILE_CREATED,
        storage,
        found.path,
        time_ns,
        size=found.size,
        version=version or None,
        mtime_ns=found.mtime_ns,
        checksum=found.checksum,
        owner=found.owner,
        origin={"notice": RECONCILED, "listed": found.origin},
    )


def _own_version(found: Listed, before: FileState | None) -> str:
    """Return a version for content that is surely not the one that is known; else none: it may be joined."""
    if not found.native or before is None or not before.version or before.version.startswith(found.native):
        return ""
    return f"{found.native}@{found.mtime_ns}"


def _end(before: FileState, now_ns: int) -> Event:
    told = before.event_id or str(before.ctime_ns)
    identity = (
        end_id(before)
        if before.version
        else notice_id(before.storage, "gone", before.path, RECONCILED.encode(), told.encode())
    )
    return _event(
        identity,
        FILE_DELETED,
        before.storage,
        before.path,
        max(now_ns, before.ctime_ns),
        version=before.version or None,
        origin={"notice": RECONCILED},
    )


def _untold(storage: str, found: Listed) -> FileState:
    return _known(storage, found, found.version or found.native, found.born_ns, "")


def _known(storage: str, found: Listed, version: str, time_ns: int, event_id: str) -> FileState:
    return FileState(
        storage=storage,
        path=found.path,
        generation=1,
        size=found.size,
        mtime_ns=found.mtime_ns,
        ctime_ns=time_ns,
        inode=0,
        present=True,
        event_id=event_id,
        version=version,
    )


def _event(
    identity: str, kind: str, storage: str, path: bytes, time_ns: int, origin: Any, **members: Any
) -> Event:
    subject, text = subject_of(path), path_members(path)
    record = FileRecord(
        storage=storage, path=text["path"], path_raw=text.get("path_raw"), origin=origin, **members
    )
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=time_ns // 1000)
    return Event(
        id=identity,
        source=f"/storages/{storage}",
        type=kind,
        subject=subject,
        time=moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        partitionkey=subject[: subject.rfind("/")] or "/",
        datacontenttype="application/json",
        dataschema=DATASCHEMA,
        data=json_data(record),
    )


def is_near(mtime_ns: int, known: FileState) -> bool:
    """Whether a listed file's time is that of what is known, as far as both say it at all."""
    if known.mtime_ns:
        return _equal_as_told(mtime_ns, known.mtime_ns)
    return abs(mtime_ns - known.ctime_ns) <= SAME_S * 1_000_000_000


def _equal_as_told(listed_ns: int, told_ns: int) -> bool:
    """Compare as exactly as the notice was: storages round to seconds, milliseconds or microseconds."""
    for unit in (1_000_000_000, 1_000_000, 1000):
        if told_ns % unit == 0:
            return listed_ns // unit == told_ns // unit
    return listed_ns == told_ns
