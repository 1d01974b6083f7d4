"""Runs: lists, one with all there is to know, starting, cancelling, running again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from penstock.core.errors import Invalid, NotFound
from penstock.core.event import decode, subject_of
from penstock.core.snapshot import restore
from penstock.server.api.definitions import find_trigger
from penstock.server.api.desk import Desk
from penstock.server.api.operation import Ask, Noun
from penstock.server.api.shapes import (
    JobView,
    Limit,
    RunPage,
    RunStarted,
    RunView,
    Text,
    job_view,
    page_mark,
    read_mark,
    run_summary,
)
from penstock.server.api.whole_run import find_run, run_view
from penstock.state.reader import RunQuery


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


async def shown(ask: Ask) -> RunView:
    """Show a run with its steps, attempts, outputs, event and what it caused."""
    return await run_view(ask.desk, ask.names["id"])


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
    return [job_view(row) for row in rows]


_runs = Noun("/api/v1/runs")
_jobs = Noun("/api/v1/jobs")
OPERATIONS = (
    _runs.get("List runs, newest first", listed, RunPage, query=RunsQuery, errors=(404,)),
    _runs.post("Start a run by hand", start, RunStarted, body=Start, status=201, errors=(404,)),
    _runs.get(
        "Show a run: steps, attempts, outputs, event, graph, and what it caused",
        shown,
        RunView,
        below="/{id}",
        errors=(404,),
    ),
    _runs.post("Cancel a run", cancel, RunStarted, below="/{id}/cancel", body=Cancel, errors=(404, 409)),
    _runs.post(
        "Run it again: from what failed, from a step, or whole",
        rerun,
        RunStarted,
        below="/{id}/rerun",
        body=Again,
        status=201,
        errors=(404, 409),
    ),
    _jobs.get("List batch jobs, newest first", jobs, list[JobView], query=JobsQuery),
)
