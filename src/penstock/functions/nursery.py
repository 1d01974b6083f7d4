"""The engine's side of a zygote: starts it, sends it orders, hears what became of workers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from penstock.functions import bootstrap, protocol
from penstock.functions.settings import PoolSettings

LOG_TAIL_BYTES = 1500


class Notice(Struct, frozen=True, kw_only=True):
    """What a zygote says of a worker: it has crossed a limit (``breach``), gives way to others, or has ended.

    Attributes:
        ended: Number of the worker that has ended, with all that it had started.
        breach: Number of the worker that is being ended for a limit.
        demoted: Number of the worker that gives way to others, because of how long its call uses a core.
        limit: Name of that limit.
        status: How it ended, as ``waitpid`` tells it.
        reason: In words.
    """

    ended: int | None = None
    breach: int | None = None
    demoted: int | None = None
    limit: str = ""
    status: int = 0
    reason: str = ""


_DECODER = msgspec.json.Decoder(Notice)
_ENCODER = msgspec.json.Encoder()


class Nursery:
    """One zygote and the orders on their way to it.

    Attributes:
        lost: Why there is no zygote any more; empty while there is one.

    Args:
        python: Interpreter of the environment.
        loop: On which notices are heard.
        heard: Gets each notice.
        gone: Called once, when the zygote has ended without being asked to; its workers end with it.
        settings: Of the pool.

    Raises:
        OSError: The interpreter cannot be started.
    """

    def __init__(
        self,
        python: str,
        loop: AbstractEventLoop,
        heard: Callable[[Notice], None],
        gone: Callable[[Nursery], None],
        settings: PoolSettings,
    ) -> None:
        self.lost = ""
        self.workers = 0
        self._loop = loop
        self._heard = heard
        self._gone = gone
        self._backlog: deque[tuple[bytes, socket.socket | None]] = deque()
        self._log = os.path.join(settings.logs, f"zygote-{os.getpid()}-{id(self):x}.log")
        self._socket, far = protocol.pair()
        self._socket.setblocking(False)
        try:
            self._process = _start(python or sys.executable, far.fileno(), self._log, settings)
        except OSError:
            self._socket.close()
            raise
        finally:
            far.close()
        loop.add_reader(self._socket.fileno(), self._read)
        if settings.preload:
            self.order({"do": "preload", "modules": settings.preload})

    def order(self, order: dict[str, Any], carried: socket.socket | None = None) -> None:
        """Send an order, and a socket with it; never blocks."""
        if self.lost:
            return  # Its workers are being buried.
        self._backlog.append((_ENCODER.encode(order), carried))
        if len(self._backlog) == 1:
            self._flush()

    def close(self) -> Callable[[], None]:
        """Let the zygote end itself and its workers; return what waits (and blocks) until it has."""
        if not self.lost:
            self.lost = "closed"
            self._hang_up()
        return self._finish

    def _flush(self) -> None:
        fileno = self._socket.fileno()
        try:
            while self._backlog and not self.lost:
                packet, carried = self._backlog[0]
                if carried is None:
                    protocol.send(self._socket, packet)
                else:
                    protocol.send_with(self._socket, packet, carried.fileno())
                self._backlog.popleft()
        except BlockingIOError:
            self._loop.add_writer(fileno, self._flush)
            return
        except OSError:
            self._backlog.clear()  # It has gone; reading says so too.
        self._loop.remove_writer(fileno)

    def _read(self) -> None:
        try:
            packet = protocol.receive(self._socket)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            self._heard(_DECODER.decode(packet))
            return
        self._hang_up()
        self.lost = "its zygote has ended: " + (_tail(self._log) or "it left no message")
        self._gone(self)

    def _hang_up(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._backlog.clear()

    def _finish(self) -> None:
        self._process.wait()
        if os.path.exists(self._log) and os.path.getsize(self._log) == 0:
            os.unlink(self._log)


def _start(python: str, descriptor: int, log: str, settings: PoolSettings) -> subprocess.Popen[bytes]:
    """Start a zygote. It is a plain new process: the engine itself never forks."""
    argv = [python, "-I", "-X", "utf8", bootstrap.__file__, "zygote", str(descriptor), str(os.getpid())]
    with open(log, "ab") as stderr:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            pass_fds=(descriptor,),
            env=_environment(settings),
            cwd="/",
            start_new_session=True,
        )


def _environment(settings: PoolSettings) -> dict[str, str]:
    """What functions see of our environment; the rest may hold secrets."""
    seen = {name: os.environ[name] for name in settings.variables if name in os.environ}
    # A zygote must stay single-threaded while it imports NumPy, and workers share the machine anyway.
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    return {**threads, **seen}


def _tail(file: str) -> str:
    with open(file, "rb") as log:
        log.seek(max(0, os.path.getsize(file) - LOG_TAIL_BYTES))
        return log.read().decode("utf-8", "replace").strip()
