"""The runs that have not ended: begun, told facts, their commands carried out, ended.

While the log is folded again after a crash (``replaying``), commands and emissions are only noted; what
the log's later records answer is struck off, and ``workflows.restart`` carries out the rest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Raw

from penstock.core import lifecycle
from penstock.core.errors import NotFound, PenstockError, Trimmed
from penstock.core.event import Event, decode
from penstock.core.lifecycle import RunRequest, data_of
from penstock.core.rows import DeadLetter, Row, RunRow
from penstock.core.run import Call, Command, End, Fact, Phase, Run, Start, Stop, Wait, advance
from penstock.core.snapshot import restore
from penstock.workflows.active import Active
from penstock.workflows.noted import Noted
from penstock.workflows.registry import Registry
from penstock.workflows.rows import Waiting, dead_letter, first_run, run_row

ENDED_LATELY_MAX = 4096
"""Ended runs remembered, in case their event comes again."""
LARGE_FACTS = 5000
"""Facts about a run with a long map between two of its snapshots."""


class RunStore(Protocol):
    """What the keeper needs of the state."""

    def put(self, *rows: Row) -> None:
        """Stage rows."""

    def get(self, kind: type[Any], *key: Any) -> Any:
        """Return a row by key, or None."""

    def select(self, kind: type[Any], **equal: Any) -> list[Any]:
        """Return rows."""


class Hands(Protocol):
    """Carries out commands; outcomes come back as events on the log."""

    def call(self, active: Active, command: Call) -> None:
        """Call the step's function, or submit its job."""

    def stop(self, active: Active, command: Stop) -> None:
        """End an attempt."""

    def wait(self, active: Active, command: Wait) -> None:
        """Arrange for ``step.due`` after the delay that the step's rule gives."""

    def forget(self, run: str) -> None:
        """The run has ended; drop its timers."""


class Graveyard(Protocol):
    """Where runs go that failed for good."""

    def put(self, letter: DeadLetter) -> None:
        """Keep a dead letter."""

    def succeeded(self, run: Run, event: Event) -> None:
        """A run for ``event`` succeeded; what its workflow failed at before, on older content, is settled."""


