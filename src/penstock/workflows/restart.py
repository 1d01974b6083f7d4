"""The runs after a restart: what state remembers of them, and what has to be done again.

State is read, then the log is folded from the committed cursor to its end (``caught_up``), and then what
has no answer is called again (``resume``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import msgspec
from msgspec import Raw

from penstock.core import lifecycle
from penstock.core.errors import PenstockError
from penstock.core.event import NEW_CONTENT
from penstock.core.items import SUCCEEDED
from penstock.core.job import JobState
from penstock.core.lifecycle import RunRequest, data_of
from penstock.core.rows import AttemptRow, RunRow, TimerRow
from penstock.core.run import Fact, Phase, Run, StepFailed, StepRun, Succeeded
from penstock.core.snapshot import restore
from penstock.core.standing import standing
from penstock.workflows.active import Active
from penstock.workflows.noted import Noted
from penstock.workflows.rows import NEVER_NS, Waiting, try_key
from penstock.workflows.runs import Runs

LIVE = ("running", "retrying", "waiting")


class Restart(Runs):
    """Runs that an earlier life of the engine has left."""

    def load(self) -> None:
        """Take over the runs that had not ended; commands are noted until ``resume``."""
        self.replaying = self._is_behind = self._is_filling = True
        for phase in LIVE:
            for row in self._store.select(RunRow, phase=phase):
                self._load(row)
        waiting = sorted(self.backlog.values(), key=lambda each: each.offset)
        self.backlog = OrderedDict((each.run, each) for each in waiting)
        self._is_filling = False

    def _load(self, row: RunRow) -> None:
        run = restore(row.snapshot)
        if run.phase is Phase.WAITING and not run.steps:
            self.backlog[run.id] = Waiting(run.id, run.offset, None, 0)
            return
        active = self._take(run)
        if active is None:
            return
        if active.event.type in NEW_CONTENT:
            self._latest[run.trigger, run.subject] = run.id
        self._take_outputs(active)
        for command in standing(run):
            self._noted.note(run.id, command)
        if active.is_large:
            self._take_items(active)

    def _take_items(self, active: Active) -> None:
        """Tell a run with a long map what ended since its snapshot; what it knows already changes nothing."""
        rows = [row for row in self._store.select(AttemptRow, run=active.run.id) if row.item >= 0]
        before = -1
        while before != active.facts and active.run.id in self.active:
            before = active.facts
            rows = [row for row in rows if not self._told_item(active, row)]

    def _told_item(self, active: Active, row: AttemptRow) -> bool:
        ended = row.phase in (Phase.SUCCEEDED, Phase.FAILED, JobState.EVICTED)
        if not ended or not self._noted.strike(row.run, row.step, row.item, row.attempt):
            return False
        fact: Fact = Succeeded(row.step, row.attempt, Raw(row.result), row.item)
        if row.phase != Phase.SUCCEEDED:
            fact = self._failure(row)
        self._advance(active, fact, row.ended_ns)
        return True

    def _failure(self, row: AttemptRow) -> StepFailed:
        following = self._store.get(TimerRow, try_key(row.run, row.step, row.item, row.attempt + 1))
        retryable = following is None or following.due_ns != NEVER_NS
        evicted = row.phase == JobState.EVICTED
        return StepFailed(row.step, row.attempt, row.error, retryable, row.item, evicted)

    def _take_outputs(self, active: Active) -> None:
        """Tell a run what it has published, and what the runs published whose good steps it keeps."""
        found: dict[tuple[str, int], tuple[str, ...]] = {}
        for run_id in self._ancestry(active.run):
            for row in self._store.select(AttemptRow, run=run_id):
                kept = active.run.steps.get(row.step)
                if kept is None or row.phase != Phase.SUCCEEDED:
                    continue
                if run_id == active.run.id or _keeps(kept, row.item):
                    found.setdefault((row.step, row.item), tuple(msgspec.json.decode(row.outputs)))
        for (step, _), outputs in sorted(found.items()):
            active.add_outputs(step, outputs)

    def _ancestry(self, run: Run) -> Iterator[str]:
        """Yield the ids of a run, of the run that it repeats, of the one that that one repeats ..."""
        yield run.id
        try:
            event = self._read_event(run.offset)
        except PenstockError:
            return  # retention has removed the wish
        if event.type == lifecycle.RUN_REQUESTED:
            row = self._store.get(RunRow, data_of(event, RunRequest).rerun_of)
            if row is not None:
                yield from self._ancestry(restore(row.snapshot))

    def is_unanswered(self, run: str, step: str, item: int, attempt: int) -> bool:
        """Whether the log, as far as it was folded, holds no end of this attempt."""
        return (run, step, item, attempt) in self._noted.commands

    def unanswered_jobs(self) -> list[str]:
        """Return the keys of batch jobs whose end the log, as far as it was folded, does not hold."""
        return [
            f"{run}/{step}/{item}/{attempt}"
            for run, step, item, attempt in self._noted.commands
            if attempt > 0 and run in self.active and self.active[run].steps[step].batch is not None
        ]

    def caught_up(self) -> None:
        """The log was read to its end: what was raised and is not there goes there now, for a commit may
        come at any time, and with it nothing would raise it again."""
        self._is_behind = False
        events, self._noted.events = self._noted.events, {}
        for event in events.values():
            self._emit_now(event)

    def resume(self, answered: frozenset[tuple[str, str, int, int]] = frozenset()) -> None:
        """Carry out what was noted and not answered; ``answered`` attempts have answers on their way."""
        if self._is_behind:
            self.caught_up()
        self.replaying = False
        noted, self._noted = self._noted, Noted()
        for key, (run, command) in noted.commands.items():
            active = self.active.get(run)
            if active is not None and key not in answered:
                self._carry_out(active, command, active.run.started_ns)
        self.fill()


def _keeps(step: StepRun, item: int) -> bool:
    """Whether a run keeps what a step, or an item of it, did in a run before it."""
    if step.items is None:
        return step.phase is Phase.SUCCEEDED
    return item < len(step.items.states) and step.items.states[item] == SUCCEEDED
