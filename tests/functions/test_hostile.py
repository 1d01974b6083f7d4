"""Hostile functions, with everything that confines them and with one mechanism after the other missing."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock.functions.confine import MECHANISMS
from penstock.functions.probe import probe

ZYGOTE = Path(__file__).with_name("hostile_zygote.py")
MIB = 1 << 20
LIMITS = {
    "memory_bytes": 256 * MIB,
    "processes": 32,
    "file_bytes": 64 * MIB,
    "log_bytes": 10 * MIB,
    "files": 1000,
    "timeout_s": 3.0,
    "network": False,
}
MODES = {
    "everything": [],
    "no cgroups": ["cgroup"],
    "no namespaces": ["namespaces"],
    "no Landlock": ["landlock"],
    "no cgroups, no namespaces": ["cgroup", "namespaces"],
    "supervision only": list(MECHANISMS),
}


@dataclass(frozen=True)
class Case:
    """A hostile function, and how it must end: by one of these breaches, answers, or signals."""

    name: str
    breaches: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    status: int = -9


ENDED = [
    Case("fork_bomb", breaches=("processes",)),
    Case("fork_bomb_of_sessions", breaches=("processes",)),
    Case("allocate", breaches=("memory",), answers=("MemoryError",)),
    Case("allocate_at_once", breaches=("memory",), answers=("MemoryError",)),
    Case("allocate_in_a_child", breaches=("memory",), answers=("child ended with",)),
    Case("allocate_in_many_children", breaches=("memory",)),
    Case("escape", answers=("escaped",)),
    Case("escape_and_crash", status=-11),
    Case("crash", status=-11),
    Case("ignore_signals", breaches=("time",)),
    Case("print_much", breaches=("log",), answers=("OSError: [Errno 27]",)),
    Case("write_a_huge_file", breaches=("file",), answers=("OSError: [Errno 27]",)),
    Case("write_many_large_files", breaches=("file",)),
    Case("write_many_files", breaches=("files",)),
    Case("start_threads", breaches=("threads", "memory"), answers=("RuntimeError", "MemoryError")),
    Case("recurse", breaches=("memory", "time"), answers=("MemoryError", "RecursionError")),
]
REFUSED = {
    # Function: what must be held for it to be refused; any one of these is enough.
    "write_outside": ("writes",),
    "read_secrets": ("reads", "home"),
    "connect": ("network",),
    "connect_locally": ("sockets",),
    "signal_others": ("signals",),
    "trace_others": ("other-processes",),
}
SHORT = [
    ("fork_bomb", "everything"),
    ("fork_bomb", "supervision only"),
    ("escape", "no cgroups, no namespaces"),
    ("allocate_in_many_children", "everything"),
    ("escape_and_crash", "supervision only"),
    ("print_much", "everything"),
]


def run(function: str, mode: str, folder: Path, **limits: object) -> dict[str, Any]:
    """Run one hostile function under the test's zygote; nothing of it may be left afterwards."""
    mark = f"mark-{uuid.uuid4()}"
    settings = {**LIMITS, **limits, "root": str(folder / "place"), "without": MODES[mode], "mark": mark}
    ended = subprocess.run(
        [sys.executable, str(ZYGOTE), function, json.dumps(settings)],
        env={**os.environ, "PENSTOCK_TEST_MARK": mark},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    seen: dict[str, Any] = json.loads(ended.stdout)
    assert seen["survivors"] == []
    assert marked(mark) == []
    assert seen["neighbour"] == "here"
    return seen


def marked(mark: str) -> list[str]:
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environ.read_bytes():
                found.append(environ.parent.name)
        except OSError:
            continue
    return found


def check(case: Case, seen: dict[str, Any]) -> None:
    if seen["breach"]:
        assert seen["breach"] in case.breaches, seen
        assert "allowed" in seen["words"]
        assert seen["status"] == -9
    elif seen["answer"]:
        assert seen["answer"].startswith(case.answers), seen
    else:
        assert seen["status"] == case.status, seen


@pytest.mark.parametrize(("name", "mode"), SHORT)
def test_a_hostile_function_is_ended_with_all_it_started(name: str, mode: str, tmp_path: Path) -> None:
    check(next(case for case in ENDED if case.name == name), run(name, mode, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", ENDED, ids=lambda case: case.name)
def test_every_hostile_function_is_ended_in_every_mode(case: Case, mode: str, tmp_path: Path) -> None:
    timeout = {"timeout_s": 1.0} if "time" in case.breaches else {}
    check(case, run(case.name, mode, tmp_path, **timeout))


@pytest.mark.parametrize("name", ["write_outside", "read_secrets", "connect_locally", "signal_others"])
def test_what_a_function_must_not_do_is_refused(name: str, tmp_path: Path) -> None:
    seen = run(name, "everything", tmp_path)
    if any(limit in seen["held"] for limit in REFUSED[name]):
        assert seen["answer"] == "refused"


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_said_to_be_held_is_refused_in_every_mode(name: str, mode: str, tmp_path: Path) -> None:
    seen = run(name, mode, tmp_path)
    held = [limit for limit in REFUSED[name] if limit in seen["held"]]
    assert (seen["answer"] == "refused") or not held, seen
    if mode == "supervision only":
        assert held == []
        assert seen["answer"] != "refused", "the attempt is none"


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_well_behaved_function_is_left_alone_in_every_mode(mode: str, tmp_path: Path) -> None:
    assert run("behave", mode, tmp_path)["answer"] == "well"


def test_a_well_behaved_function_is_left_alone(tmp_path: Path) -> None:
    assert run("behave", "everything", tmp_path)["answer"] == "well"


def test_a_function_with_network_connects_but_not_to_the_engine(tmp_path: Path) -> None:
    assert run("connect", "everything", tmp_path, network=True)["answer"] == "tcp udp raw"


def test_a_function_with_network_still_reaches_no_local_socket(tmp_path: Path) -> None:
    seen = run("connect_locally", "everything", tmp_path, network=True)
    assert "sockets" not in seen["held"] or seen["answer"] == "refused"


def test_a_killed_zygote_takes_its_workers_and_their_escapees_with_it(tmp_path: Path) -> None:
    if not any(held.limit == "tree" and held.kernel for held in probe(without=["cgroup"])):
        pytest.skip("no user namespaces here")
    read, write = os.pipe()
    above_what_is_closed = fcntl.fcntl(write, fcntl.F_DUPFD, 200)
    os.close(write)
    settings = {
        **LIMITS,
        "root": str(tmp_path / "place"),
        "without": ["cgroup"],
        "zygote_dies": True,
        "mark": "-",
    }
    command = [sys.executable, str(ZYGOTE), "escape", json.dumps(settings)]
    ended = subprocess.run(command, pass_fds=[above_what_is_closed], timeout=50, check=False)
    assert ended.returncode == -signal.SIGKILL
    os.close(above_what_is_closed)
    assert select.select([read], [], [], 10)[0] == [read], "something still holds the pipe's other end"
    assert os.read(read, 1) == b""
    os.close(read)
