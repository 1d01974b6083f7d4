"""Running a run again from where it failed: a new run that keeps what succeeded."""

from __future__ import annotations

import msgspec

from penstock.core.errors import Conflict, NotFound
from penstock.core.facts import ENDED, Phase
from penstock.core.graph import reachable
from penstock.core.plan import Plan, plan_of
from penstock.core.run_state import Run, StepRun
from penstock.core.workflow import Workflow


def rerun(
    workflow: Workflow, old: Run, new_id: str, generation: int, from_steps: frozenset[str] | None
) -> Run:
    """Return a new run that does again what failed in ``old``; start it with ``Start``.

    Steps that failed, were cancelled, or were skipped behind a failure wait again, and so does
    every step behind one of them, and behind each of ``from_steps``. All others keep their results.
    A map that failed keeps the results of its items that succeeded, unless something before it
    runs again or ``from_steps`` names it.

    Args:
        workflow: The version that ``old`` pinned.
        old: Has ended; it is not changed.
        new_id: Id of the new run.
        generation: Of the new run; higher than that of ``old``.
        from_steps: Steps to run again even though they succeeded; None means only what failed.

    Raises:
        Conflict: ``old`` has not ended, or nothing in it failed and no step is named, or the
            generation is not higher.
        NotFound: The workflow has no such step.
    """
    plan = plan_of(workflow)
    named = from_steps or frozenset()
    _check(plan, old, generation, named)
    unfinished = [name for name in plan if _is_unfinished(old.steps.get(name))]
    roots = [name for name in plan if name in named or name in unfinished]
    if not roots:
        raise Conflict(f"nothing failed in run {old.id}; name the step to run again from")
    followers = {name: node.followers for name, node in plan.items()}
    again = set(reachable(followers, roots))
    afresh = set(reachable(followers, [*named, *(behind for name in again for behind in followers[name])]))
    kept = {name: old.steps.get(name, StepRun()) for name in plan}
    steps = {name: _step(kept[name], name in again, name in afresh) for name in plan}
    return msgspec.structs.replace(
        old,
        id=new_id,
        generation=generation,
        phase=Phase.WAITING,
        steps=steps,
        open=0,
        error=None,
        started_ns=0,
        ended_ns=0,
    )


def _check(plan: Plan, old: Run, generation: int, named: frozenset[str]) -> None:
    if old.phase not in ENDED:
        raise Conflict(f"run {old.id} has not ended; wait for its end, or cancel it first")
    if generation <= old.generation:
        raise Conflict(
            f"run {old.id} is generation {old.generation}; {generation} given, a higher one expected"
        )
    unknown = sorted(named - plan.keys())
    if unknown:
        raise NotFound(
            f"workflow {old.workflow} has no step {', '.join(map(repr, unknown))}; it has {', '.join(plan)}"
        )


def _is_unfinished(step: StepRun | None) -> bool:
    if step is None or step.phase is Phase.SKIPPED:
        return step is None or bool(step.blocked_by)
    return step.phase is not Phase.SUCCEEDED


def _step(old: StepRun, again: bool, afresh: bool) -> StepRun:
    if not again:
        return msgspec.structs.replace(old, pending=0)
    return StepRun(items=None if afresh or old.items is None else old.items.again())
