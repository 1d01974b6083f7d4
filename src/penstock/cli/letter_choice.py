"""Which dead letters are meant, and doing the same to each of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rich_click

from penstock.cli import wording
from penstock.cli.failure import interruptible
from penstock.cli.lookup import letter_id
from penstock.cli.screen import lines, note, say
from penstock.cli.session import Session
from penstock.client import Client
from penstock.core.errors import ConnectionLost, Failed, Invalid, PenstockError

JSON = dict[str, Any]
CHOSEN_MAX = 10_000
"""Most letters that one command acts on."""
TOLD = 20
"""Letters that are told of one by one; of more only the number."""
KINDS = ("notice", "event", "step", "loop")


@dataclass(frozen=True)
class Action:
    """What is done to a letter.

    Attributes:
        done: In a word: what the letter is then.
        act: Does it to the letter with this id; returns what came of it.
    """

    done: str
    act: Callable[[Client, str], Any]


REPLAY = Action("replayed", lambda client, id_: client.replay_letter(id_))
DROP = Action("dropped", lambda client, id_: client.drop_letter(id_))


def choosing(function: Any) -> Any:
    """Add the options that choose dead letters."""
    for option in (
        rich_click.option(
            "--reason", metavar="TEXT", help="Those with this in their reason; case does not count."
        ),
        rich_click.option("--kind", type=rich_click.Choice(KINDS), help="Those of this kind."),
        rich_click.option(
            "--subject", metavar="GLOB", help="Those about such a file, such as 'raw/**/*.h5'."
        ),
    ):
        function = option(function)
    return function


def absolute(choice: Mapping[str, str | None]) -> dict[str, str]:
    """Return what was chosen by; a relative path that begins with a dot is made absolute."""
    found = {name: value for name, value in choice.items() if value}
    if found.get("subject", "").startswith(("./", "../")):
        found["subject"] = os.path.abspath(found["subject"])
    return found


def chosen_letters(
    the: Session, ids: Sequence[str], choice: Mapping[str, str | None], *, everything: bool
) -> list[JSON]:
    """Return the letters that are named, or the open ones that fit.

    Raises:
        Invalid: Both or neither was said, or too many fit.
    """
    by = absolute(choice)
    if bool(ids) == (everything or bool(by)):
        raise Invalid(
            "name dead letters, or choose them with --all, --subject, --kind or --reason"
            + ("; not both" if ids else "")
        )
    if ids:
        return [{"id": letter_id(the.client, each)} for each in dict.fromkeys(ids)]
    found = the.client.dead_letters(CHOSEN_MAX + 1, state="open", **by)
    if len(found) > CHOSEN_MAX:
        raise Invalid(
            f"more than {CHOSEN_MAX} dead letters fit; choose fewer at once, for example by --subject"
        )
    return found


def each_letter(
    the: Session, letters: Sequence[JSON], action: Action, *, dry_run: bool, as_json: bool
) -> int:
    """Do something to each letter, tell of it, and return the exit code.

    One that cannot be treated does not keep the others from it. Ctrl-C ends it between two.
    """
    failed = 0
    with interruptible("interrupted; the others stay open"):
        for place, letter in enumerate(letters):
            problem, answer = "", None
            try:
                answer = None if dry_run else action.act(the.client, letter["id"])
            except ConnectionLost:
                raise
            except PenstockError as error:
                if len(letters) == 1:
                    raise
                problem = str(error)
                failed += 1
            _tell(the, letter, action, answer, problem, dry_run=dry_run, as_json=as_json, shown=place < TOLD)
    if not as_json and len(letters) != 1:
        count = len(letters) - failed
        word = "letter" if count == 1 else "letters"
        verb = "would be" if dry_run else "is" if count == 1 else "are"
        say(f"{count} dead {word} {verb} {action.done}" + (f", {failed} could not be" if failed else ""))
    return Failed.exit_code if failed else 0


def _tell(
    the: Session,
    letter: JSON,
    action: Action,
    answer: Any,
    problem: str,
    *,
    dry_run: bool,
    as_json: bool,
    shown: bool,
) -> None:
    short = wording.short(letter["id"])
    run = answer.get("run") if isinstance(answer, dict) else None
    if problem:
        note(f"dead letter {short} stays open: {problem}")
    if as_json:
        # A replayed letter's answer tells of its run; the id is the letter's.
        lines([{**(answer or {}), "id": letter["id"]} | ({"error": problem} if problem else {})])
    elif shown and not problem:
        about = f"  {wording.path(letter['subject'])}" if letter.get("subject") else ""
        begun = f": run {wording.short(run)} begins" if run else ""
        say(f"dead letter {short} {'would be' if dry_run else 'is'} {action.done}{begun}{about}")
        if run and not about:
            note(f"look: {the.command(f'runs show {wording.short(run)}')}")
