"""``penstock reconcile`` and ``penstock coverage``: whether all that happened in a storage was told."""

from __future__ import annotations

import time
from typing import Any

import rich_click

from penstock.cli import wording
from penstock.cli.progress import Progress
from penstock.cli.screen import Column, lines, note, say, show, state, table
from penstock.cli.session import Session, as_json, dry_run, session
from penstock.core.errors import Failed, NotFound

JSON = dict[str, Any]
LOOK_S = 0.5
"""How often a person who waits is told how far it is."""
TREES = (
    Column("STATE", lambda tree: state(tree["state"])),
    Column("STORAGE", lambda tree: tree["storage"]),
    Column("TREE", lambda tree: wording.path(tree["folder"]), middle=True),
    Column("COMPLETE UP TO", lambda tree: wording.moment(tree["proven"])),
    Column("LISTED", lambda tree: f"{tree['listed']:,}"),
    Column("TOLD", lambda tree: f"{tree['created']:,}"),
    Column("GONE", lambda tree: f"{tree['deleted']:,}"),
    Column("WHY", lambda tree: wording.headline(tree["trouble"] or tree["reason"]), fold=True),
)
HEARD = (
    Column("STATE", lambda each: state("silent" if each["silent"] else "heard")),
    Column("SOURCE", lambda each: each["source"]),
    Column("DOOR", lambda each: each["door"] or "(all)"),
    Column("LAST", lambda each: wording.moment(each["last"])),
    Column("USUALLY WITHIN", lambda each: wording.duration(each["usual_s"])),
)
FOUND = (
    Column("WHAT", lambda each: each["what"]),
    Column("PATH", lambda each: wording.path(each["subject"]), middle=True),
)


@rich_click.command()
@rich_click.argument("storage")
@rich_click.argument("folder", required=False, default="")
@dry_run
@as_json
@session
def reconcile(the: Session, storage: str, folder: str, dry_run: bool, as_json: bool) -> None:
    """Compare a storage with what is known of it, and tell what was not told.

    FOLDER is a path in the storage; without it all of the storage is compared. What is found is told under
    the ids that its own notices would have had, so nothing runs twice.
    """
    with Progress() as told:
        told.step(f"listing {folder or storage}")
        answer = the.client.reconcile(storage, folder, dry_run=dry_run)
        done = answer if dry_run else _followed(the, answer, told)
    if as_json:
        lines([done])
        return
    say(f"{done['listed']:,} files listed, {done['created']:,} told, {done['deleted']:,} gone")
    if dry_run:
        table(done["found"], FOUND, "nothing would be told")


def _followed(the: Session, order: JSON, told: Progress) -> JSON:
    """Return the tree when it is proven later than it was ordered."""
    while True:
        tree = _tree(the, order)
        if tree["state"] != "open" and (tree["proven"] or "") >= order["lost"]:
            return tree
        if tree["trouble"]:
            raise Failed(f"{tree['trouble']}; it stays open, see `{the.command('coverage')}`")
        told.step(f"{tree['listed']:,} files listed")
        time.sleep(LOOK_S)


def _tree(the: Session, order: JSON) -> JSON:
    trees = the.client.coverage(order["storage"])["trees"]
    found: JSON | None = next((tree for tree in trees if tree["folder"] == order["folder"]), None)
    if found is None:
        raise NotFound(f"{order['folder']} of {order['storage']!r} is not known any more")
    return found


@rich_click.command()
@rich_click.argument("storage", required=False, default="")
@as_json
@session
def coverage(the: Session, storage: str, as_json: bool) -> None:
    """Say up to when everything in each tree was told, and who is silent.

    A source or a door is silent if nothing was heard of it for much longer than usual.
    """
    found = the.client.coverage(storage)
    if as_json:
        lines([*found["trees"], *found["heard"]])
        return
    show(found["trees"], TREES, "no storage was compared yet", as_json=False)
    if found["heard"]:
        say("")
        show(found["heard"], HEARD, "", as_json=False)
    silent = [each["door"] or each["source"] for each in found["heard"] if each["silent"]]
    if silent:
        note(f"silent for longer than usual: {', '.join(silent)}; if nothing is written there, all is well")
