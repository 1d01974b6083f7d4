"""Why did (or did not) my file run? Recomputed from the event, the triggers and what was decided.

Looked for by path, by event (id or offset) or by run. A path without any event is looked at as it lies
on disk: whether it is in a storage, exists, is ignored, is known, and what would match it.
"""

from __future__ import annotations

import asyncio
import os
from posixpath import normpath
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from penstock.core.errors import Invalid, NotFound
from penstock.core.event import FILE_CREATED, Event, FileRecord, json_data, path_members, path_of, subject_of
from penstock.core.filter import View, explain, parse
from penstock.core.lifecycle import run_id
from penstock.core.rows import Decision, Outcome
from penstock.core.snapshot import restore
from penstock.core.workflow import Trigger
from penstock.server.api.definitions import active_triggers
from penstock.server.api.desk import Desk
from penstock.server.api.history import Entry
from penstock.server.api.operation import Ask, Noun
from penstock.server.api.outputs import outputs_of
from penstock.server.api.positions import DIGITS_MAX
from penstock.server.api.shapes import (
    Account,
    Explained,
    FileAccount,
    RunSummary,
    Text,
    attempt_view,
    event_entry,
    run_summary,
)
from penstock.server.api.whole_run import event_of, find_run
from penstock.server.settings import StorageSettings
from penstock.sources.folder_settings import FolderSettings
from penstock.sources.ignore import Ignore
from penstock.storage.publish import PRIVATE

TRIGGERS_MAX = 200
"""Most triggers that are accounted for at once; those that decided something come first."""
EARLIER_MAX = 20
ATTEMPTS_SHOWN = 50


class ExplainQuery(Struct, kw_only=True):
    """What is to be explained; exactly one."""

    path: Annotated[Text, Meta(description="Absolute path of a file.")] = ""
    event: Annotated[Text, Meta(description="Id of an event, or its offset.")] = ""
    run: Annotated[Text, Meta(description="Id of a run.")] = ""


async def explained(ask: Ask) -> Explained:
    """Explain why something ran, or why not."""
    query: ExplainQuery = ask.query
    if sum(map(bool, (query.path, query.event, query.run))) != 1:
        raise Invalid("give one of 'path', 'event' and 'run'")
    if query.path:
        return await explain_path(ask.desk, query.path)
    if query.run:
        row = await find_run(ask.desk, query.run)
        found = await event_of(ask.desk, restore(row.snapshot))
        if found is None:
            raise NotFound(f"the event of run {row.id} is not on the log any more")
        return await _explain_event(ask.desk, found, None, [])
    return await _explain_event(ask.desk, await _event(ask.desk, query.event), None, [])


async def _event(desk: Desk, text: str) -> Entry:
    if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX:
        return await desk.history.entry(int(text), desk.tail.end)
    decided = {row.source: row.offset for row in await desk.state.decisions(text)}
    if len(decided) > 1:
        found = ", ".join(f"{offset} of {source}" for source, offset in sorted(decided.items()))
        raise Invalid(f"several events have the id {text[:80]!r}; name one by its offset: {found[:500]}")
    for offset in decided.values():
        return await desk.history.entry(offset, desk.tail.end)
    found = await desk.history.of_id(text, desk.tail.end)
    if found is None:
        raise NotFound(f"there is no event {text[:80]!r} among the newest of the log")
    return found


# -- a path ----------------------------------------------------------------------------------


async def explain_path(desk: Desk, text: str) -> Explained:
    """Explain what became of a file; for the page, too.

    Raises:
        Invalid: It is no absolute path.
    """
    if not text.startswith("/") or "\0" in text:
        raise Invalid(f"{text[:80]!r} is no absolute path")
    path = normpath(text.encode("utf-8", "surrogateescape"))
    subject = subject_of(path)
    entries = await desk.history.about(subject, desk.tail.end, EARLIER_MAX)
    file = await _file(desk, path)
    if not entries:
        return await _explain_missing(desk, path, file)
    newest = next((entry for entry in entries if ".file." in entry.event.type), entries[0])
    earlier = [entry.offset for entry in entries if entry.offset != newest.offset]
    return await _explain_event(desk, newest, file, earlier)


