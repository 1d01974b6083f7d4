"""One child process that is waited for: its lines passed on, its output bounded, its whole session ended."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KEPT_BYTES_MAX = 256 << 10
"""Of each stream, the last bytes that are kept."""
CHUNK_BYTES = 64 << 10

Lines = Callable[[str], None]


def ignore(line: str) -> None:
    """Take a line and do nothing with it."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a child ended.

    Attributes:
        code: Its exit code, negative for a signal; None if it ran out of time and was stopped.
        stdout: The end of what it wrote to standard output.
        stderr: The end of what it wrote to standard error.
    """

    code: int | None
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    on_line: Lines = ignore,
    stdin: bytes = b"",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run ``argv`` to its end and return how it ended. Blocks up to ``timeout_s`` seconds.

    What it started itself in its session is ended with it.

    Args:
        argv: Program and arguments.
        timeout_s: After which it is killed.
        on_line: Gets each line of both streams as it comes, without its newline.
        stdin: What it reads from standard input.
        folder: Its working folder.
        environment: Its environment variables; default: ours.

    Raises:
        OSError: The program cannot be started.
    """
    with tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        process = subprocess.Popen(
            argv,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    with process:
        try:
            return _follow(process, timeout_s, on_line)
        finally:
            _end(process)


def _follow(process: subprocess.Popen[bytes], timeout_s: float, on_line: Lines) -> Ended:
    assert process.stdout is not None
    assert process.stderr is not None
    streams = {pipe.fileno(): _Stream(on_line) for pipe in (process.stdout, process.stderr)}
    deadline = time.monotonic() + timeout_s
    exited = os.pidfd_open(process.pid)
    try:
        in_time = _pump(streams, exited, deadline)
    finally:
        os.close(exited)
    _end(process)
    for descriptor, stream in streams.items():
        _drain(descriptor, stream)
        stream.close()
    out, err = (stream.text() for stream in streams.values())
    return Ended(code=process.wait() if in_time else None, stdout=out, stderr=err)


def _pump(streams: dict[int, _Stream], exited: int, deadline: float) -> bool:
    """Pass on what comes until the process has exited (True) or the deadline is over (False)."""
    with selectors.DefaultSelector() as selector:
        for descriptor in (exited, *streams):
            selector.register(descriptor, selectors.EVENT_READ)
        while (left_s := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                if key.fd == exited:
                    return True
                if chunk := os.read(key.fd, CHUNK_BYTES):
                    streams[key.fd].take(chunk)
                else:
                    selector.unregister(key.fd)
    return False


def _drain(descriptor: int, stream: _Stream) -> None:
    # Something that left the session may still hold the pipe; what is there now is all we wait for.
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(descriptor, CHUNK_BYTES):
            stream.take(chunk)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class _Stream:
    """The last bytes of a stream, and its lines passed on."""

    def __init__(self, on_line: Lines) -> None:
        self._on_line = on_line
        self._kept = bytearray()
        self._line = bytearray()

    def take(self, chunk: bytes) -> None:
        self._kept += chunk
        del self._kept[:-KEPT_BYTES_MAX]
        *whole, rest = (bytes(self._line) + chunk).split(b"\n")
        self._line = bytearray(rest[-CHUNK_BYTES:])
        for line in whole:
            self._on_line(line.decode("utf-8", "replace"))

    def close(self) -> None:
        if self._line:
            self._on_line(self._line.decode("utf-8", "replace"))
            self._line.clear()

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")
