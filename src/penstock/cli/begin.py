"""``penstock init``: everything a newcomer needs to try a function of their own."""

from __future__ import annotations

import os
import re
from pathlib import Path

import rich_click

from penstock.cli.screen import note, say
from penstock.cli.session import Session, any_path, dry_run, session
from penstock.core.errors import Conflict, Invalid
from penstock.server.settings import StorageSettings, load, write_storage
from penstock.sources.filesystems import FileSystems

FUNCTION = '''\
"""A first function. Try it:     penstock test {file} --file {sample}
Deploy it:                      penstock deploy {file}
Then copy a text file into {folder}, and look there for the folder "derived".
"""

# Packages that the function needs stand here; they are installed at deploy time, for it alone:
# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///

import json

from penstock import function


# It starts for each new or rewritten file whose name fits. Further options: outputs, timeout_s,
# memory, retry ... all of them are in docs/reference/definitions.md.
@function(on="*.txt", timeout_s=60)
def summarise(call):
    """Count the words of a text file."""
    text = call.open("r", errors="replace").read()
    print("read", call.input.name)  # `penstock logs` shows what a function prints
    found = {{"lines": len(text.splitlines()), "words": len(text.split())}}

    # Written to a folder of this call's own; published, whole and at once, when the function has returned.
    call.output("json").write_text(json.dumps(found))

    # The answer: seen by later steps, and by `penstock runs show`.
    return found
'''
SAMPLE = "Storage events in, science out.\n"


@rich_click.command()
@rich_click.argument("directory", metavar="[DIR]", default=".", type=any_path)
@rich_click.option(
    "--storage", metavar="DIR", type=any_path, help="Folder to watch; made if absent. Default: DIR/data."
)
@rich_click.option("--name", metavar="NAME", help="The storage's name; default: like its folder.")
@dry_run
@session
def init(the: Session, directory: Path, storage: Path | None, name: str | None, dry_run: bool) -> None:
    """Make a folder to work in: a function, an input and a watched folder.

    What is there already stays as it is. The settings file gets an entry for the watched folder.
    """
    work, watched = directory.absolute(), (storage or directory / "data").absolute()
    for each in (work, watched):
        if each.exists() and not each.is_dir():
            raise Invalid(f"{each} is a file; a folder was expected")
    _check_file_system(watched)
    entry = _entry(the, watched, name)
    if dry_run:
        say(f"would make {work}/function.py, {work}/sample.txt and the folder {watched}")
        if entry is not None:
            say(f"would add storage {entry.name!r} to {the.places.config}")
        return
    for each in (work, watched):
        each.mkdir(parents=True, exist_ok=True)
    _write(work / "function.py", FUNCTION.format(file="function.py", sample="sample.txt", folder=watched))
    _write(work / "sample.txt", SAMPLE)
    if entry is not None:
        write_storage(the.places.config, entry)
        say(f"settings   {the.places.config}")
    say(f"watched    {watched}")
    say(f"function   {work / 'function.py'}")
    say(f"input      {work / 'sample.txt'}")
    _next(the, work, watched)


def _check_file_system(watched: Path) -> None:
    """Refuse a folder on a file system that does not tell of all writes, before anything is made."""
    present = next(each for each in (watched, *watched.parents) if each.exists())
    FileSystems().check(os.path.realpath(os.fsencode(present)), lambda _path: False)


def _entry(the: Session, watched: Path, name: str | None) -> StorageSettings | None:
    """Return what to add to the settings; None if the folder is watched already."""
    known = {storage.name: storage for storage in load(the.places.config).storages}
    for storage in known.values():
        other = Path(os.path.realpath(storage.folder))
        mine = Path(os.path.realpath(watched))
        if other == mine:
            note(f"{watched} is storage {storage.name!r} already")
            return None
        if mine in other.parents or other in mine.parents:
            raise Conflict(
                f"{watched} overlaps with storage {storage.name!r} ({storage.folder}), so that its files "
                "would count twice; choose another folder, or take that storage out of "
                f"{the.places.config}"
            )
    if name is not None and name in known:
        raise Conflict(f"there is a storage {name!r} already ({known[name].folder}); choose another --name")
    return StorageSettings(name=name or _free_name(watched, known), folder=str(watched))


def _free_name(watched: Path, known: object) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", watched.name.lower()).strip("-")[:50] or "data"
    names = (plain if count == 1 else f"{plain}-{count}" for count in range(1, 1000))
    return next(name for name in names if name not in known)  # type: ignore[operator]


def _write(path: Path, text: str) -> None:
    if path.exists():
        note(f"{path} is there already and stays as it is")
        return
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def _next(the: Session, work: Path, watched: Path) -> None:
    here = "" if work == Path.cwd() else f"cd {work}\n  "
    note(
        "\nNext:\n"
        f"  {here}{the.command('test function.py --file sample.txt')}     try it, without a server\n"
        f"  {the.command('serve --detach')}                        watch the folder\n"
        f"  {the.command('deploy function.py')}\n"
        f"  cp sample.txt {watched}/\n"
        f"  {the.command('runs')}                                  see it ran"
    )
    if the.client.is_running():
        note(
            "\nPenstock is running; it takes in a new storage when it starts again: "
            f"{the.command('stop')}; {the.command('serve --detach')}"
        )
