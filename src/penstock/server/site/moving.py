"""Moves a stopped embedded installation to the broker and the database that its settings name. Blocking.

In this order, so that a crash at any instant leaves the old installation whole, or the new one:

1. The topic is filled, every record in its partition. No process opens it then; see ``log.kafka_filling``.
2. It is counted, and from then on takes its times from the broker.
3. The state is copied in one transaction, its rows at their new places; see ``server.site.placement``.
4. The old log becomes the copy of the log that the API looks at; the old state is set aside.

Begun again, it goes on behind what is done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from penstock.core.errors import Refused
from penstock.core.ports import Cursor
from penstock.log.kafka_filling import Filling, Placed
from penstock.log.reader import Reader
from penstock.server.settings import Places, Settings
from penstock.server.site.mirror import NOTE_NAME
from penstock.server.site.placement import Placement, Resettling, known_of
from penstock.state import moving as state_moving

RECORDS_PER_S = 15_000
"""About what a move does on one core, for its forecast: each record is read twice and sent once."""
ROWS_PER_S = 25_000
PROGRESS_RECORDS = 20_000
NOTE = "moving.json"
"""Notes, right before the state is copied, where everything goes."""


class Note(Struct, frozen=True, kw_only=True):
    """What a move was about to do when it noted it."""

    servers: str
    topic: str
    database: str
    ends: tuple[int, ...]


class MovePlan(Struct, frozen=True, kw_only=True):
    """What a move would do.

    Attributes:
        log: The old log's folder.
        records: In it.
        log_bytes: Their size.
        rows: Of the state, by table.
        state_bytes: Size of its file.
        topic: Where the log goes, in words.
        database: Where the state goes, in words.
        partitions: Of the topic.
        seconds: About how long it will take.
        done: Records that an earlier try has brought to the topic.
        is_copied: An earlier try has done all but to set the old state aside.
        against: Why it cannot be done now; empty if it can.
    """

    log: str
    records: int
    log_bytes: int
    rows: dict[str, int]
    state_bytes: int
    topic: str
    database: str
    partitions: int
    seconds: float
    done: int = 0
    is_copied: bool = False
    against: tuple[str, ...] = ()


Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


class Move:
    """One installation's move.

    Args:
        settings: With ``kafka`` and ``postgres``.
        places: Where the embedded installation is.

    Raises:
        Refused: The settings name no site, or there is nothing to move.
    """

    def __init__(self, settings: Settings, places: Places) -> None:
        if settings.kafka is None or settings.postgres is None:
            raise Refused(f"{places.config} has to say where to: set [kafka] and [postgres] in it")
        self._kafka, self._postgres = settings.kafka, settings.postgres
        self._state = places.state / "state.db"
        self._folder = places.state / "log" / "0"
        self._note = places.state / NOTE
        if not self._state.exists():
            raise Refused(f"there is nothing to move: {self._state} is not there")
        self._filling = Filling(self._kafka)
        self._reader = Reader(self._folder)

    def plan(self) -> MovePlan:
        """Look at both sides; nothing is changed.

        Raises:
            Unavailable: Broker or database cannot be reached.
        """
        found = state_moving.plan(self._state, self._postgres)
        there = self._filling.there() or (0,) * self._kafka.partitions
        is_copied = self._is_copied(there) and bool(found.against)
        first, end = self._extent()
        records = end - first
        seconds = records / RECORDS_PER_S + found.total / ROWS_PER_S + 5
        return MovePlan(
            log=str(self._folder),
            records=records,
            log_bytes=sum(each.stat().st_size for each in self._folder.iterdir() if each.is_file()),
            rows=found.rows,
            state_bytes=found.size_bytes,
            topic=f"the topic {self._kafka.topic!r} at {self._kafka.servers}",
            database=self._postgres.place,
            partitions=self._kafka.partitions,
            seconds=seconds,
            done=sum(there),
            is_copied=is_copied,
            against=() if is_copied else found.against + self._against_topic(there),
        )

    def _extent(self) -> tuple[int, int]:
        first = end = self._reader.first()
        for offset, _, _ in self._reader.frames(first):
            end = offset + 1
        return first, end

    def _is_copied(self, there: Sequence[int]) -> bool:
        """Whether an earlier try was interrupted behind the copying of the state, or right in it."""
        return self._note.exists() and self._noted(there) == msgspec.json.decode(
            self._note.read_bytes(), type=Note
        )

    def _noted(self, ends: Sequence[int]) -> Note:
        return Note(
            servers=self._kafka.servers,
            topic=self._kafka.topic,
            database=f"{self._postgres.place}/{self._postgres.schema}",
            ends=tuple(ends),
        )

    def _against_topic(self, there: Sequence[int]) -> tuple[str, ...]:
        if not any(there) or self._filling.is_filling() or self._is_copied(there):
            return ()
        return (
            f"the topic {self._kafka.topic!r} holds {sum(there)} records that are not of this move; name a "
            "new topic",
        )

    def carry_out(self, progress: Progress = lambda _what, _done, _of: None) -> MovePlan:
        """Do it, and return what was planned.

        Raises:
            Refused: Something stands against it.
            Unavailable: Broker or database went away; try again, it goes on behind what is done.
            Broken: Not everything arrived.
        """
        planned = self.plan()
        if planned.against:
            raise Refused("it cannot be moved: " + "; ".join(planned.against))
        if not planned.is_copied:
            self._copy(planned, progress)
        self._settle(msgspec.json.decode(self._note.read_bytes(), type=Note).ends)
        return planned

    def _copy(self, planned: MovePlan, progress: Progress) -> None:
        known = known_of(lambda kind: state_moving.rows(self._state, kind), self._filling.place_of)
        first = self._reader.first()
        placement = Placement(planned.partitions, first, known, self._filling.place_of)
        for count, record in enumerate(self._reader.read(first)):
            placement.take(record.offset, record.event)
            if count % PROGRESS_RECORDS == 0:
                progress("looking at the log", count, planned.records)
        self._fill(placement, planned, progress)
        fresh = self._note.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(self._noted(placement.counts)))
        os.replace(fresh, self._note)

        def told(done: state_moving.Progress) -> None:
            progress("copying the state", done.done_of_all, done.total_of_all)

        settle = Resettling(placement, self._filling.place_of)
        state_moving.move(self._state, self._postgres, 0, told, settle)

    def _fill(self, placement: Placement, planned: MovePlan, progress: Progress) -> None:
        there = self._filling.there() or (0,) * planned.partitions
        if there != tuple(placement.counts) or self._filling.is_filling():
            self._filling.begin()
            self._filling.fill(self._lacking(placement, there, planned.records, progress))
            self._filling.end(placement.counts)
        for part, count in enumerate(placement.counts):
            last = self._filling.last_id(part, count) if count else None
            if last is not None and last != placement.last_ids[part]:
                raise Refused(
                    f"partition {part} of {planned.topic} ends with an event that is not ours: another "
                    "installation was moved there. Name a new topic"
                )

    def _lacking(
        self, placement: Placement, there: Sequence[int], total: int, progress: Progress
    ) -> Iterator[Placed]:
        """Yield what an earlier try has not brought to the topic."""
        left = list(there)
        for count, record in enumerate(self._reader.read(self._reader.first())):
            for part in placement.parts(record.offset):
                if left[part]:
                    left[part] -= 1
                else:
                    yield part, record.appended_ns, record.event
            if count % PROGRESS_RECORDS == 0:
                progress("filling the topic", count, total)

    def _settle(self, ends: Sequence[int]) -> None:
        """Make the old log the API's copy, and set the old state aside; now nobody begins with it again."""
        note = self._folder.parent / NOTE_NAME
        note.write_bytes(msgspec.json.encode(Cursor(tuple(ends))))
        aside = time.strftime("moved-%Y%m%dT%H%M%S")
        for suffix in ("-wal", "-shm", ""):
            place = Path(f"{self._state}{suffix}")
            if place.exists():
                os.rename(place, f"{place}.{aside}")
        self._note.unlink()
