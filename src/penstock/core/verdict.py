"""Whether a step may start, seen from the steps before it and from its condition, or be tried again."""

from __future__ import annotations

from penstock.core.condition import Value, lookup_in
from penstock.core.facts import FAILED, RUNNING, SKIPPED, SUCCEEDED, Phase, StepFailed, Wait
from penstock.core.plan import Node
from penstock.core.retry import EVICTIONS_FORGIVEN, Retry, failures, is_forgiven
from penstock.core.run_state import Run, StepRun
from penstock.core.workflow import Join


def verdict(node: Node, run: Run) -> Phase:
    """Return RUNNING or SKIPPED for a step everything before which has ended.

    A step skipped behind a failure is told so in ``error`` and ``blocked_by``.
    """
    step = run.steps[node.step.name]
    if node.before and node.step.join is Join.ALL:
        skipped = 0
        for name in node.before:
            other = run.steps[name]
            if other.phase is FAILED or other.blocked_by:
                return _blocked(step, other.blocked_by or name)
            skipped += other.phase is SKIPPED
        if skipped == len(node.before):
            return SKIPPED
    if node.condition is not None and not _condition_holds(node, run):
        return SKIPPED
    if node.source and run.steps[node.source].phase is not SUCCEEDED:
        source = run.steps[node.source]
        failed = node.source if source.phase is FAILED else source.blocked_by
        return _blocked(step, failed) if failed else SKIPPED
    return RUNNING


def another_try(rule: Retry, fact: StepFailed, evictions: int) -> Wait | None:
    """Return what to wait for if a failed try is to be repeated, its evictions so far given."""
    failed = failures(fact.attempt, evictions)
    if fact.evicted and is_forgiven(evictions):
        return Wait(fact.step, fact.attempt + 1, failed, fact.item, evictions)
    if fact.retryable and failed < rule.attempts:
        return Wait(fact.step, fact.attempt + 1, failed, fact.item)
    return None


def words(fact: StepFailed, evictions: int) -> str:
    """Return why a try failed, or why no further eviction is forgiven."""
    if not fact.evicted or is_forgiven(evictions):
        return fact.error
    return (
        f"{fact.error} (that was number {evictions}; {EVICTIONS_FORGIVEN} are forgiven: see whether it ends "
        "itself, or the machine runs out of memory)"
    )


def _blocked(step: StepRun, failed: str) -> Phase:
    step.blocked_by = failed
    step.error = f"skipped because step {failed!r} failed"
    return SKIPPED


def _condition_holds(node: Node, run: Run) -> bool:
    assert node.condition is not None, "asked only of steps with a condition"
    answers = [
        (spelled, answer)
        for spelled, name in node.visible
        if run.steps[name].phase is SUCCEEDED and (answer := run.steps[name].result) is not None
    ]
    values: dict[str, Value] = {"subject": run.subject, "trigger": run.trigger, "generation": run.generation}
    return node.condition.holds(lookup_in(values, answers))
