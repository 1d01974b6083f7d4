"""Which triggers an event starts, and why (not). Pure but for the index it keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from penstock.core.event import Event
from penstock.core.filter import Filter, parse
from penstock.core.ports import Record
from penstock.core.rows import Outcome
from penstock.core.workflow import Trigger, Workflow


class Index(Protocol):
    """What triggers need of an index of filters."""

    def replace(self, name: str, filter: Filter) -> None:
        """Add or replace the filter called ``name``."""

    def remove(self, name: str) -> None:
        """Remove it."""

    def match(self, event: Event) -> list[str]:
        """Return the names of the filters that match."""


class Match(Struct, frozen=True):
    """A trigger whose filter matches, and what was decided."""

    trigger: Trigger
    outcome: Outcome
    reason: str = ""


class Triggers:
    """All triggers, indexed by their filters.

    Args:
        index: Finds filters that match.
        workflow_of: Returns a workflow by tenant and reference, None if it is unknown.
        cause_workflow: Returns the name of the workflow whose run raised an event; empty if unknown.
    """

    def __init__(
        self,
        index: Index,
        workflow_of: Callable[[str, str], Workflow | None],
        cause_workflow: Callable[[Event], str],
    ) -> None:
        self._index = index
        self._workflow_of = workflow_of
        self._cause_workflow = cause_workflow
        self._triggers: dict[str, Trigger] = {}
        self._filters: dict[str, object] = {}

    def changed(self, trigger: Trigger | None, name: str) -> None:
        """Take in a trigger's new form; None removes it."""
        if trigger is None:
            self._triggers.pop(name, None)
            if self._filters.pop(name, None) is not None:
                self._index.remove(name)
            return
        if self._filters.get(name) != trigger.filter:
            self._index.replace(name, parse(trigger.filter))
            self._filters[name] = trigger.filter
        self._triggers[name] = trigger

    def decide(self, record: Record) -> list[Match]:
        """Return a decision for every trigger whose filter matches the record's event."""
        names = self._index.match(record.event)
        return [self._decide(self._triggers[name], record) for name in names] if names else []

    def _decide(self, trigger: Trigger, record: Record) -> Match:
        if record.offset < trigger.since:
            return Match(trigger, Outcome.REFUSED, "the event is older than the trigger")
        if trigger.paused:
            return Match(trigger, Outcome.PAUSED, "the trigger is paused; resume it to catch up")
        return self.offered(trigger, record.event)

    def offered(self, trigger: Trigger, event: Event) -> Match:
        """Decide for an event that the filter matches, whatever its age, and though the trigger be paused."""
        if event.cause is not None:
            return self._decide_caused(trigger, event, event.cause)
        return Match(trigger, Outcome.MATCHED)

    def _decide_caused(self, trigger: Trigger, event: Event, cause: str) -> Match:
        workflow = self._workflow_of(trigger.tenant, trigger.workflow)
        if workflow is None:
            return Match(trigger, Outcome.MATCHED)
        if not workflow.own_outputs and self._cause_workflow(event) == workflow.name:
            reason = (
                f"run {cause} of {workflow.name} raised this event itself; "
                "set own_outputs if it shall start on its own outputs"
            )
            return Match(trigger, Outcome.REFUSED, reason)
        if (event.depth or 0) >= workflow.depth_max:
            reason = (
                f"{event.depth} runs stand behind this event, and {workflow.name} allows {workflow.depth_max}"
            )
            return Match(trigger, Outcome.LOOP, reason + ": a ring of triggers?")
        return Match(trigger, Outcome.MATCHED)
