"""What went wrong, in words for people, and the exit code that says what to do."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.exceptions import Exit, UsageError

from penstock.core.errors import Broken, PenstockError, Refused, Unavailable

INTERRUPTED = 130
USAGE = 2
"""What ``click`` and shells use for a wrong command line."""

_REMEDIES = {
    errno.ENOSPC: "the disk is full; make room and try again",
    errno.EDQUOT: "the quota is used up; make room and try again",
    errno.EROFS: "that file system is read-only; name another place",
    errno.EACCES: "you may not; change its permissions, or name another place",
    errno.EPERM: "you may not; change its permissions, or name another place",
    errno.ENOENT: "there is no such file or folder; check the spelling",
    errno.EISDIR: "that is a folder; a file was expected",
    errno.ENOTDIR: "a part of that path is a file where a folder was expected",
    errno.ENAMETOOLONG: "that name is too long for the file system",
    errno.EADDRINUSE: "another process uses that address; choose another port, or 0 for a free one",
}


class Interrupted(click.ClickException):
    """Ctrl-C, with words on what is still running."""

    exit_code = INTERRUPTED


@contextmanager
def interruptible(still: str) -> Iterator[None]:
    """Let Ctrl-C end the block, and say ``still``: what goes on nevertheless."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(still) from None


def told(error: BaseException) -> int:
    """Tell of ``error`` on standard error, and return the exit code."""
    if isinstance(error, Exit):
        return error.exit_code
    message, code = _read(error)
    if code == Broken.exit_code and not isinstance(error, Broken):
        sys.excepthook(type(error), error, error.__traceback__)
    _say(message)
    return code


def _read(error: BaseException) -> tuple[str, int]:
    """Return the words for ``error`` and the exit code."""
    match error:
        case PenstockError():
            return str(error), error.exit_code
        case UsageError():
            return _usage(error), USAGE
        case Interrupted():
            return error.format_message(), INTERRUPTED
        case KeyboardInterrupt() | click.Abort():
            return "interrupted", INTERRUPTED
        case click.ClickException():
            return error.format_message(), Refused.exit_code
        case OSError() if error.errno in _REMEDIES:
            return _of_system(error)
        case _:
            return (
                f"this is a bug in Penstock: {type(error).__name__}: {error}\n"
                "  Please report it with the lines above.",
                Broken.exit_code,
            )


def _usage(error: UsageError) -> str:
    command = error.ctx.command_path if error.ctx is not None else "penstock"
    message = error.format_message()
    return f"{message}\n  `{command} --help` tells what it takes."


def _of_system(error: OSError) -> tuple[str, int]:
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    where = f"{name}: " if name else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"{where}{_REMEDIES[error.errno or 0]}", (Unavailable if full else Refused).exit_code


def _say(message: str) -> None:
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        message = f"\033[1;31mpenstock:\033[0m {message}"
    else:
        message = f"penstock: {message}"
    # A file's name may hold what no encoding can print.
    print(message.encode("utf-8", "replace").decode(), file=sys.stderr)
