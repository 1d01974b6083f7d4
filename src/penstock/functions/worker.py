"""A warm worker: a process forked by the zygote that calls one function, one call at a time.

Standard library only, Python 3.9 or later. Nothing of the user's runs before ``confine.enter``.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from penstock.functions import calling, command, confine, protocol
from penstock.functions.calling import Fault
from penstock.functions.outputs import Outputs

CALL_SOCKET = 3
OWN_LOG = 4
ZYGOTE = 5

Target = Callable[[dict[str, Any]], bytes]
"""From a call's parameters to the JSON bytes of its answer; raises ``Fault``."""


def main(order: dict[str, Any], call_end: int, zygote: int | None) -> None:
    """Become the worker that ``order`` describes. Never returns to the zygote's code: it exits.

    Args:
        order: Of the engine; see ``functions.nursery``.
        call_end: Descriptor of this worker's end of the call socket.
        zygote: Descriptor that becomes readable when the parent has ended; None where the kernel has none.
    """
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    log = _take_descriptors(order["log"], call_end, zygote)
    calls = socket.socket(fileno=CALL_SOCKET)
    os.mkdir(f"{order['slot']}/out")
    outputs = Outputs(f"{order['slot']}/out")
    target, ready = _prepare(order, log, ZYGOTE if zygote is not None else None)
    protocol.send(calls, json.dumps(ready).encode())
    _serve(calls, log, outputs, target, order)


def _take_descriptors(log_file: str, call_end: int, zygote: int | None) -> int:
    """Arrange 0 (nothing), 1, 2 and 4 (the log), 3 (the calls), 5 (the zygote); close the rest."""
    log = os.open(log_file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    wanted = [os.open(os.devnull, os.O_RDONLY), log, log, call_end, log]
    wanted += [zygote] if zygote is not None else []
    parked = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in wanted]
    for number, fd in enumerate(parked):
        os.dup2(fd, number, inheritable=number < CALL_SOCKET)
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= len(wanted):
            # Unlike ``close`` it does not mind that the listing's own descriptor is gone by now.
            os.closerange(int(name), int(name) + 1)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stdout = sys.__stdout__ = _stream(1)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2)  # type: ignore[misc]
    return OWN_LOG


def _stream(descriptor: int) -> io.TextIOWrapper:
    # Line-buffered, so that the log is live; odd file names are printed, not refused.
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _prepare(order: dict[str, Any], log: int, zygote: int | None) -> tuple[Target, dict[str, Any]]:
    """Confine this process, then import the user's code; return what to call and the ready message.

    What goes wrong here becomes the answer of each call.
    """
    ready: dict[str, Any] = {"ready": True}
    try:
        _furnish(order)
        ready["held"] = confine.enter(order["plan"])
        _exit_without(zygote)
        if hasattr(sys.modules.get("numpy"), "random"):
            # Imported before the fork, else every worker would draw the same numbers.
            sys.modules["numpy"].random.seed()
        return _target(order, log), ready
    except Fault as fault:
        return _broken(fault, ready)
    except OSError as error:
        return _broken(Fault(f"its worker cannot be set up: {error}", retryable=True, evicted=True), ready)


def _exit_without(zygote: int | None) -> None:
    """Exit if the zygote has gone. The kernel ends us with it only if it goes after ``enter``."""
    if zygote is None:
        return
    waiter = select.poll()
    waiter.register(zygote, select.POLLIN)
    if waiter.poll(0):
        os._exit(0)
    os.close(zygote)


def _broken(fault: Fault, ready: dict[str, Any]) -> tuple[Target, dict[str, Any]]:
    def refuse(_: dict[str, Any]) -> bytes:
        raise fault

    calling.flush()
    return refuse, {**ready, "broken": str(fault)}


def _furnish(order: dict[str, Any]) -> None:
    """Make the worker's own folders, and send what libraries like to write there."""
    own = _own_folder(order)
    os.mkdir(own)
    os.environ.update(TMPDIR=own, XDG_CACHE_HOME=own, MPLCONFIGDIR=own, PENSTOCK_FUNCTION=order["function"])
    os.chdir(order["code"] or own)
    random.seed()
    sys.argv = [order["function"]]
    sys.dont_write_bytecode = True


def _own_folder(order: dict[str, Any]) -> str:
    return os.path.join(order["slot"], "tmp")


def _target(order: dict[str, Any], log: int) -> Target:
    code = order["code"]
    if order["command"]:
        return lambda params: command.invoke(order["command"], params, code, log)
    function = calling.find(code, order["entry"])
    return lambda params: calling.invoke(function, params, code)


def _serve(calls: socket.socket, log: int, outputs: Outputs, target: Target, order: dict[str, Any]) -> None:
    """Answer calls one by one until the engine goes away, or this worker is not clean any more."""
    home = order["code"] or _own_folder(order)
    answer_bytes_max = order["answer_bytes_max"]
    while True:
        message = protocol.receive(calls)
        if not message:
            os._exit(0)
        started_ns = time.time_ns()
        number = outputs.number
        members = _answer(message, outputs, target, answer_bytes_max)
        left = _leftovers()
        end = os.fstat(log).st_size
        protocol.send(
            calls,
            b'{"started":%d,"log":%d,"folder":%d,"dirty":%s,%s}'
            % (started_ns, end, number, b"true" if left else b"false", members),
        )
        if left:
            # The engine ends us. Calls that wait in the socket are not ours any more: await its end only.
            waiter = select.poll()
            waiter.register(calls, 0)
            waiter.poll()
            os._exit(0)
        os.chdir(home)


def _answer(message: bytes, outputs: Outputs, target: Target, answer_bytes_max: int) -> bytes:
    """Call, and return the members of the reply that tell how it went."""
    try:
        params = json.loads(message)
        params["write"] = {**(params.get("write") or {}), "path": outputs.folder}
        result = target(params)
        calling.flush()
        if len(result) > answer_bytes_max:
            size = f"its answer has {len(result)} bytes, {answer_bytes_max} are allowed"
            raise Fault(f"{size}; write it to an output file")
    except Fault as fault:
        calling.flush()
        outputs.clear()
        # Half a character (of an odd file name, say) is no JSON that the engine reads.
        text = str(fault).encode("utf-8", "backslashreplace").decode()
        error = json.dumps(text).encode()
        flags = [b"true" if flag else b"false" for flag in (fault.retryable, fault.evicted)]
        return b'"error":%s,"retryable":%s,"evicted":%s' % (error, *flags)
    if outputs.empty():
        return b'"result":' + result
    outputs.renew()
    return b'"files":true,"result":' + result


def _leftovers() -> bool:
    """Whether the call has left processes behind; dead ones are buried."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
