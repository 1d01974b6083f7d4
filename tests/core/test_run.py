"""Runs: whole workflows on the virtual clock, and single facts where their order matters."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from penstock.core import items
from penstock.core.errors import Conflict, Failed, Invalid, NotFound
from penstock.core.rerun import rerun
from penstock.core.retry import Retry
from penstock.core.run import (
    Call,
    Cancel,
    End,
    Phase,
    RetryDue,
    Run,
    Start,
    StepFailed,
    Stop,
    Succeeded,
    Wait,
    advance,
)
from penstock.core.snapshot import restore, snapshot
from penstock.core.workflow import MAP_ITEMS_MAX, Join, Step, Workflow, validate
from penstock.testing.simulation import Evicted, SimulatedCall, Simulation, Takes, simulated_run

GOLDEN = Path(__file__).parent / "golden" / "run-v1.json"
NUMBER = Raw(b"1")


def step(name: str, *after: str, **options: Any) -> Step:
    return Step(name=name, function="test/f@1", after=after, **options)


def workflow(*steps: Step) -> Workflow:
    made = Workflow(tenant="local", name="test/w", version=1, steps=steps)
    validate(made)
    return made


def phases(run: Run) -> dict[str, str]:
    return {name: str(step.phase) for name, step in run.steps.items()}


def failing(*names: str, error: Exception | None = None) -> Any:
    def answer(call: SimulatedCall) -> Any:
        if call.step in names:
            raise error or ValueError("no peak")
        return call.step

    return answer


def results(run: Run) -> dict[str, bytes]:
    return {name: bytes(step.result) for name, step in run.steps.items() if step.result is not None}


# Chain, fork, join


def test_a_chain_runs_in_its_order() -> None:
    simulation = Simulation(workflow(step("c", "b"), step("a"), step("b", "a")), lambda call: call.step)
    run = simulation.go()
    assert [call.step for call in simulation.calls()] == ["a", "b", "c"]
    assert (run.phase, run.error) == (Phase.SUCCEEDED, None)
    assert results(run) == {"a": b'"a"', "b": b'"b"', "c": b'"c"'}


def test_a_fork_starts_all_at_once_and_the_join_waits_for_the_slowest() -> None:
    forked = workflow(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"))
    simulation = Simulation(forked, lambda call: Takes({"b": 5.0, "c": 2.0}.get(call.step, 0.0), 1))
    simulation.go()
    after_a = simulation.history[1].commands
    assert after_a == (Call("b", 1), Call("c", 1))
    assert simulation.history[3].commands == (Call("d", 1),)
    assert simulation.clock.now_s == 5.0


def test_naming_a_step_twice_in_after_is_the_same_as_once() -> None:
    assert Simulation(workflow(step("a"), step("b", "a", "a")), lambda _: 1).go().phase is Phase.SUCCEEDED


def test_a_failed_step_does_not_stop_other_branches_but_skips_what_is_behind_it() -> None:
    graph = workflow(step("bad"), step("good"), step("behind", "bad"), step("far", "behind", "good"))
    run = Simulation(graph, failing("bad")).go()
    assert phases(run) == {"bad": "failed", "good": "succeeded", "behind": "skipped", "far": "skipped"}
    assert run.phase is Phase.FAILED
    assert run.error == "step 'bad' failed: ValueError: no peak"
    assert run.steps["far"].error == "skipped because step 'bad' failed"


def test_a_run_does_not_end_while_a_branch_is_in_flight() -> None:
    graph = workflow(step("bad"), step("slow"))
    simulation = Simulation(graph, failing("bad"))
    simulation.tell(Start())
    assert simulation.tell(StepFailed("bad", 1, "broken", retryable=False)) == []
    assert simulation.tell(Succeeded("slow", 1, NUMBER)) == [End(Phase.FAILED, "step 'bad' failed: broken")]


def test_several_failed_steps_are_all_named() -> None:
    run = Simulation(workflow(step("a"), step("b"), step("c")), failing("a", "c")).go()
    assert run.error == "step 'a' failed: ValueError: no peak; also failed: 'c'"


def test_a_join_on_ended_runs_after_failures_and_the_run_still_fails() -> None:
    graph = workflow(
        step("bad"),
        step("skipped", "bad"),
        step("report", "skipped", join=Join.ENDED),
        step("mail", "report"),
    )
    run = Simulation(graph, failing("bad")).go()
    assert phases(run) == {"bad": "failed", "skipped": "skipped", "report": "succeeded", "mail": "succeeded"}
    assert run.phase is Phase.FAILED


# Choice


def choice(when_left: str, when_right: str) -> Workflow:
    return workflow(
        step("look"),
        step("left", "look", when=when_left),
        step("right", "look", when=when_right),
        step("behind-left", "left"),
        step("both", "left", "right"),
    )


def test_a_choice_takes_the_branch_whose_condition_holds() -> None:
    graph = choice("look_peaks > 2", "look_peaks <= 2")
    run = Simulation(graph, lambda _: {"peaks": 3}).go()
    assert phases(run) == {
        "look": "succeeded", "left": "succeeded", "right": "skipped",
        "behind-left": "succeeded", "both": "succeeded",
    }  # fmt: skip
    assert run.phase is Phase.SUCCEEDED


def test_a_step_behind_skipped_steps_only_is_skipped() -> None:
    run = Simulation(choice("FALSE", "TRUE"), lambda _: 1).go()
    assert run.steps["behind-left"].phase is Phase.SKIPPED
    assert run.steps["both"].phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("look_good", True),
        ("look_chi_2_value = 7", True),
        ("look_chi_2_missing = 7", False),
        ("look_files = 2", True),
        ("EXISTS look", True),
        ("EXISTS nothing", False),
        ("look_share = '0.25'", True),
        ("look_whole = 4", True),
        ("look_detector = 'Eiger'", True),
        ("subject = '/simulated'", True),
        ("generation = 0 AND trigger = 'simulated'", True),
    ],
)
def test_a_condition_sees_the_run_and_the_answers_before_it(condition: str, holds: bool) -> None:
    answer = {
        "good": True,
        "chi-2": {"Value": 7},
        "files": ["a", "b"],
        "share": 0.25,
        "whole": 4.0,
        "detector": "Eiger",
    }
    graph = workflow(step("look"), step("between", "look"), step("then", "between", when=condition))
    run = Simulation(graph, lambda call: answer if call.step == "look" else {}).go()
    assert (run.steps["then"].phase is Phase.SUCCEEDED) == holds


def test_the_longest_step_name_is_meant() -> None:
    graph = workflow(step("fit"), step("fit-two"), step("then", "fit", "fit-two", when="fit_two_x = 2"))
    answers = {"fit": {"two": {"x": 1}}, "fit-two": {"x": 2}, "then": 0}
    assert Simulation(graph, lambda call: answers[call.step]).go().steps["then"].phase is Phase.SUCCEEDED


# Retries


def test_a_retryable_failure_waits_longer_each_time_and_then_succeeds() -> None:
    graph = workflow(step("a", retry=Retry(attempts=3, delay_s=1.0, factor=3.0)))

    def answer(call: SimulatedCall) -> Any:
        if call.attempt < 3:
            raise ValueError("not yet")
        return call.attempt

    simulation = Simulation(graph, answer)
    run = simulation.go()
    assert [call.attempt for call in simulation.calls()] == [1, 2, 3]
    assert simulation.clock.now_s == 4.0
    assert (run.steps["a"].phase, run.steps["a"].attempt, run.steps["a"].error) == (Phase.SUCCEEDED, 3, None)


def test_a_step_out_of_tries_fails_with_its_last_error() -> None:
    graph = workflow(step("a", retry=Retry(attempts=2)))
    simulation = Simulation(graph, failing("a"))
    assert simulation.go().error == "step 'a' failed: ValueError: no peak"
    assert len(simulation.calls()) == 2


def test_a_try_that_was_ended_from_outside_does_not_count() -> None:
    def answer(call: SimulatedCall) -> Any:
        if call.attempt in (1, 3, 4):
            raise Evicted("killed")
        if call.attempt == 2:
            raise ValueError("not yet")
        return call.attempt

    simulation = Simulation(workflow(step("a", retry=Retry(attempts=2, delay_s=50.0))), answer)
    run = simulation.go()
    assert (run.phase, [call.attempt for call in simulation.calls()]) == (Phase.SUCCEEDED, [1, 2, 3, 4, 5])
    # Evictions wait by their own rule (0.1, 1, 10), the function's failure by its author's.
    assert simulation.clock.now_s == pytest.approx(0.1 + 50.0 + 1.0 + 10.0)


@pytest.mark.parametrize(("attempts", "calls"), [(1, 4), (3, 6)])
def test_a_step_that_is_ended_from_outside_each_time_fails_in_the_end(attempts: int, calls: int) -> None:
    simulation = Simulation(
        workflow(step("a", retry=Retry(attempts=attempts))), failing("a", error=Evicted("killed"))
    )
    run = simulation.go()
    assert run.phase is Phase.FAILED
    assert len(simulation.calls()) == calls
    assert f"Evicted: killed (that was number {calls}; 3 are forgiven" in (run.error or "")


def test_items_are_forgiven_their_evictions_one_by_one() -> None:
    def answer(call: SimulatedCall) -> Any:
        if call.step == "list":
            return ["well", "once", "ever"]
        if call.element == "ever" or (call.element == "once" and call.attempt == 1):
            raise Evicted("killed")
        return call.element

    simulation = Simulation(
        workflow(step("list"), step("map", "list", each="list", tolerate=1, window=3)), answer
    )
    run = simulation.go()
    assert bytes(run.steps["map"].result or b"") == b'["well","once",null]'
    assert [call.attempt for call in simulation.calls() if call.item == 2] == [1, 2, 3, 4]


def test_a_restart_forgets_no_eviction() -> None:
    graph, run = workflow(step("a")), simulated_run()
    advance(graph, run, Start())
    for attempt in (1, 2, 3):
        run = restore(snapshot(run))
        evicted = StepFailed("a", attempt, "killed", evicted=True)
        assert advance(graph, run, evicted) == [Wait("a", attempt + 1, 0, evictions=attempt)]
        assert advance(graph, run, RetryDue("a", attempt + 1)) == [Call("a", attempt + 1)]
    run = restore(snapshot(run))
    (end,) = advance(graph, run, StepFailed("a", 4, "killed", evicted=True))
    assert isinstance(end, End)


def test_a_failure_for_good_is_not_tried_again() -> None:
    graph = workflow(step("a", retry=Retry(attempts=5)))
    simulation = Simulation(graph, failing("a", error=Failed("limit of 1 GiB reached")))
    simulation.go()
    assert len(simulation.calls()) == 1


def test_stale_repeated_and_unknown_facts_change_nothing() -> None:
    graph = workflow(step("a", retry=Retry(attempts=3)), step("b", "a"))
    run = simulated_run()
    assert advance(graph, run, Succeeded("a", 1, NUMBER)) == []  # it has not started
    advance(graph, run, Start())
    assert advance(graph, run, StepFailed("a", 1, "lost")) == [Wait("a", 2, 1)]
    before = snapshot(run)
    for stale in (
        Start(),
        Succeeded("a", 1, NUMBER),  # a zombie of the failed attempt
        Succeeded("a", 2, NUMBER),  # not called yet
        StepFailed("a", 1, "lost"),
        RetryDue("a", 1),
        RetryDue("a", 3),
        RetryDue("a", 2, item=4),
        Succeeded("b", 1, NUMBER),
        Succeeded("nobody", 1, NUMBER),
        StepFailed("nobody", 1, "lost"),
        RetryDue("nobody", 1),
    ):
        assert advance(graph, run, stale) == []
        assert snapshot(run) == before
    assert advance(graph, run, RetryDue("a", 2)) == [Call("a", 2)]
    for stale in (RetryDue("a", 2), Succeeded("a", 1, NUMBER), StepFailed("a", 1, "lost")):
        assert advance(graph, run, stale) == []


def test_an_answer_does_not_keep_the_batch_of_events_alive_that_it_came_in() -> None:
    graph = workflow(step("list"), step("map", "list", each="list"))
    run = simulated_run()
    advance(graph, run, Start())
    advance(
        graph, run, Succeeded("list", 1, msgspec.json.decode(b'{"list":[1,2]}', type=dict[str, Raw])["list"])
    )
    one = msgspec.json.decode(b'{"one":1}', type=dict[str, Raw])["one"]
    assert one.copy() is not one  # a copy of what is no view is the thing itself
    advance(graph, run, Succeeded("map", 1, one, item=0))
    listed, progress = run.steps["list"].result, run.steps["map"].items
    assert listed is not None
    assert progress is not None
    assert listed.copy() is listed
    assert progress.results[0].copy() is progress.results[0]


def test_nothing_changes_an_ended_run() -> None:
    graph = workflow(step("a"))
    run = Simulation(graph, lambda _: 1).go()
    before = snapshot(run)
    for late in (Start(), Succeeded("a", 1, NUMBER), StepFailed("a", 1, "late"), Cancel("late")):
        assert advance(graph, run, late) == []
    assert snapshot(run) == before


# Cancel


def test_cancel_stops_what_is_in_flight_and_nothing_else() -> None:
    graph = workflow(
        step("done"), step("flying"), step("retrying", retry=Retry(attempts=2)),
        step("map", "done", each="done", window=2), step("waiting", "flying"),
    )  # fmt: skip
    run = simulated_run()
    advance(graph, run, Start())
    advance(graph, run, Succeeded("done", 1, Raw(b"[1,2,3,4]")))
    advance(graph, run, Succeeded("map", 1, NUMBER, item=0))
    advance(graph, run, StepFailed("retrying", 1, "lost"))
    assert advance(graph, run, Cancel("wrong sample")) == [
        Stop("flying", 1),
        Stop("map", 1, 1),
        Stop("map", 1, 2),
        End(Phase.CANCELLED, "cancelled: wrong sample"),
    ]
    assert phases(run) == {
        "done": "succeeded", "flying": "cancelled", "retrying": "cancelled",
        "map": "cancelled", "waiting": "cancelled",
    }  # fmt: skip


def test_a_run_cancelled_before_its_start_never_starts() -> None:
    run = simulated_run()
    assert advance(workflow(step("a")), run, Cancel("no")) == [End(Phase.CANCELLED, "cancelled: no")]
    assert phases(run) == {"a": "cancelled"}
    assert advance(workflow(step("a")), run, Start()) == []


def test_a_cancelled_runs_calls_end_at_that_time() -> None:
    simulation = Simulation(workflow(step("a")), lambda _: Takes(60.0, 1))
    simulation.cancel_at(2.0, "enough")
    assert simulation.go().phase is Phase.CANCELLED
    assert simulation.clock.now_s == 2.0


# Maps


def mapped(each: str = "list.files", **options: Any) -> Workflow:
    return workflow(step("list"), step("map", "list", each=each, **options), step("sum", "map"))


def listing(*elements: Any, each: Any = None) -> Any:
    def answer(call: SimulatedCall) -> Any:
        if call.step == "list":
            return {"files": list(elements)}
        return each(call) if each and call.step == "map" else call.element

    return answer


def test_a_map_keeps_the_order_of_its_list_whatever_ends_first() -> None:
    slow_first = listing(*"abcdef", each=lambda call: Takes(10.0 - call.item, call.element.upper()))
    run = Simulation(mapped(window=3), slow_first).go()
    assert results(run)["map"] == b'["A","B","C","D","E","F"]'


def test_a_map_has_no_more_in_flight_than_its_window() -> None:
    flying: set[int] = set()
    most = 0

    def each(call: SimulatedCall) -> Any:
        nonlocal most
        flying.add(call.item)
        most = max(most, len(flying))
        return Takes(1.0 + call.item % 3, call.item)

    simulation = Simulation(mapped(window=4), listing(*range(20), each=each))
    simulation.tell(Start())
    while simulation.run.phase is Phase.RUNNING:
        fact = simulation.clock.next()
        if isinstance(fact, Succeeded):
            flying.discard(fact.item)
        simulation.tell(fact)
    assert most == 4
    assert simulation.run.phase is Phase.SUCCEEDED


def test_a_map_over_an_empty_list_succeeds_at_once() -> None:
    run = Simulation(mapped(), listing()).go()
    assert results(run)["map"] == b"[]"
    assert phases(run)["sum"] == "succeeded"


def test_failed_items_are_named_with_their_errors() -> None:
    def each(call: SimulatedCall) -> Any:
        if call.item in (13, 44, 97):
            raise ValueError("no peak")
        return Takes(1.0, call.item)

    run = Simulation(mapped(window=100), listing(*range(100), each=each)).go()
    assert run.error == "step 'map' failed: 3 of 100 items failed: 13 (ValueError: no peak), 44, 97"


def test_a_map_that_tolerates_its_failures_succeeds_with_null_in_their_places() -> None:
    def each(call: SimulatedCall) -> Any:
        if call.item == 1:
            raise ValueError("no peak")
        return call.item

    run = Simulation(mapped(tolerate=1), listing("a", "b", "c", each=each)).go()
    assert run.phase is Phase.SUCCEEDED
    assert results(run)["map"] == b"[0,null,2]"
    assert run.steps["map"].error == "1 of 3 items failed: 1 (ValueError: no peak)"


def test_a_map_with_too_many_failures_launches_nothing_more_but_lets_what_flies_land() -> None:
    graph = mapped(window=2, retry=Retry(attempts=2))
    run = simulated_run()
    advance(graph, run, Start())
    advance(graph, run, Succeeded("list", 1, Raw(b'{"files":[1,2,3,4,5]}')))
    assert advance(graph, run, StepFailed("map", 1, "bad", retryable=False, item=0)) == []
    assert run.steps["map"].phase is Phase.RUNNING
    assert advance(graph, run, Succeeded("map", 1, NUMBER, item=1)) == [
        End(Phase.FAILED, "step 'map' failed: 1 of 5 items failed: 0 (bad); 3 were not started")
    ]


def test_a_map_that_has_failed_gives_up_what_waits_for_another_try() -> None:
    graph = mapped(window=2, retry=Retry(attempts=2))
    run = simulated_run()
    advance(graph, run, Start())
    advance(graph, run, Succeeded("list", 1, Raw(b'{"files":[1,2]}')))
    assert advance(graph, run, StepFailed("map", 1, "lost", item=1)) == [Wait("map", 2, 1, 1)]
    ended = advance(graph, run, StepFailed("map", 1, "bad", retryable=False, item=0))
    assert ended == [End(Phase.FAILED, "step 'map' failed: 2 of 2 items failed: 0 (bad), 1 (lost)")]


def test_an_item_in_flight_when_its_map_has_failed_is_not_tried_again() -> None:
    graph = mapped(window=2, retry=Retry(attempts=2))
    run = simulated_run()
    advance(graph, run, Start())
    advance(graph, run, Succeeded("list", 1, Raw(b'{"files":[1,2]}')))
    assert advance(graph, run, StepFailed("map", 1, "bad", retryable=False, item=0)) == []
    ended = advance(graph, run, StepFailed("map", 1, "lost", item=1))
    assert ended == [End(Phase.FAILED, "step 'map' failed: 2 of 2 items failed: 0 (bad), 1 (lost)")]


def test_nothing_is_kept_of_tries_that_are_over() -> None:
    graph = mapped(window=2, retry=Retry(attempts=2))
    run = simulated_run()
    advance(graph, run, Start())
    advance(graph, run, Succeeded("list", 1, Raw(b'{"files":[1,2]}')))
    advance(graph, run, StepFailed("map", 1, "lost", item=0))
    advance(graph, run, RetryDue("map", 2, item=0))
    advance(graph, run, Succeeded("map", 2, NUMBER, item=0))
    progress = run.steps["map"].items
    assert progress is not None
    assert (progress.attempts, progress.errors, progress.in_flight) == ({}, {}, 1)


def test_items_are_tried_again_each_on_its_own() -> None:
    def each(call: SimulatedCall) -> Any:
        if call.attempt <= call.item:
            raise ValueError("not yet")
        return call.attempt

    run = Simulation(mapped(retry=Retry(attempts=3)), listing("a", "b", "c", each=each)).go()
    assert results(run)["map"] == b"[1,2,3]"


def test_facts_about_items_that_do_not_fly_change_nothing() -> None:
    graph = mapped(window=1)
    run = simulated_run()
    advance(graph, run, Start())
    advance(graph, run, Succeeded("list", 1, Raw(b'{"files":[1,2,3]}')))
    before = snapshot(run)
    for item in (-1, 1, 3, -3):
        assert advance(graph, run, Succeeded("map", 1, NUMBER, item=item)) == []
        assert advance(graph, run, StepFailed("map", 1, "x", item=item)) == []
    assert advance(graph, run, Succeeded("map", 2, NUMBER, item=0)) == []
    assert advance(graph, run, RetryDue("map", 2, item=0)) == []
    assert snapshot(run) == before


@pytest.mark.parametrize(
    ("answer", "said"),
    [({"other": 1}, "no member 'files'"), ({"files": {"a": 1}}, "no list"), ([1], "no list"), (3, "no list")],
)
def test_a_map_over_what_is_no_list_fails_in_words(answer: Any, said: str) -> None:
    run = Simulation(mapped(), lambda _: answer).go()
    assert run.error is not None
    assert said in run.error
    assert "list.files" in run.error


def test_a_list_that_is_too_long_fails_in_words() -> None:
    run = Simulation(mapped(), lambda call: {"files": [0] * (MAP_ITEMS_MAX + 1)}).go()
    assert run.error is not None
    assert "100,001 items; a map takes at most 100,000" in run.error


def test_a_map_over_a_skipped_step_is_skipped() -> None:
    graph = workflow(step("a"), step("b", "a", when="FALSE"), step("map", "a", "b", each="b"))
    assert phases(Simulation(graph, lambda _: [1]).go())["map"] == "skipped"


def test_a_map_over_a_failed_step_is_skipped_because_of_it() -> None:
    graph = workflow(step("a"), step("map", "a", each="a", join=Join.ENDED))
    run = Simulation(graph, failing("a")).go()
    assert run.steps["map"].error == "skipped because step 'a' failed"


def test_results_that_grow_too_large_fail_the_map_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "ITEM_RESULTS_BYTES_MAX", 3 << 20)
    run = Simulation(mapped(), listing(*range(5), each=lambda _: "x" * (1 << 20))).go()
    assert run.error is not None
    assert "the items' results exceed 3 MiB together at item 2" in run.error


def test_many_failures_are_named_up_to_a_limit() -> None:
    def each(call: SimulatedCall) -> Any:
        raise ValueError("x" * 10_000)

    run = Simulation(mapped(tolerate=1_000), listing(*range(1_000), each=each)).go()
    error = run.steps["map"].error
    assert error is not None
    assert error.endswith("18, 19, and 980 more")
    assert len(error) < 1_000


def run_map(count: int) -> Run:
    """Run a map over ``count`` items, the last called first to end; no more are ever in flight than fit."""
    graph = mapped(each="list")
    run = simulated_run()
    advance(graph, run, Start())
    commands = advance(graph, run, Succeeded("list", 1, Raw(b"[%b]" % b",".join([b"7"] * count))))
    for _ in range(count):
        call = commands.pop()
        assert isinstance(call, Call)
        result = Raw(b'{"x":%d}' % call.item)
        commands += advance(graph, run, Succeeded("map", 1, result, call.item))
        assert len(commands) <= 64
    return run


def test_a_map_takes_a_hundred_thousand_items_in_order() -> None:
    joined = results(run_map(MAP_ITEMS_MAX))["map"]
    assert joined == b"[%b]" % b",".join(b'{"x":%d}' % item for item in range(MAP_ITEMS_MAX))


def test_an_item_of_a_map_takes_some_hundred_bytes_at_most() -> None:
    tracemalloc.start()
    run_map(10_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300 * 10_000  # the list itself, decoded once, included


# Rerun


def test_a_rerun_keeps_what_succeeded_and_repeats_what_failed() -> None:
    graph = workflow(step("a"), step("bad", "a"), step("good", "a"), step("end", "bad", "good"))
    old = Simulation(graph, failing("bad")).go()
    new = rerun(graph, old, "again", 1, None)
    assert (new.id, new.generation, new.phase, new.error) == ("again", 1, Phase.WAITING, None)
    simulation = Simulation(graph, lambda call: "second", run=new)
    assert simulation.go().phase is Phase.SUCCEEDED
    assert [call.step for call in simulation.calls()] == ["bad", "end"]
    assert results(new)["good"] == b'"good"'
    assert old.phase is Phase.FAILED


def test_a_rerun_from_a_step_repeats_everything_behind_it() -> None:
    graph = workflow(step("a"), step("b", "a"), step("c", "b"), step("other", "a"))
    old = Simulation(graph, lambda call: 1).go()
    simulation = Simulation(graph, lambda call: 2, run=rerun(graph, old, "again", 1, frozenset({"b"})))
    simulation.go()
    assert [call.step for call in simulation.calls()] == ["b", "c"]
    assert results(simulation.run) == {"a": b"1", "b": b"2", "c": b"2", "other": b"1"}


def test_a_rerun_repeats_what_ran_behind_a_failed_step() -> None:
    graph = workflow(step("bad"), step("report", "bad", join=Join.ENDED))
    old = Simulation(graph, failing("bad")).go()
    simulation = Simulation(graph, lambda call: 2, run=rerun(graph, old, "again", 1, None))
    simulation.go()
    assert [call.step for call in simulation.calls()] == ["bad", "report"]


def test_a_rerun_of_a_map_repeats_only_the_items_that_failed() -> None:
    def each(call: SimulatedCall) -> Any:
        if call.item == 1:
            raise ValueError("no peak")
        return "first"

    graph = mapped(window=2)
    old = Simulation(graph, listing("a", "b", "c", "d", each=each)).go()
    assert old.phase is Phase.FAILED
    repaired = restore(snapshot(old))
    simulation = Simulation(graph, lambda _: "second", run=rerun(graph, repaired, "again", 1, None))
    simulation.go()
    assert results(simulation.run)["map"] == b'["first","second","first","second"]'
    afresh = Simulation(graph, lambda _: "third", run=rerun(graph, old, "again", 1, frozenset({"map"})))
    assert results(afresh.go())["map"] == b'["third","third","third","third"]'


def test_a_rerun_that_makes_no_sense_is_refused() -> None:
    graph = workflow(step("a"), step("b", "a"))
    ended = Simulation(graph, lambda _: 1).go()
    with pytest.raises(Conflict, match="nothing failed"):
        rerun(graph, ended, "again", 1, None)
    with pytest.raises(Conflict, match="higher"):
        rerun(graph, ended, "again", 0, frozenset({"a"}))
    with pytest.raises(NotFound, match=r"'nobody'.*a, b"):
        rerun(graph, ended, "again", 1, frozenset({"nobody"}))
    with pytest.raises(Conflict, match="not ended"):
        rerun(graph, simulated_run(), "again", 1, None)


# Snapshots


def golden_run() -> Run:
    """A run with every kind of member set, stopped in the middle."""
    graph = workflow(
        step("list"), step("null", "list"), step("bad"), step("behind", "bad"),
        step("map", "list", each="list", window=3, retry=Retry(attempts=3)),
        step("again", retry=Retry(attempts=2)), step("later", "map", "again", join=Join.ENDED),
    )  # fmt: skip
    run = simulated_run("0f3a", "/raw/frame_0001.nxs")
    run.started_ns = 1_795_000_000_000_000_000
    for fact in (
        Start(),
        Succeeded("list", 1, Raw(b'["a","b","c","d","e"]')),
        Succeeded("null", 1, Raw(b"null")),
        StepFailed("bad", 1, "ValueError: no peak", retryable=False),
        Succeeded("map", 1, Raw(b'{"x":1.50}'), item=1),
        StepFailed("map", 1, "worker lost", item=0),
        StepFailed("map", 1, "worker lost", item=2),
        RetryDue("map", 2, item=2),
        StepFailed("again", 1, "worker lost"),
    ):
        advance(graph, run, fact)
    return run


def test_a_snapshot_of_form_1_is_read_for_ever() -> None:
    stored = GOLDEN.read_bytes().rstrip(b"\n")
    assert restore(stored) == restore_again(golden_run())
    assert snapshot(restore(stored)) == stored


def test_snapshots_are_written_as_the_golden_file_says() -> None:
    assert snapshot(golden_run()) == GOLDEN.read_bytes().rstrip(b"\n")


def restore_again(run: Run) -> Run:
    return restore(snapshot(run))


def test_an_answer_of_null_is_not_the_same_as_none() -> None:
    run = restore_again(golden_run())
    null = run.steps["null"].result
    assert null is not None
    assert bytes(null) == b"null"
    assert run.steps["behind"].result is None


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"v":2,"id":"r"}', "form 2.*form 1"),
        (b'{"id":"r"}', "missing required field `v`"),
        (b'{"v":1,"id":"r"}', "missing required field"),
        (b"", "not the snapshot"),
        (b"\xff", "not the snapshot"),
    ],
)
def test_what_is_no_known_snapshot_is_refused_in_words(raw: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        restore(raw)
