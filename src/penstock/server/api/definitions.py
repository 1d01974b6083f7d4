"""Functions, workflows and triggers: deploying, listing, steering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, UnsetType

from penstock.core.errors import Forbidden, Invalid, NotFound
from penstock.core.filter import parse
from penstock.core.function import Function
from penstock.core.rows import Definition, DefinitionKind
from penstock.core.workflow import Trigger, Workflow, validate
from penstock.server.api.desk import Desk
from penstock.server.api.operation import Ask, Operation
from penstock.server.api.shapes import (
    Deployed,
    Done,
    Edge,
    FunctionView,
    StepPlan,
    Text,
    TriggerView,
    WorkflowView,
)
from penstock.server.api.times import when
from penstock.workflows.deployment import Deployment


class Deploy(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is deployed, and how.

    Attributes:
        deployment: What ``penstock deploy`` makes of a file: checked, code copied, environments built.
        existing: Whether triggers start with what is there already.
        dry_run: Only say what would be done.
    """

    deployment: Deployment
    existing: bool = False
    dry_run: bool = False


class TriggerPatch(Struct, kw_only=True, forbid_unknown_fields=True):
    """What changes of a trigger.

    Attributes:
        paused: Whether it is paused.
        catch_up: On resuming, whether what came meanwhile is run.
        workflow: ``namespace/name@version`` that it starts from now on (a rollback).
    """

    paused: bool | UnsetType = msgspec.UNSET
    catch_up: bool = True
    workflow: Text = ""


async def deploy(ask: Ask) -> Deployed:
    """Deploy the definitions of one file, whole and at once."""
    body: Deploy = ask.body
    _check(body.deployment, ask.desk)
    answer = await ask.desk.link.ask(
        "deploy", deployment=body.deployment, existing=body.existing, dry_run=body.dry_run
    )
    return msgspec.convert(answer, Deployed)


def _check(deployment: Deployment, desk: Desk) -> None:
    """Hold what a client sends to the rules that the readers of files keep."""
    owners = {each.tenant for each in deployment.functions}
    owners |= {each.tenant for each in deployment.workflows}
    owners |= {each.tenant for each in deployment.triggers}
    if owners - {desk.tenant}:
        raise Forbidden(f"definitions of other tenants than {desk.tenant!r} cannot be deployed here")
    faults = list(_faults(deployment))
    if faults:
        raise Invalid("the deployment has faults:", tuple(faults[:100]))


def _faults(deployment: Deployment) -> Iterator[str]:
    names = [("function", each.name) for each in deployment.functions]
    names += [("workflow", each.name) for each in deployment.workflows]
    names += [("trigger", each.name) for each in deployment.triggers]
    for what, name in names:
        if name.count("/") != 1 or "@" in name or not all(name.split("/")):
            yield f"{what} {name[:80]!r}: a name is namespace/name"
    for workflow in deployment.workflows:
        try:
            validate(workflow)
        except Invalid as error:
            yield from error.faults or (str(error),)
    for trigger in deployment.triggers:
        try:
            parse(trigger.filter)
        except Invalid as error:
            yield from (f"trigger {trigger.name!r}: {line}" for line in error.faults or (str(error),))


async def functions(ask: Ask) -> list[FunctionView]:
    """List the newest version of every function."""
    rows = await ask.desk.state.definitions(DefinitionKind.FUNCTION, ask.desk.tenant)
    return [_function(row) for row in _newest(rows)]


async def function(ask: Ask) -> list[FunctionView]:
    """List all versions of a function, oldest first."""
    return [_function(row) for row in await _named(ask, DefinitionKind.FUNCTION)]


async def workflows(ask: Ask) -> list[WorkflowView]:
    """List the newest version of every workflow."""
    rows = await ask.desk.state.definitions(DefinitionKind.WORKFLOW, ask.desk.tenant)
    return [workflow_view(row) for row in _newest(rows)]


async def workflow(ask: Ask) -> list[WorkflowView]:
    """List all versions of a workflow, oldest first."""
    return [workflow_view(row) for row in await _named(ask, DefinitionKind.WORKFLOW)]


async def triggers(ask: Ask) -> list[TriggerView]:
    """List the triggers that are deployed."""
    return [trigger_view(trigger, row.deployed_ns) for row, trigger in await active_triggers(ask.desk)]


async def active_triggers(desk: Desk) -> list[tuple[Definition, Trigger]]:
    """Return the triggers that are deployed, with their rows."""
    rows = await desk.state.definitions(DefinitionKind.TRIGGER, desk.tenant)
    return [(row, msgspec.json.decode(row.body, type=Trigger)) for row in rows if row.active]


async def find_trigger(desk: Desk, name: str) -> Trigger:
    """Return a trigger by id, name, or the name's last part.

    Raises:
        NotFound: There is none.
    """
    for _, trigger in await active_triggers(desk):
        if name in (trigger.id, trigger.name, trigger.name.rsplit("/", 1)[-1]):
            return trigger
    raise NotFound(f"there is no trigger {name[:200]!r}; `penstock triggers` lists them")


