"""A workflow prepared for running: who follows whom, conditions compiled. Made once per workflow."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from penstock.core.cesql import Expression, compile_cesql
from penstock.core.condition import spelled
from penstock.core.graph import followers, reachable
from penstock.core.workflow import Step, Workflow, each_parts

PLANS_MAX = 1_000
"""Prepared workflows kept at once; a further one displaces the one longest unused."""


class Node(Struct, frozen=True):
    """One step and its place in the graph.

    Attributes:
        step: As the workflow says it.
        before: Names of the steps directly before it, each once.
        followers: Names of the steps directly behind it, in the order of the workflow.
        condition: ``step.when``, compiled; None means always.
        visible: What the condition sees: (spelled name, name) of every step before, longest names first.
        source: Step whose answer holds the list of a map; empty for a single call.
        members: Where the list is in that answer.
    """

    step: Step
    before: tuple[str, ...]
    followers: tuple[str, ...]
    condition: Expression | None
    visible: tuple[tuple[str, str], ...]
    source: str
    members: tuple[str, ...]


Plan = dict[str, Node]
"""The nodes by step name, in the order of the workflow."""


@lru_cache(maxsize=PLANS_MAX)
def plan_of(workflow: Workflow) -> Plan:
    """Return the plan of ``workflow``.

    Pure, so it is remembered; a workflow's hash is computed once, which makes asking again cheap.

    Raises:
        Invalid: A condition or ``each`` is malformed; ``core.workflow.validate`` tells so at deploy time.
    """
    before = {step.name: step.after for step in workflow.steps}
    behind = followers(before)
    return {step.name: _node(step, before, tuple(behind[step.name])) for step in workflow.steps}


def _node(step: Step, before: dict[str, tuple[str, ...]], behind: tuple[str, ...]) -> Node:
    source, members = each_parts(step.each, before) if step.each else ("", ())
    return Node(
        step=step,
        before=tuple(dict.fromkeys(step.after)),
        followers=behind,
        condition=compile_cesql(step.when) if step.when else None,
        visible=_visible(step, before) if step.when else (),
        source=source,
        members=members,
    )


def _visible(step: Step, before: dict[str, tuple[str, ...]]) -> tuple[tuple[str, str], ...]:
    names = ((spelled(name), name) for name in reachable(before, step.after))
    return tuple(sorted(names, key=lambda pair: (-len(pair[0]), pair)))
