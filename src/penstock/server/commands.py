"""What the engine does when asked over its channel. Every wish becomes an event on the log first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import time_ns
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from penstock.core import lifecycle
from penstock.core.errors import Conflict, NotFound
from penstock.core.event import Event, decode, encode
from penstock.core.function import Function
from penstock.core.lifecycle import (
    CancelRequest,
    DeadLetterClose,
    Deployed,
    RunRequest,
    TriggerChange,
)
from penstock.core.rows import DeadLetter, DefinitionKind, RunRow
from penstock.core.run import Phase
from penstock.core.snapshot import restore
from penstock.core.workflow import Trigger, Workflow
from penstock.functions.pool import Pool
from penstock.server.engine import Engine
from penstock.server.ingest import Ingest
from penstock.server.jobs import job_log
from penstock.workflows.deployment import Deployment, pin

GENERATIONS_MAX = 10_000


class Who(Struct):
    """Everybody who asks says who they are; the API process has checked it."""

    tenant: str
    principal: str


class IngestWish(Who):
    """Take in events (CloudEvents JSON)."""

    events: list[Raw]


class DeployWish(Who):
    """Deploy definitions; see ``workflows.deployment``."""

    deployment: Deployment
    existing: bool = False
    dry_run: bool = False


class TriggerWish(Who):
    """Pause, resume, roll back or remove a trigger, by name or id."""

    name: str
    paused: bool | None = None
    catch_up: bool = True
    workflow: str = ""


class StartWish(Who):
    """Start a run by hand."""

    workflow: str
    event: Raw = Raw(b"null")
    params: Raw = Raw(b"{}")


class RunWish(Who):
    """Cancel a run, or run it again."""

    run: str
    reason: str = "asked for by a person"
    from_step: str = ""
    whole: bool = False


class LetterWish(Who):
    """Replay or drop a dead letter; ``event`` replaces its event when replayed."""

    id: str
    event: Raw = Raw(b"null")


class ReplayWish(Who):
    """Run a trigger for events of the log, from an offset up to another."""

    trigger: str
    since: int
    until: int
    again: bool = False
    dry_run: bool = False


class LogWish(Who):
    """Ask where a call that is under way writes its log."""

    run: str
    step: str
    attempt: int
    item: int = -1


class BackupWish(Who):
    """Copy log and state into a folder."""

    folder: str


class Commands:
    """The engine's answers, by name."""

    def __init__(self, engine: Engine) -> None:
        """Act on ``engine``."""
        self._engine = engine
        self._parts = engine.parts
        self._ingest = Ingest(engine.parts)
        self._handlers: dict[str, tuple[type[Who], Callable[[Any], Awaitable[Any]]]] = {
            "ingest": (IngestWish, self._take_in),
            "deploy": (DeployWish, self._deploy),
            "trigger": (TriggerWish, self._trigger),
            "remove-trigger": (TriggerWish, self._remove_trigger),
            "start": (StartWish, self._start),
            "cancel": (RunWish, self._cancel),
            "rerun": (RunWish, self._rerun),
            "replay-letter": (LetterWish, self._replay_letter),
            "drop-letter": (LetterWish, self._drop_letter),
            "replay": (ReplayWish, self._replay),
            "backup": (BackupWish, self._backup),
            "log": (LogWish, self._log),
            "status": (Who, self._status),
            "stop": (Who, self._stop),
        }

    async def handle(self, do: str, with_: Raw) -> Any:
        """Do what is asked and return the result.

        Raises:
            PenstockError: Why not.
        """
        if do not in self._handlers:
            raise NotFound(f"the engine knows no command {do!r}; is it of another version?")
        kind, handler = self._handlers[do]
        return await handler(msgspec.json.decode(with_, type=kind))

    async def _take_in(self, wish: IngestWish) -> Any:
        return await self._ingest.take([decode(raw) for raw in wish.events])

    async def _record(self, kind: str, data: Struct, subject: str, nonce: str = "") -> Event:
        """Put a wish on the log, durably, and wait until it is folded and others can read what it did."""
        event = lifecycle.request_event(kind, data, nonce or uuid4().hex, subject)
        records = await self._parts.log.append([event])
        await self._parts.pump.reached(records[-1].offset)
        await self._parts.checkpoint.durable()
        return event

    # -- definitions -------------------------------------------------------------------------

    async def _deploy(self, wish: DeployWish) -> Any:
        fresh = self._pinned(wish.deployment)
        known = self._parts.registry
        functions = [f for f in fresh.functions if (f.tenant, f.reference) not in known.functions]
        workflows = [w for w in fresh.workflows if (w.tenant, w.reference) not in known.workflows]
        report: dict[str, Any] = {
            "functions": [f.reference for f in fresh.functions],
            "workflows": [w.reference for w in fresh.workflows],
            "triggers": [t.name for t in fresh.triggers],
            "new": [f.reference for f in functions] + [w.reference for w in workflows],
        }
        if wish.dry_run:
            return report
        deployed = Deployed(
            tenant=wish.tenant,
            principal=wish.principal,
            functions=[msgspec.to_builtins(f) for f in functions],
            workflows=[msgspec.to_builtins(w) for w in workflows],
            triggers=[msgspec.to_builtins(t) for t in fresh.triggers],
        )
        await self._record(lifecycle.DEPLOYED, deployed, Path(wish.deployment.file).name)
        await self._parts.checkpoint.durable()
        if wish.existing:
            report["existing"] = sum(
                [await self._engine.backfill.existing(t.id, wish.principal) for t in fresh.triggers]
            )
        return report

    def _pinned(self, deployment: Deployment) -> Deployment:
        known = self._parts.registry
        functions = {
            name: version for (kind, _, name), version in known.versions.items() if kind == "function"
        }
        for function in deployment.functions:
            functions[function.name] = self._version(DefinitionKind.FUNCTION, function, functions)
        workflows = {
            name: version for (kind, _, name), version in known.versions.items() if kind == "workflow"
        }
        trial = pin(deployment, functions, workflows | {w.name: 1 for w in deployment.workflows})
        for workflow in trial.workflows:
            workflows[workflow.name] = self._version(DefinitionKind.WORKFLOW, workflow, workflows)
        return pin(deployment, functions, workflows)

    def _version(
        self, kind: DefinitionKind, definition: Function | Workflow, versions: dict[str, int]
    ) -> int:
        newest = versions.get(definition.name, 0)
        table: dict[tuple[str, str], Any] = (
            self._parts.registry.functions
            if kind is DefinitionKind.FUNCTION
            else self._parts.registry.workflows
        )
        latest = table.get((definition.tenant, f"{definition.name}@{newest}"))
        same = latest is not None and replace(latest, version=0) == replace(definition, version=0)
        return newest if same else newest + 1

    def _find_trigger(self, wish: TriggerWish) -> Trigger:
        for trigger in self._parts.registry.triggers.values():
            if trigger.tenant == wish.tenant and wish.name in (
                trigger.id,
                trigger.name,
                _short(trigger.name),
            ):
                return trigger
        raise NotFound(f"there is no trigger {wish.name!r}; `penstock triggers` lists them")

    async def _trigger(self, wish: TriggerWish) -> Any:
        trigger = self._find_trigger(wish)
        if wish.workflow:
            self._parts.registry.workflow(wish.tenant, wish.workflow)
        change = TriggerChange(
            tenant=wish.tenant,
            principal=wish.principal,
            id=trigger.id,
            paused=wish.paused,
            catch_up=wish.catch_up,
            workflow=wish.workflow,
        )
        await self._record(lifecycle.TRIGGER_CHANGED, change, trigger.id)
        return self._parts.registry.triggers[trigger.id]

    async def _remove_trigger(self, wish: TriggerWish) -> Any:
        trigger = self._find_trigger(wish)
        change = TriggerChange(tenant=wish.tenant, principal=wish.principal, id=trigger.id)
        await self._record(lifecycle.TRIGGER_REMOVED, change, trigger.id)
        return trigger

    # -- runs --------------------------------------------------------------------------------

    async def _start(self, wish: StartWish) -> Any:
        workflow = self._parts.registry.workflow(wish.tenant, wish.workflow)
        nonce = uuid4().hex
        event = _given(wish.event) or Event(
            id=nonce, source="/manual", type="penstock.manual", subject=workflow.name
        )
        return await self._request(wish, workflow.reference, "", event, 0, params=wish.params, nonce=nonce)

    async def _request(
        self,
        who: Who,
        workflow: str,
        trigger: str,
        event: Event,
        generation: int,
        *,
        params: Raw = Raw(b"{}"),  # noqa: B008 - Raw does not change
        rerun_of: str = "",
        from_step: str = "",
        nonce: str = "",
    ) -> Any:
        request = RunRequest(
            tenant=who.tenant,
            principal=who.principal,
            workflow=workflow,
            event=Raw(encode(event)),
            trigger=trigger,
            generation=generation,
            params=params,
            rerun_of=rerun_of,
            from_step=from_step,
        )
        asked = await self._record(lifecycle.RUN_REQUESTED, request, event.subject or event.id, nonce)
        return {"run": lifecycle.run_id(who.tenant, trigger or asked.id, event.id, generation)}

    def _run(self, wish: RunWish) -> RunRow:
        row = self._parts.state.get(RunRow, wish.run)
        if row is None or row.tenant != wish.tenant:
            active = self._parts.keeper.active.get(wish.run)
            if active is None or active.run.tenant != wish.tenant:
                raise NotFound(f"there is no run {wish.run!r}; `penstock runs` lists them")
            self._parts.keeper.stage()
            row = self._parts.state.get(RunRow, wish.run)
        assert row is not None
        return row

    async def _cancel(self, wish: RunWish) -> Any:
        row = self._run(wish)
        if row.ended_ns:
            raise Conflict(f"run {row.id} has ended already ({row.phase})")
        request = CancelRequest(run=row.id, reason=wish.reason, principal=wish.principal)
        await self._record(lifecycle.RUN_CANCEL_REQUESTED, request, row.id)
        return {"run": row.id}

    async def _rerun(self, wish: RunWish) -> Any:
        row = self._run(wish)
        if not row.ended_ns:
            raise Conflict(f"run {row.id} has not ended; cancel it first (`penstock runs cancel {row.id}`)")
        old = restore(row.snapshot)
        if old.phase is Phase.SUCCEEDED and not (wish.from_step or wish.whole):
            raise Conflict(f"run {row.id} succeeded; name a step to begin from, or ask for the whole run")
        event, _ = self._parts.keeper.event_of(old)
        trigger = self._parts.registry.triggers.get(row.trigger)
        workflow = trigger.workflow if trigger is not None and wish.whole else old.workflow
        generation = self._next_generation(row)
        again = await self._request(
            wish,
            workflow,
            row.trigger,
            event,
            generation,
            rerun_of="" if wish.whole else row.id,
            from_step=wish.from_step,
        )
        await self._close_letter(wish, row.id, "replayed")
        return again

    def _next_generation(self, row: RunRow) -> int:
        for generation in range(1, GENERATIONS_MAX):
            run_id = lifecycle.run_id(row.tenant, row.trigger, row.event_id, generation)
            if self._parts.state.get(RunRow, run_id) is None and run_id not in self._parts.keeper.active:
                return generation
        raise Conflict(f"run {row.id} was repeated {GENERATIONS_MAX} times; something is wrong")

    # -- dead letters and replay -------------------------------------------------------------

    def _letter(self, wish: LetterWish) -> DeadLetter:
        letter = self._parts.state.get(DeadLetter, wish.id)
        if letter is None or letter.tenant != wish.tenant:
            raise NotFound(f"there is no dead letter {wish.id!r}; `penstock dead-letters` lists them")
        return letter

    async def _replay_letter(self, wish: LetterWish) -> Any:
        letter = self._letter(wish)
        edited = _given(wish.event)
        if letter.run and edited is None:
            again: Any = await self._rerun(RunWish(wish.tenant, wish.principal, letter.run))
        elif letter.run:
            row = self._run(RunWish(wish.tenant, wish.principal, letter.run))
            assert edited is not None
            fresh = replace(edited, id=uuid4().hex, cause=letter.run)
            again = await self._request(wish, row.workflow, row.trigger, fresh, 0)
        else:
            again = await self._ingest.take([edited or decode(letter.body)])
        await self._close_letter(wish, letter.id, "replayed")
        return again

    async def _drop_letter(self, wish: LetterWish) -> Any:
        letter = self._letter(wish)
        await self._close_letter(wish, letter.id, "dropped")
        return {"id": letter.id}

    async def _close_letter(self, who: Who, letter: str, state: str) -> None:
        row = self._parts.state.get(DeadLetter, letter)
        if row is not None and row.state == "open":
            close = DeadLetterClose(tenant=who.tenant, principal=who.principal, id=letter, state=state)
            await self._record(lifecycle.DEAD_LETTER_CLOSED, close, letter)

    async def _replay(self, wish: ReplayWish) -> Any:
        trigger = self._find_trigger(TriggerWish(wish.tenant, wish.principal, wish.trigger))
        until = min(wish.until, self._parts.log.end().offsets[0])
        found, since = [], wish.since
        while since < until:
            records = self._parts.log.read(since, min(since + 500, until))
            found += self._engine.backfill.matching(trigger, records)
            since = records[-1].offset + 1 if records else until
            await asyncio.sleep(0)
        if not wish.dry_run:
            generation = time_ns() // 1_000_000 if wish.again else 0
            for record in found:
                self._engine.backfill.request(trigger, record.event, wish.principal, generation)
        return {
            "trigger": trigger.name,
            "events": [r.event.subject or r.event.id for r in found[:1000]],
            "count": len(found),
        }

    # -- the installation --------------------------------------------------------------------

    async def _log(self, wish: LogWish) -> Any:
        """Return ``file:start:``, or an empty text while the call has not begun."""
        key = f"{wish.run}/{wish.step}/{wish.item}/{wish.attempt}"
        flight = self._parts.dispatcher.in_flight.get(key)
        if flight is None:
            return {"log": "", "under_way": False}
        if flight.step.batch is not None:
            file = job_log(self._parts.places.state / "logs", key)
            return {"log": f"{file}:0:" if file.exists() else "", "under_way": True}
        runtime = self._parts.runtime
        return {"log": (isinstance(runtime, Pool) and runtime.log_of(key)) or "", "under_way": True}

    async def _backup(self, wish: BackupWish) -> Any:
        target = _new_folder(wish.folder)
        await self._parts.checkpoint.durable()
        await self._parts.state.backup(target / "state.db")
        end = await self._parts.log.backup(target / "log" / "0")
        return {"folder": str(target), "records": end}

    async def _status(self, _who: Who) -> Any:
        parts = self._parts
        return {
            "log": {"end": parts.log.end().offsets[0], "durable": parts.log.durable_end},
            "folded": parts.pump.folded,
            "runs": {"active": len(parts.keeper.active), "waiting": len(parts.keeper.backlog)},
            "in_flight": len(parts.dispatcher.in_flight),
            "triggers": len(parts.registry.triggers),
            "storages": [{"name": s.name, "folder": s.folder} for s in parts.settings.storages],
            "troubles": self._engine.troubles
            | parts.publisher.troubles
            | ({"state": parts.checkpoint.trouble} if parts.checkpoint.trouble else {}),
        }

    async def _stop(self, _who: Who) -> Any:
        self._engine.stopping.set()
        return {}


def _new_folder(name: str) -> Path:
    folder = Path(name)
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _short(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _given(raw: Raw) -> Event | None:
    return None if bytes(raw) == b"null" else decode(raw)
