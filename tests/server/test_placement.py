"""Where records and rows of one machine belong at a site: each run with the event that started it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Raw

from penstock.core import lifecycle
from penstock.core.event import Event, encode
from penstock.core.lifecycle import CancelRequest, Deployed, RunRequest, StepEnd, data_of, run_id
from penstock.core.rows import (
    AttemptRow,
    CursorRow,
    DeadLetter,
    Decision,
    Definition,
    Outcome,
    PositionRow,
    Row,
    RunRow,
    Seen,
)
from penstock.core.run import Run
from penstock.core.snapshot import restore
from penstock.log.kafka_binding import partition_of
from penstock.server.site.placement import GONE, Known, Placement, Resettling, known_of
from penstock.workflows.rows import run_row

PARTS = 3
TRIGGER = (
    b'{"id":"t","tenant":"local","principal":"p","name":"local/f","filter":{},"workflow":"f@1","since":%d}'
)


def of_key(event: Event) -> int:
    return partition_of(event.partitionkey or event.id, PARTS)


def file(number: int) -> Event:
    folder = f"/data/d{number}"
    return Event(
        id=f"e{number}", source="/storages/local", type="x", subject=f"{folder}/f.raw", partitionkey=folder
    )


def step(run: str) -> Event:
    return lifecycle.step_event(lifecycle.STEP_SUCCEEDED, StepEnd(run=run, step="s", attempt=1), 1, "c")


def placed(events: Sequence[Event], known: Known, first: int = 0) -> tuple[Placement, list[list[int]]]:
    placement = Placement(PARTS, first, known, of_key)
    return placement, [list(placement.take(first + n, event)) for n, event in enumerate(events)]


NOTHING = Known(0, {}, (), frozenset())


def test_what_a_run_raises_goes_where_its_event_is_and_definitions_go_everywhere() -> None:
    deployed = Deployed(tenant="local", principal="p", functions=[], workflows=[], triggers=[])
    cancel = CancelRequest(run="r", reason="", principal="p")
    events = [
        file(1),
        file(2),
        lifecycle.request_event(lifecycle.DEPLOYED, deployed, "n", "f.py"),
        step("r"),
        lifecycle.request_event(lifecycle.RUN_CANCEL_REQUESTED, cancel, "n", "r"),
    ]
    _, parts = placed(events, Known(9, {"r": (1, 0)}, (), frozenset()))
    second = of_key(file(2))
    assert parts == [[of_key(file(1))], [second], [0, 1, 2], [second], [second]]


def test_a_requested_run_lives_with_the_event_that_it_is_about() -> None:
    wanted = file(5)
    request = RunRequest(
        tenant="local", principal="p", workflow="f@1", event=Raw(encode(wanted)), trigger="t", generation=3
    )
    asked = lifecycle.request_event(lifecycle.RUN_REQUESTED, request, "n", "elsewhere")
    run = run_id("local", "t", wanted, data_of(asked, RunRequest).generation)
    _, parts = placed([asked, step(run)], NOTHING)
    assert parts == [[of_key(wanted)], [of_key(wanted)]]


def test_runs_that_the_state_does_not_know_yet_are_derived_from_the_end_of_the_log() -> None:
    run = run_id("local", "t", file(7), 0)
    _, parts = placed([file(7), step(run)], Known(0, {}, (("local", "t"),), frozenset()))
    assert parts[0] == parts[1] == [of_key(file(7))]


def test_a_position_between_records_is_found_again_in_each_partition() -> None:
    events = [file(n) for n in range(30)]
    cut = 12
    placement, parts = placed(events, Known(30, {}, (), frozenset({0, cut, 42, 130})), first=10)
    before = [sum(part == [each] for part in parts[: cut - 10]) for each in range(PARTS)]
    assert placement.between(0) == (0, 0, 0), "of what retention had removed nothing is there"
    assert placement.between(cut) == tuple(before)
    assert placement.between(130) == tuple(count + 90 for count in placement.counts)
    assert sum(placement.counts) == 30


def rows_of(rows: Sequence[Row]) -> Any:
    def found(kind: type[Row]) -> Iterable[Row]:
        return [row for row in rows if type(row) is kind]

    return found


def test_rows_follow_their_records_with_their_offsets() -> None:
    events = [file(n) for n in range(10, 22)]
    run = Run(
        id="r", tenant="local", principal="p", workflow="f@1", trigger="t", event_id="e15", offset=15,
        subject="/data/d15/f.raw",
    )  # fmt: skip
    old = Run(
        id="o", tenant="local", principal="p", workflow="f@1", trigger="t", event_id="e3", offset=3,
        subject="/data/d3/f.raw",
    )  # fmt: skip
    trigger = Definition(
        kind="trigger", tenant="local", name="local/f", version=0, body=TRIGGER % 14, deployed_ns=1
    )
    rows = [CursorRow("pump", 0, 20), run_row(run), run_row(old), trigger]
    known = known_of(rows_of(rows), of_key)
    placement, _ = placed(events, known, first=10)
    settle = Resettling(placement, of_key)
    part, number = placement.at(15) or (None, None)
    ((shard, moved),) = settle(run_row(run))
    assert isinstance(moved, RunRow)
    assert (shard, restore(moved.snapshot).offset) == (part, number) == (of_key(file(15)), number)
    ((shard, moved),) = settle(run_row(old))
    assert isinstance(moved, RunRow)
    assert (shard, restore(moved.snapshot).offset) == (of_key(file(3)), GONE)
    attempt = AttemptRow(
        run="r", step="s", item=-1, attempt=1, tenant="local", phase="running", function="f@1"
    )
    assert list(settle(attempt)) == [(part, attempt)]
    letter = DeadLetter(id="l", tenant="local", kind="step", subject="", reason="", body=b"", run="r")
    assert list(settle(letter)) == [(part, letter)]
    assert list(settle(Seen("/s", "e15", 15))) == [(part, Seen("/s", "e15", number or 0))]
    assert list(settle(Seen("/s", "e3", 3))) == [], "its event is not on the log any more"
    decision = Decision(
        event_id="e3", source="/storages/local", trigger="t", tenant="local", offset=3,
        subject="/data/d3/f.raw", outcome=Outcome.MATCHED,
    )  # fmt: skip
    ((shard, kept),) = settle(decision)
    assert isinstance(kept, Decision)
    assert (shard, kept.offset) == (of_key(file(3)), GONE)
    cursors = dict(settle(rows[0]))
    assert sum(row.offset for row in cursors.values() if isinstance(row, CursorRow)) == 10
    sinces = [json.loads(row.body)["since"] for _, row in settle(trigger) if isinstance(row, Definition)]
    assert (len(sinces), sum(sinces)) == (PARTS, 4)
    position = PositionRow("billing", "0", "17")
    assert list(settle(position)) == [(0, position)]
