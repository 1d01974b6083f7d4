"""Finds out which limits the kernel holds here, by confining a process and letting it try.

For ``penstock doctor``. Kernel versions say little: distributions, containers and sites switch things off.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from penstock.functions import cgroup, confine


@dataclass(frozen=True)
class Held:
    """One limit, and who holds it here.

    Attributes:
        limit: Its name.
        kernel: Whether the kernel holds it: it cannot be crossed.
        supervised: Whether Penstock looks for it, every 0.1 s, and ends the worker.
        words: What is limited.
        remedy: How to get it from the kernel; empty if it does hold it, or no kernel can.
    """

    limit: str
    kernel: bool
    supervised: bool
    words: str
    remedy: str


_DELEGATE = (
    "give Penstock a control group of its own: run it as a systemd unit with Delegate=yes "
    "(`penstock serve` as a user unit), on a host with cgroups v2 only"
)
_NAMESPACES = (
    "allow user namespaces: `sysctl kernel.unprivileged_userns_clone=1`, `user.max_user_namespaces` above 0, "
    "and on Ubuntu `kernel.apparmor_restrict_unprivileged_userns=0`"
)
_LANDLOCK = "Linux 5.13 or later with `landlock` in the list of `lsm=` on the kernel's command line"
_SECCOMP = "Linux 4.14 or later on x86_64 or aarch64, with seccomp filters"

LIMITS: dict[str, tuple[bool, str, str]] = {
    # name: (supervised otherwise, what, how to get it)
    "tree": (
        True,
        "all that a function starts ends with it",
        f"{_DELEGATE}; or {_NAMESPACES}; or {_SECCOMP}",
    ),
    "memory": (True, "memory of all processes of a call together", _DELEGATE),
    "memory-per-process": (True, "memory that one process may reserve", "nothing: every Linux has it"),
    "processes": (True, "processes of a call", f"{_DELEGATE}; or, not as root, {_NAMESPACES}"),
    "file-size": (True, "size of each file written", "nothing: every Linux has it"),
    "writes": (False, "files outside the scratch folder cannot be changed", f"{_LANDLOCK}; or {_NAMESPACES}"),
    "home": (False, "the home folder and its keys cannot be read", f"{_LANDLOCK}; or {_NAMESPACES}"),
    "reads": (
        False,
        "other files than the system's, its code's and its inputs' cannot be read",
        _LANDLOCK,
    ),
    "network": (False, "no network for functions that did not ask for it", _SECCOMP),
    "sockets": (False, "no Unix sockets: session bus, container engine, SSH agent", _SECCOMP),
    "signals": (
        False,
        "no signals to processes of others",
        f"Linux 6.12 or later with Landlock; or {_NAMESPACES}",
    ),
    "other-processes": (False, "no tracing of other processes, no kernel keys, no mounts", _SECCOMP),
    "privileges": (False, "no capabilities, and none to be gained", "nothing: every Linux has it"),
}
SUPERVISED = {
    "log": "what a call prints",
    "file": "size of all files of a call together, and their number",
    "time": "wall time of a call",
}
_BYTES = 64 << 20


def probe(without: Collection[str] = ()) -> list[Held]:
    """Return who holds which limit here. Blocks for about 50 ms; forks, so call it with one thread.

    Args:
        without: Mechanisms to do as if they were missing.
    """
    found = _in_a_child(lambda: _as_zygote(without))
    kernel = [
        Held(limit, limit in found, supervised, words, "" if limit in found else remedy)
        for limit, (supervised, words, remedy) in LIMITS.items()
    ]
    return kernel + [Held(limit, False, True, words, "") for limit, words in SUPERVISED.items()]


def _in_a_child(act: Callable[[], list[str]], fork: Callable[[], int] = os.fork) -> list[str]:
    """Return what ``act`` does in a process of its own, ended with all it started; nothing if it fails."""
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(act()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as answer:
        text = answer.read()
    confine.kill_tree(pid)
    os.waitpid(pid, 0)
    return list(json.loads(text or b"[]"))


def _as_zygote(without: Collection[str]) -> list[str]:
    confine.become_zygote()
    folder = Path(tempfile.mkdtemp(prefix="penstock-probe-"))
    groups = None if "cgroup" in without else cgroup.prepare()
    try:
        tasks = confine.tasks_most(4)
        group = cgroup.child(groups, "probe", memory_bytes=_BYTES, tasks=tasks) if groups else None
        return _in_a_child(lambda: _as_worker(folder, group, without), lambda: confine.fork(without))
    finally:
        if groups:
            cgroup.remove(groups)
        shutil.rmtree(folder)


def _as_worker(folder: Path, group: str | None, without: Collection[str]) -> list[str]:
    scratch, secret = folder / "scratch", folder / "secret"
    scratch.mkdir()
    secret.write_text("secret")
    plan = {
        "write": [str(scratch)],
        "memory_bytes": _BYTES,
        "processes": 4,
        "file_bytes": 1 << 20,
        "cgroup": group,
    }
    held = confine.enter(plan, without)
    reserve = _BYTES + confine.THREAD_BYTES * (os.cpu_count() or 1) + 1
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    attempts: dict[str, Callable[[], object]] = {
        "writes": lambda: secret.write_text("changed"),
        "reads": secret.read_text,
        "network": lambda: socket.socket(socket.AF_INET).close(),
        "sockets": lambda: socket.socket(socket.AF_UNIX).close(),
        "file-size": lambda: (scratch / "large").write_bytes(bytes(2 << 20)),
        "memory-per-process": lambda: mmap.mmap(-1, reserve, flags=private),
    }
    refused = {name for name, attempt in attempts.items() if _refused(attempt)}
    return [*refused, *(name for name in held if name not in attempts)]


def _refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError:
        return True
    return False
