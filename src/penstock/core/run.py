"""The state machine of a run: facts in, commands out. No clock, no chance, no I/O.

Rules, in words:

- A step is decided once every step directly before it has ended. With ``join: all`` it is skipped if
  one of them failed (or was itself skipped behind a failure), and if all of them were skipped. With
  ``join: ended`` it goes on however they ended.
- Then its condition is asked; one that does not hold skips it.
- A failed try that may be repeated (``StepFailed.retryable``) and has tries left waits and is called
  again with the next attempt number; else the step fails. Other branches go on. The run ends when
  every step has ended: failed if one of them failed, else succeeded.
- A try that was evicted (ended from outside) is called again without counting as a try, a few times.
- A map calls ``window`` items at a time in the order of its list, each with its own tries, keeps
  their results in that order, and succeeds when at most ``tolerate`` of them failed. One more, and
  it launches nothing further, gives up what waits for another try, lets what is in flight end
  (its results serve a rerun) and fails. A map over the answer of a step that gave none is skipped;
  over something that is no list, it fails.
- Facts about an attempt that is not the current one, about a step that is not running, or after the
  end of the run change nothing: they come from duplicates, redeliveries and zombies.
- ``Cancel`` stops everything in flight and ends the run as cancelled.

| phase     | may become                                            |
|-----------|-------------------------------------------------------|
| waiting   | running, succeeded (an empty map), failed, skipped, cancelled |
| running   | retrying, succeeded, failed, cancelled                |
| retrying  | running, cancelled                                    |
| succeeded, failed, skipped, cancelled | (nothing: ended)          |
"""

from __future__ import annotations

from msgspec import Raw

from penstock.core.errors import Invalid
from penstock.core.facts import (
    CANCELLED,
    ENDED,
    FAILED,
    RETRYING,
    RUNNING,
    SUCCEEDED,
    WAITING,
    Call,
    Cancel,
    Command,
    End,
    Fact,
    Phase,
    RetryDue,
    Start,
    StepFailed,
    Stop,
    Succeeded,
    Wait,
)
from penstock.core.items import Items, elements, items_of
from penstock.core.plan import Node, Plan, plan_of
from penstock.core.retry import Retry
from penstock.core.run_state import Run, StepRun
from penstock.core.verdict import another_try, verdict, words
from penstock.core.workflow import Workflow

__all__ = [
    "ENDED",
    "Call",
    "Cancel",
    "Command",
    "End",
    "Fact",
    "Phase",
    "RetryDue",
    "Run",
    "Start",
    "StepFailed",
    "StepRun",
    "Stop",
    "Succeeded",
    "Wait",
    "advance",
    "map_elements",
]

STEP_ERROR_CHARS_MAX = 4_000
"""Longest error text kept of one step."""


def advance(workflow: Workflow, run: Run, fact: Fact) -> list[Command]:
    """Let ``fact`` change ``run`` and return what must be done now, in order.

    Deterministic: the same facts in the same order give the same run and commands.

    Args:
        workflow: The version that the run pinned, as ``core.workflow.validate`` passed it.
        run: Changed in place.
        fact: What happened. Stale or repeated facts change nothing and return [].
    """
    commands: list[Command] = []
    if run.phase is RUNNING:
        match fact:
            case Succeeded():
                _succeeded(plan_of(workflow), run, fact, commands)
            case StepFailed():
                _failed(plan_of(workflow), run, fact, commands)
            case RetryDue():
                _retry_due(run, fact, commands)
            case Cancel():
                _cancel(run, fact, commands)
    elif run.phase is WAITING:
        match fact:
            case Start():
                _start(plan_of(workflow), run, commands)
            case Cancel():
                run.steps = {step.name: run.steps.get(step.name, StepRun()) for step in workflow.steps}
                _cancel(run, fact, commands)
    return commands


def map_elements(workflow: Workflow, run: Run, step: str) -> list[Raw]:
    """Return the elements that the map ``step`` calls its function with, by item number.

    Takes time in proportion to the list; keep it while the map runs. Its step has started.
    """
    node = plan_of(workflow)[step]
    source = run.steps[node.source].result
    assert source is not None, f"map {step!r} has started, so {node.source!r} has a result"
    return elements(source, node.members, node.step.each)


def _start(plan: Plan, run: Run, commands: list[Command]) -> None:
    run.phase = RUNNING
    steps = run.steps = {name: run.steps.get(name) or StepRun() for name in plan}
    ready = []
    for name, step in steps.items():
        if step.phase is not WAITING:  # kept by a rerun
            continue
        run.open += 1
        before = plan[name].before
        step.pending = sum([steps[other].phase is WAITING for other in before]) if before else 0
        if step.pending == 0:
            ready.append(name)
    _move_on(plan, run, [name for name in ready if _ends_at_once(plan[name], run, commands)], commands)


def _succeeded(plan: Plan, run: Run, fact: Succeeded, commands: list[Command]) -> None:
    step = run.steps.get(fact.step)
    if step is None or step.phase is not RUNNING:
        return
    if step.items is not None:
        if step.items.is_running(fact.item, fact.attempt):
            step.items.succeed(fact.item, fact.result)
            _move_map(plan, run, fact.step, commands)
    elif fact.attempt == step.attempt and fact.item == -1:
        step.phase = SUCCEEDED
        step.result = fact.result.copy()  # it may be a view that keeps a whole batch of events alive
        step.error = None
        _move_on(plan, run, [fact.step], commands)


