"""Who was heard of when: sources, and the doors that their notices name. Silence is found when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from penstock.core.rows import HeardRow

DOORS_MAX = 1000
"""Most doors of one source."""
KEEP_NS = 60_000_000_000
"""How long after a row was kept a further notice is remembered without keeping it."""
FADING = 0.98
"""What is left of the longest silence with each notice."""
USUAL = 5
"""How many times its usual silence somebody may be silent."""
LEAST_NS = 600_000_000_000
"""Shorter silences are never remarkable."""
COUNT_MIN = 20
"""Notices before anything is usual."""


class Heard:
    """Remembers.

    Args:
        rows: What was known before.
        put: Told of rows that are to be kept.
    """

    def __init__(self, rows: Iterable[HeardRow], put: Callable[[HeardRow], None]) -> None:
        self.rows = {(row.source, row.door): row for row in rows}
        self._kept = {key: row.last_ns for key, row in self.rows.items()}
        self._put = put

    def notices(self, source: str, count: int, doors: Iterable[str], at_ns: int) -> None:
        """Note that a source told of something, and the doors by which it came."""
        self._one(source, "", count, at_ns)
        for door in doors:
            if (source, door) in self.rows or len(self.rows) < DOORS_MAX:
                self._one(source, door, 1, at_ns)

    def _one(self, source: str, door: str, count: int, at_ns: int) -> None:
        key = (source, door)
        row = self.rows.get(key) or HeardRow(source=source, door=door, last_ns=at_ns)
        gap_ns = max(at_ns - row.last_ns, int(row.gap_ns * FADING))
        row = replace(row, last_ns=max(at_ns, row.last_ns), gap_ns=gap_ns, count=row.count + count)
        self.rows[key] = row
        if at_ns - self._kept.get(key, 0) >= KEEP_NS:
            self._kept[key] = at_ns
            self._put(row)


def is_silent(row: HeardRow, now_ns: int) -> bool:
    """Whether somebody has been silent for much longer than usual."""
    return row.count >= COUNT_MIN and now_ns - row.last_ns > max(USUAL * row.gap_ns, LEAST_NS)
