"""One run with all there is to know of it: steps, attempts, outputs, its event, and what it caused."""

from __future__ import annotations

import msgspec

from penstock.core import items as states
from penstock.core import lifecycle
from penstock.core.errors import NotFound, PenstockError
from penstock.core.event import decode, subject_of
from penstock.core.items import Items
from penstock.core.lifecycle import RunRequest, data_of
from penstock.core.ports import Record
from penstock.core.rows import AttemptRow, DefinitionKind, RunRow
from penstock.core.run import Run, StepRun
from penstock.core.snapshot import restore
from penstock.core.workflow import Step, Workflow
from penstock.server.api.definitions import active_triggers
from penstock.server.api.desk import Desk
from penstock.server.api.history import Entry, entry_of
from penstock.server.api.outputs import OUTPUTS_MAX, output_views
from penstock.server.api.shapes import (
    ItemsView,
    OutputView,
    RunSummary,
    RunView,
    StepView,
    attempt_view,
    edges,
    event_entry,
    json_or_none,
    run_summary,
)
from penstock.state.reader import RunQuery

ATTEMPTS_SHOWN = 20
"""Most attempts that are shown of one step; of a map those that failed first."""
ATTEMPTS_READ = 2000
RESULT_BYTES_SHOWN = 64 << 10
"""Longest answer of a step that is shown; of longer ones only the size."""
CHILDREN_SHOWN = 50
PARENTS_LOOKED_AT = 50


async def find_run(desk: Desk, run: str) -> RunRow:
    """Return a run with its snapshot.

    Raises:
        NotFound: There is none, or none of ours.
    """
    row = await desk.state.run(run)
    if row is None or row.tenant != desk.tenant:
        raise NotFound(f"there is no run {run[:80]!r}; `penstock runs` lists them")
    return row


async def run_view(desk: Desk, run_id: str) -> RunView:
    """Return all that is known of a run; for the page, too."""
    row = await find_run(desk, run_id)
    run = restore(row.snapshot)
    workflow = await _workflow(desk, run.workflow)
    attempts = await desk.state.attempts(run.id, limit=ATTEMPTS_READ)
    totals: dict[str, int] = {}
    for count in await desk.state.attempt_counts(run.id):
        totals[count.step] = totals.get(count.step, 0) + count.count
    published = await desk.state.published(run.id, OUTPUTS_MAX)
    outputs = output_views(published)
    entry = await event_of(desk, run)
    return RunView(
        run=run_summary(row),
        generation=run.generation,
        depth=run.depth,
        principal=run.principal,
        trigger_name=await _trigger_name(desk, run.trigger),
        steps=_steps(run, workflow, attempts, totals),
        edges=edges(workflow) if workflow is not None else [],
        outputs=outputs,
        outputs_more=len(outputs) == OUTPUTS_MAX,
        event=event_entry(entry) if entry is not None else None,
        cause=entry.event.cause if entry is not None else None,
        children=await _children(desk, run.id, outputs, row.started_ns),
    )


async def _workflow(desk: Desk, reference: str) -> Workflow | None:
    name, _, version = reference.partition("@")
    rows = await desk.state.definitions(DefinitionKind.WORKFLOW, desk.tenant, name)
    found = next((row for row in rows if str(row.version) == version), None)
    return msgspec.json.decode(found.body, type=Workflow) if found is not None else None


async def _trigger_name(desk: Desk, trigger: str) -> str:
    for _, found in await active_triggers(desk) if trigger else []:
        if found.id == trigger:
            return found.name
    return ""


async def event_of(desk: Desk, run: Run) -> Entry | None:
    """Return the event that a run works on; None if retention has removed it.

    Where a person or a replay asked for the run, the event is in the request.
    """
    try:
        entries = [await desk.history.entry(run.offset, desk.tail.end)]
    except PenstockError:
        entries = []
    found = _worked_on(entries, run)
    if found is None:  # at a site a run knows its partition's offset, and the API's copy has its own
        found = _worked_on(await desk.history.naming(run.event_id, desk.tail.end), run)
    return found


def _worked_on(entries: list[Entry], run: Run) -> Entry | None:
    for entry in entries:
        event = entry.event
        try:
            if event.type == lifecycle.RUN_REQUESTED:
                event = decode(data_of(event, RunRequest).event)
        except PenstockError:
            continue
        if event.id == run.event_id and (event.subject or "") == run.subject:
            return entry_of(Record(0, entry.offset, entry.appended_ns, event))
    return None


async def _children(desk: Desk, run: str, outputs: list[OutputView], since_ns: int) -> list[RunSummary]:
    """Return the runs that this run's outputs started."""
    found: dict[str, RunSummary] = {}
    for output in outputs[:PARENTS_LOOKED_AT]:
        subject = subject_of(output.path.encode())
        query = RunQuery(tenant=desk.tenant, subject=subject, limit=CHILDREN_SHOWN)
        for row in await desk.state.runs(query):
            if row.started_ns >= since_ns and row.id != run:
                found[row.id] = run_summary(row)
    return list(found.values())[:CHILDREN_SHOWN]


def _steps(
    run: Run, workflow: Workflow | None, attempts: list[AttemptRow], totals: dict[str, int]
) -> list[StepView]:
    plans = {step.name: step for step in workflow.steps} if workflow is not None else {}
    names = list(plans) or list(run.steps)
    by_step: dict[str, list[AttemptRow]] = {}
    for row in attempts:
        by_step.setdefault(row.step, []).append(row)
    return [
        _step(
            name,
            plans.get(name),
            run.steps.get(name, StepRun()),
            by_step.get(name, []),
            totals.get(name, 0),
        )
        for name in names
    ]


def _step(name: str, plan: Step | None, known: StepRun, attempts: list[AttemptRow], total: int) -> StepView:
    size = len(memoryview(known.result)) if known.result is not None else 0
    failed_first = sorted(attempts, key=lambda row: row.phase != "failed") if known.items else attempts
    return StepView(
        name=name,
        function=plan.function if plan is not None else "",
        phase=known.phase,
        attempt=known.attempt,
        error=known.error or "",
        blocked_by=known.blocked_by,
        batch=plan.batch.system if plan is not None and plan.batch is not None else "",
        after=list(plan.after) if plan is not None else [],
        result=json_or_none(known.result)
        if known.result is not None and size <= RESULT_BYTES_SHOWN
        else None,
        result_bytes=size,
        items=_items(known.items) if known.items is not None else None,
        attempts=[attempt_view(row) for row in failed_first[:ATTEMPTS_SHOWN]],
        attempts_total=total,
    )


def _items(found: Items) -> ItemsView:
    count = found.states.count
    return ItemsView(
        total=len(found.states),
        waiting=count(states.WAITING),
        running=count(states.RUNNING),
        retrying=count(states.RETRYING),
        succeeded=count(states.SUCCEEDED),
        failed=count(states.FAILED),
        errors={str(place): error for place, error in found.errors.items()},
    )
