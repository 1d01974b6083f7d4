"""Functions, workflows and triggers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from penstock.core.function import Function, Limits
from penstock.core.rows import Definition
from penstock.core.workflow import Trigger, Workflow
from penstock.server.api.shapes.fields import filled
from penstock.server.api.shapes.run import Edge
from penstock.server.api.times import when


class FunctionView(Struct, kw_only=True):
    """A function at one version; ``undeployed`` if it had triggers and they were removed.

    ``limits`` has the names that a definition uses; sizes are in bytes.
    """

    name: str
    version: int
    reference: str
    summary: str
    kind: str
    entry: str
    command: list[str]
    outputs: str
    concurrency: int
    limits: dict[str, Any]
    deployed: str | None
    triggers: list[str]
    undeployed: bool


class StepPlan(Struct, kw_only=True):
    """A step as its workflow has it."""

    name: str
    function: str
    after: list[str]
    when: str
    each: str
    batch: str


class WorkflowView(Struct, kw_only=True):
    """A workflow at one version; ``undeployed`` if it had triggers and they were removed."""

    name: str
    version: int
    reference: str
    summary: str
    steps: list[StepPlan]
    edges: list[Edge]
    deployed: str | None
    triggers: list[str]
    undeployed: bool


class FormerTrigger(Struct, kw_only=True):
    """A trigger as it was deployed once; ``number`` counts from 1."""

    number: int
    workflow: str
    filter: Any
    deployed: str | None


class TriggerView(Struct, kw_only=True):
    """A trigger; ``since`` is the offset of the first event that it may see.

    ``former`` are its definitions so far, oldest first; the newest with the same filter and workflow is this.
    """

    id: str
    name: str
    workflow: str
    principal: str
    filter: Any
    paused: bool
    since: int
    deployed: str | None
    former: list[FormerTrigger]


class Deployed(Struct, kw_only=True):
    """What a deployment contains; ``new`` are the versions that were not there before."""

    functions: list[str]
    workflows: list[str]
    triggers: list[str]
    new: list[str]
    existing: int = 0
    warnings: list[str] = []


class Starters(NamedTuple):
    """What starts each workflow by its name; ``removed`` are those that were started by something once."""

    triggers: dict[str, list[str]]
    removed: frozenset[str]

    def of(self, name: str) -> dict[str, Any]:
        """Return the members of a view that say what starts a function or workflow."""
        found = self.triggers.get(name, [])
        return {"triggers": found, "undeployed": not found and name in self.removed}


def starters(rows: Sequence[Definition]) -> Starters:
    """Return what starts what, from the rows of triggers."""
    triggers: dict[str, list[str]] = {}
    removed = set()
    for row in rows:
        trigger = msgspec.json.decode(row.body, type=Trigger)
        name = trigger.workflow.partition("@")[0]
        if row.active:
            triggers.setdefault(name, []).append(trigger.name)
        elif not row.version:
            removed.add(name)
    return Starters(triggers, frozenset(removed))


def function_view(row: Definition, starts: Starters) -> FunctionView:
    """Return a function."""
    found = msgspec.json.decode(row.body, type=Function)
    return filled(
        FunctionView,
        found,
        command=list(found.command),
        limits=_limits(found.limits),
        deployed=when(row.deployed_ns),
        **starts.of(found.name),
    )


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "timeout_s": limits.timeout_s,
        "memory": limits.memory_bytes,
        "processes": limits.processes,
        "log": limits.log_bytes,
        "disk": limits.file_bytes,
        "network": limits.network,
    }


def workflow_view(row: Definition, starts: Starters) -> WorkflowView:
    """Return a workflow with its graph."""
    found = msgspec.json.decode(row.body, type=Workflow)
    steps = [
        filled(StepPlan, step, after=list(step.after), batch=step.batch.system if step.batch else "")
        for step in found.steps
    ]
    return filled(
        WorkflowView,
        found,
        steps=steps,
        edges=edges(found),
        deployed=when(row.deployed_ns),
        **starts.of(found.name),
    )


def edges(workflow: Workflow) -> list[Edge]:
    """Return the arrows of a workflow's graph."""
    return [Edge(before=before, after=step.name) for step in workflow.steps for before in step.after]


def trigger_view(trigger: Trigger, deployed_ns: int, former: Sequence[Definition] = ()) -> TriggerView:
    """Return a trigger; ``former`` are the rows of its definitions so far."""
    return filled(
        TriggerView, trigger, deployed=when(deployed_ns), former=[_former_trigger(row) for row in former]
    )


def _former_trigger(row: Definition) -> FormerTrigger:
    found = msgspec.json.decode(row.body, type=Trigger)
    return filled(FormerTrigger, found, number=row.version, deployed=when(row.deployed_ns))
