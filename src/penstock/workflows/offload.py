"""Calls that a batch system executes: submitted when it is their turn, cancelled, told of on the log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Protocol

from penstock.core import lifecycle
from penstock.core.errors import PenstockError, Unavailable
from penstock.core.event import Event
from penstock.core.function import Function
from penstock.core.job import Job, JobNotice, JobState
from penstock.core.lifecycle import JobMove
from penstock.core.ports import BatchSystem
from penstock.core.workflow import Step
from penstock.workflows.ends import InFlight
from penstock.workflows.turns import Turns

_EVENTS = {JobState.RUNNING: lifecycle.JOB_STARTED, JobState.EVICTED: lifecycle.JOB_EVICTED}
CANCELLED = "cancelled before it was submitted"


class JobMaker(Protocol):
    """Makes a batch job of a call; see ``server.wiring``."""

    def __call__(self, function: Function, step: Step, name: str, params: bytes) -> Job:
        """Return the job."""


class Offload:
    """Of a function's jobs at most its ``concurrency`` are with a batch system, if it names one.

    Args:
        batch: Batch systems by name.
        make_job: Turns a call into a job.
        emit: Appends events to the log, in order, without waiting.
        spawn: Does work beside the rest.
        refused: Told, by key, of a job that was not submitted: why, and whether another try may help.
    """

    def __init__(
        self,
        *,
        batch: Mapping[str, BatchSystem],
        make_job: JobMaker,
        emit: Callable[[Event], None],
        spawn: Callable[[Coroutine[None, None, None]], None],
        refused: Callable[[str, str, bool], None],
    ) -> None:
        self._batch = batch
        self._make_job = make_job
        self._emit = emit
        self._spawn = spawn
        self._refused = refused
        self._turns = Turns()
        self._waiting: dict[str, tuple[InFlight, Job]] = {}

    def begin(self, key: str, flight: InFlight, params: bytes) -> None:
        """Submit a call as a job, now or when one before it has ended."""
        function = flight.function
        job = self._make_job(function, flight.step, key, params)
        most = function.concurrency or sys.maxsize  # else the batch system's own queue is the limit
        if self._turns.ask((function.tenant, function.reference), key, most):
            self._spawn(self._submit(key, flight, job))
        else:
            self._waiting[key] = (flight, job)

    def stop(self, key: str, flight: InFlight) -> None:
        """Cancel a job; its end comes as a notice, or as refused if it was not submitted yet."""
        assert flight.step.batch is not None
        if self._waiting.pop(key, None) is not None:
            self._refused(key, CANCELLED, False)
        elif (system := self._batch.get(flight.step.batch.system)) is not None:
            self._spawn(system.cancel(key))

    def left(self, key: str) -> None:
        """Hear that a job has ended, or never was one: the next may go."""
        following = self._turns.leave(key)
        if following is not None:
            self._spawn(self._submit(following, *self._waiting.pop(following)))

    def tell(self, notice: JobNotice, flight: InFlight) -> None:
        """Tell the log what a batch system says."""
        kind = _EVENTS.get(notice.state, lifecycle.JOB_FINISHED)
        self._tell(kind, flight, notice.name, notice.state, notice.error or "")

    async def _submit(self, key: str, flight: InFlight, job: Job) -> None:
        assert flight.step.batch is not None
        name = flight.step.batch.system
        system = self._batch.get(name)
        if system is None:
            self._refused(key, f"there is no batch system {name!r} in the settings", False)
            return
        try:
            self._tell(lifecycle.JOB_SUBMITTED, flight, key, JobState.QUEUED)
            await system.submit(job)
        except PenstockError as error:
            self._refused(key, str(error), isinstance(error, Unavailable))

    def _tell(self, kind: str, flight: InFlight, name: str, state: JobState, error: str = "") -> None:
        assert flight.step.batch is not None
        move = JobMove(
            job=name,
            run=flight.active.run.id,
            step=flight.call.step,
            attempt=flight.call.attempt,
            system=flight.step.batch.system,
            state=state,
            error=error,
        )
        self._emit(lifecycle.job_event(kind, move, flight.active.run.depth + 1))
