"""``penstock functions``: what is deployed."""

from __future__ import annotations

from typing import Any

import rich_click

from penstock.cli import wording
from penstock.cli.lookup import bare, one
from penstock.cli.nouns import Noun
from penstock.cli.screen import Cell, Column, Row, card, lines, note, show, state, table
from penstock.cli.session import Session, as_json, session

JSON = dict[str, Any]
COLUMNS = (
    Column("NAME", lambda each: bare(each["name"]), middle=True),
    Column("VERSION", lambda each: str(each["version"])),
    Column("KIND", lambda each: each["what"]),
    Column("DEPLOYED", lambda each: wording.moment(each["deployed"])),
    Column("STARTED BY", lambda each: _starts(each), middle=True),
    Column("SUMMARY", lambda each: each["summary"], fold=True),
)
STEPS = (
    Column("STEP", lambda step: step["name"]),
    Column("FUNCTION", lambda step: bare(step["function"]), middle=True),
    Column("AFTER", lambda step: ", ".join(step["after"])),
    Column("FOR EACH", lambda step: step["each"]),
    Column("WHEN", lambda step: step["when"], fold=True),
    Column("BATCH", lambda step: step["batch"]),
)


@rich_click.group(cls=Noun)
def functions() -> None:
    """Deployed functions and workflows."""


@functions.command("list")
@as_json
@session
def list_(the: Session, as_json: bool) -> None:
    """List functions and workflows, each at its newest version.

    A function that no workflow uses is a workflow of one step; it is listed once, as a function.
    """
    show(_all(the), COLUMNS, f"nothing is deployed; `{the.command('deploy FILE')}` does it", as_json=as_json)


def _all(the: Session) -> list[JSON]:
    made = [{"what": "function", **each} for each in the.client.functions()]
    names = {each["name"] for each in made}
    workflows = the.client.workflows()
    alone = {each["name"] for each in workflows}
    for each in made:
        each["step"] = each["name"] not in alone
    made += [{"what": "workflow", **each} for each in workflows if each["name"] not in names]
    return sorted(made, key=lambda each: str(each["name"]))


def _starts(each: Row) -> Cell:
    if each["undeployed"]:
        return state("undeployed")
    by = ", ".join(map(bare, each["triggers"]))
    return by or ("a workflow, as a step" if each.get("step") else "hand only")


@functions.command("show")
@rich_click.argument("name")
@as_json
@session
def show_(the: Session, name: str, as_json: bool) -> None:
    """Show a function or workflow with its limits or steps, and its versions.

    NAME may have a version: `scan@2`; else the newest is shown.
    """
    plain, _, version = name.partition("@")
    newest = {each["name"]: each for each in _all(the)}
    full = one("function or workflow", plain, newest, "penstock functions")
    what = newest[full]["what"]
    versions = the.client.functions(full) if what == "function" else the.client.workflows(full)
    versions = [{"what": what, **each} for each in versions]
    if version:
        known = [str(each["version"]) for each in versions]
        chosen = versions[known.index(one("version", version, known, f"penstock functions show {plain}"))]
    else:
        chosen = versions[-1]
    if as_json:
        lines([chosen])
    else:
        _tell(chosen, versions)


def _tell(each: JSON, versions: list[JSON]) -> None:
    fields: list[tuple[str, str]] = [
        (each["what"], f"{bare(each['name'])}, version {each['version']}"),
        ("summary", each["summary"]),
        ("deployed", wording.moment(each["deployed"])),
    ]
    if each["what"] == "function":
        fields += [
            ("runs", each["entry"] or " ".join(each["command"])),
            ("outputs", each["outputs"]),
            ("calls at once", str(each["concurrency"] or "64 in workers, jobs without limit")),
            *((name.replace("_", " "), _limit(name, value)) for name, value in each["limits"].items()),
        ]
    card(fields)
    if each["what"] == "workflow":
        table(each["steps"], STEPS, "no steps")
    note(f"versions: {', '.join(str(other['version']) for other in versions)}")


def _limit(name: str, value: Any) -> str:
    if name in ("memory", "log", "disk"):
        return wording.size(value)
    if name.endswith("_s"):
        return wording.duration(value)
    return {True: "allowed", False: "not allowed"}.get(value, str(value)) if name == "network" else str(value)
