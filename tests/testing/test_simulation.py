"""The simulation itself: time moves only by what is due, and a run that hangs is told."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.errors import Broken
from penstock.core.run import Phase, Run, Start, StepRun
from penstock.core.workflow import Step, Workflow
from penstock.testing.simulation import SimulatedCall, Simulation, Takes, VirtualClock, simulated_run

CHAIN = Workflow(
    tenant="local",
    name="test/w",
    version=1,
    steps=(Step(name="a", function="test/a@1"), Step(name="b", function="test/b@1", after=("a",))),
)


def test_time_moves_to_what_is_due_first() -> None:
    clock = VirtualClock()
    clock.after(2.0, "late")
    clock.after(1.0, "early")
    clock.after(1.0, "early, asked later")
    assert [clock.next(), clock.next(), clock.now_s, clock.next(), clock.now_s, clock.next()] == [
        "early", "early, asked later", 1.0, "late", 2.0, None,
    ]  # fmt: skip


def test_functions_see_the_answers_before_them() -> None:
    seen: list[SimulatedCall] = []

    def answer(call: SimulatedCall) -> Any:
        seen.append(call)
        return Takes(1.5, {"from": call.step})

    simulation = Simulation(CHAIN, answer)
    assert simulation.go().phase is Phase.SUCCEEDED
    assert [call.results for call in seen] == [{}, {"a": {"from": "a"}}]
    assert simulation.clock.now_s == 3.0
    assert simulation.history[0].fact == Start()


def test_a_run_in_which_nothing_is_due_any_more_is_told() -> None:
    stuck = simulated_run()
    stuck.phase = Phase.RUNNING
    stuck.steps = {"a": StepRun(phase=Phase.RUNNING, attempt=1), "b": StepRun(pending=1)}
    with pytest.raises(Broken, match="has not ended"):
        Simulation(CHAIN, lambda _: 1, run=stuck).go()


def test_two_simulations_of_the_same_happen_the_same() -> None:
    def play() -> tuple[Run, list[Any]]:
        simulation = Simulation(CHAIN, lambda call: Takes(0.1, call.step))
        return simulation.go(), simulation.history

    assert play()[1] == play()[1]
