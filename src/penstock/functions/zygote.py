"""A zygote: one process per environment that forks warm workers, watches them and ends them.

Standard library only, Python 3.9 or later; one thread, for forks are safe only then. Started by the engine as
``python -I bootstrap.py zygote DESCRIPTOR ENGINE``. It runs no code of a user's, sleeps while nothing
happens, and ends when the engine's end of its socket is closed, its workers and all that they started first.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import Any

from penstock.functions import confine, kernel, priority, protocol, supervise, worker


def main(descriptor: str, engine: str) -> None:
    """Serve orders from the socket ``descriptor`` until the process ``engine`` has closed its end."""
    kernel.prctl(kernel.PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != int(engine):
        sys.exit(0)
    confine.become_zygote()
    priority.be_prompt()
    gc.collect()
    gc.freeze()
    zygote = Zygote(socket.socket(fileno=int(descriptor)))
    # From here on the end of the socket tells that the engine is gone, and the workers go first.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        zygote.serve()
    finally:
        zygote.end_all()


class Zygote:
    """Workers by the engine's number for them, and by process id."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._pids: dict[int, int] = {}
        self._workers: dict[int, int] = {}
        self._watch = supervise.Watch(self._was_demoted)
        self._self = _own_descriptor()
        self._ended, signalled = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Carry out orders and report ends; returns when the engine has gone."""
        poll = select.poll()
        poll.register(self._orders, select.POLLIN)
        poll.register(self._ended, select.POLLIN)
        while True:
            ready = dict(poll.poll(_milliseconds_until(self._watch.deadline())))
            if self._ended in ready:
                os.read(self._ended, 4096)
                self._bury()
            if self._orders.fileno() in ready and not self._obey():
                return
            for breach in self._watch.sample(time.monotonic()):
                self._breached(breach)

    def end_all(self) -> None:
        """End every worker with its whole tree."""
        for number in list(self._pids):
            self._kill({"worker": number}, None)
        self._end_strays()

    def _obey(self) -> bool:
        """Carry out one order; False when there will be no more."""
        packet, descriptor = protocol.receive_with(self._orders)
        if not packet:
            return False
        order = json.loads(packet)
        {
            "fork": self._fork,
            "kill": self._kill,
            "watch": self._begin_watch,
            "unwatch": self._end_watch,
            "preload": self._preload,
        }[order["do"]](order, descriptor)
        return True

    def _fork(self, order: dict[str, Any], call_end: int | None) -> None:
        assert call_end is not None
        try:
            pid = confine.fork()
        except OSError as error:
            os.close(call_end)
            reason = f"no process for it: {error.strerror}"
            self._tell({"ended": order["worker"], "status": 0, "reason": reason})
            return
        if pid == 0:
            _become_worker(order, call_end, self._self)
        os.close(call_end)
        self._pids[order["worker"]] = pid
        self._workers[pid] = order["worker"]

    def _kill(self, order: dict[str, Any], _: int | None) -> None:
        pid = self._pids.get(order["worker"])
        if pid is None:
            return
        try:
            confine.kill_tree(pid)
        except TimeoutError as error:
            # It hangs in the kernel (a dead file server, say). Nobody shall wait for it with us.
            self._forget(pid, {"status": 0, "reason": str(error)})
        self._bury()

    def _begin_watch(self, order: dict[str, Any], _: int | None) -> None:
        pid = self._pids.get(order["worker"])
        if pid is not None:
            self._watch.begin(pid, order["limits"])

    def _end_watch(self, order: dict[str, Any], _: int | None) -> None:
        pid = self._pids.get(order["worker"])
        if pid is not None:
            self._watch.end(pid)

    def _preload(self, order: dict[str, Any], _: int | None) -> None:
        for name in order["modules"]:
            try:
                importlib.import_module(name)
            except Exception:  # a broken library must not keep the others' functions from running
                traceback.print_exc()
        gc.collect()
        gc.freeze()

    def _was_demoted(self, pid: int) -> None:
        """Say that a worker gives way to others from now on, for good."""
        number = self._workers.get(pid)
        if number is not None:
            self._tell({"demoted": number})

    def _breached(self, breach: supervise.Breach) -> None:
        """Say that a worker has crossed a limit, then end it."""
        number = self._workers.get(breach.pid)
        if number is not None:
            self._tell({"breach": number, "limit": breach.limit, "reason": breach.words})
            self._kill({"worker": number}, None)

    def _bury(self) -> None:
        """Reap what has ended, end what it left behind, and tell the engine."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._workers:
                self._end_strays()
                self._forget(pid, {"status": status})

    def _forget(self, pid: int, how: dict[str, Any]) -> None:
        number = self._workers.pop(pid)
        del self._pids[number]
        self._watch.end(pid)
        self._tell({"ended": number, **how})

    def _end_strays(self) -> None:
        try:
            confine.kill_strays(self._workers)
        except TimeoutError:
            traceback.print_exc()

    def _tell(self, notice: dict[str, Any]) -> None:
        try:
            protocol.send(self._orders, json.dumps(notice).encode())
        except OSError:
            # The engine has gone; the next read of the socket says so, and ends us.
            return


def _milliseconds_until(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, (deadline - time.monotonic()) * 1000 + 1)


def _own_descriptor() -> int | None:
    """A descriptor of this process that its children can poll; from Linux 5.3 on."""
    try:
        return os.pidfd_open(os.getpid())
    except OSError:
        return None


def _become_worker(order: dict[str, Any], call_end: int, zygote: int | None) -> None:
    """Run as the worker, and leave by no other way than the end of the process."""
    try:
        worker.main(order, call_end, zygote)
    except BaseException:  # nothing may unwind into the zygote's own frames
        traceback.print_exc()
    finally:
        os._exit(70)
