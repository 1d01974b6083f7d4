"""Where the records of an embedded log, and the rows of its state, belong at a site.

A record that is told from outside goes to the partition of its key. All that a run raises goes where the
event is that started the run; what defines triggers goes to every partition. Within each, the order stays. So
each old offset has one new place, and a position between records has one in each partition.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from penstock.core import lifecycle
from penstock.core.errors import Invalid
from penstock.core.event import Event, decode
from penstock.core.lifecycle import CancelRequest, RunRequest, data_of
from penstock.core.rows import (
    AttemptRow,
    CursorRow,
    DeadLetter,
    Decision,
    Definition,
    DefinitionKind,
    FileState,
    Intent,
    OutputRow,
    Row,
    RunRow,
    Seen,
    TimerRow,
)
from penstock.core.snapshot import restore, snapshot

EVERYWHERE = -1
"""Instead of a partition: in each of them."""
GONE = -1
"""Offset of what retention had removed before the move; no log holds it."""
DEFINING = frozenset({lifecycle.DEPLOYED, lifecycle.TRIGGER_CHANGED, lifecycle.TRIGGER_REMOVED})


class Known(Struct, frozen=True):
    """What the state knows that decides on the places of records.

    Attributes:
        folded: Offset up to which the log is folded.
        runs: Offset of the event that started a run, and its partition if that is off the log, by its id.
        triggers: Tenant and id of each trigger.
        cuts: Offsets between records that are to be found again.
    """

    folded: int
    runs: dict[str, tuple[int, int]]
    triggers: tuple[tuple[str, str], ...]
    cuts: frozenset[int]


class Placement:
    """New places by old offset.

    Args:
        partitions: How many there are.
        first: Oldest offset of the embedded log.
        known: From the state.
        of_key: Returns the partition of an event that is told from outside.
    """

    def __init__(self, partitions: int, first: int, known: Known, of_key: Callable[[Event], int]) -> None:
        self.counts = [0] * partitions
        self.last_ids = [""] * partitions
        self._first, self._known, self._of_key = first, known, of_key
        self._parts = array("h")
        self._numbers = array("q")
        self._fresh: dict[str, int] = {}
        self._cuts: dict[int, tuple[int, ...]] = {
            cut: (0,) * partitions for cut in known.cuts if cut <= first
        }
        self._left = sorted(known.cuts - self._cuts.keys(), reverse=True)

    def take(self, offset: int, event: Event) -> Sequence[int]:
        """Place the next record; return its partitions."""
        while self._left and self._left[-1] <= offset:
            self._cuts[self._left.pop()] = tuple(self.counts)
        part = self._part(offset, event)
        self._parts.append(part)
        self._numbers.append(0 if part == EVERYWHERE else self.counts[part])
        parts = range(len(self.counts)) if part == EVERYWHERE else (part,)
        for each in parts:
            self.counts[each] += 1
            self.last_ids[each] = event.id
        return parts

    def parts(self, offset: int) -> Sequence[int]:
        """Return the partitions of a record that was taken."""
        part = self._parts[offset - self._first]
        return range(len(self.counts)) if part == EVERYWHERE else (part,)

    def _part(self, offset: int, event: Event) -> int:
        if event.source != lifecycle.SOURCE:
            part = self._of_key(event)
            if offset >= self._known.folded:  # the state does not tell yet what it starts
                for tenant, trigger in self._known.triggers:
                    self._fresh[lifecycle.run_id(tenant, trigger, event, 0)] = part
            return part
        if event.type in DEFINING:
            return EVERYWHERE
        try:
            if event.type == lifecycle.RUN_REQUESTED:
                return self._requested(event)
            if event.type == lifecycle.RUN_CANCEL_REQUESTED:
                return self.part_of_run(data_of(event, CancelRequest).run)
        except Invalid:
            return self._of_key(event)
        return self.part_of_run(event.partitionkey or "", event)

    def _requested(self, event: Event) -> int:
        request = data_of(event, RunRequest)
        wanted = decode(request.event)
        part = self._of_key(wanted)
        key = request.trigger or event.id
        self._fresh[lifecycle.run_id(request.tenant, key, wanted, request.generation)] = part
        return part

    def part_of_run(self, run: str, event: Event | None = None) -> int:
        """Return the partition of a run; of one that is forgotten, that of its key or of ``event``'s."""
        known = self._known.runs.get(run)
        if known is None:
            fallback = event or Event(id=run or "-", source=lifecycle.SOURCE, type=lifecycle.RUN_STARTED)
            return self._fresh[run] if run in self._fresh else self._of_key(fallback)
        offset, part = known
        index = offset - self._first
        return self._parts[index] if 0 <= index < len(self._parts) else part

    def at(self, offset: int) -> tuple[int, int] | None:
        """Return partition and offset of a record; None if it is off the log or in all of them."""
        index = offset - self._first
        if not 0 <= index < len(self._parts) or self._parts[index] == EVERYWHERE:
            return None
        return self._parts[index], self._numbers[index]

    def between(self, cut: int) -> tuple[int, ...]:
        """Return a position of ``known.cuts`` in each partition; behind the end it stays as far behind."""
        found = self._cuts.get(cut)
        if found is not None:
            return found
        beyond = max(cut - self._first - len(self._parts), 0)
        return tuple(count + beyond for count in self.counts)