class Runs:
    """All runs that have not ended; ``Keeper`` is what the pump sees of it.

    Args:
        store: State.
        registry: Definitions.
        hands: Carries out commands.
        letters: Receives runs that failed.
        emit: Appends events to the log, in order, without waiting.
        read_event: Returns the event at a log offset.
        capacity: Most runs under way at once; later ones wait, their events stay in the log.

    Attributes:
        active: Those that have begun, by id.
        backlog: Those that wait for a place, in the order in which they will begin.
        replaying: Whether commands are noted only.
    """

    def __init__(
        self,
        store: RunStore,
        registry: Registry,
        hands: Hands,
        letters: Graveyard,
        emit: Callable[[Event], None],
        read_event: Callable[[int], Event],
        capacity: int = 512,
    ) -> None:
        self._store = store
        self._registry = registry
        self._hands = hands
        self._letters = letters
        self._emit_now = emit
        self._read_event = read_event
        self.capacity = capacity
        self.active: dict[str, Active] = {}
        self.backlog: OrderedDict[str, Waiting] = OrderedDict()
        self._latest: dict[tuple[str, str], str] = {}
        self._ended_lately: OrderedDict[str, None] = OrderedDict()
        self._dirty: dict[str, Active] = {}
        self.replaying = False
        self._is_behind = False
        self._is_filling = False
        self._noted = Noted()

    # -- runs under way ----------------------------------------------------------------------

    def _begin(self, run: Run, event: Event, params: Raw | None = None) -> None:
        try:
            workflow = self._registry.workflow(run.tenant, run.workflow)
        except NotFound as error:
            self._lost(run, event, str(error))
            return
        active = self.active[run.id] = Active(run, workflow, event, params)
        self._advance(active, Start(), run.started_ns)  # first, so that the function starts without delay
        self._emit(lifecycle.run_event(lifecycle.RUN_STARTED, run))

    def _lost(self, run: Run, event: Event | None, error: str) -> None:
        """Fail a run that can neither begin nor go on."""
        run.phase, run.error, run.ended_ns = Phase.FAILED, error, run.started_ns
        self._is_past(run)
        self._store.put(run_row(run))
        self._letters.put(dead_letter(run, event, run.started_ns))
        self._emit(lifecycle.run_event(lifecycle.RUN_FAILED, run))

    def _advance(self, active: Active, fact: Fact, at_ns: int) -> None:
        self._dirty[active.run.id] = active
        active.facts += 1
        for command in advance(active.workflow, active.run, fact):
            self._carry_out(active, command, at_ns)

    def _carry_out(self, active: Active, command: Command, at_ns: int) -> None:
        if isinstance(command, End):
            self._ended(active, command, at_ns)
        elif self.replaying:
            self._noted.note(active.run.id, command)
        elif isinstance(command, Call):
            self._hands.call(active, command)
        elif isinstance(command, Wait):
            self._hands.wait(active, command)
        else:
            self._hands.stop(active, command)

    def _ended(self, active: Active, end: End, at_ns: int) -> None:
        run = active.run
        run.phase, run.error, run.ended_ns = end.phase, end.error, at_ns
        self._store.put(run_row(run))
        self._dirty.pop(run.id, None)
        del self.active[run.id]
        self._hands.forget(run.id)
        self._is_past(run)
        if end.phase is Phase.FAILED:
            self._letters.put(dead_letter(run, active.event, at_ns))
        elif end.phase is Phase.SUCCEEDED:
            self._letters.succeeded(run, active.event)
        self._emit(lifecycle.run_event(lifecycle.ENDED_TYPE[end.phase], run))
        self.fill()

    def _is_past(self, run: Run) -> None:
        """Newer content has nothing to end any more, and its event shall not start it again."""
        if self._latest.get((run.trigger, run.subject)) == run.id:
            del self._latest[run.trigger, run.subject]
        self._ended_lately[run.id] = None
        if len(self._ended_lately) > ENDED_LATELY_MAX:
            self._ended_lately.popitem(last=False)

    def _emit(self, event: Event) -> None:
        if self._is_behind:
            self._noted.events[event.id] = event
        else:
            self._emit_now(event)

    def stage(self) -> None:
        """Stage a row for every run that changed since the last call."""
        dirty, self._dirty = self._dirty, {}
        for active in dirty.values():
            if active.facts < LARGE_FACTS and active.is_large:
                self._dirty[active.run.id] = active  # its attempts' rows tell what a snapshot would
                continue
            active.facts = 0
            self._store.put(run_row(active.run))

    # -- waiting runs ------------------------------------------------------------------------

    def fill(self) -> None:
        """Begin waiting runs while there is room; when the log is folded again, too, for they began then."""
        if self._is_filling:
            return  # one ended as soon as it had begun; the loop below goes on
        self._is_filling = True
        while self.backlog and len(self.active) < self.capacity:
            self._promote(self.backlog.popitem(last=False)[1])
        self._is_filling = False

    def _has_room(self) -> bool:
        return len(self.active) < self.capacity and not self.backlog

    def _promote(self, waiting: Waiting) -> None:
        if waiting.trigger is not None:
            try:
                event = self._read_event(waiting.offset)
            except Trimmed as error:
                row = self._store.get(RunRow, waiting.run)
                self._lost(restore(row.snapshot), None, f"it cannot begin: {error}")
                return
            self._begin(first_run(waiting.trigger, event, waiting.offset, waiting.at_ns), event)
        else:
            active = self._take_stored(waiting.run)
            if active is not None:
                self._advance(active, Start(), active.run.started_ns)
                self._emit(lifecycle.run_event(lifecycle.RUN_STARTED, active.run))

    def _take_stored(self, run_id: str) -> Active | None:
        """Make a waiting run active, without beginning it."""
        row = self._store.get(RunRow, run_id)
        if row is None or row.phase != Phase.WAITING or run_id in self.active:
            return None
        return self._take(restore(row.snapshot))

    def _take(self, run: Run) -> Active | None:
        event = None
        try:
            event, params = self.event_of(run)
            workflow = self._registry.workflow(run.tenant, run.workflow)
        except PenstockError as error:
            self._lost(run, event, f"it cannot go on: {error}")
            return None
        active = self.active[run.id] = Active(run, workflow, event, params)
        return active

    def event_of(self, run: Run) -> tuple[Event, Raw | None]:
        """Return the event that a run started from, and what a person gave with it."""
        event = self._read_event(run.offset)
        if event.type != lifecycle.RUN_REQUESTED:
            return event, None
        request = data_of(event, RunRequest)
        return decode(request.event), request.params