def _failed(plan: Plan, run: Run, fact: StepFailed, commands: list[Command]) -> None:
    step = run.steps.get(fact.step)
    if step is None or step.phase is not RUNNING:
        return
    rule = plan[fact.step].step.retry
    if step.items is not None:
        if step.items.is_running(fact.item, fact.attempt):
            _item_failed(step.items, rule, fact, commands)
            _move_map(plan, run, fact.step, commands)
    elif fact.attempt == step.attempt and fact.item == -1:
        step.evictions += fact.evicted
        wait = another_try(rule, fact, step.evictions)
        step.error = words(fact, step.evictions)[:STEP_ERROR_CHARS_MAX]
        step.phase = RETRYING if wait is not None else FAILED
        if wait is not None:
            commands.append(wait)
        else:
            _move_on(plan, run, [fact.step], commands)


def _item_failed(items: Items, rule: Retry, fact: StepFailed, commands: list[Command]) -> None:
    evictions = items.evict(fact.item) if fact.evicted else items.evictions.get(fact.item, 0)
    wait = another_try(rule, fact, evictions)
    if wait is not None and not items.stopped:
        items.retry(fact.item, fact.error)
        commands.append(wait)
    else:
        items.fail(fact.item, words(fact, evictions))


def _retry_due(run: Run, fact: RetryDue, commands: list[Command]) -> None:
    step = run.steps.get(fact.step)
    if step is None:
        return
    if step.phase is RUNNING and step.items is not None:
        if not step.items.is_retrying(fact.item, fact.attempt - 1):
            return
        step.items.call_again(fact.item, fact.attempt)
    elif step.phase is RETRYING and fact.attempt == step.attempt + 1 and fact.item == -1:
        step.phase = RUNNING
        step.attempt = fact.attempt
    else:
        return
    commands.append(Call(fact.step, fact.attempt, fact.item))


def _cancel(run: Run, fact: Cancel, commands: list[Command]) -> None:
    for name, step in run.steps.items():
        if step.phase in ENDED:
            continue
        if step.phase is RUNNING and step.items is not None:
            attempts = step.items.attempts
            commands += [Stop(name, attempts.get(item, 1), item) for item in step.items.running()]
            step.items.stopped = True
        elif step.phase is RUNNING:
            commands.append(Stop(name, step.attempt))
        step.phase = CANCELLED
    run.open = 0
    run.phase = CANCELLED
    run.error = f"cancelled: {fact.reason}"
    commands.append(End(CANCELLED, run.error))


def _move_on(plan: Plan, run: Run, ended: list[str], commands: list[Command]) -> None:
    """Decide what stands behind steps that have just ended, until nothing more follows from it."""
    for name in ended:  # grows while it is walked: what is skipped has ended too
        for follower in plan[name].followers:
            step = run.steps[follower]
            step.pending -= 1
            if step.pending == 0 and _ends_at_once(plan[follower], run, commands):
                ended.append(follower)
    run.open -= len(ended)
    if run.open == 0:
        _end(run, commands)


def _ends_at_once(node: Node, run: Run, commands: list[Command]) -> bool:
    """Start, skip or fail a step, everything before which has ended; return whether it ended by that."""
    name = node.step.name
    step = run.steps[name]
    step.phase = verdict(node, run)
    if step.phase is not RUNNING:
        return True
    step.attempt = 1
    if not node.source:
        commands.append(Call(name, 1))
        return False
    return _map_ends_at_once(node, run, step, commands)


def _map_ends_at_once(node: Node, run: Run, step: StepRun, commands: list[Command]) -> bool:
    source = run.steps[node.source].result
    assert source is not None, f"{node.source!r} has succeeded, so it has a result"
    if step.items is None:  # else a rerun brings what has succeeded
        try:
            step.items = items_of(len(elements(source, node.members, node.step.each)))
        except Invalid as error:
            step.phase, step.error = FAILED, str(error)
            return True
    return _map_ended(node, step, step.items, commands)


def _move_map(plan: Plan, run: Run, name: str, commands: list[Command]) -> None:
    step = run.steps[name]
    assert step.items is not None, f"{name!r} is a map"
    if _map_ended(plan[name], step, step.items, commands):
        _move_on(plan, run, [name], commands)


def _map_ended(node: Node, step: StepRun, items: Items, commands: list[Command]) -> bool:
    """Launch what the window has room for, and return whether the map has ended."""
    if not items.stopped and (items.failed > node.step.tolerate or items.fault):
        items.stop()
    for item in items.launch(node.step.window):
        commands.append(Call(node.step.name, 1, item))
    if items.in_flight:
        return False
    step.error = items.failures() if items.failed else None
    step.phase = FAILED if items.stopped else SUCCEEDED
    if step.phase is SUCCEEDED:
        step.result, step.items = items.joined(), None
    return True


def _end(run: Run, commands: list[Command]) -> None:
    failed = [name for name, step in run.steps.items() if step.phase is FAILED]
    run.phase = FAILED if failed else SUCCEEDED
    if failed:
        run.error = f"step {failed[0]!r} failed: {run.steps[failed[0]].error}"
    if len(failed) > 1:
        run.error = f"{run.error}; also failed: {', '.join(map(repr, failed[1:]))}"
    commands.append(End(run.phase, run.error))