def by_key(row: RunRow | Decision) -> Event:
    """Return an event with the partition key that the event had that a row is about."""
    folder = row.subject.rpartition("/")[0] or "/" if row.subject.startswith("/") else None
    return Event(id=row.event_id, source="/moved", type="penstock.moved", partitionkey=folder)


def known_of(rows: Callable[[type[Any]], Iterable[Any]], of_key: Callable[[Event], int]) -> Known:
    """Return what the state knows; ``rows`` yields all of a kind."""
    cursors: list[CursorRow] = list(rows(CursorRow))
    triggers = {
        body["id"]: (row.tenant, body)
        for row in rows(Definition)
        if row.kind == DefinitionKind.TRIGGER
        for body in [json.loads(row.body)]
    }
    sinces = {
        json.loads(row.body).get("since", 0) for row in rows(Definition) if row.kind == DefinitionKind.TRIGGER
    }
    return Known(
        folded=max((row.offset for row in cursors if row.reader == "pump"), default=0),
        runs={row.id: (restore(row.snapshot).offset, of_key(by_key(row))) for row in rows(RunRow)},
        triggers=tuple((tenant, id_) for id_, (tenant, _) in triggers.items()),
        cuts=frozenset({row.offset for row in cursors} | sinces),
    )


class Resettling:
    """Rows of state at their new places.

    Args:
        placement: Of the whole log.
        of_key: Returns the partition of an event that is told from outside.
    """

    def __init__(self, placement: Placement, of_key: Callable[[Event], int]) -> None:
        self._places = placement
        self._of_key = of_key
        self._ways: Mapping[type[Row], Callable[[Any], Iterable[tuple[int, Row]]]] = {
            CursorRow: self._cursor,
            Definition: self._definition,
            RunRow: self._run,
            Decision: self._decision,
            Seen: self._seen,
            AttemptRow: lambda row: [(self._places.part_of_run(row.run), row)],
            TimerRow: lambda row: [(self._places.part_of_run(row.run), row)],
            Intent: lambda row: [(self._places.part_of_run(row.run), row)],
            DeadLetter: lambda row: [(self._places.part_of_run(row.run) if row.run else 0, row)],
            FileState: self._moved,
            OutputRow: self._moved,
        }

    def __call__(self, row: Row) -> Iterable[tuple[int, Row]]:
        """Return the rows that stand for one, each with its shard."""
        way = self._ways.get(type(row))
        return way(row) if way is not None else [(0, row)]

    def _cursor(self, row: CursorRow) -> Iterator[tuple[int, Row]]:
        for part, offset in enumerate(self._places.between(row.offset)):
            yield part, CursorRow(row.reader, row.partition, offset)

    def _definition(self, row: Definition) -> Iterator[tuple[int, Row]]:
        if row.kind != DefinitionKind.TRIGGER:
            yield from ((part, row) for part in range(len(self._places.counts)))
            return
        body = json.loads(row.body)
        for part, since in enumerate(self._places.between(body.get("since", 0))):
            moved = json.dumps({**body, "since": since}, separators=(",", ":"), ensure_ascii=False)
            yield part, replace(row, body=moved.encode())

    def _run(self, row: RunRow) -> Iterator[tuple[int, Row]]:
        run = restore(row.snapshot)
        place = self._places.at(run.offset)
        run.offset = place[1] if place is not None else GONE
        yield self._places.part_of_run(row.id), replace(row, snapshot=snapshot(run))

    def _decision(self, row: Decision) -> Iterator[tuple[int, Row]]:
        place = self._places.at(row.offset)
        if place is not None:
            yield place[0], replace(row, offset=place[1])
        else:
            yield self._of_key(by_key(row)), replace(row, offset=GONE)

    def _seen(self, row: Seen) -> Iterator[tuple[int, Row]]:
        """An id is remembered as long as its event is on the log."""
        place = self._places.at(row.offset)
        if place is not None:
            yield place[0], Seen(row.source, row.event_id, place[1])

    def _moved(self, row: FileState | OutputRow) -> Iterator[tuple[int, Row]]:
        part, offset = self._places.at(row.offset) or (0, GONE)
        yield part, replace(row, offset=offset)
