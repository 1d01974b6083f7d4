"""Dead letters: lists, one, replaying (edited, if need be), dropping."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from penstock.core.errors import NotFound
from penstock.core.rows import DeadLetter
from penstock.server.api.desk import Desk
from penstock.server.api.operation import Ask, Noun
from penstock.server.api.runs import checked_event
from penstock.server.api.shapes import (
    Done,
    LetterPage,
    LetterView,
    Limit,
    Text,
    json_or_none,
    letter_summary,
    page_mark,
    read_mark,
)

TEXT_BYTES_SHOWN = 64 << 10


class LettersQuery(Struct, kw_only=True):
    """Which dead letters are listed; an empty state means any."""

    state: Literal["", "open", "replayed", "dropped"] = ""
    before: Text = ""
    limit: Limit = 100


class LetterReplay(Struct, kw_only=True, forbid_unknown_fields=True):
    """How a dead letter is replayed: with this event in the place of its own, if one is given."""

    event: dict[str, Any] | UnsetType = UNSET


class LetterReplayed(Struct, kw_only=True):
    """The run that was started, or the events that were taken in."""

    run: str = ""
    events: list[str] = []


async def listed(ask: Ask) -> LetterPage:
    """List dead letters, newest first."""
    query: LettersQuery = ask.query
    rows = await ask.desk.state.dead_letters(
        ask.desk.tenant, query.state, read_mark(query.before), query.limit + 1
    )
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    following = page_mark(rows[-1].at_ns, rows[-1].id) if more else None
    return LetterPage(dead_letters=[letter_summary(row) for row in rows], next=following)


async def find_letter(desk: Desk, letter: str) -> DeadLetter:
    """Return a dead letter.

    Raises:
        NotFound: There is none, or none of ours.
    """
    row = await desk.state.dead_letter(letter)
    if row is None or row.tenant != desk.tenant:
        raise NotFound(f"there is no dead letter {letter[:80]!r}; `penstock dead-letters` lists them")
    return row


async def shown(ask: Ask) -> LetterView:
    """Show a dead letter with what it holds."""
    row = await find_letter(ask.desk, ask.names["id"])
    event = json_or_none(row.body)
    text = "" if event is not None else row.body[:TEXT_BYTES_SHOWN].decode("utf-8", "replace")
    return LetterView(letter=letter_summary(row), event=event, text=text)


async def replay(ask: Ask) -> LetterReplayed:
    """LetterReplay a dead letter: its run goes on from what failed, or its event is taken in again."""
    body: LetterReplay = ask.body
    edited = {} if isinstance(body.event, UnsetType) else {"event": checked_event(body.event)}
    answer = await ask.desk.link.ask("replay-letter", id=ask.names["id"], **edited)
    if isinstance(answer, list):
        return LetterReplayed(events=[str(taken["id"]) for taken in answer])
    return msgspec.convert(answer, LetterReplayed)


async def drop(ask: Ask) -> Done:
    """Drop a dead letter; it stays listed as dropped."""
    return msgspec.convert(await ask.desk.link.ask("drop-letter", id=ask.names["id"]), Done)


_dead_letters = Noun("/api/v1/dead-letters")
OPERATIONS = (
    _dead_letters.get("List dead letters, newest first", listed, LetterPage, query=LettersQuery),
    _dead_letters.get(
        "Show a dead letter with what it holds", shown, LetterView, below="/{id}", errors=(404,)
    ),
    _dead_letters.post(
        "LetterReplay a dead letter, edited if need be",
        replay,
        LetterReplayed,
        below="/{id}/replay",
        body=LetterReplay,
        errors=(404, 409),
    ),
    _dead_letters.delete("Drop a dead letter", drop, Done, below="/{id}", errors=(404,)),
)
