"""``penstock events``: the log."""

from __future__ import annotations

import getpass
import json
import os
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import rich_click

from penstock.cli import wording
from penstock.cli.failure import interruptible
from penstock.cli.lookup import bare
from penstock.cli.nouns import Noun
from penstock.cli.params import JSON as JSON_OBJECT
from penstock.cli.params import MOMENT
from penstock.cli.screen import Column, card, lines, note, say, show, state
from penstock.cli.session import Session, any_path, as_json, dry_run, session
from penstock.client.asking import located
from penstock.core.errors import Invalid, NotFound
from penstock.core.event import rfc3339, subject_of

JSON = dict[str, Any]
COLUMNS = (
    Column("OFFSET", lambda entry: str(entry["offset"])),
    Column("WHEN", lambda entry: wording.moment(entry["appended"])),
    Column("TYPE", lambda entry: wording.printable(str(entry["event"]["type"])).removeprefix("penstock.")),
    Column("SIZE", lambda entry: _size(entry["event"])),
    Column("SUBJECT", lambda entry: wording.path(entry["event"].get("subject")), middle=True),
)


def _filtering(function: Any) -> Any:
    """Add the options that say which events are wanted."""
    for option in (
        rich_click.option(
            "--filter", "expression", metavar="CESQL", help="An expression, or a filter in JSON."
        ),
        rich_click.option("--file", "path", metavar="PATH", help="Only events about this file."),
        rich_click.option("--type", "kind", metavar="TYPE", help="Only this type, such as file.created."),
    ):
        function = option(function)
    return function


def _filter(kind: str | None, path: str | None, expression: str | None) -> str | None:
    """Return one filter for all the options."""
    parts: list[Any] = []
    if kind is not None:
        whole = kind if "." in kind and not kind.startswith(_OURS) else f"penstock.{kind}"
        parts.append({"prefix": {"type": whole}})
    if path is not None:
        parts.append({"exact": {"subject": subject_of(os.fsencode(located(path)))}})
    if expression is not None:
        try:
            parts.append(json.loads(expression) if expression.lstrip()[:1] in "{[" else {"sql": expression})
        except ValueError as error:
            raise Invalid(f"--filter is no JSON: {error}") from error
    return json.dumps({"all": parts}) if parts else None


_OURS = ("file.", "run.", "step.", "job.", "definition.", "trigger.", "dead-letter.")


@rich_click.group(cls=Noun)
def events() -> None:
    """The log of everything that happened."""


@events.command("list")
@_filtering
@rich_click.option("--since", type=MOMENT, metavar="WHEN", help="From then on: 10min, 2h, or a time.")
@rich_click.option("--until", type=MOMENT, metavar="WHEN", help="Before then.")
@rich_click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most events.")
@as_json
@session
def list_(
    the: Session,
    kind: str | None,
    path: str | None,
    expression: str | None,
    since: int | None,
    until: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List events, newest first."""
    found = the.client.events(
        limit + 1, since=_time(since), until=_time(until), filter=_filter(kind, path, expression)
    )
    show(found, COLUMNS, "there are no such events", as_json=as_json, limit=limit)


def _time(posix_ns: int | None) -> str | None:
    return None if posix_ns is None else rfc3339(posix_ns / 1e9)


@events.command("tail")
@_filtering
@rich_click.option("--since", type=MOMENT, metavar="WHEN", help="Begin with what came since; default: now.")
@as_json
@session
def tail(
    the: Session, kind: str | None, path: str | None, expression: str | None, since: int | None, as_json: bool
) -> None:
    """Print events as they happen, until Ctrl-C."""
    the.client.status()
    note("waiting for events; Ctrl-C ends it")
    with interruptible("stopped looking; Penstock goes on"):
        for entry in the.client.follow(since=_time(since), filter=_filter(kind, path, expression)):
            if as_json:
                lines([entry])
            else:
                cells = [str(column.cell(entry)) for column in COLUMNS]
                say(f"{cells[0]:>8}  {cells[1]}  {cells[2]:<20}  {cells[3]:>9}  {cells[4]}")


def _size(event: JSON) -> str:
    data = event.get("data")
    return wording.size(data["size"]) if isinstance(data, dict) and isinstance(data.get("size"), int) else ""


@events.command("show")
@rich_click.argument("offset", type=int)
@as_json
@session
def show_(the: Session, offset: int, as_json: bool) -> None:
    """Show one event, and what was decided for it."""
    found = the.client.event(offset)
    if as_json:
        lines([found])
        return
    card([("offset", str(offset)), ("appended", wording.moment(found["appended"]))])
    say(json.dumps(found["event"], indent=2, ensure_ascii=False))
    triggers: dict[str, str] = {each["id"]: each["name"] for each in the.client.triggers()}
    decisions = Column("DECISION", lambda each: state(each["outcome"]))
    columns = (
        decisions,
        Column("TRIGGER", lambda each: bare(triggers.get(each["trigger"]) or each["trigger"])),
        Column("RUN", lambda each: wording.short(each["run"])),
        Column("REASON", lambda each: each["reason"], fold=True),
    )
    show(found["decisions"], columns, "no trigger wanted it", as_json=False)


@events.command("send")
@rich_click.argument("file", required=False, type=any_path)
@rich_click.option("--type", "kind", metavar="TYPE", help="Instead of FILE: an event of this type.")
@rich_click.option("--source", metavar="URI", help="Where it comes from; default: /users/NAME.")
@rich_click.option("--subject", metavar="TEXT", help="What it is about.")
@rich_click.option(
    "--id", "event_id", metavar="ID", help="Default: a new one. An id that is known is not taken twice."
)
@rich_click.option("--data", type=JSON_OBJECT, metavar="JSON", help="A JSON object, or @FILE.")
@dry_run
@as_json
@session
def send(
    the: Session,
    file: Path | None,
    kind: str | None,
    source: str | None,
    subject: str | None,
    event_id: str | None,
    data: JSON | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send CloudEvents in, from a file or made of options.

    FILE holds one CloudEvent in JSON, a list of them, or one on each line; `-` is standard input.
    """
    if (file is None) == (kind is None):
        raise Invalid("give either a FILE of events, or --type (with --subject, --data …)")
    if kind is not None:
        made = {
            "specversion": "1.0",
            "id": event_id or uuid.uuid4().hex,
            "source": source or f"/users/{getpass.getuser()}",
            "type": kind,
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "subject": subject,
            "data": data,
        }
        batch = [{name: value for name, value in made.items() if value is not None}]
    else:
        assert file is not None
        batch = _read(file)
    if dry_run:
        lines(batch)
        return
    taken = the.client.send(batch)
    if as_json:
        lines(taken)
    else:
        for each in taken:
            say(f"{each['id']}  {'taken in' if each['new'] else 'known already'}")


def _read(file: Path) -> list[JSON]:
    if str(file) == "-":
        text = sys.stdin.read()
    elif file.exists():
        text = file.read_text(encoding="utf-8")
    else:
        raise NotFound(f"{file}: no such file; expected CloudEvents in JSON")
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise Invalid(f"{file} is neither JSON nor JSON lines: {error}") from error
    return found if isinstance(found, list) else [found]
