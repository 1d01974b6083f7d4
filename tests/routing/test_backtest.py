"""Triggers as they would be, beside those that are."""

from __future__ import annotations

from msgspec.structs import replace

from penstock.core.event import FILE_CREATED, Event, json_data
from penstock.core.ports import Record
from penstock.core.workflow import Trigger, Workflow
from penstock.routing.backtest import HOUR_NS, SHOWN_MAX, Backtest, Fired

FLOW = Workflow(tenant="local", name="t/flow", version=3, steps=(), depth_max=2)


def trigger(suffix: str, **more: object) -> Trigger:
    return Trigger(
        id="id",
        tenant="local",
        principal="me",
        name="t/flow",
        filter={"suffix": {"subject": suffix}},
        workflow="t/flow",
        **more,  # type: ignore[arg-type]
    )


def record(offset: int, subject: str, *, cause: str | None = None, depth: int | None = None) -> Record:
    data = json_data({"size": 10})
    event = Event(
        id=str(offset), source="/s", type=FILE_CREATED, subject=subject, data=data, cause=cause, depth=depth
    )
    return Record(0, offset, offset * HOUR_NS // 2, event)


def tried(
    records: list[Record], wanted: Trigger, *now: Trigger, causes: dict[str, str] | None = None
) -> Fired:
    known = {("local", "t/flow@3"): FLOW}
    test = Backtest(
        [wanted], {"t/flow": FLOW}, now, known, lambda event: (causes or {}).get(event.cause or "", "")
    )
    for each in records:
        test.look(each)
    (fired,) = test.fired.values()
    return fired


def test_runs_sizes_and_hours_are_counted() -> None:
    fired = tried([record(n, f"/a{n}.nxs") for n in range(4)], trigger(".nxs"))
    assert (fired.runs, fired.size, fired.hours) == (4, 40, {0: 2, 3600: 2})
    assert not fired.is_now


def test_the_difference_to_what_is_deployed_is_told() -> None:
    records = [record(0, "/a.nxs"), record(1, "/b.tif"), record(2, "/c.tif.nxs")]
    now = trigger("nxs", since=10**9, paused=True)  # neither counts: it is as if it had always been there
    fired = tried(records, trigger("tif"), replace(now, workflow="t/flow@3"))
    assert (fired.runs, fired.runs_now, fired.added, fired.removed) == (1, 2, 1, 2)
    assert fired.first_added == ["/b.tif"]
    assert fired.first_removed == ["/a.nxs", "/c.tif.nxs"]


def test_own_outputs_and_rings_are_told_apart() -> None:
    records = [
        record(0, "/a.nxs"),
        record(1, "/own.nxs", cause="run1", depth=1),
        record(2, "/ring.nxs", cause="run2", depth=2),
        record(3, "/other.nxs", cause="run2", depth=1),
    ]
    fired = tried(records, trigger(".nxs"), causes={"run1": "t/flow", "run2": "t/other"})
    assert (fired.runs, fired.refused, fired.loops) == (2, 1, 1)
    assert fired.first == ["/a.nxs", "/other.nxs"]


def test_only_the_first_subjects_are_kept() -> None:
    fired = tried([record(n, f"/a{n}.nxs") for n in range(SHOWN_MAX + 5)], trigger(".nxs"))
    assert len(fired.first) == SHOWN_MAX
    assert fired.runs == SHOWN_MAX + 5
