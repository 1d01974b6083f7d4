"""``penstock runs``: what ran, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import rich_click

from penstock.cli import wording
from penstock.cli.failure import interruptible
from penstock.cli.given import event_of
from penstock.cli.lookup import bare, one, run_id
from penstock.cli.nouns import Noun
from penstock.cli.params import JSON
from penstock.cli.run_tree import tell
from penstock.cli.screen import Column, lines, note, say, show, state
from penstock.cli.session import Session, as_json, dry_run, existing_file, session
from penstock.client.asking import located
from penstock.core.errors import Failed, Invalid

PHASES = ("waiting", "running", "succeeded", "failed", "cancelled")
COLUMNS = (
    Column("STATE", lambda run: state(run["phase"])),
    Column("RUN", lambda run: wording.short(run["id"])),
    Column("WORKFLOW", lambda run: bare(run["workflow"]), middle=True),
    Column("STARTED", lambda run: wording.moment(run["started"])),
    Column("TOOK", lambda run: wording.span(run["started"], run["ended"])),
    Column("FILE", lambda run: wording.printable(run["path"]), middle=True),
    Column("ERROR", lambda run: wording.headline(run["error"]), fold=True),
)


@rich_click.group(cls=Noun)
def runs() -> None:
    """Runs of workflows, with their steps.

    RUN is an id, a beginning of it that only one has, or `last`.
    """


@runs.command("list")
@rich_click.option("--state", "phase", type=click.Choice(PHASES), help="Only runs in this state.")
@rich_click.option("--workflow", metavar="NAME", help="Only runs of this workflow.")
@rich_click.option("--file", "path", metavar="PATH", help="Only runs on this file.")
@rich_click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most runs.")
@as_json
@session
def list_(
    the: Session, phase: str | None, workflow: str | None, path: str | None, limit: int, as_json: bool
) -> None:
    """List runs, newest first."""
    if workflow is not None:
        plain, at, version = workflow.partition("@")
        known = (each["name"] for each in the.client.workflows())
        workflow = one("workflow", plain, known, "penstock functions") + at + version
    found = the.client.runs(limit + 1, state=phase, workflow=workflow, path=located(path) if path else None)
    show(found, COLUMNS, "there are no such runs", as_json=as_json, limit=limit)


@runs.command("show")
@rich_click.argument("run")
@as_json
@session
def show_(the: Session, run: str, as_json: bool) -> None:
    """Show a run with its steps, tries, answers and outputs."""
    whole = the.client.run(run_id(the.client, run))
    if as_json:
        lines([whole])
    else:
        tell(whole)


@runs.command("start")
@rich_click.argument("workflow")
@rich_click.option("--file", "given", type=existing_file, metavar="PATH", help="The file that it works on.")
@rich_click.option("--params", type=JSON, metavar="JSON", help="What functions get as `params`; or @FILE.")
@rich_click.option("--wait", is_flag=True, help="Wait until it has ended; exit code 1 if it failed.")
@as_json
@session
def start(
    the: Session, workflow: str, given: Path | None, params: dict[str, Any] | None, wait: bool, as_json: bool
) -> int:
    """Start a run by hand."""
    plain, at, version = workflow.partition("@")
    full = one("workflow", plain, (each["name"] for each in the.client.workflows()), "penstock functions")
    run = the.client.start(full + at + version, event=event_of(the, given) if given else None, params=params)
    return _begun(the, run, wait=wait, as_json=as_json)


def _begun(the: Session, run: str, *, wait: bool, as_json: bool) -> int:
    if wait:
        with interruptible(f"stopped waiting; run {wording.short(run)} goes on"):
            whole = the.client.wait(run)
        if as_json:
            lines([whole])
        else:
            tell(whole)
        return 0 if whole["run"]["phase"] == "succeeded" else Failed.exit_code
    if as_json:
        lines([{"run": run}])
    else:
        say(f"run {wording.short(run)} begins")
        note(f"look: {the.command(f'runs show {wording.short(run)}')}")
    return 0


@runs.command("rerun")
@rich_click.argument("run")
@rich_click.option(
    "--from",
    "step",
    metavar="STEP",
    default="",
    help="Begin at this step (`runs show` lists them); default: at what failed.",
)
@rich_click.option("--whole", is_flag=True, help="Everything again, with the trigger's current version.")
@rich_click.option("--wait", is_flag=True, help="Wait until it has ended; exit code 1 if it failed.")
@dry_run
@as_json
@session
def rerun(the: Session, run: str, step: str, whole: bool, wait: bool, dry_run: bool, as_json: bool) -> int:
    """Run a run again: from what failed, from a step, or as a whole.

    Steps that succeeded before keep their answers, unless they come after where it begins. A run that
    succeeded has no such place by itself: say `--from STEP` or `--whole`.
    """
    if step and whole:
        raise Invalid("--from begins at a step, --whole runs all of them again; give one of the two")
    full = run_id(the.client, run)
    if dry_run or step:
        steps = [each["name"] for each in the.client.run(full)["steps"]]
        step = one("step", step, steps, f"penstock runs show {run}") if step else ""
    if dry_run:
        where = "as a whole" if whole else f"from step {step}" if step else "from what failed"
        say(f"run {wording.short(full)} would be run again {where}")
        return 0
    return _begun(the, the.client.rerun(full, from_step=step, whole=whole), wait=wait, as_json=as_json)


@runs.command("cancel")
@rich_click.argument("run")
@rich_click.option("--reason", default="", metavar="TEXT", help="Kept with the run.")
@dry_run
@as_json
@session
def cancel(the: Session, run: str, reason: str, dry_run: bool, as_json: bool) -> None:
    """Stop what a run is doing, and end it."""
    full = run_id(the.client, run)
    if dry_run:
        say(f"run {wording.short(full)} would be cancelled")
        return
    the.client.cancel(full, reason)
    if as_json:
        lines([{"run": full}])
    else:
        say(f"run {wording.short(full)} is being cancelled")
