"""Carries out a run's commands: calls functions, submits jobs, publishes what they wrote.

Outcomes go to the log as ``step.succeeded`` and ``step.failed``; nothing here changes a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from random import random
from time import time_ns

import msgspec
from msgspec import Raw

from penstock.core import lifecycle
from penstock.core.errors import Failed, PenstockError, Superseded, Unavailable
from penstock.core.event import Event
from penstock.core.job import ENDED, JobNotice
from penstock.core.lifecycle import CancelRequest, StepDue, StepEnd
from penstock.core.ports import Answer, BatchSystem, Invocation, Runtime
from penstock.core.retry import AFTER_EVICTION, delay_s
from penstock.core.rows import Intent, TimerRow
from penstock.core.run import Call, Phase, Run, Stop, Wait
from penstock.core.workflow import Step
from penstock.workflows.active import Active
from penstock.workflows.calls import params_of
from penstock.workflows.ends import (
    InFlight,
    answer_of,
    attempt_row,
    checked,
    failed_at_once,
    step_end,
    with_error,
)
from penstock.workflows.offload import JobMaker, Offload
from penstock.workflows.publication import Publisher, publication_of
from penstock.workflows.registry import Registry
from penstock.workflows.rows import try_key
from penstock.workflows.timers import Timers

_encode = msgspec.json.Encoder().encode
CLOSE_S = 10.0
"""How long a stop waits for publications that have begun."""


class Dispatcher:
    """The keeper's hands (see ``workflows.keeper.Hands``).

    Args:
        registry: Definitions.
        runtime: Calls functions.
        batch: Batch systems by name.
        make_job: Turns a call into a job.
        job_ended: Clears up after a job whose outcome was told.
        publisher: Makes outputs visible.
        timers: Durable deadlines.
        put: Stages state rows.
        emit: Appends events to the log, in order, without waiting.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        runtime: Runtime,
        batch: Mapping[str, BatchSystem],
        make_job: JobMaker,
        job_ended: Callable[[str], Coroutine[None, None, None]],
        publisher: Publisher,
        timers: Timers,
        put: Callable[..., None],
        emit: Callable[[Event], None],
    ) -> None:
        self._registry = registry
        self._runtime = runtime
        self._offload = Offload(
            batch=batch, make_job=make_job, emit=emit, spawn=self._spawn, refused=self._refuse
        )
        self._job_ended = job_ended
        self._publisher = publisher
        self._timers = timers
        self._put: Callable[..., None] = put
        self._emit = emit
        self.in_flight: dict[str, InFlight] = {}
        self._unstaged: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    # -- commands ----------------------------------------------------------------------------

    def call(self, active: Active, command: Call) -> None:
        """Call the step's function, or submit its job."""
        step = active.steps[command.step]
        key = _key(active.run, command)
        try:
            function = self._registry.function(active.run.tenant, step.function)
            params = params_of(
                active, step, command, function, key, self._publisher.input_place(active.event)
            )
        except PenstockError as error:
            self._failed_at_once(active, step, command, str(error))
            return
        self.in_flight[key] = InFlight(active, step, command, function)
        if step.batch is None:
            self._runtime.invoke(Invocation(key=key, function=function, params=params))
        else:
            self._offload.begin(key, self.in_flight[key], params)
        self._unstaged[key] = time_ns()

    def stop(self, active: Active, command: Stop) -> None:
        """End an attempt."""
        key = _key(active.run, command)
        self._timers.drop(try_key(active.run.id, command.step, command.item, command.attempt + 1))
        flight = self.in_flight.get(key)
        if flight is None:
            return
        if flight.step.batch is None:
            self._runtime.stop(key)
        else:
            self._offload.stop(key, flight)

    def wait(self, active: Active, command: Wait) -> None:
        """Set a durable timer for the next attempt."""
        step = active.steps[command.step]
        rule, failed = step.retry, command.failed_attempts
        if command.evictions:
            rule, failed = AFTER_EVICTION, command.evictions
        seconds = delay_s(rule, failed, random())  # noqa: S311
        due = StepDue(run=active.run.id, step=command.step, attempt=command.attempt, item=command.item)
        key = try_key(active.run.id, command.step, command.item, command.attempt)
        row = TimerRow(id=key, run=active.run.id, due_ns=time_ns() + int(seconds * 1e9), fact=_encode(due))
        self._timers.add(row)

    def due(self, row: TimerRow) -> None:
        """A timer has come due: tell the log."""
        data = msgspec.json.decode(row.fact, type=StepDue)
        self._emit(lifecycle.step_event(lifecycle.STEP_DUE, data, 0, data.run))

    def forget(self, run: str) -> None:
        """Drop the timers of a run that has ended."""
        self._timers.drop_run(run)

    # -- answers -----------------------------------------------------------------------------

    def answered(self, answer: Answer) -> None:
        """Take a function's answer: publish what it wrote, then tell the log."""
        if self._is_closed:
            return
        flight = self.in_flight.pop(answer.key, None)
        answer = checked(answer)
        if flight is not None and answer.error is None and answer.files is not None:
            self._spawn(self._publish(flight, answer), (flight, answer.key))
            return
        if answer.files is not None:
            self._publisher.discard(answer.scratch, answer.files)
        self._runtime.release(answer)
        if flight is not None:
            self._tell_plain(flight, answer)

    def _tell_plain(self, flight: InFlight, answer: Answer) -> None:
        """Tell of an attempt that published nothing; one that failed for want of its input is superseded."""
        why = self._publisher.stale(flight.active.event) if answer.error is not None else None
        if why is not None:
            self._supersede(flight.active.run, why)
        self._tell(flight, answer, ())

    def noticed(self, notice: JobNotice) -> None:
        """Take a batch system's notice."""
        flight = self.in_flight.get(notice.name)
        if flight is None:
            return
        self._offload.tell(notice, flight)
        if notice.state not in ENDED:
            self._unstaged.pop(notice.name, None)
            self._put(attempt_row(flight, time_ns(), notice.state))
            return
        del self.in_flight[notice.name]
        self._offload.left(notice.name)
        answer = answer_of(notice)
        if answer.error is None and answer.files:
            self._spawn(self._publish(flight, answer), (flight, answer.key))
        else:
            self._tell_plain(flight, answer)

    def _refuse(self, key: str, error: str, retryable: bool) -> None:
        flight = self.in_flight.pop(key, None)
        self._offload.left(key)
        if flight is not None:
            self._tell(flight, Answer(key=key, error=error, retryable=retryable), ())

    async def _publish(self, flight: InFlight, answer: Answer) -> None:
        publication = publication_of(flight, answer)
        try:
            if not _current(flight):
                self._publisher.discard(answer.scratch, answer.files)
                return
            outputs = await self._publisher.publish(publication, lambda: _current(flight))
        except Superseded as error:
            self._publisher.discard(answer.scratch, answer.files)
            if not _current(flight):
                return
            self._supersede(flight.active.run, str(error))
            self._tell(flight, with_error(answer, str(error), retryable=False), ())
            return
        except PenstockError as error:
            self._publisher.discard(answer.scratch, answer.files)
            self._tell(flight, with_error(answer, str(error), isinstance(error, Unavailable)), ())
            self._publisher.settle(answer.key)
            return
        finally:
            self._runtime.release(answer)
        self._tell(flight, answer, outputs)
        self._publisher.settle(answer.key)

    def _supersede(self, run: Run, reason: str) -> None:
        request = CancelRequest(run=run.id, reason=reason, principal="penstock")
        self._emit(lifecycle.supersede_event(request))

    def _tell(self, flight: InFlight, answer: Answer, outputs: tuple[str, ...]) -> None:
        kind = lifecycle.STEP_SUCCEEDED if answer.error is None else lifecycle.STEP_FAILED
        end = step_end(flight, answer, outputs)
        self._emit(lifecycle.step_event(kind, end, flight.active.run.depth + 1, end.run))
        if flight.step.batch is not None:
            self._spawn(self._job_ended(answer.key))

    async def recover(self, intent: Intent, depth: int) -> None:
        """Finish a publication that a crash interrupted, and tell the log with an event of this depth."""
        end, kind = msgspec.json.decode(intent.answer, type=StepEnd), lifecycle.STEP_SUCCEEDED
        try:
            end = msgspec.structs.replace(end, outputs=await self._publisher.finish(intent))
        except Failed as error:
            end, kind = (
                msgspec.structs.replace(end, error=str(error), result=Raw(b"null")),
                lifecycle.STEP_FAILED,
            )
        self._emit(lifecycle.step_event(kind, end, depth, end.run))
        self._publisher.settle(intent.key)

    def _failed_at_once(self, active: Active, step: Step, command: Call, error: str) -> None:
        end = failed_at_once(active.run, step, command, error, time_ns())
        self._emit(lifecycle.step_event(lifecycle.STEP_FAILED, end, active.run.depth + 1, end.run))

    # -- parts -------------------------------------------------------------------------------

    def stage(self) -> None:
        """Stage a row for every call that has begun and not ended; most end before anybody looks."""
        for key, started_ns in self._unstaged.items():
            flight = self.in_flight.get(key)
            if flight is not None:
                self._put(attempt_row(flight, started_ns))
        self._unstaged.clear()

    def _spawn(self, work: Coroutine[None, None, None], ending: tuple[InFlight, str] | None = None) -> None:
        """Do ``work`` beside the rest; should it break, the attempt whose ``ending`` it is fails."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(done, ending))

    def _done(self, task: asyncio.Task[None], ending: tuple[InFlight, str] | None) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a step could not be carried out", "exception": error, "task": task}
        )
        if ending is not None:  # else its run would wait for ever
            flight, key = ending
            why = f"Penstock itself failed at it, which is a bug: {type(error).__name__}: {error}"
            self._tell(flight, Answer(key=key, error=why, retryable=False), ())
            self._publisher.settle(key)

    async def close(self) -> None:
        """Wait for publications that have begun; what has not is done after the next start.

        From now on calls end because the runtime is closed. That is no end that the log is told.
        """
        self._is_closed = True
        if self._tasks:
            _, waiting = await asyncio.wait(self._tasks, timeout=CLOSE_S)
            for task in waiting:
                task.cancel()


def _key(run: Run, call: Call | Stop) -> str:
    return f"{run.id}/{call.step}/{call.item}/{call.attempt}"


def _current(flight: InFlight) -> bool:
    step = flight.active.run.steps.get(flight.call.step)
    return step is not None and step.phase is Phase.RUNNING
