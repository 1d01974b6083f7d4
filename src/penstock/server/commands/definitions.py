"""Deploying, and what is done to triggers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from penstock.core import lifecycle
from penstock.core.errors import NotFound
from penstock.core.filter import parse
from penstock.core.function import Function
from penstock.core.lifecycle import Deployed, TriggerChange
from penstock.core.rows import DefinitionKind
from penstock.core.workflow import Trigger, Workflow
from penstock.server.commands.reach import out_of_reach
from penstock.server.commands.wishes import DeployWish, TriggerWish
from penstock.server.front import Front
from penstock.workflows.deployment import Deployment, pin
from penstock.workflows.registry import Registry


class Definitions:
    """Functions, workflows and triggers, changed by wishes.

    Args:
        front: Knows what is deployed, and puts wishes on the log.
    """

    def __init__(self, front: Front) -> None:
        self._front = front

    async def deploy(self, wish: DeployWish) -> Any:
        """Deploy definitions; what has not changed keeps its version."""
        known = await self._front.registry()
        fresh = _pinned(known, wish.deployment)
        functions = [f for f in fresh.functions if (f.tenant, f.reference) not in known.functions]
        workflows = [w for w in fresh.workflows if (w.tenant, w.reference) not in known.workflows]
        report: dict[str, Any] = {
            "functions": [f.reference for f in fresh.functions],
            "workflows": [w.reference for w in fresh.workflows],
            "triggers": [t.name for t in fresh.triggers],
            "new": [f.reference for f in functions] + [w.reference for w in workflows],
            "warnings": self._warnings(fresh),
        }
        if wish.dry_run:
            return report
        deployed = Deployed(
            tenant=wish.tenant,
            principal=wish.principal,
            functions=[msgspec.to_builtins(f) for f in functions],
            workflows=[msgspec.to_builtins(w) for w in workflows],
            triggers=[msgspec.to_builtins(t) for t in fresh.triggers],
        )
        await self._front.record(lifecycle.DEPLOYED, deployed, Path(wish.deployment.file).name)
        if wish.existing:
            counts = [await self._front.existing(t.id, wish.principal) for t in fresh.triggers]
            report["existing"] = sum(counts)
        return report

    async def change_trigger(self, wish: TriggerWish) -> Any:
        """Pause, resume or roll back a trigger: to another version belongs the filter that it had with it."""
        registry = await self._front.registry()
        trigger = find_trigger(registry, wish.tenant, wish.name)
        workflow = wish.workflow and registry.workflow(wish.tenant, wish.workflow).reference
        filter_ = wish.filter
        if filter_ is not None:
            parse(filter_)
        elif workflow:
            filter_ = registry.filter_with(trigger, workflow)
        change = TriggerChange(
            tenant=wish.tenant,
            principal=wish.principal,
            id=trigger.id,
            paused=wish.paused,
            catch_up=wish.catch_up,
            workflow=workflow,
            filter=filter_,
        )
        await self._front.record(lifecycle.TRIGGER_CHANGED, change, trigger.id)
        return (await self._front.registry()).triggers[trigger.id]

    async def remove_trigger(self, wish: TriggerWish) -> Any:
        """Remove a trigger; its runs go on."""
        trigger = find_trigger(await self._front.registry(), wish.tenant, wish.name)
        change = TriggerChange(tenant=wish.tenant, principal=wish.principal, id=trigger.id)
        await self._front.record(lifecycle.TRIGGER_REMOVED, change, trigger.id)
        return trigger

    def _warnings(self, deployment: Deployment) -> list[str]:
        storages = self._front.settings.storages
        known = ", ".join(f"{each.name} ({each.folder})" for each in storages) or "none"
        roots = [os.path.realpath(each.folder) for each in storages]
        return [
            f"trigger {trigger.name.rpartition('/')[2]}: no storage holds {pattern}; known: {known}"
            for trigger in deployment.triggers
            for pattern in out_of_reach(parse(trigger.filter), roots)
        ]


def find_trigger(registry: Registry, tenant: str, name: str) -> Trigger:
    """Return a trigger by id, name, or name without its namespace.

    Raises:
        NotFound: There is none.
    """
    for trigger in registry.triggers.values():
        if trigger.tenant == tenant and name in (
            trigger.id,
            trigger.name,
            trigger.name.rsplit("/", 1)[-1],
        ):
            return trigger
    raise NotFound(f"there is no trigger {name!r}; `penstock triggers` lists them")


def _pinned(known: Registry, deployment: Deployment) -> Deployment:
    functions = {name: version for (kind, _, name), version in known.versions.items() if kind == "function"}
    for function in deployment.functions:
        functions[function.name] = _version(known, DefinitionKind.FUNCTION, function, functions)
    workflows = {name: version for (kind, _, name), version in known.versions.items() if kind == "workflow"}
    trial = pin(deployment, functions, workflows | {w.name: 1 for w in deployment.workflows})
    for workflow in trial.workflows:
        workflows[workflow.name] = _version(known, DefinitionKind.WORKFLOW, workflow, workflows)
    return pin(deployment, functions, workflows)


def _version(
    known: Registry, kind: DefinitionKind, definition: Function | Workflow, versions: dict[str, int]
) -> int:
    newest = versions.get(definition.name, 0)
    table: dict[tuple[str, str], Any] = (
        known.functions if kind is DefinitionKind.FUNCTION else known.workflows
    )
    latest = table.get((definition.tenant, f"{definition.name}@{newest}"))
    same = latest is not None and replace(latest, version=0) == replace(definition, version=0)
    return newest if same else newest + 1