async def _file(desk: Desk, path: bytes) -> FileAccount:
    storage = storage_of(desk, path)
    known = await desk.state.file(storage.name, path) if storage is not None else None
    output = await desk.state.output(path)
    exists = await asyncio.get_running_loop().run_in_executor(None, os.path.lexists, path)
    return FileAccount(
        path=path.decode("utf-8", "replace"),
        storage=storage.name if storage is not None else "",
        exists=exists,
        ignored=storage is not None and is_ignored(storage, path),
        known=known is not None and known.present,
        generation=known.generation if known is not None else 0,
        published_by=output.run if output is not None and output.tenant == desk.tenant else "",
    )


def storage_of(desk: Desk, path: bytes) -> StorageSettings | None:
    """Return the storage that a path is in; the innermost, if folders are nested."""
    inside = [
        storage
        for storage in desk.settings.storages
        if path.startswith(os.path.realpath(os.fsencode(storage.folder)).rstrip(b"/") + b"/")
    ]
    return max(inside, key=lambda storage: len(storage.folder), default=None)


def is_ignored(storage: StorageSettings, path: bytes) -> bool:
    """Whether the storage's source leaves a path out, as it does all below a folder that it leaves out."""
    ignore = Ignore((*FolderSettings(folder=storage.folder).ignore, PRIVATE, *storage.ignore))
    root = os.path.realpath(os.fsencode(storage.folder)).rstrip(b"/") + b"/"
    below = b""
    for name in path.removeprefix(root).split(b"/"):
        if ignore(below, name):
            return True
        below += name + b"/"
    return False


async def _explain_missing(desk: Desk, path: bytes, file: FileAccount) -> Explained:
    """Explain why there is no event about a path."""
    told = [_why_no_event(desk, file)]
    event = Event(
        id="none yet",
        source=f"/storages/{file.storage or 'none'}",
        type=FILE_CREATED,
        subject=subject_of(path),
        data=json_data(await asyncio.get_running_loop().run_in_executor(None, _record, path, file.storage)),
    )
    triggers = [trigger for _, trigger in await active_triggers(desk)]
    accounts = [_account(trigger, View(event), None, None) for trigger in triggers[:TRIGGERS_MAX]]
    accounts.sort(key=lambda account: not account.wanted)
    would = [account.trigger for account in accounts if account.wanted]
    told.append(
        f"A new file here would start: {', '.join(would[:10])}"
        if would
        else "No trigger would want a new file here"
        if triggers
        else "There are no triggers; deploy one"
    )
    return Explained(
        told=told,
        file=file,
        event=None,
        earlier=[],
        triggers=accounts,
        triggers_more=len(triggers) - len(accounts),
    )


def _why_no_event(desk: Desk, file: FileAccount) -> str:
    if not file.storage:
        folders = ", ".join(storage.folder for storage in desk.settings.storages) or "none"
        return f"{file.path} is in no storage; watched are: {folders}"
    if file.ignored:
        return f"{file.path} is ignored: storage {file.storage!r} leaves out its name, or a folder above it"
    if file.known:
        return f"{file.path} is known, but its event is not among the newest of the log any more"
    if not file.exists:
        return f"{file.path} does not exist, and the log has no event about it"
    return (
        f"{file.path} exists, but there is no event about it: it was there before the storage was "
        "watched, is still being written, or is no plain file. `--existing` starts a trigger with what "
        "is there"
    )


def _record(path: bytes, storage: str) -> FileRecord:
    """Return the record that the file would have (blocking)."""
    members = path_members(path)
    record = FileRecord(storage=storage, path=members["path"], path_raw=members.get("path_raw"))
    try:
        found = os.lstat(path)
    except OSError:
        return record
    return replace(
        record,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        owner={"uid": found.st_uid, "gids": [found.st_gid]},
    )


# -- an event --------------------------------------------------------------------------------


