"""The file that messages go to while nobody looks on: bounded, whoever writes into it.

Engine and API inherit one file, opened for appending. Whoever tells something and finds it full copies it
to ``serve.log.1`` and empties it; what another process writes in that instant may be lost, which is why
nothing but messages goes there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import sys
from pathlib import Path

LOG_BYTES_MAX = 10 << 20
"""Size at which the file is emptied; with its predecessor it takes twice as much at most."""
VARIABLE = "PENSTOCK_SERVE_LOG"
"""Environment variable that names the file; without it nothing is bounded."""
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Bounded(logging.StreamHandler):  # type: ignore[type-arg]
    """Tells messages on standard error, which is ``file``, and keeps that small.

    Args:
        file: Where standard error goes to.
        limit: Its size in bytes at which it is emptied.
    """

    def __init__(self, file: Path, limit: int = LOG_BYTES_MAX) -> None:
        super().__init__(sys.stderr)
        self._file = file
        self._limit = limit

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a message."""
        super().emit(record)
        rotate(self._file, self._limit)


def start() -> None:
    """Tell this process' messages on standard error; bounded, if that is a file of ours."""
    file = os.environ.get(VARIABLE)
    handler = Bounded(Path(file)) if file else logging.StreamHandler()
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=[handler])


def rotate(file: Path, limit: int = LOG_BYTES_MAX) -> None:
    """Move the content of a file that is larger than ``limit`` to ``NAME.1``; its writers go on in it."""
    try:
        if file.stat().st_size <= limit:
            return
        with file.open("r+b") as content:
            fcntl.flock(content, fcntl.LOCK_EX)
            if os.fstat(content.fileno()).st_size <= limit:
                return  # another process was faster
            with file.with_name(f"{file.name}.1").open("wb") as former:
                shutil.copyfileobj(content, former)
            content.truncate(0)
    except OSError:
        return  # a full disk, say: messages are no reason to stop
