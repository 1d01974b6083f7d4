"""The embedded log: one partition in append-only segment files, group commit, one writer.

A durable append writes the batch and calls ``fdatasync`` before it returns, in the event loop's
thread: a hand-over to another thread and back costs more than the sync's own wait at low rates, and
at high rates what arrives meanwhile forms the next batch (natural group commit). Appends that need not
be durable are written only; the next sync carries them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import time_ns

from msgspec import Struct

from penstock.core.errors import Broken, Invalid, Unavailable
from penstock.core.event import EVENT_BYTES_MAX, Event, decode, encode
from penstock.core.ports import Cursor, Record
from penstock.log.files import copy_segments, create, keep_rest, lock, sync_and_close
from penstock.log.reader import Reader
from penstock.log.segment import Segment, frame, segment_bases, segment_path
from penstock.log.tail import Tail

_AWAY = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up"}

logger = logging.getLogger("penstock.log")
AHEAD_RECORDS = 256
"""Old records read at once when one of them is wanted."""
BATCH_RECORDS = 1000
"""Old records given to a follower at once."""
BATCH_BYTES = 8 << 20
"""The same, in bytes; one record more may be read."""


class LogSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much the embedded log keeps.

    Attributes:
        segment_bytes: A segment is closed when it is larger.
        retention_bytes: Oldest segments go while all together are larger.
        retention_s: Segments go when their last record is older, in seconds.
        tail_records: Newest records kept in memory for followers, up to twice as many.
        tail_bytes: The same, in bytes.
    """

    segment_bytes: int = 64 << 20
    retention_bytes: int = 8 << 30
    retention_s: float = 90 * 86400.0
    tail_records: int = 1000
    tail_bytes: int = 32 << 20


