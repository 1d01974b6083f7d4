"""``penstock dead-letters``: what could not be processed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import rich_click

from penstock.cli import wording
from penstock.cli.letter_choice import (
    DROP,
    REPLAY,
    Action,
    absolute,
    choosing,
    chosen_letters,
    each_letter,
)
from penstock.cli.lookup import letter_id
from penstock.cli.nouns import Noun
from penstock.cli.screen import Column, card, lines, note, say, show, state
from penstock.cli.session import Session, any_path, as_json, dry_run, session
from penstock.core.errors import Invalid, Refused

JSON = dict[str, Any]
COLUMNS = (
    Column("STATE", lambda letter: state(letter["state"])),
    Column("ID", lambda letter: wording.short(letter["id"])),
    Column("KIND", lambda letter: letter["kind"]),
    Column("WHEN", lambda letter: wording.moment(letter["at"])),
    Column("ABOUT", lambda letter: wording.path(letter["subject"]), middle=True),
    Column("REASON", lambda letter: wording.headline(letter["reason"]), fold=True),
)


@rich_click.group(cls=Noun)
def letters() -> None:
    """What could not be processed: look, repair, replay.

    ID may be the beginning of one.
    """


@letters.command("list")
@choosing
@rich_click.option("--all", "everything", is_flag=True, help="Also those that are closed.")
@rich_click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most letters.")
@as_json
@session
def list_(the: Session, everything: bool, limit: int, as_json: bool, **choice: str | None) -> None:
    """List dead letters, newest first."""
    found = the.client.dead_letters(limit + 1, state="" if everything else "open", **absolute(choice))
    show(found, COLUMNS, "there are no such dead letters", as_json=as_json, limit=limit)


@letters.command("show")
@rich_click.argument("id_", metavar="ID")
@as_json
@session
def show_(the: Session, id_: str, as_json: bool) -> None:
    """Show a dead letter with its reason and what it holds."""
    found = the.client.dead_letter(letter_id(the.client, id_))
    if as_json:
        lines([found])
        return
    letter = found["letter"]
    card(
        [
            ("dead letter", letter["id"]),
            ("state", state(letter["state"])),
            ("kind", letter["kind"]),
            ("when", wording.moment(letter["at"])),
            ("about", wording.path(letter["subject"])),
            ("run", letter["run"]),
            ("reason", letter["reason"]),
        ]
    )
    event = found["event"]
    say(json.dumps(event, indent=2, ensure_ascii=False) if event is not None else found["text"])
    if letter["state"] == "open":
        short = wording.short(letter["id"])
        note(f"try again: {the.command(f'dead-letters replay {short}')}   (--edit changes its event first)")


@letters.command("replay")
@rich_click.argument("ids", metavar="[ID...]", nargs=-1)
@choosing
@rich_click.option("--all", "everything", is_flag=True, help="Every open one.")
@rich_click.option("--edit", is_flag=True, help="Change its event in your editor ($EDITOR) first.")
@rich_click.option(
    "--event", "file", type=any_path, metavar="FILE", help="Use the event in this file instead."
)
@dry_run
@as_json
@session
def replay(
    the: Session,
    ids: tuple[str, ...],
    everything: bool,
    edit: bool,
    file: Path | None,
    dry_run: bool,
    as_json: bool,
    **choice: str | None,
) -> int:
    """Try again what dead letters hold: their runs go on at what failed.

    Name them, or choose among the open ones by `--all`, `--subject`, `--kind` and `--reason`.
    """
    chosen = chosen_letters(the, ids, choice, everything=everything)
    if not edit and file is None:
        return each_letter(the, chosen, REPLAY, dry_run=dry_run, as_json=as_json)
    if len(chosen) != 1:
        raise Invalid(f"an event is for one dead letter, and {len(chosen)} are chosen; name one")
    full = chosen[0]["id"]
    event = _given(the, full, edit=edit, file=file)
    replaying = Action("replayed", lambda client, id_: client.replay_letter(id_, event))
    code = each_letter(the, chosen, replaying, dry_run=dry_run, as_json=as_json)
    if dry_run:
        lines([event])
    return code


def _given(the: Session, letter: str, *, edit: bool, file: Path | None) -> JSON:
    if file is not None:
        return _event(file.read_text(encoding="utf-8"), str(file))
    assert edit
    found = the.client.dead_letter(letter)
    before = json.dumps(found["event"], indent=2, ensure_ascii=False) if found["event"] else found["text"]
    after = click.edit(before, extension=".json")
    if after is None:
        raise Refused("nothing was changed, so nothing was replayed; without --edit it is replayed as it is")
    return _event(after, "what you wrote")


def _event(text: str, place: str) -> JSON:
    try:
        event = json.loads(text)
    except ValueError as error:
        raise Invalid(f"{place} is no JSON: {error}; nothing was replayed") from error
    if not isinstance(event, dict):
        raise Invalid(f"{place} is no CloudEvent: a JSON object was expected; nothing was replayed")
    return event


@letters.command("drop")
@rich_click.argument("ids", metavar="[ID...]", nargs=-1)
@choosing
@rich_click.option("--all", "everything", is_flag=True, help="Every open one.")
@dry_run
@as_json
@session
def drop(
    the: Session,
    ids: tuple[str, ...],
    everything: bool,
    dry_run: bool,
    as_json: bool,
    **choice: str | None,
) -> int:
    """Close dead letters without another try; they stay to be seen with `list --all`.

    Name them, or choose among the open ones by `--all`, `--subject`, `--kind` and `--reason`.
    """
    chosen = chosen_letters(the, ids, choice, everything=everything)
    return each_letter(the, chosen, DROP, dry_run=dry_run, as_json=as_json)
