"""A whole run without waiting: the state machine, a virtual clock, and functions given by the test.

    def answer(call):
        if call.step == "reduce" and call.attempt == 1:
            raise ValueError("no peak")
        return {"peaks": 3}

    simulation = Simulation(workflow, answer)
    run = simulation.go()
    assert run.phase is Phase.SUCCEEDED
    assert simulation.clock.now_s == 1.0  # the wait before the second try

Everything happens in one thread and in one order, so a test that fails, fails again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

import msgspec
from msgspec import Raw

from penstock.core.errors import Broken, Failed, Refused
from penstock.core.retry import AFTER_EVICTION, delay_s
from penstock.core.run import (
    ENDED,
    Call,
    Cancel,
    Command,
    End,
    Fact,
    RetryDue,
    Run,
    Start,
    StepFailed,
    Stop,
    Succeeded,
    Wait,
    advance,
    map_elements,
)
from penstock.core.workflow import Workflow

FACTS_MAX = 1_000_000
"""Facts after which a simulation that has not ended is given up."""


class Evicted(Exception):
    """Raise it in an answer: this try was ended from outside."""


class VirtualClock:
    """Time that moves only when nothing is left to do now.

    Attributes:
        now_s: Seconds since the beginning.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._due: list[tuple[float, int, Any]] = []
        self._count = 0

    def after(self, wait_s: float, thing: Any) -> None:
        """Hand out ``thing`` in ``wait_s`` seconds; of equal times, what was asked for first comes first."""
        self._count += 1
        heappush(self._due, (self.now_s + wait_s, self._count, thing))

    def next(self) -> Any:
        """Move to the next time at which something is due and return that, or None if nothing is."""
        if not self._due:
            return None
        self.now_s, _, thing = heappop(self._due)
        return thing


@dataclass(frozen=True, kw_only=True)
class SimulatedCall:
    """What a simulated function sees.

    Attributes:
        step: Name of the step.
        attempt: From 1.
        item: Number of the item in a map, from 0; else -1.
        element: The element of the list, in a map.
        results: Answers of the steps that have succeeded so far, by name.
    """

    step: str
    attempt: int
    item: int
    element: Any
    results: dict[str, Any]


@dataclass(frozen=True)
class Takes:
    """An answer that comes ``after_s`` virtual seconds after the call; others come at once.

    ``answer`` may be an exception: then the call fails by then.
    """

    after_s: float
    answer: Any


@dataclass(frozen=True)
class Happened:
    """One line of a simulation's history: at ``at_s`` this fact led to these commands."""

    at_s: float
    fact: Fact
    commands: tuple[Command, ...]


Answering = Callable[[SimulatedCall], Any]


@dataclass
class Simulation:
    """Runs ``workflow`` with ``answer`` in place of every function.

    Attributes:
        workflow: What is run.
        answer: Called for every attempt. What it returns is the JSON answer, perhaps wrapped in
            ``Takes``. What it raises fails the attempt: ``Failed`` and ``Refused`` for good, all else may be
            tried again, as the step's ``retry`` says.
        run: Where it stands; give one to go on from there, such as ``core.rerun.rerun`` made.
        chance: What ``core.retry.delay_s`` is given: 0 for full delays.
        clock: The virtual time.
        history: Every fact that was delivered, with what it led to.
    """

    workflow: Workflow
    answer: Answering
    run: Run = field(default_factory=lambda: simulated_run())
    chance: float = 0.0
    clock: VirtualClock = field(default_factory=VirtualClock)
    history: list[Happened] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopped: set[tuple[str, int, int]] = set()
        self._elements: dict[str, list[Raw]] = {}
        self._results: dict[str, Any] = {}

    def cancel_at(self, at_s: float, reason: str) -> None:
        """Let a person cancel the run at this virtual time."""
        self.clock.after(at_s - self.clock.now_s, Cancel(reason))

    def go(self) -> Run:
        """Run to the end and return the run.

        Raises:
            Broken: The run did not end: nothing is due any more, or ``FACTS_MAX`` is reached.
        """
        self.tell(Start())
        while self.run.phase not in ENDED:
            fact = self.clock.next()
            if fact is None or len(self.history) > FACTS_MAX:
                raise Broken(f"run {self.run.id} has not ended, after {len(self.history):,} facts")
            if not self._is_stopped(fact):
                self.tell(fact)
        return self.run

    def tell(self, fact: Fact) -> list[Command]:
        """Deliver one fact now, carry out what follows from it, and return that."""
        commands = advance(self.workflow, self.run, fact)
        self.history.append(Happened(self.clock.now_s, fact, tuple(commands)))
        for command in commands:
            self._carry_out(command)
        return commands

    def calls(self) -> list[Call]:
        """Return every call so far, in order."""
        return [command for line in self.history for command in line.commands if isinstance(command, Call)]

    def _carry_out(self, command: Command) -> None:
        match command:
            case Call():
                self._call(command)
            case Wait():
                retry = next(step.retry for step in self.workflow.steps if step.name == command.step)
                wait_s = delay_s(retry, command.failed_attempts, self.chance)
                if command.evictions:
                    wait_s = delay_s(AFTER_EVICTION, command.evictions, self.chance)
                self.clock.after(wait_s, RetryDue(command.step, command.attempt, command.item))
            case Stop():
                self._stopped.add((command.step, command.attempt, command.item))
            case End():
                pass

    def _call(self, call: Call) -> None:
        seen = self._seen(call)
        try:
            answer = self.answer(seen)
        except Exception as error:  # this is the border to the test's own code
            answer = error
        after_s = 0.0
        if isinstance(answer, Takes):
            after_s, answer = answer.after_s, answer.answer
        self.clock.after(after_s, _outcome(call, answer))

    def _seen(self, call: Call) -> SimulatedCall:
        for name, step in self.run.steps.items():
            if step.result is not None and name not in self._results:
                self._results[name] = msgspec.json.decode(step.result)
        return SimulatedCall(
            step=call.step,
            attempt=call.attempt,
            item=call.item,
            element=msgspec.json.decode(self._element(call)) if call.item >= 0 else None,
            results=dict(self._results),
        )

    def _element(self, call: Call) -> Raw:
        if call.step not in self._elements:
            self._elements[call.step] = map_elements(self.workflow, self.run, call.step)
        return self._elements[call.step][call.item]

    def _is_stopped(self, fact: Fact) -> bool:
        return (
            isinstance(fact, Succeeded | StepFailed) and (fact.step, fact.attempt, fact.item) in self._stopped
        )


def simulated_run(run_id: str = "simulated", subject: str = "/simulated") -> Run:
    """Return a run that has not started, of nobody in particular."""
    return Run(
        id=run_id,
        tenant="local",
        principal="simulated",
        workflow="simulated/workflow@1",
        trigger="simulated",
        event_id="simulated",
        offset=0,
        subject=subject,
    )


def _outcome(call: Call, answer: Any) -> Fact:
    if isinstance(answer, Exception):
        retryable, evicted = not isinstance(answer, Failed | Refused), isinstance(answer, Evicted)
        error = f"{type(answer).__name__}: {answer}"
        return StepFailed(call.step, call.attempt, error, retryable, call.item, evicted)
    return Succeeded(call.step, call.attempt, Raw(msgspec.json.encode(answer)), call.item)
