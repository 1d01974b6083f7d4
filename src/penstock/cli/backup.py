"""``penstock backup`` and ``penstock restore``."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import rich_click

from penstock.cli import wording
from penstock.cli.lock import held
from penstock.cli.screen import lines, note, say
from penstock.cli.session import Session, any_path, as_json, dry_run, session
from penstock.core.errors import Invalid

STATE, LOG = "state.db", Path("log") / "0"
REPLACED = "replaced"


@rich_click.command()
@rich_click.argument("directory", metavar="DIR", type=any_path)
@as_json
@session
def backup(the: Session, directory: Path, as_json: bool) -> None:
    """Copy the log and the state into a new folder.

    It is consistent and may be made at any time, while everything runs. Deployed code and environments
    are not in it: they lie in the data folder, and can be made again by `penstock deploy`.
    """
    the.client.status()
    # Made here, so that it is ours to say what is wrong with the place.
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = the.client.backup(directory)
    if as_json:
        lines([made])
    else:
        say(f"{made['folder']}: {made['records']} events, {wording.size(_size(directory))}")
        note(f"take it back: {the.command('stop')}; {the.command(f'restore {directory}')}")


def _size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


@rich_click.command()
@rich_click.argument("directory", metavar="DIR", type=any_path)
@dry_run
@session
def restore(the: Session, directory: Path, dry_run: bool) -> None:
    """Take log and state back; Penstock must be stopped.

    What was there before is kept in a folder beside it, and named.
    """
    _check(directory)
    target = the.places.state
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    with held(the.places):
        aside = target / f"{REPLACED}-{time.strftime('%Y%m%dT%H%M%S')}"
        present = [each for each in (target / STATE, target / "log") if each.exists()]
        if dry_run:
            say(f"would take {wording.size(_size(directory))} from {directory} to {target}")
            if present:
                say(f"would move {', '.join(str(each) for each in present)} to {aside}")
            return
        fresh = _copied(directory, target)
        if present:
            _move_aside(target, aside)
        for name in (STATE, "log"):
            os.rename(fresh / name, target / name)
        fresh.rmdir()
    say(f"restored {directory} to {target}")
    if present:
        note(f"what was there before is in {aside}; remove it when all is well")


def _check(directory: Path) -> None:
    missing = [str(name) for name in (STATE, LOG) if not (directory / name).exists()]
    if missing:
        raise Invalid(f"{directory} is no backup of Penstock: {', '.join(missing)} is not in it")
    try:
        with closing(sqlite3.connect(f"file:{directory / STATE}?mode=ro&immutable=1", uri=True)) as state:
            (answer,) = state.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error as error:
        raise Invalid(f"{directory / STATE} is damaged: {error}; use another backup") from error
    if answer != "ok":
        raise Invalid(f"{directory / STATE} is damaged: {answer}; use another backup")


def _copied(directory: Path, target: Path) -> Path:
    """Return a copy beside the place where it will be, so that the last moves are renames."""
    fresh = target / f".restoring-{os.getpid()}"
    try:
        shutil.copytree(directory / "log", fresh / "log")
        shutil.copyfile(directory / STATE, fresh / STATE)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return fresh


def _move_aside(target: Path, aside: Path) -> None:
    aside.mkdir(mode=0o700)
    for name in (STATE, f"{STATE}-wal", f"{STATE}-shm", "log"):
        if (target / name).exists():
            os.rename(target / name, aside / name)
