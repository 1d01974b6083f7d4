"""What each trigger made of an event: who wanted it, who missed it and how nearly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from penstock.core.event import Event
from penstock.core.filter import Explanation, View, explain, parse
from penstock.core.lifecycle import run_id
from penstock.core.rows import Decision, Definition, Outcome
from penstock.core.workflow import Trigger
from penstock.server.api.definitions import active_triggers
from penstock.server.api.desk import Desk
from penstock.server.api.history import Entry
from penstock.server.api.misses import Miss, Why, miss_of
from penstock.server.api.outputs import outputs_of
from penstock.server.api.shapes import Account, Misses, RunSummary, attempt_view, run_summary

TRIGGERS_MAX = 200
"""Most triggers that are accounted for: who wanted the event first, then who missed it most nearly."""
LOOKED_AT_MAX = 5000
"""Most triggers whose filters are asked."""
NAMES_MAX = 20
"""Triggers that are named of those that missed it for one reason."""
ATTEMPTS_SHOWN = 50


class Verdict(NamedTuple):
    """What a trigger's filter says to an event; ``miss`` is None if it wants it."""

    trigger: Trigger
    reason: Explanation
    miss: Miss | None


class Accounts(NamedTuple):
    """What all triggers made of an event.

    Attributes:
        shown: The first ones in full, best first.
        total: How many triggers there are.
        misses: Those that missed it, counted by reason, nearest first.
    """

    shown: list[Account]
    total: int
    misses: list[Misses]


async def accounts_of(desk: Desk, event: Event, entry: Entry | None) -> Accounts:
    """Return what the triggers made of an event; without ``entry``, what they would make of it."""
    decisions: dict[str, Decision] = {}
    if entry is not None:
        decisions = {row.trigger: row for row in await desk.state.decisions(event.id, event.source)}
    deployed = await active_triggers(desk)
    triggers = [trigger for _, trigger in deployed]
    newer = _newer(desk, deployed, entry)
    triggers.sort(key=lambda trigger: (trigger.id not in decisions, trigger.name))
    loop = asyncio.get_running_loop()
    verdicts = await loop.run_in_executor(None, _verdicts, triggers[:LOOKED_AT_MAX], event)
    verdicts.sort(key=lambda verdict: (verdict.trigger.id not in decisions, verdict.miss or (0, 0)))
    shown = verdicts[:TRIGGERS_MAX]
    ids = {each.trigger.id: _run_id(each.trigger, decisions.get(each.trigger.id), entry) for each in shown}
    runs = await desk.state.runs_of([run for run in ids.values() if run])
    made = []
    for verdict in shown:
        row = runs.get(ids[verdict.trigger.id])
        run = run_summary(row) if row is not None else None
        account = _account(verdict, decisions.get(verdict.trigger.id), run, newer)
        made.append(await _with_work(desk, account, run) if run is not None else account)
    return Accounts(made, len(triggers), _misses(verdicts, decisions))


def _newer(
    desk: Desk, deployed: Sequence[tuple[Definition, Trigger]], entry: Entry | None
) -> frozenset[str] | None:
    """Return the triggers that are newer than an event, by id; None without an event.

    At a site a trigger begins in each partition at another place: its last change tells there.
    """
    if entry is None:
        return None
    if desk.settings.postgres is None:
        return frozenset(trigger.id for _, trigger in deployed if entry.offset < trigger.since)
    return frozenset(trigger.id for row, trigger in deployed if entry.appended_ns < row.deployed_ns)


def _verdicts(triggers: Sequence[Trigger], event: Event) -> list[Verdict]:
    """Ask each trigger's filter (in a thread: of thousands that takes a while)."""
    view = View(event)
    found = []
    for trigger in triggers:
        filter = parse(trigger.filter)
        found.append(Verdict(trigger, explain(filter, view), miss_of(filter, view)))
    return found


def _misses(verdicts: Sequence[Verdict], decisions: dict[str, Decision]) -> list[Misses]:
    names: dict[Why, list[str]] = {}
    for verdict in verdicts:
        if verdict.miss is not None and verdict.trigger.id not in decisions:
            names.setdefault(verdict.miss.why, []).append(verdict.trigger.name)
    return [Misses(why=why, count=len(found), triggers=found[:NAMES_MAX]) for why, found in names.items()]


def _run_id(trigger: Trigger, decision: Decision | None, entry: Entry | None) -> str:
    """Return the id of the run that was decided on, or else of the one that would be requested later."""
    if entry is None:
        return ""
    decided = decision.run if decision is not None else ""
    return decided or run_id(trigger.tenant, trigger.id, entry.event, 0)


def _account(
    verdict: Verdict, decision: Decision | None, run: RunSummary | None, newer: frozenset[str] | None
) -> Account:
    trigger, reason, miss = verdict
    return Account(
        trigger=trigger.name,
        workflow=trigger.workflow,
        wanted=reason.holds,
        outcome=decision.outcome if decision is not None else "",
        sentences=_sentences(trigger, decision, reason.failures(), newer, run),
        tree=list(reason.lines()),
        run=run,
        attempts=[],
        outputs=[],
        miss=miss.why if miss is not None else "",
    )


def _sentences(
    trigger: Trigger,
    decision: Decision | None,
    failures: list[str],
    newer: frozenset[str] | None,
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
    if newer is not None and trigger.id in newer:
        return [
            "the filter wants it, but the trigger is newer than the event; "
            "`penstock replay` runs it for old ones"
        ]
    if newer is not None:
        return ["the filter wants it; nothing has been decided yet, or the trigger had another filter then"]
    return ["the filter would want it"] + (["but the trigger is paused"] if trigger.paused else [])


async def _with_work(desk: Desk, account: Account, run: RunSummary) -> Account:
    """Complete an account with what its run has done."""
    rows = await desk.state.attempts(run.id, None, ATTEMPTS_SHOWN)
    account.attempts = [attempt_view(row) for row in rows]
    account.outputs = await outputs_of(desk, run.id)
    return account
