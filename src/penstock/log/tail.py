"""The newest records, kept in memory for followers; limited in number and bytes."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.core.ports import Record


class Tail:
    """Records without gaps, up to the newest.

    Args:
        records_max: Most records kept; twice as many between two cuts, for each cut moves all that stay.
        bytes_max: The same, in bytes.
    """

    def __init__(self, records_max: int, bytes_max: int) -> None:
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._records: list[Record] = []
        self._sizes: list[int] = []
        self._total = 0

    def add(self, records: Sequence[Record], sizes: Sequence[int]) -> None:
        """Add newer records and the bytes that each takes."""
        self._records += records
        self._sizes += sizes
        self._total += sum(sizes)
        if len(self._records) > 2 * self._records_max or self._total > 2 * self._bytes_max:
            self._cut()

    def _cut(self) -> None:
        gone = max(len(self._records) - self._records_max, 0)
        self._total -= sum(self._sizes[:gone])
        while self._total > self._bytes_max:
            self._total -= self._sizes[gone]
            gone += 1
        del self._records[:gone], self._sizes[:gone]

    def since(self, offset: int) -> Sequence[Record]:
        """Return what is kept from ``offset`` on; nothing where that is older than all that is kept."""
        if not self._records or offset < self._records[0].offset:
            return ()
        return self._records[offset - self._records[0].offset :]

    def get(self, offset: int) -> Record | None:
        """Return one record, if it is kept."""
        place = offset - self._records[0].offset if self._records else -1
        return self._records[place] if 0 <= place < len(self._records) else None
