"""Reads a partition's segments from any offset or time, in any process."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from penstock.core.errors import Trimmed
from penstock.core.event import decode
from penstock.core.ports import Record
from penstock.log.segment import Frame, Segment, segment_bases, segment_path

OPEN_MAX = 8
"""Segments held open at once by one reader."""


class Reader:
    """A view of one partition's folder. It sees whole records only, wherever the writer stands."""

    def __init__(self, folder: Path, partition: int = 0) -> None:
        """Look at ``folder``; files are opened when they are needed."""
        self.folder = folder
        self.partition = partition
        self._open: dict[int, Segment] = {}

    def close(self) -> None:
        """Let go of all files."""
        for segment in self._open.values():
            segment.close()
        self._open.clear()

    def read(self, start: int, end: int | None = None) -> Iterator[Record]:
        """Yield the records from offset ``start`` up to, not including, ``end`` (default: the last one).

        Raises:
            Trimmed: Retention has removed ``start``.
        """
        for offset, appended_ns, body in self.frames(start, end):
            yield Record(self.partition, offset, appended_ns, decode(body))

    def frames(self, start: int, end: int | None = None) -> Iterator[Frame]:
        """Yield the same records with their events as bytes, for those who look for few among many.

        Raises:
            Trimmed: Retention has removed ``start``.
        """
        bases = segment_bases(self.folder)
        if not bases:
            return
        if start < bases[0]:
            raise Trimmed(
                f"the log no longer holds offset {start}; the oldest left is {bases[0]}", first=str(bases[0])
            )
        for base in bases[bisect_right(bases, start) - 1 :]:
            if end is not None and base >= end:
                return
            yield from self._segment(base).read(max(start, base), end)

    def first(self) -> int:
        """Return the oldest offset left."""
        bases = segment_bases(self.folder)
        return bases[0] if bases else 0

    def offset_at(self, posix_ns: int) -> int:
        """Return the offset of the first record appended at or after a time."""
        bases = segment_bases(self.folder)
        if not bases:
            return 0
        times = [self._segment(base).first_ns() or 1 << 63 for base in bases]
        place = max(bisect_right(times, posix_ns - 1) - 1, 0)
        behind = bases[place]
        for offset, appended_ns, _ in self._segment(bases[place]).read(bases[place]):
            if appended_ns >= posix_ns:
                return offset
            behind = offset + 1
        return behind

    def _segment(self, base: int) -> Segment:
        segment = self._open.pop(base, None) or Segment(segment_path(self.folder, base))
        self._open[base] = segment
        if len(self._open) > OPEN_MAX:
            oldest = next(iter(self._open))
            self._open.pop(oldest).close()
        return segment
