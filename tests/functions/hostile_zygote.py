"""Plays the zygote for one hostile function: forks, confines, watches and ends it; prints what was seen.

A process of its own, so that the tests' process forks nothing and becomes nobody's subreaper. The hostile
functions are capped themselves, so that a limit that fails does not take the machine with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.functions import cgroup, confine
from penstock.functions.supervise import Breach, Watch

MIB = 1 << 20
FORKS_MOST, THREADS_MOST, BYTES_MOST, FILES_MOST = 1500, 1500, 3 << 30, 30_000
LIFE_S = 20.0
"""After which whatever a hostile function started ends by itself."""


def fork_bomb(place: Place) -> str:
    count = mmap.mmap(-1, 8)
    while int.from_bytes(count[:4], "little") < FORKS_MOST:
        count[:4] = (int.from_bytes(count[:4], "little") + 1).to_bytes(4, "little")
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)
    time.sleep(LIFE_S)
    return "forked"


def fork_bomb_of_sessions(place: Place) -> str:
    """Each child leaves its parent's session, so that no signal reaches two of them."""
    count = mmap.mmap(-1, 8)
    while int.from_bytes(count[:4], "little") < FORKS_MOST:
        count[:4] = (int.from_bytes(count[:4], "little") + 1).to_bytes(4, "little")
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            time.sleep(0.01)
    time.sleep(LIFE_S)
    return "forked"


