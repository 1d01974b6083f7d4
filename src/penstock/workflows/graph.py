"""The graph of a workflow's steps: every predecessor exists, nothing goes round in circles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from penstock.core.errors import Invalid
from penstock.core.workflow import Step, each_parts
from penstock.workflows.draft import Draft
from penstock.workflows.options import suggestion


def ordered(steps: Sequence[tuple[Draft, Step]], workflow: Draft, faults: list[str]) -> tuple[Step, ...]:
    """Return the steps so that each stands behind its predecessors, otherwise as they were written.

    Args:
        steps: Each step with its draft.
        workflow: Whose steps they are.
        faults: Receives doubled names, unknown predecessors, circles, and lists that come too late.
    """
    by_name: dict[str, Step] = {}
    for draft, step in steps:
        if step.name in by_name:
            faults.append(draft.fault("there are two steps of this name; give one of them another"))
        by_name[step.name] = step
    for draft, step in steps:
        for before in step.after:
            if before not in by_name:
                faults.append(
                    draft.fault(f"names no step {before!r}; {suggestion(before, by_name)}", "after")
                )
    known = {name: [before for before in step.after if before in by_name] for name, step in by_name.items()}
    try:
        order = list(TopologicalSorter(known).static_order())
    except CycleError as error:
        circle = " after ".join(repr(name) for name in reversed(error.args[1]))
        faults.append(workflow.fault(f"its steps go round in a circle: {circle}; remove one 'after'"))
        return tuple(by_name.values())
    for draft, step in steps:
        _check_list(draft, step, known, faults)
    return tuple(by_name[name] for name in _stable(order, known, list(by_name)))


def _stable(order: Sequence[str], before: Mapping[str, Sequence[str]], written: Sequence[str]) -> list[str]:
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = max((depth[each] + 1 for each in before[name]), default=0)
    return sorted(order, key=lambda name: (depth[name], written.index(name)))


def _check_list(draft: Draft, step: Step, before: Mapping[str, Sequence[str]], faults: list[str]) -> None:
    if not step.each:
        return
    try:
        origin, _ = each_parts(step.each, before)
    except Invalid:
        message = f"is {step.each!r}; expected 'step' or 'step.member' with a step before this one"
        faults.append(draft.fault(message, "each"))
        return
    if origin not in _ancestors(step.name, before):
        message = f"takes its list from step {origin!r}, which does not come before it; name it in 'after'"
        faults.append(draft.fault(message, "each"))


def _ancestors(name: str, before: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    left = list(before[name])
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left += before[each]
    return found
