"""Files of logs, as the functions wrote them (blocking)."""

from __future__ import annotations

import os
from pathlib import Path

from penstock.core.errors import NotFound

LOG_BYTES_SHOWN = 4 << 20
"""Of a longer log the end is shown."""


def text_in(folder: Path, file: str, start: int, end: int | None) -> str:
    """Read a span of a log (blocking)."""
    try:
        handle = open_log(folder, file)
    except NotFound as error:
        return f"({error})\n"
    try:
        end = os.fstat(handle).st_size if end is None else end
        first = max(start, end - LOG_BYTES_SHOWN)
        text = os.pread(handle, max(0, end - first), first).decode("utf-8", "replace")
        return text if first == start else f"(the first {first - start} bytes are left out)\n{text}"
    finally:
        os.close(handle)


def open_log(folder: Path, file: str) -> int:
    """Open a log file; nothing but files in the folder of logs is ever opened (blocking)."""
    if not os.path.realpath(file).startswith(os.path.realpath(folder) + os.sep):
        raise NotFound("the log is not where logs are")
    try:
        return os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound("the log was removed, as old ones are") from error
