"""Functions, workflows and triggers: deploying, listing, steering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, UnsetType

from penstock.core.errors import Forbidden, Invalid, NotFound
from penstock.core.filter import parse
from penstock.core.rows import Definition, DefinitionKind
from penstock.core.workflow import Trigger, validate
from penstock.server.api.desk import Desk
from penstock.server.api.operation import Ask, Noun
from penstock.server.api.shapes import (
    Deployed,
    Done,
    FunctionView,
    Starters,
    Text,
    TriggerView,
    WorkflowView,
    function_view,
    starters,
    trigger_view,
    workflow_view,
)
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
        workflow: ``namespace/name@version`` that it starts from now on, with the filter that it had when it
            was deployed with that version (a rollback).
        filter: In the place of that filter.
    """

    paused: bool | UnsetType = msgspec.UNSET
    catch_up: bool = True
    workflow: Text = ""
    filter: dict[str, Any] | UnsetType = msgspec.UNSET


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
    starts = await _starters(ask.desk)
    return [function_view(row, starts) for row in _newest(rows)]


async def function(ask: Ask) -> list[FunctionView]:
    """List all versions of a function, oldest first."""
    rows, starts = await _named(ask, DefinitionKind.FUNCTION), await _starters(ask.desk)
    return [function_view(row, starts) for row in rows]


async def workflows(ask: Ask) -> list[WorkflowView]:
    """List the newest version of every workflow."""
    rows = await ask.desk.state.definitions(DefinitionKind.WORKFLOW, ask.desk.tenant)
    starts = await _starters(ask.desk)
    return [workflow_view(row, starts) for row in _newest(rows)]


async def workflow(ask: Ask) -> list[WorkflowView]:
    """List all versions of a workflow, oldest first."""
    rows, starts = await _named(ask, DefinitionKind.WORKFLOW), await _starters(ask.desk)
    return [workflow_view(row, starts) for row in rows]


async def _starters(desk: Desk) -> Starters:
    return starters(await desk.state.definitions(DefinitionKind.TRIGGER, desk.tenant))


async def triggers(ask: Ask) -> list[TriggerView]:
    """List the triggers that are deployed, with the definitions that they had."""
    former: dict[str, list[Definition]] = {}
    for row in await ask.desk.state.definitions(DefinitionKind.TRIGGER, ask.desk.tenant):
        if row.version:
            former.setdefault(row.name, []).append(row)
    return [
        trigger_view(trigger, row.deployed_ns, former.get(row.name, ()))
        for row, trigger in await active_triggers(ask.desk)
    ]


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
    if isinstance(patch.paused, UnsetType) and isinstance(patch.filter, UnsetType) and not patch.workflow:
        raise Invalid("nothing is to be changed; give 'paused', 'workflow' or 'filter'")
    wish: dict[str, Any] = {"catch_up": patch.catch_up, "workflow": await _version(ask.desk, patch.workflow)}
    if not isinstance(patch.paused, UnsetType):
        wish["paused"] = patch.paused
    if not isinstance(patch.filter, UnsetType):
        wish["filter"] = patch.filter
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


_deployments = Noun("/api/v1/deployments")
_functions = Noun("/api/v1/functions")
_workflows = Noun("/api/v1/workflows")
_triggers = Noun("/api/v1/triggers")
OPERATIONS = (
    _deployments.post("Deploy the definitions of one file", deploy, Deployed, body=Deploy, errors=(404, 409)),
    _functions.get("List functions, each at its newest version", functions, list[FunctionView]),
    _functions.get(
        "Show the versions of a function", function, list[FunctionView], below="/{name}", errors=(404,)
    ),
    _workflows.get("List workflows, each at its newest version", workflows, list[WorkflowView]),
    _workflows.get(
        "Show the versions of a workflow, with their graphs",
        workflow,
        list[WorkflowView],
        below="/{name}",
        errors=(404,),
    ),
    _triggers.get("List triggers", triggers, list[TriggerView]),
    _triggers.patch(
        "Pause, resume or roll back a trigger",
        change_trigger,
        TriggerView,
        below="/{name}",
        body=TriggerPatch,
        errors=(404, 409),
    ),
    _triggers.delete("Remove a trigger", remove_trigger, Done, below="/{name}", errors=(404,)),
)
