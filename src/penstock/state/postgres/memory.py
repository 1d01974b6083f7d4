"""What a shard knows of the database without asking it.

- Rows of its own kinds are written by nobody else: the latest ones are kept, up to a number of rows.
- What others may write, and what was absent, is known as long as the batch that it was asked for is folded:
  from ``prefetch`` to the beginning of the next commit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from penstock.core.rows import Decision, Row, RunRow
from penstock.state.postgres.tables import OWN

SNAPSHOT_BYTES_MAX = 16 << 10
"""Runs with larger snapshots are not kept."""

KEPT = OWN - {Decision}
"""Kinds that are kept; nobody asks for a decision again while folding."""
Key = tuple[Any, ...]
Staged = dict[type[Row], dict[Key, Row]]


class Unknown:
    """The database has to be asked."""


UNKNOWN: Final = Unknown()


class Memory:
    """Rows in memory.

    Args:
        rows_max: Most rows of own kinds.
    """

    def __init__(self, rows_max: int) -> None:
        self._rows_max = rows_max
        self._own: dict[type[Row], OrderedDict[Key, Row]] = {kind: OrderedDict() for kind in KEPT}
        self._window: dict[type[Row], dict[Key, Row | None]] = {}
        self._watches: list[Staged] = []

    def get(self, kind: type[Row], key: Key) -> Row | Unknown | None:
        """Return a row, None if it is known to be absent, or ``UNKNOWN``."""
        window = self._window.get(kind)
        if window is not None and key in window:
            return window[key]
        own = self._own.get(kind)
        if own is None or (row := own.get(key)) is None:
            return UNKNOWN
        own.move_to_end(key)
        return row

    def read(self, kind: type[Row], found: Mapping[Key, Row | None]) -> None:
        """Take in what a prefetch found, or found absent."""
        self._window.setdefault(kind, {}).update(found)

    def wrote(self, written: Staged) -> None:
        """Take in what a commit wrote."""
        for watched in self._watches:
            for kind, rows in written.items():
                watched.setdefault(kind, {}).update(rows)
        for kind, rows in written.items():
            window = self._window.get(kind)
            if window is not None:
                window.update({key: row for key, row in rows.items() if key in window})
            if kind in KEPT:
                self._keep(kind, rows)

    def _keep(self, kind: type[Row], rows: Mapping[Key, Row]) -> None:
        own = self._own[kind]
        own.update(rows)
        for key in rows:
            own.move_to_end(key)
        if kind is RunRow:
            for key, row in rows.items():
                if isinstance(row, RunRow) and len(row.snapshot) > SNAPSHOT_BYTES_MAX:
                    del own[key]
        self._shrink()

    def _shrink(self) -> None:
        while (over := sum(map(len, self._own.values())) - self._rows_max) > 0:
            most = max(self._own.values(), key=len)
            for _ in range(min(over, len(most))):
                most.popitem(last=False)

    @contextmanager
    def watching(self) -> Iterator[Staged]:
        """Give what commits write meanwhile: a question under way may not have seen it."""
        watched: Staged = {}
        self._watches.append(watched)
        try:
            yield watched
        finally:
            self._watches = [other for other in self._watches if other is not watched]

    def close_window(self) -> None:
        """Forget what others may change."""
        self._window = {}

    def clear(self) -> None:
        """Forget everything."""
        for own in self._own.values():
            own.clear()
        self._window = {}
