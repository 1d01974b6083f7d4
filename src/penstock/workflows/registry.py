"""What is deployed: functions, workflows and triggers, by reference. A fold over the log, kept in state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from penstock.core.errors import NotFound
from penstock.core.function import Function
from penstock.core.lifecycle import (
    DEPLOYED,
    TRIGGER_CHANGED,
    TRIGGER_REMOVED,
    Deployed,
    TriggerChange,
    data_of,
)
from penstock.core.ports import Record
from penstock.core.rows import Definition, DefinitionKind
from penstock.core.workflow import Trigger, Workflow

FORMER_MAX = 100
"""Most former definitions of a trigger that can be returned to."""
_json = msgspec.json.Encoder()


class DefinitionStore(Protocol):
    """What the registry needs of the state."""

    def put(self, *rows: Definition) -> None:
        """Stage definitions."""

    def select(self, kind: type[Definition]) -> list[Definition]:
        """Return all definitions."""


class Registry:
    """Deployed definitions in memory.

    Args:
        store: Where they are kept.
        changed: Called with a trigger's new form, or None and its id when it is removed.
    """

    def __init__(self, store: DefinitionStore, changed: Callable[[Trigger | None, str], None]) -> None:
        self._store = store
        self._changed = changed
        self.functions: dict[tuple[str, str], Function] = {}
        self.workflows: dict[tuple[str, str], Workflow] = {}
        self.triggers: dict[str, Trigger] = {}
        self.former: dict[str, dict[int, Trigger]] = {}
        self.versions: dict[tuple[str, str, str], int] = {}

    def load(self) -> None:
        """Take over what state remembers."""
        for row in self._store.select(Definition):
            if row.kind == DefinitionKind.FUNCTION:
                self._function(msgspec.json.decode(row.body, type=Function))
            elif row.kind == DefinitionKind.WORKFLOW:
                self._workflow(msgspec.json.decode(row.body, type=Workflow))
            elif row.version:
                self._former(msgspec.json.decode(row.body, type=Trigger), row.version)
            elif row.active:
                self._trigger(msgspec.json.decode(row.body, type=Trigger))

    def function(self, tenant: str, reference: str) -> Function:
        """Return a function by ``namespace/name@version``.

        Raises:
            NotFound: It is not deployed.
        """
        try:
            return self.functions[tenant, reference]
        except KeyError:
            raise NotFound(
                f"function {reference!r} is not deployed; `penstock functions` lists them"
            ) from None

    def workflow(self, tenant: str, reference: str) -> Workflow:
        """Return a workflow by ``namespace/name@version``, or its newest version without ``@``.

        Raises:
            NotFound: It is not deployed.
        """
        if "@" not in reference:
            reference = f"{reference}@{self.newest(DefinitionKind.WORKFLOW, tenant, reference)}"
        try:
            return self.workflows[tenant, reference]
        except KeyError:
            raise NotFound(
                f"workflow {reference!r} is not deployed; `penstock functions` lists them"
            ) from None

    def newest(self, kind: DefinitionKind, tenant: str, name: str) -> int:
        """Return the newest version of a name, 0 if there is none."""
        return self.versions.get((kind, tenant, name), 0)

    def fold(self, record: Record) -> TriggerChange | None:
        """Take in a record; return the change if a trigger was resumed or the like."""
        if record.event.type == DEPLOYED:
            self._deployed(data_of(record.event, Deployed), record)
        elif record.event.type == TRIGGER_CHANGED:
            return self._changed_trigger(data_of(record.event, TriggerChange), record)
        elif record.event.type == TRIGGER_REMOVED:
            self._removed(data_of(record.event, TriggerChange), record)
        return None

    def _deployed(self, deployed: Deployed, record: Record) -> None:
        at = record.appended_ns
        for document in deployed.functions:
            function = msgspec.convert(document, Function)
            self._function(function)
            self._keep(
                DefinitionKind.FUNCTION, function.tenant, function.name, function.version, function, at
            )
        for document in deployed.workflows:
            workflow = msgspec.convert(document, Workflow)
            self._workflow(workflow)
            self._keep(
                DefinitionKind.WORKFLOW, workflow.tenant, workflow.name, workflow.version, workflow, at
            )
        for document in deployed.triggers:
            trigger = msgspec.convert(document, Trigger)
            known = self.triggers.get(trigger.id)
            since = known.since if known else record.offset + 1
            trigger = msgspec.structs.replace(trigger, since=since, paused=known.paused if known else False)
            self._remember(known, trigger, at)
            self._trigger(trigger)
            self._keep(DefinitionKind.TRIGGER, trigger.tenant, trigger.name, 0, trigger, at)

    def _remember(self, known: Trigger | None, trigger: Trigger, at_ns: int) -> None:
        """Keep a trigger as it is deployed, if it is another than before: numbered, for rollbacks."""
        if trigger.id not in self.former and known is not None:
            self._number(known, 0)  # deployed by a Penstock that did not remember
        if self.deployed_before(trigger) is None:
            self._number(trigger, at_ns)

    def _number(self, trigger: Trigger, at_ns: int) -> None:
        number = max(self.former.get(trigger.id, ()), default=0) + 1
        self._former(trigger, number)
        row = self._row(DefinitionKind.TRIGGER, trigger.tenant, trigger.name, number, trigger, at_ns)
        self._store.put(msgspec.structs.replace(row, active=False))

    def deployed_before(self, trigger: Trigger) -> int | None:
        """Return the number under which a trigger with this filter and workflow was deployed last."""
        same = (
            number
            for number, former in self.former.get(trigger.id, {}).items()
            if (former.filter, former.workflow) == (trigger.filter, trigger.workflow)
        )
        return max(same, default=None)

    def filter_with(self, trigger: Trigger, workflow: str) -> dict[str, Any] | None:
        """Return the filter with which a trigger was deployed last to start this version; None if never."""
        for former in reversed(self.former.get(trigger.id, {}).values()):
            if former.workflow == workflow:
                return former.filter
        return None

    def _changed_trigger(self, change: TriggerChange, record: Record) -> TriggerChange | None:
        trigger = self.triggers.get(change.id)
        if trigger is None:
            return None
        was_paused = trigger.paused
        if change.workflow:
            trigger = msgspec.structs.replace(trigger, workflow=change.workflow)
        if change.filter is not None:
            trigger = msgspec.structs.replace(trigger, filter=change.filter)
        if change.paused is not None and change.paused != was_paused:
            trigger = msgspec.structs.replace(trigger, paused=change.paused, since=record.offset + 1)
        self._trigger(trigger)
        self._keep(DefinitionKind.TRIGGER, trigger.tenant, trigger.name, 0, trigger, record.appended_ns)
        return change

    def _removed(self, change: TriggerChange, record: Record) -> None:
        trigger = self.triggers.pop(change.id, None)
        if trigger is None:
            return
        row = self._row(DefinitionKind.TRIGGER, trigger.tenant, trigger.name, 0, trigger, record.appended_ns)
        self._store.put(msgspec.structs.replace(row, active=False))
        self._changed(None, trigger.id)

    def _function(self, function: Function) -> None:
        self.functions[function.tenant, function.reference] = function
        self._version(DefinitionKind.FUNCTION, function.tenant, function.name, function.version)

    def _workflow(self, workflow: Workflow) -> None:
        self.workflows[workflow.tenant, workflow.reference] = workflow
        self._version(DefinitionKind.WORKFLOW, workflow.tenant, workflow.name, workflow.version)

    def _trigger(self, trigger: Trigger) -> None:
        self.triggers[trigger.id] = trigger
        self._changed(trigger, trigger.id)

    def _former(self, trigger: Trigger, number: int) -> None:
        former = self.former.setdefault(trigger.id, {})
        former[number] = trigger
        if len(former) > FORMER_MAX:
            del former[min(former)]

    def _version(self, kind: DefinitionKind, tenant: str, name: str, version: int) -> None:
        self.versions[kind, tenant, name] = max(version, self.versions.get((kind, tenant, name), 0))

    def _keep(
        self, kind: DefinitionKind, tenant: str, name: str, version: int, body: msgspec.Struct, at_ns: int
    ) -> None:
        self._store.put(self._row(kind, tenant, name, version, body, at_ns))

    @staticmethod
    def _row(
        kind: DefinitionKind, tenant: str, name: str, version: int, body: msgspec.Struct, at_ns: int
    ) -> Definition:
        return Definition(
            kind=kind, tenant=tenant, name=name, version=version, body=_json.encode(body), deployed_ns=at_ns
        )
