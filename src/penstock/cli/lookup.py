"""Names and ids as people give them: a unique beginning is enough, misspellings get a guess."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from penstock.client import Client
from penstock.core.errors import Invalid, NotFound

ID_CHARS = 24
"""Of a whole id."""
RECENT = 1000
"""Newest runs and letters that a beginning is compared with."""
LAST = "last"
LISTED = 5


def one(what: str, given: str, known: Iterable[str], hint: str) -> str:
    """Return the one of ``known`` that ``given`` means: itself, or the only one that begins like it.

    Names may be given without their namespace.

    Args:
        what: Kind of thing, for messages.
        given: By a person.
        known: All there are.
        hint: The command that lists them.

    Raises:
        NotFound: There is none; close ones are named.
        Invalid: There are several.
    """
    names = list(dict.fromkeys(known))
    if given in names:
        return given
    short = {name: name.rsplit("/", 1)[-1] for name in names}
    for fits in (
        [name for name in names if short[name] == given],
        [name for name in names if given and (name.startswith(given) or short[name].startswith(given))],
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            some = ", ".join(fits[:LISTED]) + (" …" if len(fits) > LISTED else "")
            raise Invalid(f"several {what}s begin with {given!r}: {some}; give more of it")
    close = get_close_matches(given, [*short.values()], 1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    raise NotFound(f"there is no {what} {given!r}{guess} (`{hint}` lists them)")


def run_id(client: Client, given: str) -> str:
    """Return the id of a run from a beginning of it, or from ``last``."""
    if given == LAST:
        newest = client.runs(1)
        if not newest:
            raise NotFound(
                "there are no runs yet; copy a file into the storage folder, or `penstock runs start`"
            )
        return str(newest[0]["id"])
    if len(given) >= ID_CHARS:
        return given
    return one("run", given, (run["id"] for run in client.runs(RECENT)), "penstock runs")


def letter_id(client: Client, given: str) -> str:
    """Return the id of a dead letter from a beginning of it."""
    if len(given) >= ID_CHARS:
        return given
    known = (letter["id"] for letter in client.dead_letters(RECENT))
    return one("dead letter", given, known, "penstock dead-letters --all")


def trigger_name(client: Client, given: str) -> str:
    """Return the name of a trigger from its name without namespace, its id or a beginning."""
    triggers = client.triggers()
    by_id: dict[str, Any] = {trigger["id"]: trigger["name"] for trigger in triggers}
    if given in by_id:
        return str(by_id[given])
    return one("trigger", given, by_id.values(), "penstock triggers")


def bare(name: str) -> str:
    """Return a name without its namespace: on one machine there is only one."""
    return name.rsplit("/", 1)[-1]
