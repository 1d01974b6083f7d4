"""What every real server in the tests has in common: a folder, a process, a log and an address.

A new one is a module with a subclass of ``Server``, a line in ``up.SERVERS`` and a fixture in ``plugin``::

    class Echo(Server):
        name = "echo"
        ready = "listening"

        def prepare(self):
            self.port = free_port()

        def command(self):
            return [program("socat", "socat"), "-d", "-d", f"TCP-LISTEN:{self.port},fork", "EXEC:cat"]

        def described(self):
            return {"address": f"127.0.0.1:{self.port}"}
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

START_S = 60.0
"""Longest time until a server says that it is ready."""
STOP_S = 20.0
"""Longest time until a server has ended by itself; then it is killed."""
LINES_SHOWN = 30
"""Last lines of a server's log in the message that it did not start."""


class Missing(Exception):
    """Something that the server needs is not on this machine; the message says how to get it."""


class Server:
    """A server in its own process group, on 127.0.0.1 and free ports.

    ``start`` after ``stop`` or ``kill`` goes on with the same data and ports.

    Args:
        folder: Where data and log are; made if absent.

    Attributes:
        name: In messages, and for ``./dev servers NAME``.
        ready: Part of the line with which it says on standard output that it takes connections.
    """

    name: ClassVar[str]
    ready: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self._prepared = False
        self._tail: deque[str] = deque(maxlen=LINES_SHOWN)

    def prepare(self) -> None:
        """Choose ports and write configuration and data, once, before the first start."""

    def command(self) -> list[str]:
        """Return what is run, in the foreground, as this user."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return its environment variables."""
        return os.environ

    def started(self) -> None:
        """Do what is to be done once it is ready, at each start."""

    def described(self) -> dict[str, str]:
        """Return how clients reach it; shown by ``./dev servers``."""
        raise NotImplementedError

    @property
    def log(self) -> Path:
        """Everything it has printed, over all starts."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Return once it takes connections.

        Raises:
            Missing: A program it needs is not installed.
            RuntimeError: It ended, or was not ready in time; with its last lines.
        """
        if not self._prepared:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.prepare()
            self._prepared = True
        self.process = subprocess.Popen(
            self.command(),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        said, came = threading.Event(), threading.Event()
        threading.Thread(target=self._copy, args=(self.process, said, came), daemon=True).start()
        if not said.wait(START_S) or not came.is_set():
            self.kill()
            raise RuntimeError(f"{self.name} did not start; its last lines:\n" + "\n".join(self._tail))
        self.started()

    def _copy(self, process: subprocess.Popen[bytes], said: threading.Event, came: threading.Event) -> None:
        """Copy what it prints to the log until it ends; a full pipe would stop it."""
        assert process.stdout is not None
        with self.log.open("ab", buffering=0) as log, process.stdout as lines:
            for line in lines:
                log.write(line)
                self._tail.append(line.decode("utf-8", "replace").rstrip())
                if self.ready in self._tail[-1]:
                    came.set()
                    said.set()
        said.set()

    def stop(self) -> None:
        """End it in order; its data stay."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """Kill it and all its children at once; its data stay as they are."""
        if self.process is None:
            return
        self._signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def pause(self) -> None:
        """Stop it in the middle of whatever it does; connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after ``pause``."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def program(name: str, package: str) -> str:
    """Return the path of a program.

    Raises:
        Missing: It is not installed; the message names the Debian package.
    """
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        raise Missing(f"{name} is missing (sudo apt install {package})")
    return path


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def cached(name: str) -> Iterator[Path]:
    """Give a folder for what was fetched or made once; held by one process at a time.

    It is outside the repository: ``$XDG_CACHE_HOME/penstock-servers/NAME``.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penstock-servers"
    folder = base / name
    folder.mkdir(parents=True, exist_ok=True)
    with (base / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder
