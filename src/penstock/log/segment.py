"""One segment of a partition: an append-only file of framed events.

A frame is ``length (u32) | crc32 (u32) | append time (u64, POSIX ns) | event (CloudEvents JSON)``,
little-endian; the checksum covers time and event. A segment's name is the offset of its first
record. Stored bytes are never rewritten. In the newest segment, what follows the first frame that does
not check out was never acknowledged: it is cut off when the log is opened for writing, and unseen by
readers. In an older one it is damage, which readers report.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from struct import Struct as Layout
from zlib import crc32

from penstock.core.event import EVENT_BYTES_MAX

SUFFIX = ".segment"
HEADER = Layout("<IIQ")
_STAMP = Layout("<Q")
INDEX_EVERY = 256
"""Records between two entries of the sparse index."""
READ_BYTES = 1 << 18
_FRAME_BYTES_MAX = HEADER.size + EVENT_BYTES_MAX

Frame = tuple[int, int, bytes]
"""Offset, append time in POSIX nanoseconds, event bytes."""


def frame(appended_ns: int, body: bytes) -> bytes:
    """Return the bytes of one record."""
    stamp = _STAMP.pack(appended_ns)
    return HEADER.pack(len(body), crc32(body, crc32(stamp)), appended_ns) + body


def segment_path(folder: Path, base: int) -> Path:
    """Return the file of the segment whose first record has offset ``base``."""
    return folder / f"{base:020d}{SUFFIX}"


def segment_bases(folder: Path) -> list[int]:
    """Return the first offsets of the segments in ``folder``, rising."""
    return sorted(int(name.removesuffix(SUFFIX)) for name in os.listdir(folder) if name.endswith(SUFFIX))


class Segment:
    """Reads one segment file; knows where some of its records are.

    Reading never disturbs the writer, also not from another process.
    """

    def __init__(self, path: Path) -> None:
        """Open the file; nothing is read yet. It is closed when nobody reads this segment any more."""
        self.path = path
        self.base = int(path.name.removesuffix(SUFFIX))
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offsets = [self.base]
        self._positions = [0]
        self._times = [0]

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            os.close(file)

    def read(self, start: int, end: int | None = None) -> Iterator[Frame]:
        """Yield the whole frames from offset ``start`` up to, not including, ``end``."""
        for offset, appended_ns, body, _ in self._walk(start):
            if end is not None and offset >= end:
                return
            yield offset, appended_ns, body

    def extent(self) -> tuple[int, int, int]:
        """Return the offset behind the last whole frame, its end in bytes, and its append time."""
        offset, size, last_ns = self._offsets[-1], self._positions[-1], 0
        for found, appended_ns, _, behind in self._walk(offset):
            offset, size, last_ns = found + 1, behind, appended_ns
        return offset, size, last_ns

    def first_ns(self) -> int | None:
        """Return the append time of the first record, or None if there is none."""
        return next((appended_ns for _, appended_ns, _ in self.read(self.base)), None)

    def offset_at(self, posix_ns: int) -> int:
        """Return the offset of the first record appended at or after a time, or that behind the last."""
        start = self._offsets[max(bisect_left(self._times, posix_ns) - 1, 0)]
        behind = start
        for offset, appended_ns, _ in self.read(start):
            if appended_ns >= posix_ns:
                return offset
            behind = offset + 1
        return behind

    def holds_frame_behind(self, position: int) -> bool:
        """Whether a whole frame begins behind ``position``: then what stands there is no mere torn end."""
        rest = os.pread(self._file, 2 * _FRAME_BYTES_MAX, position)
        places = range(1, min(len(rest) - HEADER.size, _FRAME_BYTES_MAX + 1))
        return any(_take(rest, at) is not None for at in places)

    def _walk(self, start: int) -> Iterator[tuple[int, int, bytes, int]]:
        place = bisect_right(self._offsets, start) - 1
        if place < 0:
            return
        offset, position = self._offsets[place], self._positions[place]
        buffer = b""
        at = 0
        while True:
            taken = _take(buffer, at)
            if taken is None:
                fresh = os.pread(self._file, max(READ_BYTES, _wanted(buffer, at)), position)
                if len(fresh) <= len(buffer) - at:
                    return
                buffer, at = fresh, 0
                continue
            appended_ns, body, size = taken
            at += size
            position += size
            if offset >= start:
                yield offset, appended_ns, body, position
            offset += 1
            self._remember(offset, position, appended_ns)

    def _remember(self, offset: int, position: int, before_ns: int) -> None:
        """Note where ``offset`` begins; no record before it is younger than ``before_ns``."""
        if offset - self._offsets[-1] >= INDEX_EVERY:
            self._offsets.append(offset)
            self._positions.append(position)
            self._times.append(before_ns)


def _wanted(buffer: bytes, at: int) -> int:
    if len(buffer) - at < HEADER.size:
        return HEADER.size
    return HEADER.size + min(int(HEADER.unpack_from(buffer, at)[0]), EVENT_BYTES_MAX)


def _take(buffer: bytes, at: int) -> tuple[int, bytes, int] | None:
    if len(buffer) - at < HEADER.size:
        return None
    length, checksum, appended_ns = HEADER.unpack_from(buffer, at)
    begin = at + HEADER.size
    if not 0 < length <= EVENT_BYTES_MAX or begin + length > len(buffer):
        return None
    body = buffer[begin : begin + length]
    if crc32(body, crc32(_STAMP.pack(appended_ns))) != checksum:
        return None
    return appended_ns, body, HEADER.size + length
