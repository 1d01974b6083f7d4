"""Why did (or did not) my file run? Recomputed from the event, the triggers and what was decided.

Looked for by path, by event (id or offset) or by run. A path without any event is looked at as it lies
on disk: whether it is in a storage, exists, is ignored, is known, and what would match it.
"""

from __future__ import annotations

import asyncio
from posixpath import normpath
from typing import Annotated

from msgspec import Meta, Struct

from penstock.core import lifecycle
from penstock.core.errors import Invalid, NotFound, Trimmed
from penstock.core.event import FILE_CREATED, FILE_UPDATED, Event, path_of, subject_of
from penstock.core.snapshot import restore
from penstock.server.api.accounts import Accounts, accounts_of
from penstock.server.api.desk import Desk
from penstock.server.api.history import Entry
from penstock.server.api.operation import Ask, Noun
from penstock.server.api.positions import DIGITS_MAX
from penstock.server.api.shapes import (
    Account,
    Explained,
    FileAccount,
    PastEvent,
    Text,
    decision_view,
    event_entry,
    run_summary,
)
from penstock.server.api.whereabouts import file_account, why_no_event, would_be
from penstock.server.api.whole_run import event_of, find_run

EVENTS_MAX = 100
"""Most events about one path that are told of."""
OWN_SHARE = 5
"""How many more are read: each run that a file starts raises events about it, too."""
CONTENT = (FILE_CREATED, FILE_UPDATED)


class ExplainQuery(Struct, kw_only=True):
    """What is to be explained; exactly one of path, event and run."""

    path: Annotated[Text, Meta(description="Absolute path of a file.")] = ""
    event: Annotated[Text, Meta(description="Id of an event, or its offset.")] = ""
    run: Annotated[Text, Meta(description="Id of a run.")] = ""
    all: Annotated[bool, Meta(description="With a path: tell of all its events.")] = False


async def explained(ask: Ask) -> Explained:
    """Explain why something ran, or why not."""
    query: ExplainQuery = ask.query
    if sum(map(bool, (query.path, query.event, query.run))) != 1:
        raise Invalid("give one of 'path', 'event' and 'run'")
    if query.path:
        return await explain_path(ask.desk, query.path, everything=query.all)
    if query.run:
        row = await find_run(ask.desk, query.run)
        found = await event_of(ask.desk, restore(row.snapshot))
        if found is None:
            raise NotFound(f"the event of run {row.id} is not on the log any more")
        return await _explain_event(ask.desk, found, None)
    return await _explain_event(ask.desk, await _event(ask.desk, query.event), None)


async def _event(desk: Desk, text: str) -> Entry:
    if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX:
        return await desk.history.entry(int(text), desk.tail.end)
    decided = {row.source: row.offset for row in await desk.state.decisions(text)}
    found = [await _decided(desk, text, source, offset) for source, offset in sorted(decided.items())]
    if len(found) > 1:
        places = ", ".join(f"{entry.offset} of {entry.event.source}" for entry in found)
        raise Invalid(f"several events have the id {text[:80]!r}; name one by its offset: {places[:500]}")
    return found[0] if found else await _of_id(desk, text)


async def _decided(desk: Desk, text: str, source: str, offset: int) -> Entry:
    """Return the event that was decided on; at a site it has another offset in the API's copy of the log."""
    gone: Trimmed | None = None
    try:
        entry = await desk.history.entry(offset, desk.tail.end)
        if entry.event.id == text and source in (entry.event.source, ""):
            return entry
    except NotFound:
        pass
    except Trimmed as error:
        gone = error
    for entry in await desk.history.naming(text, desk.tail.end):
        if entry.event.id == text and source in (entry.event.source, ""):
            return entry
    raise gone or NotFound(f"there is no event {text[:80]!r} among the newest of the log")


async def _of_id(desk: Desk, text: str) -> Entry:
    found = await desk.history.of_id(text, desk.tail.end)
    if found is None:
        raise NotFound(f"there is no event {text[:80]!r} among the newest of the log")
    return found


