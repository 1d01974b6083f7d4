"""``penstock backtest``: what a trigger would have done with the events of the past."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import msgspec
import rich_click
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from penstock.cli import wording
from penstock.cli.lookup import bare
from penstock.cli.params import MOMENT
from penstock.cli.progress import Progress
from penstock.cli.screen import Column, lines, note, notes, say, table
from penstock.cli.session import Session, as_json, session
from penstock.core.errors import NotFound
from penstock.core.policy import LOCAL_TENANT
from penstock.core.workflow import Trigger, Workflow
from penstock.routing.backtest import Fired
from penstock.server.api.desk import door_of
from penstock.server.backtest import Cost, Past, Report, candidates, deployed
from penstock.server.deploy import prepare
from penstock.server.pump import STORAGES

SHOWN = 10


@rich_click.command()
@rich_click.argument("target")
@rich_click.option(
    "--since", type=MOMENT, default=0, metavar="WHEN", help="From then on: 2h, 3d, or a time. Default: all."
)
@rich_click.option("--until", type=MOMENT, metavar="WHEN", help="Before then; default: now.")
@as_json
@session
def backtest(the: Session, target: str, since: int, until: int | None, as_json: bool) -> None:
    """Say what a trigger would have done with the events of the past.

    TARGET is a file of definitions, deployed or not, or the name of a deployed trigger. Nothing runs, and
    nothing is deployed. The answer says how often it would have fired, on which files, what would be
    different from what is deployed under the same name, and what that would have cost.
    """
    is_site = the.settings.postgres is not None
    numbered = frozenset(f"{STORAGES}{storage.name}" for storage in the.settings.storages if not is_site)
    wanted: Sequence[Trigger] = ()
    workflows: dict[str, Workflow] = {}
    if Path(target).is_file():
        with Progress() as told:
            deployment = prepare(
                Path(target), the.places, tenant=LOCAL_TENANT, principal=the.principal, progress=told.step
            )
        wanted, workflows = candidates(deployment)
        if not wanted:
            raise NotFound(f"{target} has no trigger: nothing in it says what it is to run on")

    async def work() -> Report:
        past = Past(the.places.state, LOCAL_TENANT, numbered, door_of(the.settings))
        try:
            chosen = wanted or list(deployed(target, await past.triggers(), await past.workflows()))
            if not chosen:
                raise NotFound(f"there is no file and no trigger {target!r}; `penstock triggers` lists them")
            with _bar() as bar:
                task = bar.add_task("events")
                return await past.test(
                    chosen,
                    workflows,
                    since,
                    until,
                    lambda done, everything: bar.update(task, completed=done, total=everything),
                )
        finally:
            await past.close()

    report = anyio.run(work)
    if as_json:
        lines([msgspec.to_builtins(report, str_keys=True)])
    else:
        _tell(report)


def _bar() -> Bar:
    columns = (
        TextColumn("{task.completed:,.0f} {task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    return Bar(*columns, console=notes(), transient=True, disable=not notes().is_terminal)


def _tell(report: Report) -> None:
    rows = [_row(fired, report.costs[fired.trigger]) for fired in report.fired]
    columns = [Column(title, lambda row, title=title: str(row[title])) for title in rows[0]]  # type: ignore[misc]
    table(rows, columns, "")
    for fired in report.fired:
        _samples(fired)
    note(f"{report.looked:,} events looked at; nothing was run")


def _row(fired: Fired, cost: Cost) -> dict[str, Any]:
    peak = max(fired.hours.items(), key=lambda hour: hour[1], default=None)
    return {
        "trigger": bare(fired.trigger),
        "would run": f"{fired.runs:,}",
        "runs now": f"{fired.runs_now:,}" if fired.is_now else "-",
        "new": f"+{fired.added:,}" if fired.is_now else "-",
        "gone": f"-{fired.removed:,}" if fired.is_now else "-",
        "files": wording.size(fired.size),
        "busiest hour": f"{peak[1]:,} ({_hour(peak[0])})" if peak else "-",
        "cost": _cost(fired, cost),
    }


def _hour(posix_s: int) -> str:
    return datetime.fromtimestamp(posix_s, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def _cost(fired: Fired, cost: Cost) -> str:
    if not cost.runs:
        return "unknown: it has never run here"
    pool, batch = cost.pool_s * fired.runs, cost.batch_s * fired.runs
    jobs = f", {wording.duration(batch)} of jobs" if batch else ""
    return f"about {wording.duration(pool)} of workers{jobs}"


def _samples(fired: Fired) -> None:
    if fired.is_now and (fired.added or fired.removed):
        _sample("+", fired.first_added, fired.added)
        _sample("-", fired.first_removed, fired.removed)
    else:
        _sample(" ", fired.first, fired.runs)
    if fired.refused:
        note(f"{bare(fired.trigger)}: {fired.refused:,} outputs of its own are left out")
    if fired.loops:
        note(f"{bare(fired.trigger)}: {fired.loops:,} events of a ring of triggers would be dead letters")


def _sample(sign: str, subjects: list[str], count: int) -> None:
    for subject in subjects[:SHOWN]:
        say(f"{sign} {wording.path(subject)}")
    if count > SHOWN:
        say(f"{sign} … and {count - SHOWN:,} more")