def allocate(place: Place) -> str:
    blocks = [b"x" * (16 * MIB) for _ in range(BYTES_MOST // (16 * MIB))]
    time.sleep(LIFE_S)
    return f"{len(blocks)} blocks"


def allocate_at_once(place: Place) -> str:
    return f"{len(bytearray(50 << 30))} bytes"


def allocate_in_a_child(place: Place) -> str:
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(MemoryError):
            allocate(place)
        os._exit(9)
    return f"child ended with {os.waitpid(pid, 0)[1]}"


def allocate_in_many_children(place: Place) -> str:
    for _ in range(20):
        if os.fork() == 0:
            block = b"x" * (40 * MIB)
            time.sleep(LIFE_S)
            os._exit(len(block) % 7)
    time.sleep(LIFE_S)
    return "allocated"


def escape(place: Place) -> str:
    """Double fork, new session, everything closed: what a daemon does."""
    if os.fork() == 0:
        os.setsid()
        for _ in range(3):
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.closerange(0, 64)
                time.sleep(LIFE_S)
                os._exit(0)
        os._exit(0)
    os.wait()
    return "escaped"


def escape_and_crash(place: Place) -> str:
    escape(place)
    return crash(place)


def ignore_signals(place: Place) -> str:
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)
    until = time.monotonic() + LIFE_S
    while time.monotonic() < until:
        time.sleep(0.05)
    return "survived"


def print_much(place: Place) -> str:
    for _ in range(2048):
        os.write(1, b"spam" * (MIB // 4))
    return "printed"


def write_a_huge_file(place: Place) -> str:
    with open(place.scratch / "huge", "wb", buffering=0) as file:
        for _ in range(2048):
            file.write(bytes(MIB))
    return "written"


def write_many_large_files(place: Place) -> str:
    for number in range(100):
        (place.scratch / f"large-{number}").write_bytes(bytes(10 * MIB))
    return "written"


def write_many_files(place: Place) -> str:
    for number in range(FILES_MOST):
        (place.scratch / f"{number}").touch()
    time.sleep(LIFE_S)
    return "written"


def start_threads(place: Place) -> str:
    started = [threading.Thread(target=time.sleep, args=(LIFE_S,), daemon=True) for _ in range(THREADS_MOST)]
    for thread in started:
        thread.start()
    time.sleep(LIFE_S)
    return f"{len(started)} threads"


def crash(place: Place) -> str:
    ctypes.string_at(0)
    return "alive"


def recurse(place: Place) -> str:
    sys.setrecursionlimit(1 << 30)

    def again(depth: int) -> int:
        return again(depth + 1) + depth if depth < 20_000_000 else 0

    return f"{again(0)}"


def write_outside(place: Place) -> str:
    return _tried(
        create=lambda: (place.outside / "new").write_text("x"),
        change=lambda: (place.outside / "theirs").open("r+").close(),
        rename=lambda: (place.outside / "theirs").rename(place.outside / "mine"),
        move_out=lambda: _moved_out(place),
        delete=lambda: (place.outside / "kept").unlink(),
        truncate=lambda: os.truncate(place.outside / "theirs", 0),
        neighbour=lambda: (place.neighbour / "spoiled").write_text("x"),
    )


def _moved_out(place: Place) -> None:
    (place.scratch / "own").write_text("x")
    (place.scratch / "own").rename(place.outside / "own")


def change_mode_outside(place: Place) -> str:
    return _tried(
        mode=lambda: (place.outside / "theirs").chmod(0o777), time=lambda: os.utime(place.outside / "theirs")
    )


def read_secrets(place: Place) -> str:
    link = place.scratch / "link"
    link.symlink_to(place.home / ".ssh/id_ed25519")
    return _tried(
        key=lambda: (place.home / ".ssh/id_ed25519").read_text(),
        link=link.read_text,
        listing=lambda: os.listdir(place.home / ".ssh"),
        neighbour=lambda: (place.neighbour / "result").read_text(),
        descriptor=lambda: Path(f"/proc/{place.zygote}/environ").read_bytes(),
    )


def connect(place: Place) -> str:
    return _tried(
        tcp=lambda: socket.create_connection(("127.0.0.1", place.port), timeout=2).close(),
        udp=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        raw=lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    )


def connect_locally(place: Place) -> str:
    return _tried(
        path=lambda: _local(str(place.outside / "engine.sock")),
        abstract=lambda: _local(f"\0{place.outside}"),
    )


def _local(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)


def signal_others(place: Place) -> str:
    """Signal 0 asks for permission and does nothing."""
    return _tried(
        zygote=lambda: os.kill(place.zygote, 0),
        neighbour=lambda: os.kill(place.neighbour_pid, 0),
        group=lambda: os.killpg(place.zygote_group, 0),
    )


def trace_others(place: Place) -> str:
    attach = 16
    return _tried(
        trace=lambda: _trace(attach, place.neighbour_pid),
        memory=lambda: open(f"/proc/{place.neighbour_pid}/mem", "r+b").close(),
        child=lambda: _trace(0, 0),
    )


def _trace(request: int, pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(request, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def behave(place: Place) -> str:
    """What confinement must leave possible."""
    import concurrent.futures
    import subprocess
    import tempfile

    (place.scratch / "deep/er").mkdir(parents=True)
    (place.scratch / "deep/er/out").write_text("x")
    (place.scratch / "deep/er/out").rename(place.scratch / "out")
    Path("relative").write_text("x")
    assert (place.scratch / "relative").exists()
    assert (place.inputs / "data").read_text() == "input"
    assert subprocess.run(["/bin/echo", "hello"], capture_output=True, check=True).stdout == b"hello\n"
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        assert list(pool.map(abs, [-1, -2])) == [1, 2]
    with tempfile.TemporaryFile(dir=place.scratch) as file:
        file.write(b"x")
    left, right = socket.socketpair()
    left.send(b"x")
    assert right.recv(1) == b"x"
    Path("/dev/null").write_text("x")
    child = subprocess.Popen(["/bin/sleep", "9"])
    child.terminate()
    child.wait()
    return "well"


def _tried(**acts: Callable[[], object]) -> str:
    done = []
    for name, act in acts.items():
        with contextlib.suppress(OSError):
            act()
            done.append(name)
    return " ".join(done) or "refused"


class Place:
    """Where a case plays: folders, and the processes around it."""

    def __init__(self, root: Path) -> None:
        self.root, self.home, self.outside, self.inputs = (
            root,
            root / "home",
            root / "outside",
            root / "inputs",
        )
        self.scratch, self.neighbour = root / "home/scratch/1", root / "home/scratch/2"
        for folder in (self.home / ".ssh", self.outside, self.inputs, self.scratch, self.neighbour):
            folder.mkdir(parents=True)
        for name in ("home/.ssh/id_ed25519", "outside/theirs", "outside/kept", "home/scratch/2/result"):
            (root / name).write_text("secret")
        (self.inputs / "data").write_text("input")
        self.zygote, self.zygote_group, self.neighbour_pid = os.getpid(), os.getpgrp(), 0
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.local, self.abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        for line, address in (
            (self.local, str(self.outside / "engine.sock")),
            (self.abstract, f"\0{self.outside}"),
        ):
            line.bind(address)
            line.listen()


class Worker:
    """One forked worker; its control pipe carries what is held, then the function's answer."""

    def __init__(
        self, place: Place, case: Callable[[Place], str], limits: dict[str, Any], group: str | None
    ) -> None:
        self.group, self.limits = group, limits
        self.control, write = os.pipe()
        self.pid = confine.fork(limits["without"])
        if self.pid == 0:
            _work(place, case, limits, group, write)
        os.close(write)
        self.exit = os.pidfd_open(self.pid)
        self.held: list[str] = json.loads(_line(self.control))


def _work(
    place: Place, case: Callable[[Place], str], limits: dict[str, Any], group: str | None, write: int
) -> None:
    try:
        log = os.open(limits["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(place.scratch)
        plan = {**limits, "write": [str(place.scratch)], "read": [str(place.inputs)], "cgroup": group}
        os.write(write, json.dumps(confine.enter(plan, limits["without"])).encode() + b"\n")
        try:
            answer = case(place)
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(write, answer.encode() + b"\n")
        time.sleep(LIFE_S)  # A warm worker waits for the next call.
    finally:
        os._exit(1)


def _line(handle: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(handle, 1)
        if not more:
            break
        line += more
    return line


def _echo(place: Place) -> str:
    return "here"


def _follow(worker: Worker) -> tuple[str, Breach | None]:
    """Play the zygote's loop for one call: until it answers, its worker ends, or a limit is crossed."""
    watch = Watch()
    assert watch.deadline() is None
    watch.begin(worker.pid, worker.limits)
    while True:
        deadline = watch.deadline()
        assert deadline is not None
        ready, _, _ = select.select(
            [worker.control, worker.exit], [], [], max(0, deadline - time.monotonic())
        )
        if worker.control in ready:
            watch.end(worker.pid)
            return _line(worker.control).decode().strip(), None
        if ready:
            return "", None
        breaches = watch.sample(time.monotonic())
        if breaches:
            return "", breaches[0]


def _marked(mark: bytes) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and mark in Path(f"/proc/{name}/environ").read_bytes():
                found.append(int(name))
    return found


def main() -> None:
    limits = json.loads(sys.argv[2])
    root = Path(limits["root"])
    os.environ["HOME"] = str(root / "home")
    confine.become_zygote()
    place = Place(root)
    groups = None if "cgroup" in limits["without"] else cgroup.prepare()
    limits.update(log=str(root / "log"), scratch=[str(place.scratch)])
    neighbour = Worker(place, _echo, limits | {"log": str(root / "log-2")}, None)
    place.neighbour_pid = neighbour.pid
    group = cgroup.child(groups, "1", memory_bytes=limits["memory_bytes"]) if groups else None
    began = time.monotonic()
    worker = Worker(place, globals()[sys.argv[1]], limits, group)
    answer, breach = _follow(worker)
    if limits.get("zygote_dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    ended = time.monotonic()
    confine.kill_tree(worker.pid)
    status = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
    strays = confine.kill_strays([neighbour.pid])
    killed = time.monotonic()
    survivors = [pid for pid in _marked(limits["mark"].encode()) if pid not in (os.getpid(), neighbour.pid)]
    report = {
        "held": worker.held,
        "answer": answer,
        "breach": breach.limit if breach else None,
        "words": breach.words if breach else "",
        "status": status,
        "strays": strays,
        "survivors": survivors,
        "neighbour": _line(neighbour.control).decode().strip(),
        "seconds": round(ended - began, 3),
        "kill_seconds": round(killed - ended, 3),
    }
    confine.kill_tree(neighbour.pid)
    os.waitpid(neighbour.pid, 0)
    if groups:
        cgroup.remove(groups)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
