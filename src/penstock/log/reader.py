"""Reads a partition's segments from any offset or time, in any process."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from penstock.core.errors import Broken, Trimmed
from penstock.core.event import decode
from penstock.core.ports import Record
from penstock.log.segment import Frame, Segment, segment_bases, segment_path

OPEN_MAX = 8
"""Segments held open at once by one reader."""


class Reader:
    """A view of one partition's folder. It sees whole records only, wherever the writer stands.

    The newest of them may not be on disk yet: a reader that acts on what it sees stops at the durable
    end that the writer tells.
    """

    def __init__(self, folder: Path, partition: int = 0) -> None:
        """Look at ``folder``; files are opened when they are needed."""
        self.folder = folder
        self.partition = partition
        self._open: dict[int, Segment] = {}

    def close(self) -> None:
        """Let go of all files."""
        self._open.clear()

    def read(self, start: int, end: int | None = None) -> Iterator[Record]:
        """Yield the records from offset ``start`` up to, not including, ``end`` (default: the last one).

        Raises:
            Trimmed: Retention has removed ``start``, perhaps while it was read.
            Broken: Records are missing in the middle: the disk has damaged a segment.
        """
        for offset, appended_ns, body in self.frames(start, end):
            yield Record(self.partition, offset, appended_ns, decode(body))

    def frames(self, start: int, end: int | None = None) -> Iterator[Frame]:
        """Yield the same records with their events as bytes, for those who look for few among many.

        Raises:
            Trimmed: Retention has removed ``start``, perhaps while it was read.
            Broken: Records are missing in the middle: the disk has damaged a segment.
        """
        bases = segment_bases(self.folder)
        if not bases:
            return
        if start < bases[0]:
            raise self._trimmed(start)
        bases = bases[bisect_right(bases, start) - 1 :]
        for base, following in zip_longest(bases, bases[1:]):
            if end is not None and base >= end:
                return
            behind = max(start, base)
            for found in self._segment(base).read(behind, end):
                yield found
                behind = found[0] + 1
            if following is not None and behind < following and (end is None or behind < end):
                raise Broken(
                    f"{segment_path(self.folder, base)} is damaged at record {behind}; it should go on to "
                    f"{following - 1}. Restore the log from a backup"
                )

    def _trimmed(self, wanted: int) -> Trimmed:
        first = self.first()
        return Trimmed(f"the log no longer holds offset {wanted}; the oldest left is {first}", str(first))

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
        return self._segment(bases[max(bisect_left(times, posix_ns) - 1, 0)]).offset_at(posix_ns)

    def _segment(self, base: int) -> Segment:
        try:
            segment = self._open.pop(base, None) or Segment(segment_path(self.folder, base))
        except FileNotFoundError as error:
            raise self._trimmed(base) from error
        self._open[base] = segment
        if len(self._open) > OPEN_MAX:
            del self._open[next(iter(self._open))]
        return segment
