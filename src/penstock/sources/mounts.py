"""Being told that something was mounted or unmounted. See proc_pid_mountinfo(5).

Notices of a folder's files say nothing of a disk that is mounted over it, nor of one that is detached while
somebody still has a file of it open.
"""

from __future__ import annotations

import os
import select

MOUNTS = "/proc/self/mountinfo"


class Mounts:
    """Changes of this process's mounts; ``fd`` is readable when there is one (without ``/proc`` never)."""

    def __init__(self) -> None:
        # The file itself always counts as readable; what changed is told as urgent, and only that is wanted.
        self._changes = select.epoll()
        self.fd = self._changes.fileno()
        try:
            self._file = os.open(MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1
        else:
            self._changes.register(self._file, select.EPOLLPRI)

    def seen(self) -> None:
        """Say that ``fd`` was readable. (Who asked for that has taken the news already: none come here.)"""
        self._changes.poll(0)

    def close(self) -> None:
        """Let go."""
        self._changes.close()
        if self._file >= 0:
            os.close(self._file)
