"""The frame: what is imported, how wrong usage reads, exit codes."""

from __future__ import annotations

import errno
import subprocess
import sys
from typing import Any

import click
import pytest

from penstock.cli.failure import Interrupted, interruptible, told
from penstock.cli.index import COMMANDS
from penstock.cli.main import penstock as root
from penstock.core import errors
from tests.cli.conftest import Command


def test_the_help_imports_no_command() -> None:
    heavy = ("asyncio", "msgspec", "starlette", "sqlalchemy", "aiohttp", "http.client", "penstock.server")
    code = (
        "import sys\nfrom penstock.cli.main import run\nrun(['--help'])\nprint(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "deploy" in ended.stdout
    assert not set(heavy) & set(ended.stderr.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_they_say_themselves(name: str) -> None:
    command = root.load(name)
    assert (command.help or "").split("\n", 1)[0].strip() == COMMANDS[name].summary


def _all_commands() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        command = root.load(name)
        verbs = command.commands if isinstance(command, click.Group) else {"": command}
        found += [(f"{name} {verb}".strip(), each) for verb, each in verbs.items()]
    return found


@pytest.mark.parametrize(("name", "command"), _all_commands())
def test_every_option_has_help(name: str, command: click.Command) -> None:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name}: {parameter.name}"
            assert any(each.startswith("--") for each in parameter.opts), f"{name}: {parameter.name}"


CHANGES = (
    "init", "deploy", "undeploy", "restore", "replay", "move", "unit", "events send", "runs rerun",
    "runs cancel",
    "triggers pause", "triggers resume", "triggers rollback", "dead-letters replay", "dead-letters drop",
)  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_something_can_be_tried_dry(name: str) -> None:
    command = dict(_all_commands())[name]
    assert "dry_run" in [parameter.name for parameter in command.params]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("depoy",), "'deploy'"),
        (("runs", "shwo"), "'show'"),
        (("--hoem", "x"), "'--home'"),
        (("test",), "Missing argument 'FILE'"),
        (("events", "list", "--since", "yesterday"), "an age such as 10min"),
        (("runs", "start", "x", "--params", "{a}"), "is no JSON"),
        (("status", "--home", ""), "--home is empty"),
    ],
)
def test_a_wrong_command_line_names_the_right_one(
    penstock: Command, words: tuple[str, ...], part: str
) -> None:
    said = penstock(*words)
    assert said.code == 2
    assert part in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("error", "code", "part"),
    [
        (errors.NotFound("no run 'x'"), 3, "no run 'x'"),
        (errors.Invalid("bad", ("a: 1", "b: 2")), 3, "bad\n  a: 1\n  b: 2"),
        (errors.Unavailable("away"), 4, "away"),
        (errors.FunctionFailed("it raised"), 1, "it raised"),
        (errors.Broken("the log is damaged"), 70, "damaged"),
        (OSError(errno.ENOSPC, "No space left on device", "/d/f"), 4, "/d/f: the disk is full; make room"),
        (OSError(errno.EROFS, "Read-only file system", "/d/f"), 3, "/d/f: that file system is read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "/d/f"), 3, "/d/f: you may not"),
        (FileNotFoundError(errno.ENOENT, "No such file", b"/d/\xff"), 3, "/d/\ufffd: there is no such file"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Interrupted("the run goes on"), 130, "the run goes on"),
        (KeyError("surprise"), 70, "this is a bug in Penstock: KeyError: 'surprise'"),
    ],
)
def test_errors_become_words_and_exit_codes(
    error: BaseException, code: int, part: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert told(error) == code
    captured = capfd.readouterr()
    assert part.replace("\ufffd", "?") in captured.err.replace("\ufffd", "?")
    assert ("Traceback" in captured.err or "surprise" in captured.err) == (type(error) is KeyError)
    assert captured.out == ""


def test_ctrl_c_tells_what_goes_on() -> None:
    with pytest.raises(Interrupted, match="the run goes on"), interruptible("the run goes on"):
        raise KeyboardInterrupt


def test_a_reader_that_has_had_enough_is_no_error(tmp_path: Any) -> None:
    pipeline = f"{sys.executable} -m penstock schema | head -n 1; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", pipeline], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["{", "0"]
    assert ended.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_their_completion(penstock: Command, shell: str) -> None:
    said = penstock("completion", shell)
    assert said.code == 0
    assert "_PENSTOCK_COMPLETE" in said.out


def test_completion_knows_commands_verbs_and_options() -> None:
    def completed(*words: str) -> str:
        environment = {
            "_PENSTOCK_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("penstock", *words)),
            "COMP_CWORD": str(len(words)),
        }
        command = [
            sys.executable,
            "-c",
            "import sys; sys.argv[0] = 'penstock'\nfrom penstock.cli.main import main\nmain()",
        ]
        return subprocess.run(command, capture_output=True, text=True, env=environment).stdout

    assert "plain,deploy" in completed("dep")
    assert "plain,rerun" in completed("runs", "re")
    assert "plain,--follow" in completed("logs", "--fo")
