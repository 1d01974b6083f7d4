#!/usr/bin/python3
"""Keeps XRootD's notices on disk until Penstock has read them. Needs nothing but Python 3.7.

XRootD runs it and writes lines to it::

    ofs.notify create closew mv rm msgs 20000 2000 |/usr/local/bin/penstock-xrootd-spool /var/spool/penstock

or it reads a FIFO that XRootD writes to (``--fifo /run/xrootd/notices``), as a service of its own.

A line is on disk before the next is read. Files are named by the time they were begun; their lines are::

    NANOSECONDS = LINE      what XRootD said, untouched
    NANOSECONDS ! start     from here on we listen; what was said before, and not read, is lost
    NANOSECONDS ! full      the folder was full, and is not any more; XRootD may have dropped notices
    NANOSECONDS ! end       XRootD went away

Penstock removes files that it has read. A folder that holds more than ``--most`` bytes is not written to:
XRootD waits, and drops notices when its own queue is full.
"""

import argparse
import fcntl
import os
import sys
import time
from contextlib import suppress

READ_BYTES = 1 << 20
FILE_BYTES = 16 << 20
"""Size at which a new file is begun."""
LINE_BYTES_MAX = 1 << 16
"""Longer ones are cut here; XRootD's own are 2384 bytes at most."""
FULL_S = 1.0
"""Seconds between looks at a folder that is full."""
PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031
"""See fcntl(2); Python names it from 3.10 on."""
SUFFIX = ".notices"


class Spool:
    """The folder, and the file that is written to."""

    def __init__(self, folder: str, most: int) -> None:
        self.folder = folder
        self.most = most
        self.file = -1
        self.size = 0
        os.makedirs(folder, exist_ok=True)
        self.begin()

    def names(self) -> "list[str]":
        """Return the names of all files, the oldest first."""
        return sorted(name for name in os.listdir(self.folder) if name.endswith(SUFFIX))

    def begin(self) -> None:
        """Begin a file whose name comes behind all others, whatever the clock says."""
        last = max([int(name[: -len(SUFFIX)]) for name in self.names()] or [0])
        name = f"{max(time.time_ns(), last + 1):020d}{SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        fresh = os.open(os.path.join(self.folder, name), flags, 0o644)
        if self.file >= 0:
            os.close(self.file)
        self.file, self.size = fresh, 0
        place = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(place)
        os.close(place)

    def is_full(self) -> bool:
        """Say whether nothing more may be written."""
        total = 0
        for name in self.names():
            with suppress(FileNotFoundError):  # It may just have been read.
                total += os.stat(os.path.join(self.folder, name)).st_size
        return total >= self.most

    def put(self, lines: "list[bytes]") -> None:
        """Write lines and return when they are on disk: all of them, or none."""
        text = b"".join(lines)
        written = 0
        try:
            while written < len(text):
                written += os.write(self.file, text[written:])
            os.fdatasync(self.file)
        except OSError:
            os.ftruncate(self.file, self.size)
            raise
        self.size += len(text)
        if self.size >= FILE_BYTES:
            self.begin()


def mark(what: bytes) -> bytes:
    """Return a line of our own."""
    return b"%d ! %b\n" % (time.time_ns(), what)


def copy(source: int, spool: Spool) -> None:
    """Copy lines from a descriptor to the spool until it ends."""
    rest = b""
    while True:
        chunk = os.read(source, READ_BYTES)
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            lines, rest = [*lines, rest], b""
        if lines:
            keep(lines, spool)
    if rest:
        keep([rest], spool)
    spool.put([mark(b"end")])


def keep(lines: "list[bytes]", spool: Spool) -> None:
    """Write lines as soon as there is room."""
    now = time.time_ns()
    waited = False
    while True:
        try:
            if not spool.is_full():
                before = [mark(b"full")] if waited else []
                spool.put(before + [b"%d = %b\n" % (now, line) for line in lines])
                return
            why = f"the folder holds {spool.most} bytes or more"
        except OSError as error:  # A full disk, perhaps in the middle of a line.
            why = str(error)
        if not waited:
            renew(spool)
            sys.stderr.write(f"penstock-xrootd-spool: {spool.folder} waits: {why}\n")
            sys.stderr.flush()
        waited = True
        time.sleep(FULL_S)


def renew(spool: Spool) -> None:
    """Begin a new file: so the one before can be removed, and a line that was cut off ends its file."""
    with suppress(OSError):  # A disk may be full; what is read makes room.
        spool.begin()


def opened(fifo: str) -> int:
    """Return the descriptor that lines come from."""
    if not fifo:
        return 0
    if not os.path.exists(fifo):
        os.mkfifo(fifo, 0o660)
    return os.open(fifo, os.O_RDWR | os.O_CLOEXEC)  # Both ways, so that it never ends.


def main() -> None:
    """Run until XRootD goes away."""
    parser = argparse.ArgumentParser(description="Keeps XRootD's notices until Penstock has read them.")
    parser.add_argument("folder", help="where they are kept")
    parser.add_argument("--fifo", default="", help="read this FIFO instead of standard input")
    parser.add_argument("--most", type=int, default=1 << 30, help="bytes in the folder at most")
    asked = parser.parse_args()
    source = opened(asked.fifo)
    with suppress(OSError):  # Else the pipe stays as large as it is.
        fcntl.fcntl(source, F_SETPIPE_SZ, PIPE_BYTES)
    spool = Spool(asked.folder, asked.most)
    spool.put([mark(b"start")])
    copy(source, spool)


if __name__ == "__main__":
    main()