class EmbeddedLog:
    """The log of an embedded installation (see ``core.ports.Log``).

    Args:
        folder: Where the segments are; made if absent.
        settings: Sizes and retention.
        synced: Called with the offset behind the last durable record whenever that rises.
        pinned: Asked before retention removes segments: no record from this offset on is removed.
        now: What time it is for what is removed by age, POSIX nanoseconds.
    """

    def __init__(
        self,
        folder: Path,
        settings: LogSettings | None = None,
        synced: Callable[[int], None] | None = None,
        pinned: Callable[[], int | None] | None = None,
        now: Callable[[], int] = time_ns,
    ) -> None:
        self.settings = settings or LogSettings()
        self.folder = folder
        self._synced = synced or (lambda _offset: None)
        self._pinned = pinned or (lambda: None)
        self._now = now
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = lock(folder)
        self._reader = Reader(folder)
        self._next, self._size, self._last_ns = 0, 0, 0
        try:
            self._file = self._recover()
        except BaseException:
            os.close(self._lock)
            raise
        self.durable_end = self._next
        self._tail = Tail(self.settings.tail_records, self.settings.tail_bytes)
        self._ahead: dict[int, Record] = {}
        self._followers: set[asyncio.Future[None]] = set()
        self._failure: Broken | None = None

    def _recover(self) -> int:
        bases = segment_bases(self.folder)
        if not bases:
            return create(segment_path(self.folder, 0))
        path = segment_path(self.folder, bases[-1])
        segment = Segment(path)
        self._next, self._size, self._last_ns = segment.extent()
        if self._size == 0 and len(bases) > 1:
            self._last_ns = Segment(segment_path(self.folder, bases[-2])).extent()[2]
        if segment.holds_frame_behind(self._size):
            self._keep_cut(path)
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        os.ftruncate(file, self._size)
        os.lseek(file, self._size, os.SEEK_SET)
        os.fsync(file)
        return file

    def _keep_cut(self, path: Path) -> None:
        """Keep what is about to be cut off where whole records stand in it, for a person to look at.

        After a power cut that is what the disk wrote out of order, of no promise. It may also be damage
        to what was acknowledged; nothing here can tell.
        """
        kept = path.with_name(f"{path.stem}.cut-{self._next}")
        logger.warning(
            "the log in %s holds unreadable bytes at record %d; what follows them is kept in %s",
            self.folder,
            self._next,
            kept,
        )
        try:
            keep_rest(path, self._size, kept)
        except OSError as error:
            raise Unavailable(f"{kept} cannot be written: {error}; make room and start again") from error

    async def append(self, events: Sequence[Event], *, durable: bool = True) -> Sequence[Record]:
        """Append ``events``; see ``core.ports.Log.append``."""
        records = self.write(events)
        if durable and self.durable_end < self._next:
            self._sync_here()
        return records

    def write(self, events: Sequence[Event], at_ns: int = 0) -> Sequence[Record]:
        """Append without waiting for the disk; followers see it when the caller next yields.

        Args:
            events: In order.
            at_ns: When another log took them, of which this is a copy; default: now.

        Raises:
            Unavailable: The disk is full; nothing was appended.
            Invalid: An event is larger than ``EVENT_BYTES_MAX``; nothing was appended.
            Broken: A sync has failed before.
        """
        if self._failure is not None:
            raise self._failure
        now = self._last_ns = max(at_ns or time_ns(), self._last_ns)
        parts: list[bytes] = []
        records, offset = [], self._next
        for event in events:
            body = encode(event)
            if len(body) > EVENT_BYTES_MAX:
                raise Invalid(
                    f"event {event.id!r} has {len(body)} bytes; at most {EVENT_BYTES_MAX} are kept. "
                    "Put large data into a file and name it"
                )
            parts.append(frame(now, body))
            records.append(Record(0, offset, now, event))
            offset += 1
        self._write_whole(b"".join(parts))
        self._next = offset
        self._tail.add(records, [len(part) for part in parts])
        self._wake()  # they run when the caller yields, so after the sync of a durable append
        return records

    def _write_whole(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            why = _AWAY.get(error.errno or 0, str(error))
            raise Unavailable(
                f"the log in {self.folder} cannot grow: {why}. Nothing was accepted and nothing is lost; "
                "make room and it goes on by itself",
                retry_after_s=5.0,
            ) from error
        self._size += len(chunk)

    def _sync_here(self) -> None:
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise self._fail(error) from error
        self._synced_to(self._next)

    def _fail(self, error: OSError) -> Broken:
        """Refuse everything from now on: after a failed sync the kernel may say that the next one succeeded
        although the pages are gone."""
        self._failure = Broken(f"the log in {self.folder} cannot be synced: {error}. Stop and check the disk")
        self._wake()
        return self._failure

    async def sync(self) -> None:
        """Sync in a thread, so that the loop goes on; see ``core.ports.Log.sync``."""
        if self._failure is not None:
            raise self._failure
        end = self._next
        if end <= self.durable_end:
            return
        file = os.dup(self._file)  # the segment may be full and closed before the thread gets to it
        try:
            await asyncio.get_running_loop().run_in_executor(None, sync_and_close, file)
        except OSError as error:
            raise self._fail(error) from error
        self._synced_to(end)

    def _synced_to(self, end: int) -> None:
        if end > self.durable_end:
            self.durable_end = end
            self._synced(end)
        if self._size >= self.settings.segment_bytes:
            self._roll()

    def _roll(self) -> None:
        """Begin a new segment; on a full disk the old one grows on."""
        if self.durable_end < self._next:
            self._sync_here()
            return  # it comes back here
        try:
            fresh = create(segment_path(self.folder, self._next))
        except OSError as error:
            logger.warning("a new segment cannot be made in %s: %s", self.folder, error)
            return
        os.close(self._file)
        self._file, self._size = fresh, 0
        self.retain(self._pinned())

    def _wake(self) -> None:
        waiting, self._followers = self._followers, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def follow(self, start: Cursor) -> AsyncIterator[Sequence[Record]]:
        """Yield batches from ``start`` on; see ``core.ports.Log.follow``."""
        (offset,) = start.offsets or (0,)
        while True:
            batch = self._tail.since(offset) or self._from_disk(offset)
            if batch:
                offset = batch[-1].offset + 1
                yield batch
                continue
            if self._failure is not None:
                raise self._failure
            future = asyncio.get_running_loop().create_future()
            self._followers.add(future)
            try:
                await future
            finally:
                self._followers.discard(future)

    def _from_disk(self, offset: int, most: int = BATCH_RECORDS) -> Sequence[Record]:
        batch: list[Record] = []
        size = 0
        if offset < self._next:
            for place, appended_ns, body in self._reader.frames(offset, min(offset + most, self._next)):
                batch.append(Record(0, place, appended_ns, decode(body)))
                size += len(body)
                if size > BATCH_BYTES:
                    break
        return batch

    def record(self, offset: int) -> Record:
        """Return one record; cheap for recent ones and for those read in rising order.

        Raises:
            Trimmed: Retention has removed it.
        """
        recent = self._tail.get(offset)
        if recent is not None:
            return recent
        if offset not in self._ahead:
            chunk = self._from_disk(offset, AHEAD_RECORDS)
            self._ahead = {record.offset: record for record in chunk}
        return self._ahead[offset]

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"the log in {self.folder}"

    def size(self) -> int:
        """Return how many bytes all segments have."""
        return sum(path.stat().st_size for path in self.folder.glob("*.segment"))

    def end(self) -> Cursor:
        """Return the position behind the last record."""
        return Cursor((self._next,))

    def retain(self, pinned: int | None = None) -> int:
        """Remove whole segments that retention no longer covers; return the oldest offset left.

        Args:
            pinned: No record from this offset on is removed.
        """
        bases = segment_bases(self.folder)
        sizes = {base: segment_path(self.folder, base).stat() for base in bases}
        total = sum(stat.st_size for stat in sizes.values())
        # Append times never fall: after a clock that was once ahead they would make all the rest look old.
        oldest_ns = min(self._last_ns, self._now()) - int(self.settings.retention_s * 1e9)
        for base, following in pairwise(bases):
            too_much = total > self.settings.retention_bytes
            too_old = sizes[base].st_mtime_ns < oldest_ns
            if not (too_much or too_old) or (pinned is not None and following > pinned):
                return base
            segment_path(self.folder, base).unlink()
            total -= sizes[base].st_size
        return bases[-1] if bases else 0

    def read(self, start: int, end: int | None = None) -> Sequence[Record]:
        """Return records by offset.

        Raises:
            Trimmed: Retention has removed ``start``.
        """
        return list(self._reader.read(start, end))

    async def backup(self, folder: Path) -> int:
        """Copy the log as it stands to ``folder``, while it is in use; return the offset behind the copy.

        Raises:
            Unavailable: It cannot be copied there.
        """
        bases, end, size = segment_bases(self.folder), self._next, self._size
        await self.sync()
        work = partial(copy_segments, self.folder, folder, bases, size)
        try:
            await asyncio.get_running_loop().run_in_executor(None, work)
        except OSError as error:
            raise Unavailable(f"the log cannot be copied to {folder}: {error}") from error
        return end

    def close(self) -> None:
        """Sync and let go."""
        os.fdatasync(self._file)
        os.close(self._file)
        os.close(self._lock)
        self._reader.close()
