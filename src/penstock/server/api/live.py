"""One stream for the page: small messages of what has happened, as it becomes durable."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from msgspec import Struct
from starlette.types import ASGIApp

from penstock.core import lifecycle
from penstock.core.errors import Invalid
from penstock.core.event import Event, path_of
from penstock.core.lifecycle import DeadLetterClose, JobMove, RunEnd, StepEnd, data_of
from penstock.server.api.desk import Desk
from penstock.server.api.history import Entry
from penstock.server.api.operation import Ask, Noun
from penstock.server.api.shapes import POOL
from penstock.server.api.stream import MEDIA, EventStream, frame
from penstock.server.api.times import shown

AT_ONCE_MAX = 200
"""Most records told of in one write; of a burst the newest, and how many were left out."""
ERROR_CHARS_MAX = 500

_encode = msgspec.json.Encoder().encode


class Message(Struct, kw_only=True, omit_defaults=True):
    """Something that has happened.

    Attributes:
        kind: ``event``, ``run``, ``step``, ``job``, ``deadletter`` or ``status``.
        offset: Of the record that tells of it.
        appended: When it was appended.
        what: The event's type, for ``event``; what changed, for ``status``.
        id: Of the event, run or dead letter.
        subject: Of the event or run.
        path: The same as text for people, where it is a path.
        source: Of the event.
        workflow: Of the run.
        step: Its name; ``item`` and ``attempt`` say which try of it.
        phase: Of run or step; state of the dead letter.
        outputs: How many files the step published.
        error: What went wrong.
        skipped: Records of a burst that are not told of; look at the lists again.
        engine: Whether the engine is there.
        end: End of the log.
    """

    kind: str
    offset: int | None = None
    appended: str = ""
    what: str = ""
    id: str = ""
    subject: str = ""
    path: str = ""
    source: str = ""
    workflow: str = ""
    step: str = ""
    item: int = -1
    attempt: int = 0
    phase: str = ""
    outputs: int = 0
    error: str = ""
    skipped: int = 0
    engine: bool | None = None
    end: int | None = None


_RUNS = frozenset({lifecycle.RUN_STARTED, *lifecycle.ENDED_TYPE.values()})
_STEPS = frozenset({lifecycle.STEP_SUCCEEDED, lifecycle.STEP_FAILED})
_JOBS = frozenset({lifecycle.JOB_SUBMITTED, lifecycle.JOB_STARTED, lifecycle.JOB_EVICTED})
_DEFINITIONS = frozenset({lifecycle.DEPLOYED, lifecycle.TRIGGER_CHANGED, lifecycle.TRIGGER_REMOVED})


def messages(entry: Entry) -> list[Message]:
    """Return what a record of the log means to somebody who looks on."""
    event = entry.event
    try:
        if event.source != lifecycle.SOURCE:
            found = [_event(event)]
        elif event.type in _RUNS:
            found = _run(data_of(event, RunEnd))
        elif event.type in _STEPS:
            found = _step(data_of(event, StepEnd), event.type == lifecycle.STEP_SUCCEEDED)
        elif event.type in _JOBS:
            found = [_job(data_of(event, JobMove))]
        elif event.type in _DEFINITIONS:
            found = [Message(kind="status", what="definitions", id=event.subject or "")]
        elif event.type == lifecycle.DEAD_LETTER_CLOSED:
            closed = data_of(event, DeadLetterClose)
            found = [Message(kind="deadletter", id=closed.id, phase=closed.state)]
        else:
            found = []
    except Invalid:
        return []
    appended = shown(entry.appended_ns)
    return [msgspec.structs.replace(message, offset=entry.offset, appended=appended) for message in found]


def _event(event: Event) -> Message:
    subject = event.subject or ""
    return Message(
        kind="event",
        what=event.type,
        id=event.id,
        subject=subject,
        path=path_of(subject).decode("utf-8", "replace"),
        source=event.source,
    )


def _run(end: RunEnd) -> list[Message]:
    told = Message(
        kind="run",
        id=end.run,
        subject=end.subject,
        path=path_of(end.subject).decode("utf-8", "replace"),
        workflow=end.workflow,
        phase=end.phase,
        error=end.error[:ERROR_CHARS_MAX],
    )
    if end.phase != "failed":
        return [told]
    letter = Message(kind="deadletter", id=end.run, subject=end.subject, phase="open", error=told.error)
    return [told, letter]


def _step(end: StepEnd, succeeded: bool) -> list[Message]:
    told = Message(
        kind="step",
        id=end.run,
        step=end.step,
        item=end.item,
        attempt=end.attempt,
        phase="succeeded" if succeeded else "failed",
        outputs=len(end.outputs),
        error=end.error[:ERROR_CHARS_MAX],
    )
    if end.place in ("", POOL):
        return [told]
    return [told, msgspec.structs.replace(told, kind="job")]


def _job(move: JobMove) -> Message:
    return Message(
        kind="job",
        id=move.run,
        step=move.step,
        attempt=move.attempt,
        phase=move.state,
        error=move.error[:ERROR_CHARS_MAX],
    )


async def live(ask: Ask) -> ASGIApp:
    """Stream messages from now on."""
    desk = ask.desk
    return EventStream(desk, lambda: _frames(desk))


async def _frames(desk: Desk) -> AsyncIterator[bytes]:
    start, here = min(desk.tail.end, desk.tail.folded), desk.link.up.is_set()
    yield _status(desk, here)
    while True:
        parts: list[bytes] = []
        if desk.link.up.is_set() != here:
            here = desk.link.up.is_set()
            parts.append(_status(desk, here))
        # Who hears of something will look it up: so nothing is told before the state has it.
        end = min(desk.tail.end, desk.tail.folded)
        skipped = end - start - AT_ONCE_MAX
        if skipped > 0:
            start += skipped
            parts.append(frame(_encode(Message(kind="status", skipped=skipped, end=end))))
        for entry in await desk.tail.read(start, min(AT_ONCE_MAX, end - start)) if end > start else ():
            start = entry.offset + 1
            parts += [frame(_encode(message), cursor=str(start)) for message in messages(entry)]
        if parts:
            yield b"".join(parts)
        if start >= min(desk.tail.end, desk.tail.folded) and desk.link.up.is_set() == here:
            await desk.tail.moved()


def _status(desk: Desk, here: bool) -> bytes:
    return frame(_encode(Message(kind="status", what="engine", engine=here, end=desk.tail.end)))


_live = Noun("/api/v1/live")
OPERATIONS = (
    _live.get(
        "Follow what happens, in small messages (server-sent events)",
        live,
        media=(MEDIA,),
        stream=True,
        errors=(429,),
    ),
)