async def change_trigger(ask: Ask) -> TriggerView:
    """Pause, resume or roll back a trigger."""
    patch: TriggerPatch = ask.body
    if isinstance(patch.paused, UnsetType) and not patch.workflow:
        raise Invalid("nothing is to be changed; give 'paused' or 'workflow'")
    wish: dict[str, Any] = {"catch_up": patch.catch_up, "workflow": await _version(ask.desk, patch.workflow)}
    if not isinstance(patch.paused, UnsetType):
        wish["paused"] = patch.paused
    answer = await ask.desk.link.ask("trigger", name=ask.names["name"], **wish)
    return trigger_view(msgspec.convert(answer, Trigger), 0)


async def _version(desk: Desk, reference: str) -> str:
    """Return a workflow's reference with its version: the newest, if none is named."""
    if not reference or "@" in reference:
        return reference
    rows = await desk.state.definitions(DefinitionKind.WORKFLOW, desk.tenant, reference)
    if not rows:
        raise NotFound(f"workflow {reference[:200]!r} is not deployed; `penstock functions` lists them")
    return f"{reference}@{rows[-1].version}"


async def remove_trigger(ask: Ask) -> Done:
    """Remove a trigger; runs under way go on."""
    answer = await ask.desk.link.ask("remove-trigger", name=ask.names["name"])
    return Done(id=msgspec.convert(answer, Trigger).id)


async def _named(ask: Ask, kind: DefinitionKind) -> list[Definition]:
    name, _, version = ask.names["name"].partition("@")
    rows = await ask.desk.state.definitions(kind, ask.desk.tenant, name)
    if not rows and "/" not in name:
        every = await ask.desk.state.definitions(kind, ask.desk.tenant)
        rows = [row for row in every if row.name.rsplit("/", 1)[-1] == name]
    if version:
        rows = [row for row in rows if str(row.version) == version]
    if not rows:
        raise NotFound(f"there is no {kind} {ask.names['name'][:200]!r}; `penstock functions` lists them")
    return rows


def _newest(rows: list[Definition]) -> list[Definition]:
    return list({row.name: row for row in rows}.values())


def _function(row: Definition) -> FunctionView:
    found = msgspec.json.decode(row.body, type=Function)
    return FunctionView(
        name=found.name,
        version=found.version,
        reference=found.reference,
        summary=found.summary,
        kind=found.kind,
        entry=found.entry,
        command=list(found.command),
        outputs=found.outputs,
        concurrency=found.concurrency,
        limits=msgspec.to_builtins(found.limits),
        deployed=when(row.deployed_ns),
    )


def workflow_view(row: Definition) -> WorkflowView:
    """Return a workflow with its graph."""
    found = msgspec.json.decode(row.body, type=Workflow)
    return WorkflowView(
        name=found.name,
        version=found.version,
        reference=found.reference,
        summary=found.summary,
        steps=[
            StepPlan(
                name=step.name,
                function=step.function,
                after=list(step.after),
                when=step.when,
                each=step.each,
                batch=step.batch.system if step.batch else "",
            )
            for step in found.steps
        ],
        edges=edges(found),
        deployed=when(row.deployed_ns),
    )


def edges(workflow: Workflow) -> list[Edge]:
    """Return the arrows of a workflow's graph."""
    return [Edge(before=before, after=step.name) for step in workflow.steps for before in step.after]


def trigger_view(trigger: Trigger, deployed_ns: int) -> TriggerView:
    """Return a trigger."""
    return TriggerView(
        id=trigger.id,
        name=trigger.name,
        workflow=trigger.workflow,
        principal=trigger.principal,
        filter=trigger.filter,
        paused=trigger.paused,
        since=trigger.since,
        deployed=when(deployed_ns),
    )


_ENGINE = (503, 504)
OPERATIONS = (
    Operation(
        method="POST",
        path="/api/v1/deployments",
        summary="Deploy the definitions of one file",
        handler=deploy,
        body=Deploy,
        answer=Deployed,
        errors=(403, 404, 409, 413, 415, 422, *_ENGINE),
    ),
    Operation(
        method="GET",
        path="/api/v1/functions",
        summary="List functions, each at its newest version",
        handler=functions,
        answer=list[FunctionView],
    ),
    Operation(
        method="GET",
        path="/api/v1/functions/{name}",
        summary="Show the versions of a function",
        handler=function,
        answer=list[FunctionView],
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/api/v1/workflows",
        summary="List workflows, each at its newest version",
        handler=workflows,
        answer=list[WorkflowView],
    ),
    Operation(
        method="GET",
        path="/api/v1/workflows/{name}",
        summary="Show the versions of a workflow, with their graphs",
        handler=workflow,
        answer=list[WorkflowView],
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/api/v1/triggers",
        summary="List triggers",
        handler=triggers,
        answer=list[TriggerView],
    ),
    Operation(
        method="PATCH",
        path="/api/v1/triggers/{name}",
        summary="Pause, resume or roll back a trigger",
        handler=change_trigger,
        body=TriggerPatch,
        answer=TriggerView,
        errors=(404, 409, 413, 415, 422, *_ENGINE),
    ),
    Operation(
        method="DELETE",
        path="/api/v1/triggers/{name}",
        summary="Remove a trigger",
        handler=remove_trigger,
        answer=Done,
        errors=(404, *_ENGINE),
    ),
)
