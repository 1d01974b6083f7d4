"""One call of a command: the JSON object on standard input, the answer on the last line of standard output.

Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
from typing import Any

from penstock.functions.calling import Fault

CHUNK_BYTES = 64 << 10
TAIL_BYTES = 2000
OUTSIDE = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGTERM})
"""Signals by which people and the kernel end a process; that it sent itself one cannot be told."""


def invoke(command: list[str], params: dict[str, Any], code: str, log: int) -> bytes:
    """Run ``command`` in the folder ``code`` and return its answer as the bytes of a JSON object.

    A last line that is no JSON object is just output; then the answer is ``{}``.

    Args:
        command: Program and arguments; a program with a slash in its name lies in ``code``.
        params: What it gets on standard input, and the main parts of it in ``PENSTOCK_…`` variables.
        code: The function's folder.
        log: Descriptor of the log, which gets both streams as they come.

    Raises:
        Fault: It cannot be started, or ended with an exit code other than 0.
    """
    begin = os.fstat(log).st_size
    program = os.path.join(code, command[0]) if "/" in command[0] else command[0]
    with open(os.memfd_create("penstock-stdin"), "wb+", buffering=0) as stdin, _ChildWatch() as ended:
        stdin.write(json.dumps(params).encode())
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                [program, *command[1:]],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=code or None,
                env={**os.environ, **variables(params)},
            )
        except OSError as error:
            raise Fault(
                f"cannot start {program}: {error.strerror or error}; is it installed and executable?"
            ) from error
        with process:
            last = _follow(process, ended, log)
    status = process.returncode
    if status != 0:
        words = _failure(command[0], status, _tail(log, begin))
        raise Fault(words, retryable=True, evicted=-status in OUTSIDE)
    return _answer(last)


def variables(params: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables that spare a shell script the parsing of JSON."""
    run = params.get("run") or {}
    values = {
        "PENSTOCK_INPUT": _path(params.get("read") or {}),
        "PENSTOCK_OUTPUT_DIR": (params.get("write") or {}).get("path", ""),
        "PENSTOCK_FUNCTION": (params.get("exec") or {}).get("function", ""),
        "PENSTOCK_RUN": run.get("id", ""),
        "PENSTOCK_STEP": run.get("step", ""),
        "PENSTOCK_ATTEMPT": run.get("attempt", ""),
        "PENSTOCK_IDEMPOTENCY_KEY": run.get("idempotency_key", ""),
    }
    if "item" in params:
        values["PENSTOCK_ITEM"] = json.dumps(params["item"])
    return {name: str(value) for name, value in values.items()}


def _path(place: dict[str, Any]) -> str:
    raw = place.get("path_raw")
    return os.fsdecode(base64.b64decode(raw)) if raw else str(place.get("path", ""))


def _follow(process: subprocess.Popen[bytes], ended: _ChildWatch, log: int) -> bytes:
    """Copy what it prints into the log until it has ended; return the last line."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    poll.register(ended.descriptor, select.POLLIN)
    line = _LastLine()
    while process.poll() is None:
        poll.poll()
        ended.drain()
        if not _copy(pipe, log, line):
            # It closed its output; what is left to wait for is its end.
            process.wait()
    # A process that it left behind may hold the pipe open: take what is there, wait for nothing.
    _copy(pipe, log, line)
    return line.text()


def _copy(pipe: int, log: int, line: _LastLine) -> bool:
    """Copy what is there; False at the end of the stream."""
    while True:
        try:
            chunk = os.read(pipe, CHUNK_BYTES)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        os.write(log, chunk)
        line.take(chunk)


class _LastLine:
    """The last line of a stream that is not empty, bounded."""

    def __init__(self) -> None:
        self._kept = b""

    def take(self, chunk: bytes) -> None:
        kept = self._kept + chunk
        end = len(kept.rstrip())
        start = kept.rfind(b"\n", 0, end) + 1
        self._kept = kept[start:] if len(kept) - start <= 1 << 20 else b"\n"

    def text(self) -> bytes:
        return self._kept.strip()


class _ChildWatch:
    """A descriptor that becomes readable when a child of this process has ended."""

    def __init__(self) -> None:
        self.descriptor, self._signalled = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> _ChildWatch:
        self._handler = signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeup = signal.set_wakeup_fd(self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        signal.signal(signal.SIGCHLD, self._handler)
        os.close(self.descriptor)
        os.close(self._signalled)

    def drain(self) -> None:
        try:
            os.read(self.descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return


def _answer(line: bytes) -> bytes:
    try:
        value = json.loads(line)
    except ValueError:
        return b"{}"
    return json.dumps(value).encode() if isinstance(value, dict) else b"{}"


def _failure(program: str, code: int, tail: str) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"{program} {how}" + (f"; it printed last:\n{tail}" if tail else "")


def _tail(log: int, begin: int) -> str:
    size = os.fstat(log).st_size
    start = max(begin, size - TAIL_BYTES)
    return os.pread(log, size - start, start).decode("utf-8", "replace").strip()
