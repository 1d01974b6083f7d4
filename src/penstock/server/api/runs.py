"""Runs: lists, one with all there is to know, starting, cancelling, running again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from penstock.core import items as states
from penstock.core import lifecycle
from penstock.core.errors import Invalid, NotFound, PenstockError
from penstock.core.event import decode, subject_of
from penstock.core.items import Items
from penstock.core.lifecycle import RunRequest, data_of
from penstock.core.ports import Record
from penstock.core.rows import AttemptRow, DefinitionKind, RunRow
from penstock.core.run import Run, StepRun
from penstock.core.snapshot import restore
from penstock.core.workflow import Step, Workflow
from penstock.server.api.definitions import active_triggers, edges, find_trigger
from penstock.server.api.desk import Desk
from penstock.server.api.history import Entry, entry_of
from penstock.server.api.operation import Ask, Operation
from penstock.server.api.outputs import OUTPUTS_MAX, output_views
from penstock.server.api.shapes import (
    ItemsView,
    JobView,
    Limit,
    OutputView,
    RunPage,
    RunStarted,
    RunSummary,
    RunView,
    StepView,
    Text,
    attempt_view,
    event_entry,
    json_or_none,
    page_mark,
    read_mark,
    run_summary,
)
from penstock.server.api.times import when
from penstock.state.reader import RunQuery

ATTEMPTS_SHOWN = 20
"""Most attempts that are shown of one step; of a map those that failed first."""
ATTEMPTS_READ = 2000
RESULT_BYTES_SHOWN = 64 << 10
"""Longest answer of a step that is shown; of longer ones only the size."""
CHILDREN_SHOWN = 50
PARENTS_LOOKED_AT = 50


class RunsQuery(Struct, kw_only=True):
    """Which runs are listed; what is empty may be anything."""

    state: Literal["", "waiting", "running", "succeeded", "failed", "cancelled"] = ""
    subject: Annotated[Text, Meta(description="The event's subject.")] = ""
    path: Annotated[Text, Meta(description="The file's path.")] = ""
    workflow: Annotated[Text, Meta(description="namespace/name, or with @version.")] = ""
    trigger: Annotated[Text, Meta(description="Name or id of the trigger.")] = ""
    before: Annotated[Text, Meta(description="What an earlier answer gave as next.")] = ""
    limit: Limit = 100


class Start(Struct, kw_only=True, forbid_unknown_fields=True):
    """A run started by hand.

    Attributes:
        workflow: ``namespace/name``, or with ``@version``.
        event: CloudEvent that it works on.
        params: Given to every step.
    """

    workflow: Text
    event: dict[str, Any] | UnsetType = UNSET
    params: dict[str, Any] = {}


class Cancel(Struct, kw_only=True, forbid_unknown_fields=True):
    """Why a run is cancelled."""

    reason: Text = "asked for by a person"


class Again(Struct, kw_only=True, forbid_unknown_fields=True):
    """How a run is run again: from what failed, from a step, or whole (with the trigger's version now)."""

    from_step: Text = ""
    whole: bool = False


class JobsQuery(Struct, kw_only=True):
    """Which jobs are listed."""

    limit: Limit = 100


async def listed(ask: Ask) -> RunPage:
    """List runs, newest first."""
    desk, query = ask.desk, ask.query
    subject = query.subject or (
        subject_of(query.path.encode("utf-8", "surrogateescape")) if query.path else ""
    )
    trigger = (await find_trigger(desk, query.trigger)).id if query.trigger else ""
    rows = await desk.state.runs(
        RunQuery(
            tenant=desk.tenant,
            phase=query.state,
            subject=subject,
            workflow=query.workflow,
            trigger=trigger,
            before=read_mark(query.before),
            limit=query.limit + 1,
        )
    )
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    following = page_mark(rows[-1].started_ns, rows[-1].id) if more else None
    return RunPage(runs=[run_summary(row) for row in rows], next=following)


async def find_run(desk: Desk, run: str) -> RunRow:
    """Return a run with its snapshot.

    Raises:
        NotFound: There is none, or none of ours.
    """
    row = await desk.state.run(run)
    if row is None or row.tenant != desk.tenant:
        raise NotFound(f"there is no run {run[:80]!r}; `penstock runs` lists them")
    return row


async def shown(ask: Ask) -> RunView:
    """Show a run with its steps, attempts, outputs, event and what it caused."""
    return await run_view(ask.desk, ask.names["id"])


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
        entry = await desk.history.entry(run.offset, desk.tail.end)
        if entry.event.type != lifecycle.RUN_REQUESTED:
            return entry
        request = data_of(entry.event, RunRequest)
        return entry_of(Record(0, entry.offset, entry.appended_ns, decode(request.event)))
    except PenstockError:
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


async def start(ask: Ask) -> RunStarted:
    """Start a run by hand."""
    body: Start = ask.body
    wish: dict[str, Any] = {"workflow": body.workflow, "params": body.params}
    if not isinstance(body.event, UnsetType):
        wish["event"] = checked_event(body.event)
    return msgspec.convert(await ask.desk.link.ask("start", **wish), RunStarted)


def checked_event(event: dict[str, Any]) -> Raw:
    """Return an event that a person gave, as JSON.

    Raises:
        Invalid: It is no CloudEvent.
    """
    raw = msgspec.json.encode(event)
    decode(raw)
    return Raw(raw)


async def cancel(ask: Ask) -> RunStarted:
    """Cancel a run."""
    answer = await ask.desk.link.ask("cancel", run=ask.names["id"], reason=ask.body.reason)
    return msgspec.convert(answer, RunStarted)


async def rerun(ask: Ask) -> RunStarted:
    """Run a run again; good steps before the one to begin from are kept."""
    body: Again = ask.body
    if body.from_step and body.whole:
        raise Invalid("both 'from_step' and 'whole' are given; choose one")
    if body.from_step:
        await _check_step(ask.desk, ask.names["id"], body.from_step)
    wish = {"from_step": body.from_step, "whole": body.whole}
    return msgspec.convert(await ask.desk.link.ask("rerun", run=ask.names["id"], **wish), RunStarted)


async def _check_step(desk: Desk, run_id: str, step: str) -> None:
    run = restore((await find_run(desk, run_id)).snapshot)
    if step not in run.steps:
        raise NotFound(f"run {run.id} has no step {step[:80]!r}; it has {', '.join(list(run.steps)[:20])}")


async def jobs(ask: Ask) -> list[JobView]:
    """List the steps that batch systems carry out, newest first."""
    rows = await ask.desk.state.jobs(ask.desk.tenant, ask.query.limit)
    return [_job(row) for row in rows]


def _job(row: AttemptRow) -> JobView:
    return JobView(
        run=row.run,
        step=row.step,
        item=row.item,
        attempt=row.attempt,
        state=row.phase,
        system=row.place,
        function=row.function,
        started=when(row.started_ns),
        ended=when(row.ended_ns),
        error=row.error,
    )


_ENGINE = (503, 504)
OPERATIONS = (
    Operation(
        method="GET",
        path="/api/v1/runs",
        summary="List runs, newest first",
        handler=listed,
        query=RunsQuery,
        answer=RunPage,
        errors=(404, 422),
    ),
    Operation(
        method="POST",
        path="/api/v1/runs",
        summary="Start a run by hand",
        handler=start,
        body=Start,
        answer=RunStarted,
        status=201,
        errors=(404, 413, 415, 422, *_ENGINE),
    ),
    Operation(
        method="GET",
        path="/api/v1/runs/{id}",
        summary="Show a run: steps, attempts, outputs, event, graph, and what it caused",
        handler=shown,
        answer=RunView,
        errors=(404,),
    ),
    Operation(
        method="POST",
        path="/api/v1/runs/{id}/cancel",
        summary="Cancel a run",
        handler=cancel,
        body=Cancel,
        answer=RunStarted,
        errors=(404, 409, 413, 415, 422, *_ENGINE),
    ),
    Operation(
        method="POST",
        path="/api/v1/runs/{id}/rerun",
        summary="Run it again: from what failed, from a step, or whole",
        handler=rerun,
        body=Again,
        answer=RunStarted,
        status=201,
        errors=(404, 409, 413, 415, 422, *_ENGINE),
    ),
    Operation(
        method="GET",
        path="/api/v1/jobs",
        summary="List batch jobs, newest first",
        handler=jobs,
        query=JobsQuery,
        answer=list[JobView],
    ),
)
