"""``penstock triggers``: what starts what."""

from __future__ import annotations

import json
from typing import Any

import rich_click

from penstock.cli import wording
from penstock.cli.lookup import bare, one, trigger_name
from penstock.cli.nouns import Noun
from penstock.cli.screen import Column, lines, note, say, show, state
from penstock.cli.session import Session, as_json, dry_run, session
from penstock.core.errors import Conflict

JSON = dict[str, Any]
COLUMNS = (
    Column("STATE", lambda each: state("paused" if each["paused"] else "active")),
    Column("NAME", lambda each: bare(each["name"]), middle=True),
    Column("STARTS", lambda each: bare(each["workflow"]), middle=True),
    Column("ON", lambda each: _filter(each["filter"]), middle=True),
    Column("DEPLOYED", lambda each: wording.moment(each["deployed"])),
)


@rich_click.group(cls=Noun)
def triggers() -> None:
    """What starts what: pause, resume, roll back."""


@triggers.command("list")
@as_json
@session
def list_(the: Session, as_json: bool) -> None:
    """List triggers."""
    empty = f"there are no triggers; `{the.command('deploy FILE')}` of a function with `on=` makes one"
    show(the.client.triggers(), COLUMNS, empty, as_json=as_json)


def _filter(filter_: Any) -> str:
    """Return a filter in short: that of a plain glob as the glob."""
    match filter_:
        case {"all": [{"any": _}, {"glob": {"path": str(pattern)}}]}:
            return pattern
        case {"all": [{"any": [{"exact": _}, *_]}, {"any": [{"glob": {"path": str()}}, *_] as globs}]}:
            return ", ".join(str(each["glob"]["path"]) for each in globs)
        case _:
            return json.dumps(filter_, ensure_ascii=False)


@triggers.command("pause")
@rich_click.argument("name")
@dry_run
@as_json
@session
def pause(the: Session, name: str, dry_run: bool, as_json: bool) -> None:
    """Let a trigger start nothing until it is resumed; it keeps its place in the log."""
    _change(the, name, paused=True, dry_run=dry_run, as_json=as_json)


@triggers.command("resume")
@rich_click.argument("name")
@rich_click.option("--skip", is_flag=True, help="Do not run what came while it was paused.")
@dry_run
@as_json
@session
def resume(the: Session, name: str, skip: bool, dry_run: bool, as_json: bool) -> None:
    """Let a paused trigger go on, with what came meanwhile or, with `--skip`, without."""
    _change(the, name, paused=False, catch_up=not skip, dry_run=dry_run, as_json=as_json)


@triggers.command("rollback")
@rich_click.argument("name")
@rich_click.option("--to", "version", type=int, metavar="VERSION", help="Default: what was deployed before.")
@dry_run
@as_json
@session
def rollback(the: Session, name: str, version: int | None, dry_run: bool, as_json: bool) -> None:
    """Let a trigger be as it was before the last deployment: what it starts, and on what.

    VERSION is one of its workflow. Files that arrive from now on are concerned; runs under way go on.
    """
    full = trigger_name(the.client, name)
    trigger = next(each for each in the.client.triggers() if each["name"] == full)
    chosen = _former(trigger, version) or _other_version(the, trigger, version)
    if dry_run:
        say(f"trigger {bare(full)} would be set to {_restored(trigger, chosen)}")
        return
    changed = the.client.change_trigger(full, workflow=chosen["workflow"], filter=chosen["filter"])
    if as_json:
        lines([changed])
    else:
        say(f"trigger {bare(full)} is set to {_restored(trigger, chosen)}")


def _former(trigger: JSON, version: int | None) -> JSON | None:
    """Return the definition that is gone back to; None if none such is remembered."""
    former: list[JSON] = trigger["former"]
    if version is not None:
        fitting = [each for each in former if each["workflow"].endswith(f"@{version}")]
        return fitting[-1] if fitting else None
    now = [each["number"] for each in former if _is_same(each, trigger)]
    before = [each for each in former if now and each["number"] < now[-1] and not _is_same(each, trigger)]
    return before[-1] if before else None


def _is_same(one: JSON, other: JSON) -> bool:
    return (one["workflow"], one["filter"]) == (other["workflow"], other["filter"])


def _other_version(the: Session, trigger: JSON, version: int | None) -> JSON:
    """Return the trigger with another version of its workflow: nobody remembers with which filter."""
    workflow, _, current = trigger["workflow"].partition("@")
    known = [int(each["version"]) for each in the.client.workflows(workflow)]
    earlier = [each for each in known if each < int(current)]
    if version is None and not earlier:
        raise Conflict(f"nothing was deployed before {bare(workflow)}@{current}")
    wanted = earlier[-1] if version is None else version
    one("version", str(wanted), map(str, known), f"penstock functions show {bare(workflow)}")
    return {"workflow": f"{workflow}@{wanted}", "filter": trigger["filter"]}


def _restored(before: JSON, chosen: JSON) -> str:
    starts = f"start {bare(chosen['workflow'])}"
    if before["workflow"] != chosen["workflow"]:
        starts += f" (before: {bare(before['workflow'])})"
    if before["filter"] == chosen["filter"]:
        return f"{starts} on {_filter(chosen['filter'])}, as before"
    return f"{starts} on {_filter(chosen['filter'])} (before: {_filter(before['filter'])})"


def _change(the: Session, name: str, *, dry_run: bool, as_json: bool, **change: Any) -> None:
    full = trigger_name(the.client, name)
    if dry_run:
        say(f"trigger {bare(full)} would be {_words(change)}")
        return
    changed = the.client.change_trigger(full, **change)
    if as_json:
        lines([changed])
    else:
        say(f"trigger {bare(full)} is {_words(change)}")
        if change.get("paused"):
            note(f"go on: {the.command(f'triggers resume {bare(full)}')}")


def _words(change: JSON) -> str:
    if change.get("paused"):
        return "paused"
    return "resumed" + (", with what came meanwhile" if change.get("catch_up") else "")
