"""The documentation is true: its commands run as they stand, and every command has its place."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import click
import pytest

from penstock.cli import reference
from penstock.cli.index import COMMANDS
from penstock.cli.main import penstock
from penstock.log.embedded import LogSettings
from penstock.server.settings import BatchOptions, PoolOptions, Settings, StorageSettings
from tests.journeys.console import Console

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w+)(?: title=(\S+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"`penstock ([a-z][a-z-]*)(?: ([a-z]+))?")


class Walk:
    """Does what a page tells a reader to do, and compares what it promises."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.place = console.folder

    def follow(self, page: Path) -> int:
        """Do all blocks of a page in order and return how many commands that were."""
        count = 0
        for kind, title, body in BLOCK.findall(page.read_text()):
            if kind == "console":
                for command, promised in _commands(body):
                    self._do(command, promised)
                    count += 1
            elif title:
                (self.place / title).write_text(body)
        return count

    def _do(self, command: str, promised: list[str]) -> None:
        words = shlex.split(command.partition(" #")[0])
        if words[0] == "cd":
            self.place = self.place / words[1]
            return
        if words[0] == "penstock":
            words = self.console.command(*words[1:])
        ended = subprocess.run(
            words, cwd=self.place, env=self.console.environment, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        said = [line.rstrip() for line in ended.stdout.splitlines()]
        for line in promised:
            pattern = line.replace("[", "[[]").replace("…", "*")
            assert any(fnmatchcase(each, pattern) for each in said), f"{command}: no {line!r} in {said}"


def _commands(body: str) -> Iterator[tuple[str, list[str]]]:
    parts = re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]
    for part in parts:
        command, *promised = part.splitlines()
        yield command, [line for line in promised if line.strip(" …")]


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    """Return a walk in an empty folder; Penstock is stopped behind it."""
    folder = tmp_path / "w"
    folder.mkdir()
    console = Console(folder, tmp_path / "h")
    yield Walk(console)
    subprocess.run(console.command("stop"), env=console.environment, capture_output=True, timeout=60)


@pytest.mark.slow
def test_the_tutorial_runs_as_it_stands(walk: Walk) -> None:
    assert walk.follow(DOCS / "tutorial" / "first-function.md") > 15


@pytest.mark.slow
def test_the_readmes_minute_runs_as_it_stands(walk: Walk, tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    page = tmp_path / "minute.md"
    page.write_text(text[text.index("## Your own function") : text.index("The function is plain Python")])
    # A person needs longer between ``cp`` and ``explain`` than the file needs to be worked on.
    page.write_text(
        page.read_text().replace("$ penstock explain", "$ penstock logs last --follow\n$ penstock explain")
    )
    assert walk.follow(page) == 10


@pytest.mark.slow
def test_the_readmes_function_works(tmp_path: Path) -> None:
    (body,) = [body for kind, _, body in BLOCK.findall((ROOT / "README.md").read_text()) if kind == "python"]
    (tmp_path / "f.py").write_text(body)
    (tmp_path / "in.txt").write_text("one two\n")
    words = [sys.executable, "-m", "penstock", "test", "f.py", "--file", "in.txt", "--json"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert '"result":{"lines":1,"words":2}' in ended.stdout, ended.stderr


def test_the_reference_of_the_command_line_is_current() -> None:
    written = (DOCS / "reference" / "cli.md").read_text()
    assert written == reference.document(), (
        "make it again: python -m penstock.cli.reference > docs/reference/cli.md"
    )
    for name in COMMANDS:
        assert f"### penstock {name}\n" in written


def test_commands_that_documents_name_exist() -> None:
    for page in (ROOT / "README.md", *DOCS.rglob("*.md")):
        for name, verb in COMMAND.findall(page.read_text()):
            assert name in COMMANDS, f"{page}: there is no `penstock {name}`"
            command = penstock.load(name)
            if verb and isinstance(command, click.Group):
                assert verb in command.commands, f"{page}: there is no `penstock {name} {verb}`"


def test_every_setting_is_in_the_reference() -> None:
    written = (DOCS / "reference" / "settings.md").read_text()
    for kind in (Settings, StorageSettings, PoolOptions, BatchOptions, LogSettings):
        for name in kind.__struct_fields__:
            assert f"`{name}`" in written or f"`[{name}]`" in written or f"`[[{name}]]`" in written, name


def test_links_between_documents_lead_somewhere() -> None:
    absent = {"docs/images/page.png"}  # made from the running page, by its own test
    for page in (ROOT / "README.md", *DOCS.rglob("*.md")):
        for link in LINK.findall(page.read_text()):
            if "://" not in link and link not in absent:
                assert (page.parent / link).exists(), f"{page}: {link}"


def test_documents_stand_alone() -> None:
    for page in (ROOT / "README.md", *DOCS.rglob("*.md")):
        text = page.read_text()
        for word in ("/work/", "/root/", "TODO", "FIXME"):
            assert word not in text, f"{page}: {word}"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "penstock", "unit", "--install", "--home", str(tmp_path / "my home")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    unit = tmp_path / "systemd" / "user" / "penstock.service"
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)], capture_output=True, text=True, env=environment
    )
    assert "penstock.service" not in checked.stderr, checked.stderr
