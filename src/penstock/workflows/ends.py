"""Calls under way, and how they end."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from penstock.core.function import Function
from penstock.core.job import JobNotice, JobState
from penstock.core.lifecycle import StepEnd
from penstock.core.ports import Answer
from penstock.core.rows import AttemptRow
from penstock.core.run import Call, Phase, Run
from penstock.core.workflow import Step
from penstock.workflows.active import Active

ANSWER_BYTES_MAX = 512 << 10
"""Longest answer of a step, as JSON: it becomes part of an event."""


ERROR_CHARACTERS_MAX = 20_000
"""Longest error that is told; what is behind is left out."""
TIME_NS_MAX = 1 << 62


class InFlight(Struct, frozen=True):
    """A call that has no answer yet."""

    active: Active
    step: Step
    call: Call
    function: Function


def step_end(flight: InFlight, answer: Answer, outputs: tuple[str, ...]) -> StepEnd:
    """Return how a call ended, as the log is told.

    The numbers and texts are the worker's, where a user's function may have meddled with them: what the
    log holds, everything behind it must be able to take.
    """
    return StepEnd(
        run=flight.active.run.id,
        step=flight.call.step,
        attempt=flight.call.attempt,
        item=flight.call.item,
        function=flight.function.reference,
        result=answer.result or Raw(b"null"),
        error=(answer.error or "")[:ERROR_CHARACTERS_MAX],
        retryable=answer.retryable,
        evicted=answer.evicted,
        outputs=outputs,
        log=answer.log,
        place=flight.step.batch.system if flight.step.batch else "pool",
        started_ns=max(0, min(answer.started_ns, TIME_NS_MAX)),
        ended_ns=max(0, min(answer.ended_ns, TIME_NS_MAX)),
    )


def checked(answer: Answer) -> Answer:
    """Return a function's answer, failed if it is longer than an event can tell."""
    size = len(answer.result) if answer.result is not None else 0
    if size <= ANSWER_BYTES_MAX:
        return answer
    return with_error(answer, _too_long("function", size), retryable=False)


def _too_long(who: str, size: int) -> str:
    return (
        f"the {who} answered {size} bytes; at most {ANSWER_BYTES_MAX} are kept. "
        "Write large results to an output file and answer its name"
    )


def failed_at_once(run: Run, step: Step, call: Call, error: str, now_ns: int) -> StepEnd:
    """Return the end of a call that could not even be made."""
    return StepEnd(
        run=run.id,
        step=call.step,
        attempt=call.attempt,
        item=call.item,
        function=step.function,
        error=error,
        retryable=False,
        started_ns=now_ns,
        ended_ns=now_ns,
    )


def attempt_row(flight: InFlight, started_ns: int, state: JobState | None = None) -> AttemptRow:
    """Return the row of a call that is under way; of a job, in ``state``."""
    run, step = flight.active.run, flight.step
    return AttemptRow(
        run=run.id,
        step=step.name,
        item=flight.call.item,
        attempt=flight.call.attempt,
        tenant=run.tenant,
        phase=Phase.RUNNING if step.batch is None else (state or JobState.QUEUED),
        function=step.function,
        place=step.batch.system if step.batch else "pool",
        started_ns=started_ns,
    )


def with_error(answer: Answer, error: str, retryable: bool) -> Answer:
    """Return an answer that failed after all."""
    return msgspec.structs.replace(answer, result=None, error=error, retryable=retryable, files=None)


def answer_of(notice: JobNotice) -> Answer:
    """Return the answer that a job's last notice stands for."""
    if notice.result is not None and len(notice.result) > ANSWER_BYTES_MAX:
        error = _too_long("job", len(notice.result))
        return Answer(key=notice.name, error=error, retryable=False, log=notice.log)
    retryable = notice.state in (JobState.EVICTED, JobState.FAILED) and notice.retryable
    return Answer(
        key=notice.name,
        result=Raw(notice.result) if notice.result is not None else None,
        error=notice.error if notice.state is not JobState.SUCCEEDED else None,
        retryable=retryable,
        evicted=notice.state is JobState.EVICTED,
        scratch=notice.scratch,
        files=notice.files,
        log=notice.log,
        started_ns=notice.started_ns,
        ended_ns=notice.ended_ns,
    )
