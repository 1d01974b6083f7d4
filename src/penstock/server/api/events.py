"""Events: lists, one, a stream, and taking them in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response
from starlette.types import ASGIApp

from penstock.core.errors import Invalid, Trimmed
from penstock.core.filter import Predicate, View
from penstock.server.api import cloudevents
from penstock.server.api.desk import Desk
from penstock.server.api.filters import wanted
from penstock.server.api.operation import JSON, Ask, Noun
from penstock.server.api.positions import DIGITS_MAX, position
from penstock.server.api.shapes import (
    EventEntry,
    EventPage,
    EventView,
    Limit,
    Taken,
    Text,
    decision_view,
    event_entry,
)
from penstock.server.api.stream import MEDIA, WRITE_BYTES, EventStream, frame

Position = Annotated[Text, Meta(description="An offset of the log, or an RFC 3339 time.")]
FilterText = Annotated[Text, Meta(description="A CESQL expression, or a filter document in JSON.")]


class EventQuery(Struct, kw_only=True):
    """Which events are listed."""

    since: Position = ""
    until: Position = ""
    filter: FilterText = ""
    order: Literal["newest", "oldest"] = "newest"
    limit: Limit = 100


class StreamQuery(Struct, kw_only=True):
    """Which events are streamed."""

    since: Position = ""
    filter: FilterText = ""


async def listed(ask: Ask) -> ASGIApp:
    """List events. A page may be short, or empty, though there is more: then ``next`` is set."""
    desk, query = ask.desk, ask.query
    end = desk.tail.end
    since = await position(desk, query.since, 0, "since")
    until = await position(desk, query.until, end, "until")
    page = await desk.history.page(
        since, until, query.limit, wanted(query.filter), newest_first=query.order == "newest"
    )
    following = b"null" if page.next is None else b"%d" % page.next
    events = b",".join(entry.json for entry in page.entries)
    return Response(b'{"events":[%b],"next":%b,"end":%d}' % (events, following, end), media_type=JSON)


async def one(ask: Ask) -> EventView:
    """Return one event and what was decided for it."""
    text = ask.names["offset"]
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise Invalid(f"{text[:80]!r} is no offset; expected a number from 0")
    entry = await ask.desk.history.entry(int(text), ask.desk.tail.end)
    shown: EventEntry = event_entry(entry)
    decisions = await ask.desk.state.decisions(entry.event.id, entry.event.source)
    return EventView(
        offset=shown.offset,
        appended=shown.appended,
        event=shown.event,
        decisions=[decision_view(row) for row in decisions if row.tenant == ask.desk.tenant],
    )


async def stream(ask: Ask) -> ASGIApp:
    """Stream events from a position on, for ever; ``id`` of each is where to go on behind it."""
    desk = ask.desk
    given = ask.headers.get("last-event-id", "") or ask.query.since
    start = await position(desk, given, desk.tail.end, "since")
    first = await desk.history.first()
    if given and start < first:
        raise Trimmed(f"the log no longer holds offset {start}; the oldest left is {first}", str(first))
    predicate = wanted(ask.query.filter)
    return EventStream(desk, lambda: _frames(desk, start, predicate))


async def _frames(desk: Desk, start: int, predicate: Predicate | None) -> AsyncIterator[bytes]:
    while True:
        entries = await desk.tail.read(start)
        if not entries:
            await desk.tail.moved()
            continue
        parts: list[bytes] = []
        size = 0
        for entry in entries:
            start = entry.offset + 1
            if predicate is None or predicate(View(entry.event)):
                parts.append(frame(entry.json, cursor=str(start)))
                size += len(parts[-1])
            if size > WRITE_BYTES:
                break
        if parts:
            yield b"".join(parts)


async def taken_in(ask: Ask) -> list[Taken]:
    """Take in events; the answer comes when all of them are on disk."""
    body = await ask.read(cloudevents.bytes_max(ask.headers))
    events = cloudevents.events_of(ask.headers, body)
    if not events:
        return []
    answers = await ask.desk.link.ask("ingest", events=events)
    return msgspec.convert(answers, list[Taken])


_CLOUDEVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "type": {"type": "string", "minLength": 1},
        "subject": {"type": "string", "minLength": 1},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"type": "string"},
        "dataschema": {"type": "string"},
        "data": {},
        "data_base64": {"type": "string"},
    },
}


_events = Noun("/api/v1/events")
OPERATIONS = (
    _events.get("List events of the log", listed, EventPage, query=EventQuery, errors=(410,)),
    _events.post(
        "Take in CloudEvents 1.0: binary, structured or batch; answered when they are on disk",
        taken_in,
        list[Taken],
        takes={
            cloudevents.STRUCTURED: _CLOUDEVENT,
            cloudevents.BATCH: {"type": "array", "items": _CLOUDEVENT, "maxItems": cloudevents.EVENTS_MAX},
        },
    ),
    _events.get(
        "Follow events as they become durable (server-sent events; resumes by Last-Event-ID)",
        stream,
        below="/stream",
        query=StreamQuery,
        media=(MEDIA,),
        stream=True,
        errors=(410, 429),
    ),
    _events.get(
        "Show one event and what was decided for it", one, EventView, below="/{offset}", errors=(404, 410)
    ),
)