async def _explain_event(desk: Desk, entry: Entry, file: FileAccount | None, earlier: list[int]) -> Explained:
    if file is None and entry.event.source.startswith("/storages/") and entry.event.subject:
        file = await _file(desk, path_of(entry.event.subject))
    decided = await desk.state.decisions(entry.event.id, entry.event.source)
    decisions = {row.trigger: row for row in decided}
    triggers = [trigger for _, trigger in await active_triggers(desk)]
    triggers.sort(key=lambda trigger: (trigger.id not in decisions, trigger.name))
    ids = {trigger.id: _run_id(trigger, decisions.get(trigger.id), entry) for trigger in triggers}
    runs = await desk.state.runs_of([ids[trigger.id] for trigger in triggers[:TRIGGERS_MAX]])
    view = View(entry.event)
    accounts = []
    for trigger in triggers[:TRIGGERS_MAX]:
        decision = decisions.get(trigger.id)
        run = runs.get(ids[trigger.id])
        account = _account(
            trigger, view, decision, run_summary(run) if run is not None else None, entry.offset
        )
        accounts.append(await _with_work(desk, account) if run is not None else account)
    return Explained(
        told=_told(entry, file, accounts, len(triggers)),
        file=file,
        event=event_entry(entry),
        earlier=earlier,
        triggers=accounts,
        triggers_more=max(0, len(triggers) - TRIGGERS_MAX),
    )


def _run_id(trigger: Trigger, decision: Decision | None, entry: Entry) -> str:
    """Return the id of the run that was decided on, or else of the one that would be requested later."""
    decided = decision.run if decision is not None else ""
    return decided or run_id(trigger.tenant, trigger.id, entry.event, 0)


def _account(
    trigger: Trigger, view: View, decision: Decision | None, run: RunSummary | None, offset: int | None = None
) -> Account:
    reason = explain(parse(trigger.filter), view)
    return Account(
        trigger=trigger.name,
        workflow=trigger.workflow,
        wanted=reason.holds,
        outcome=decision.outcome if decision is not None else "",
        sentences=_sentences(trigger, decision, reason.failures(), offset, run),
        tree=list(reason.lines()),
        run=run,
        attempts=[],
        outputs=[],
    )


def _sentences(
    trigger: Trigger,
    decision: Decision | None,
    failures: list[str],
    offset: int | None,
    run: RunSummary | None,
) -> list[str]:
    later = run is not None and (decision is None or decision.run != run.id)
    asked = [f"run {run.id} was requested later: `--existing`, `resume` or `replay`"] if run and later else []
    if decision is not None:
        made = {
            Outcome.MATCHED: f"the filter wants it; it started run {decision.run}",
            Outcome.DUPLICATE: "the filter wants it, but it was seen before",
            Outcome.PAUSED: "the filter wants it, but the trigger was paused",
        }.get(Outcome(decision.outcome), f"the filter wants it, but it was {decision.outcome}")
        return [made, *(asked or filter(None, [decision.reason])), *failures]
    if asked or failures:
        return asked + failures
    if offset is not None and offset < trigger.since:
        return [
            "the filter wants it, but the trigger is newer than the event; "
            "`penstock replay` runs it for old ones"
        ]
    if offset is not None:
        return ["the filter wants it; nothing has been decided yet, or the trigger had another filter then"]
    return ["the filter would want it"] + (["but the trigger is paused"] if trigger.paused else [])


async def _with_work(desk: Desk, account: Account) -> Account:
    """Complete an account with what its run has done."""
    assert account.run is not None
    rows = await desk.state.attempts(account.run.id, None, ATTEMPTS_SHOWN)
    account.attempts = [attempt_view(row) for row in rows]
    account.outputs = await outputs_of(desk, account.run.id)
    return account


def _told(entry: Entry, file: FileAccount | None, accounts: list[Account], total: int) -> list[str]:
    event = entry.event
    told = [f"Event {entry.offset} ({event.type}) is about {_about(event)}"]
    wanted = [account for account in accounts if account.wanted or account.outcome or account.run]
    told.append(
        f"{len(wanted)} of {total} triggers want it" if total else "There are no triggers; deploy one"
    )
    for account in wanted[:10]:
        told.append(f"{account.trigger}: {_ended(account)}")
    if event.cause is not None:
        told.append(f"The work of run {event.cause} raised it")
    if file is not None and not file.exists:
        told.append("The file does not exist any more")
    return told


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