async def explain_path(desk: Desk, text: str, *, everything: bool = False) -> Explained:
    """Explain what became of a file: its newest content, or whatever else the newest event about it is.

    Args:
        desk: What is asked.
        text: Absolute path.
        everything: Whether ``events`` tells of all events about it.

    Raises:
        Invalid: It is no absolute path.
    """
    if not text.startswith("/") or "\0" in text:
        raise Invalid(f"{text[:80]!r} is no absolute path")
    path = normpath(text.encode("utf-8", "surrogateescape"))
    entries = await _about_it(desk, subject_of(path))
    file = await file_account(desk, path)
    if not entries:
        return await _explain_missing(desk, path, file)
    chosen = _newest_content(entries)
    found = await _explain_event(desk, chosen, file)
    found.earlier = [entry.offset for entry in entries if entry.offset != chosen.offset]
    found.events = [await _past(desk, entry) for entry in entries] if everything else []
    return found


async def _about_it(desk: Desk, subject: str) -> list[Entry]:
    """Return the newest events about a subject, newest first; what Penstock tells of its own work is none."""
    found = await desk.history.about(subject, desk.tail.end, OWN_SHARE * EVENTS_MAX)
    return [entry for entry in found if entry.event.source != lifecycle.SOURCE][:EVENTS_MAX]


def _newest_content(entries: list[Entry]) -> Entry:
    content = (entry for entry in entries if entry.event.type in CONTENT)
    about_files = (entry for entry in entries if ".file." in entry.event.type)
    return next(content, None) or next(about_files, None) or entries[0]


async def _past(desk: Desk, entry: Entry) -> PastEvent:
    shown, event = event_entry(entry), entry.event
    decided = [row for row in await desk.state.decisions(event.id, event.source) if row.tenant == desk.tenant]
    runs = await desk.state.runs_of([row.run for row in decided if row.run])
    return PastEvent(
        offset=shown.offset,
        appended=shown.appended,
        type=event.type,
        decisions=[decision_view(row) for row in decided],
        runs=[run_summary(run) for run in runs.values()],
    )


async def _explain_missing(desk: Desk, path: bytes, file: FileAccount) -> Explained:
    """Explain why there is no event about a path."""
    event = await asyncio.get_running_loop().run_in_executor(None, would_be, path, file.storage)
    found = await accounts_of(desk, event, None)
    would = [account.trigger for account in found.shown if account.wanted]
    return Explained(
        told=[
            why_no_event(desk, file),
            f"A new file here would start: {', '.join(would[:10])}"
            if would
            else "No trigger would want a new file here"
            if found.total
            else "There are no triggers; deploy one",
        ],
        file=file,
        event=None,
        earlier=[],
        triggers=found.shown,
        triggers_more=found.total - len(found.shown),
        misses=found.misses,
    )


async def _explain_event(desk: Desk, entry: Entry, file: FileAccount | None) -> Explained:
    if file is None and entry.event.source.startswith("/storages/") and entry.event.subject:
        file = await file_account(desk, path_of(entry.event.subject))
    found = await accounts_of(desk, entry.event, entry)
    return Explained(
        told=_told(entry, file, found),
        file=file,
        event=event_entry(entry),
        earlier=[],
        triggers=found.shown,
        triggers_more=found.total - len(found.shown),
        misses=found.misses,
    )


def _told(entry: Entry, file: FileAccount | None, found: Accounts) -> list[str]:
    event = entry.event
    told = [f"Event {entry.offset} ({event.type}) is about {_about(event)}"]
    wanted = [account for account in found.shown if account.wanted or account.outcome or account.run]
    told.append(_counted(len(wanted), found.total))
    for account in wanted[:10]:
        told.append(f"{account.trigger}: {_ended(account)}")
    if event.cause is not None:
        told.append(f"The work of run {event.cause} raised it")
    if file is not None and not file.exists:
        told.append("The file does not exist any more")
    return told


def _counted(wanted: int, total: int) -> str:
    if total == 0:
        return "There are no triggers; deploy one"
    return f"{wanted or 'None'} of {total} {'trigger wants' if total == 1 else 'triggers want'} it"


def _about(event: Event) -> str:
    return path_of(event.subject).decode("utf-8", "replace") if event.subject else event.id


def _ended(account: Account) -> str:
    if account.run is None:
        return account.sentences[0]
    error = f": {account.run.error}" if account.run.error else ""
    return f"run {account.run.id} {account.run.phase}{error}"


_explain = Noun("/api/v1/explain")
OPERATIONS = (
    _explain.get(
        "Explain why a file, an event or a run did or did not run",
        explained,
        Explained,
        query=ExplainQuery,
        errors=(404, 410),
    ),
)
