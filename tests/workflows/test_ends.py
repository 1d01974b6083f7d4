"""How calls end, whatever a worker says of them."""

from __future__ import annotations

from msgspec import Raw

from penstock.core.event import Event
from penstock.core.function import Function, Kind
from penstock.core.job import JobNotice, JobState
from penstock.core.ports import Answer
from penstock.core.run import Call, Run
from penstock.core.workflow import Step, Workflow
from penstock.workflows.active import Active
from penstock.workflows.ends import (
    ANSWER_BYTES_MAX,
    ERROR_CHARACTERS_MAX,
    TIME_NS_MAX,
    InFlight,
    answer_of,
    checked,
    step_end,
)


def flight() -> InFlight:
    """Return a call under way."""
    step = Step(name="s", function="me/f@1")
    workflow = Workflow(name="me/w", version=1, tenant="local", steps=(step,))
    run = Run(
        id="r",
        tenant="local",
        principal="me",
        workflow="me/w@1",
        trigger="",
        event_id="e",
        offset=0,
        subject="",
    )
    event = Event(id="e", source="/test", type="test")
    function = Function(name="me/f", version=1, kind=Kind.PYTHON, entry="f.py:f", tenant="local")
    return InFlight(Active(run, workflow, event), step, Call("s", 1), function)


def test_times_and_errors_that_a_function_forged_stay_within_what_is_kept() -> None:
    answer = Answer(key="k", error="x" * 10**6, started_ns=2**64 - 1, ended_ns=-5)
    end = step_end(flight(), answer, ())
    assert (len(end.error), end.started_ns, end.ended_ns) == (ERROR_CHARACTERS_MAX, TIME_NS_MAX, 0)


def test_an_answer_that_no_event_can_tell_is_a_failure_in_words() -> None:
    fits = Answer(key="k", result=Raw(b"1" * ANSWER_BYTES_MAX))
    assert checked(fits) is fits
    longer = checked(Answer(key="k", result=Raw(b"1" * (ANSWER_BYTES_MAX + 1)), files=("a",)))
    assert longer.result is None
    assert not longer.retryable
    assert f"answered {ANSWER_BYTES_MAX + 1} bytes" in (longer.error or "")


def test_that_a_call_was_ended_from_outside_is_told_to_the_log() -> None:
    killed = Answer(key="k", error="killed", evicted=True)
    assert step_end(flight(), killed, ()).evicted
    node_taken = JobNotice(name="k", state=JobState.EVICTED, error="preempted")
    assert step_end(flight(), answer_of(node_taken), ()).evicted
    crashed = JobNotice(name="k", state=JobState.FAILED, error="no peak")
    assert not step_end(flight(), answer_of(crashed), ()).evicted
