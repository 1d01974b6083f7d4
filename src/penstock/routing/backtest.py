"""Back-tests: what triggers would have done with events of the past, decided as it is decided live.

Pure but for what it counts. Memory does not grow with the number of events: counts, one number per hour
that had any, and the first few subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct, UnsetType, field
from msgspec.structs import replace

from penstock.core.event import Event
from penstock.core.policy import LOCAL_TENANT
from penstock.core.ports import Record
from penstock.core.rows import Outcome
from penstock.core.workflow import Trigger, Workflow
from penstock.routing.index import FilterIndex
from penstock.routing.triggers import Triggers

SHOWN_MAX = 100
"""Subjects that are kept of each kind."""
HOURS_MAX = 10_000
"""Hours that are told apart; more than a year of them."""
HOUR_NS = 3_600_000_000_000


class Fired(Struct, kw_only=True):
    """What one trigger would have done.

    Attributes:
        trigger: Its name.
        workflow: That it starts.
        runs: Runs that it would have started.
        refused: Its own outputs, which it does not start on.
        loops: Events of a ring of triggers.
        size: Bytes of the files of those runs.
        hours: Runs by hour, as the hour's beginning in POSIX seconds.
        first: Subjects of the first runs.
        is_now: Whether there is a deployed trigger of this name to compare it with.
        runs_now: Runs that this one would have started.
        added: Runs that it would not have started.
        removed: Runs that only it would have started.
        first_added: Subjects of the first of those.
        first_removed: The same.
    """

    trigger: str
    workflow: str
    runs: int = 0
    refused: int = 0
    loops: int = 0
    size: int = 0
    hours: dict[int, int] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)
    is_now: bool = False
    runs_now: int = 0
    added: int = 0
    removed: int = 0
    first_added: list[str] = field(default_factory=list)
    first_removed: list[str] = field(default_factory=list)


class Backtest:
    """Triggers as they would be, beside those of the same names as they are.

    Args:
        wanted: Triggers to try.
        workflows: Theirs, by name without version.
        now: Deployed triggers; those of other names are left aside.
        workflows_now: Theirs, by tenant and reference.
        cause_workflow: Returns the name of the workflow whose run raised an event; empty if unknown.
    """

    def __init__(
        self,
        wanted: Sequence[Trigger],
        workflows: dict[str, Workflow],
        now: Sequence[Trigger],
        workflows_now: dict[tuple[str, str], Workflow],
        cause_workflow: Callable[[Event], str],
    ) -> None:
        self.looked = 0
        self.fired = {
            trigger.name: Fired(trigger=trigger.name, workflow=trigger.workflow) for trigger in wanted
        }
        self._would = Triggers(
            FilterIndex(),
            lambda tenant, reference: (
                workflows.get(reference.partition("@")[0]) or workflows_now.get((tenant, reference))
            ),
            cause_workflow,
        )
        self._now = Triggers(
            FilterIndex(), lambda tenant, reference: workflows_now.get((tenant, reference)), cause_workflow
        )
        for trigger in wanted:
            self._would.changed(_always(trigger), trigger.name)
        for trigger in now:
            if trigger.name in self.fired:
                self.fired[trigger.name].is_now = True
                self._now.changed(_always(trigger), trigger.name)

    def look(self, record: Record) -> None:
        """Decide on one record, once for what would be and once for what is."""
        self.looked += 1
        would = {match.trigger.name: match.outcome for match in self._would.decide(record)}
        now = {match.trigger.name: match.outcome for match in self._now.decide(record)}
        for name in would.keys() | now.keys():
            _count(self.fired[name], record, would.get(name), now.get(name))


class _Sized(Struct):
    size: int | None = None


_sized = msgspec.json.Decoder(_Sized)


def _size(event: Event) -> int:
    """Return the size that the event's data tell, 0 where they tell none."""
    if isinstance(event.data, UnsetType):
        return 0
    try:
        return _sized.decode(event.data).size or 0
    except msgspec.MsgspecError:
        return 0


def _keep(subjects: list[str], subject: str) -> None:
    if len(subjects) < SHOWN_MAX:
        subjects.append(subject)


def _always(trigger: Trigger) -> Trigger:
    """The trigger as if it had been there from the first event on, never paused."""
    return replace(trigger, id=trigger.name, since=0, paused=False, tenant=trigger.tenant or LOCAL_TENANT)


def _count(fired: Fired, record: Record, would: Outcome | None, now: Outcome | None) -> None:
    event = record.event
    subject = event.subject or event.id
    fired.refused += would is Outcome.REFUSED
    fired.loops += would is Outcome.LOOP
    if would is Outcome.MATCHED:
        fired.runs += 1
        fired.size += _size(event)
        hour = record.appended_ns // HOUR_NS * 3600
        if hour in fired.hours or len(fired.hours) < HOURS_MAX:
            fired.hours[hour] = fired.hours.get(hour, 0) + 1
        _keep(fired.first, subject)
    if now is Outcome.MATCHED:
        fired.runs_now += 1
    if would is Outcome.MATCHED and now is not Outcome.MATCHED:
        fired.added += 1
        _keep(fired.first_added, subject)
    if now is Outcome.MATCHED and would is not Outcome.MATCHED:
        fired.removed += 1
        _keep(fired.first_removed, subject)
