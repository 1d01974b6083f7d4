"""What a function has left in its scratch folder, seen without trusting it.

A function may make a link to any path, even one it cannot read; whoever publishes the folder's
content could, and must not follow.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

FILES_MOST = 100_000


class Unsafe(ValueError):
    """Something in the folder is no plain file or folder; ``str`` says what and where."""


def safe_listing(folder: str) -> list[str]:
    """Return the plain files below ``folder``, relative to it, sorted. Blocks.

    The function's processes must be ended or stopped: what is checked could change behind our back.

    Raises:
        Unsafe: A symbolic link, a device, a pipe, a socket, a file that also has a name elsewhere
            (a hard link), or more than ``FILES_MOST`` files.
        OSError: The folder cannot be read.
    """
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        names: list[str] = []
        for name in _walk(root, ""):
            names.append(name)
            if len(names) > FILES_MOST:
                raise Unsafe(f"{folder} has more than {FILES_MOST} files; write them into an archive")
    finally:
        os.close(root)
    return sorted(names)


def _walk(folder: int, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    for name, status in found:
        if stat.S_ISDIR(status.st_mode):
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                yield from _walk(below, f"{prefix}{name}/")
            finally:
                os.close(below)
        else:
            _check(prefix + name, status)
            yield prefix + name


def _check(name: str, status: os.stat_result) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        what = _KINDS.get(kind, "no plain file")
        raise Unsafe(
            f"output {name!r} is {what}; only plain files and folders are published, so write a copy"
        )
    if status.st_nlink > 1:
        raise Unsafe(f"output {name!r} has another name too (a hard link); write a copy instead")


_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
