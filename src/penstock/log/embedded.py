"""The embedded log: one partition in append-only segment files, group commit, one writer.

A durable append writes the batch and calls ``fdatasync`` before it returns, in the event loop's
thread: a hand-over to another thread and back costs more than the sync's own wait at low rates, and
at high rates what arrives meanwhile forms the next batch (natural group commit). Appends that need not
be durable are written only; the next sync carries them.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from time import time_ns

from msgspec import Struct

from penstock.core.errors import Broken, Conflict, Invalid, Unavailable
from penstock.core.event import EVENT_BYTES_MAX, Event, encode
from penstock.core.ports import Cursor, Record
from penstock.log.reader import Reader
from penstock.log.segment import Segment, frame, segment_bases, segment_path

_AWAY = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up"}

AHEAD_RECORDS = 256
"""Old records read at once when one of them is wanted."""


class LogSettings(Struct, frozen=True, kw_only=True):
    """How much the embedded log keeps.

    Attributes:
        segment_bytes: A segment is closed when it is larger.
        retention_bytes: Oldest segments go while all together are larger.
        retention_s: Segments go when their last record is older, in seconds.
        tail_records: Newest records kept in memory for followers.
    """

    segment_bytes: int = 64 << 20
    retention_bytes: int = 8 << 30
    retention_s: float = 90 * 86400.0
    tail_records: int = 1000


class EmbeddedLog:
    """The log of an embedded installation (see ``core.ports.Log``).

    Args:
        folder: Where the segments are; made if absent.
        settings: Sizes and retention.
        synced: Called with the offset behind the last durable record whenever that rises.
    """

    def __init__(
        self,
        folder: Path,
        settings: LogSettings | None = None,
        synced: Callable[[int], None] | None = None,
    ) -> None:
        self.settings = settings or LogSettings()
        self.folder = folder
        self._synced = synced or (lambda _offset: None)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _lock(folder)
        self._reader = Reader(folder)
        self._next, self._size, self._last_ns = 0, 0, 0
        self._file = self._recover()
        self.durable_end = self._next
        self._tail: list[Record] = []
        self._ahead: dict[int, Record] = {}
        self._followers: set[asyncio.Future[None]] = set()

    def _recover(self) -> int:
        bases = segment_bases(self.folder)
        if not bases:
            return self._create(0)
        path = segment_path(self.folder, bases[-1])
        segment = Segment(path)
        self._next, self._size, self._last_ns = segment.extent()
        segment.close()
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        os.ftruncate(file, self._size)
        os.lseek(file, self._size, os.SEEK_SET)
        os.fsync(file)
        return file

    def _create(self, base: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(segment_path(self.folder, base), flags, 0o600)
        os.fsync(file)
        _sync_folder(self.folder)
        self._size = 0
        return file

    async def append(self, events: Sequence[Event], *, durable: bool = True) -> Sequence[Record]:
        """Append ``events``; see ``core.ports.Log.append``."""
        records = self.write(events)
        if durable and self.durable_end < self._next:
            self._sync_here()
        self._wake()
        return records

    def write(self, events: Sequence[Event]) -> Sequence[Record]:
        """Append without waiting for the disk; followers see it when the caller next yields.

        Raises:
            Unavailable: The disk is full; nothing was appended.
            Invalid: An event is larger than ``EVENT_BYTES_MAX``.
        """
        now = self._last_ns = max(time_ns(), self._last_ns)
        parts, records, offset = [], [], self._next
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
        self._remember(records)
        if self._followers:
            asyncio.get_running_loop().call_soon(self._wake)
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
            raise Broken(
                f"the log in {self.folder} cannot be synced: {error}. Stop and check the disk"
            ) from error
        self._synced_to(self._next)

    async def sync(self) -> None:
        """Sync in a thread, so that the loop goes on; see ``core.ports.Log.sync``."""
        end, file = self._next, self._file
        if end <= self.durable_end:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, os.fdatasync, file)
        except OSError as error:
            raise Broken(
                f"the log in {self.folder} cannot be synced: {error}. Stop and check the disk"
            ) from error
        if file == self._file:
            self._synced_to(end)

    def _synced_to(self, end: int) -> None:
        if end > self.durable_end:
            self.durable_end = end
            self._synced(end)
        if self._size >= self.settings.segment_bytes:
            self._roll()

    def _roll(self) -> None:
        os.fdatasync(self._file)
        os.close(self._file)
        self._file = self._create(self._next)
        self.durable_end = self._next
        self.retain()

    def _remember(self, records: Sequence[Record]) -> None:
        self._tail.extend(records)
        if len(self._tail) > 2 * self.settings.tail_records:
            del self._tail[: -self.settings.tail_records]

    def _wake(self) -> None:
        waiting, self._followers = self._followers, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def follow(self, start: Cursor) -> AsyncIterator[Sequence[Record]]:
        """Yield batches from ``start`` on; see ``core.ports.Log.follow``."""
        (offset,) = start.offsets or (0,)
        while True:
            batch = self._from_tail(offset) or self._from_disk(offset)
            if batch:
                offset = batch[-1].offset + 1
                yield batch
                continue
            future = asyncio.get_running_loop().create_future()
            self._followers.add(future)
            try:
                await future
            finally:
                self._followers.discard(future)

    def _from_tail(self, offset: int) -> Sequence[Record]:
        if not self._tail or offset < self._tail[0].offset:
            return ()
        return self._tail[offset - self._tail[0].offset :]

    def _recent(self, offset: int) -> Record | None:
        place = offset - self._tail[0].offset if self._tail else -1
        return self._tail[place] if 0 <= place < len(self._tail) else None

    def _from_disk(self, offset: int, most: int = 1000) -> Sequence[Record]:
        if offset >= self._next:
            return ()
        return list(self._reader.read(offset, min(offset + most, self._next)))

    def record(self, offset: int) -> Record:
        """Return one record; cheap for recent ones and for those read in rising order.

        Raises:
            Trimmed: Retention has removed it.
        """
        recent = self._recent(offset)
        if recent is not None:
            return recent
        if offset not in self._ahead:
            chunk = self._reader.read(offset, min(offset + AHEAD_RECORDS, self._next))
            self._ahead = {record.offset: record for record in chunk}
        return self._ahead[offset]

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
        oldest_ns = self._last_ns - int(self.settings.retention_s * 1e9)
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
        """Copy what is durable now to ``folder``, while the log is in use; return the offset behind it."""
        await self.sync()
        end, size, open_base = self.durable_end, self._size, segment_bases(self.folder)[-1]

        def copy() -> None:
            folder.mkdir(parents=True, mode=0o700)
            for base in segment_bases(self.folder):
                target = segment_path(folder, base)
                shutil.copyfile(segment_path(self.folder, base), target)
                if base == open_base:
                    os.truncate(target, size)

        await asyncio.get_running_loop().run_in_executor(None, copy)
        return end

    def close(self) -> None:
        """Sync and let go."""
        os.fdatasync(self._file)
        os.close(self._file)
        os.close(self._lock)
        self._reader.close()


def _lock(folder: Path) -> int:
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise Conflict(
            f"another process writes the log in {folder}; `penstock status` shows it, `penstock stop` ends it"
        ) from error
    return file


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
