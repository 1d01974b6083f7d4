"""Dead letters: lists, one, replaying (edited, if need be), dropping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from penstock.core.errors import NotFound
from penstock.core.event import path_of
from penstock.core.filter.glob import matcher
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
BLOCK = 1001
BLOCKS_MAX = 50
"""Letters that are read at once, and how often for one answer, where few fit."""


class LettersQuery(Struct, kw_only=True):
    """Which dead letters are listed; what is empty may be anything."""

    state: Literal["", "open", "replayed", "dropped", "superseded"] = ""
    kind: Literal["", "notice", "event", "step", "loop"] = ""
    subject: Annotated[Text, Meta(description="Glob on the path, or the subject, that it is about.")] = ""
    reason: Annotated[Text, Meta(description="Text that is in its reason; case does not count.")] = ""
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
    """List dead letters, newest first. A page may be short though there is more: then ``next`` is set."""
    query: LettersQuery = ask.query
    fits = _fitting(query)
    block = BLOCK if query.kind or query.subject or query.reason else query.limit + 1
    mark = read_mark(query.before)
    found: list[DeadLetter] = []
    for _ in range(BLOCKS_MAX):
        rows = await ask.desk.state.dead_letters(ask.desk.tenant, query.state, mark, block)
        for row in rows:
            if len(found) == query.limit:
                return _page(found, mark)
            mark = row.at_ns, row.id
            if fits(row):
                found.append(row)
        if len(rows) < block:
            return _page(found, None)
    return _page(found, mark)


def _page(rows: list[DeadLetter], mark: tuple[int, str] | None) -> LetterPage:
    following = page_mark(*mark) if mark is not None else None
    return LetterPage(dead_letters=[letter_summary(row) for row in rows], next=following)


def _fitting(query: LettersQuery) -> Callable[[DeadLetter], bool]:
    """Return whether a letter is one that was asked for."""
    is_about = matcher(query.subject) if query.subject else None
    reason = query.reason.casefold()

    def fits(row: DeadLetter) -> bool:
        return (
            query.kind in ("", row.kind)
            and reason in row.reason.casefold()
            and (is_about is None or is_about(path_of(row.subject).decode("utf-8", "replace")))
        )

    return fits


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
    """Replay a dead letter: its run goes on from what failed, or its event is taken in again."""
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
        "Replay a dead letter, edited if need be",
        replay,
        LetterReplayed,
        below="/{id}/replay",
        body=LetterReplay,
        errors=(404, 409),
    ),
    _dead_letters.delete("Drop a dead letter", drop, Done, below="/{id}", errors=(404,)),
)
