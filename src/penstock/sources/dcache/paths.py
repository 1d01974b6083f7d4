"""Paths in dCache's namespace: as subjects, and as keys of partitions. Pure, cached by folder."""

from __future__ import annotations

from functools import lru_cache

from penstock.core.event import subject_of

FOLDERS_MAX = 65_536
"""Folders whose percent-encoded form is remembered."""
UNKNOWN = "Unknown"
"""What dCache writes where it does not know the path."""


def is_path(text: str | None) -> bool:
    """Whether this is a path; dCache also writes ``Unknown`` and ``parent:[PNFSID]/name``."""
    return text is not None and text.startswith("/")


def parent_and_name(text: str | None) -> tuple[str, str] | None:
    """Return the folder's pnfsid and the file's name of the NFS door's ``parent:[PNFSID]/name``."""
    if text is None or not text.startswith("parent:["):
        return None
    pnfsid, closed, name = text.removeprefix("parent:[").partition("]/")
    return (pnfsid, name) if closed and pnfsid and name else None


def subject_and_key(path: str) -> tuple[str, str]:
    """Return the subject of a path and its partition key, the folder."""
    folder, _, name = path.rpartition("/")
    key = _folder(folder)
    if name.isascii() and name.replace("_", "").replace(".", "").replace("-", "").isalnum():
        return f"{key}/{name}", key or "/"
    return f"{key}/{subject_of(name.encode())}", key or "/"


class KnownPaths:
    """Where files are, by their pnfsid: what records told, and what was asked.

    Args:
        limit: Most files remembered; those told of longest ago are forgotten first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._paths: dict[str, str] = {}

    def learn(self, pnfsid: str, path: str) -> None:
        """Remember where a file, or a folder, is."""
        paths = self._paths
        paths.pop(pnfsid, None)
        paths[pnfsid] = path
        if len(paths) > self._limit:
            del paths[next(iter(paths))]

    def find(self, pnfsid: str, parent: tuple[str, str] | None = None) -> str | None:
        """Return the path of a file, also by its folder's pnfsid and its name; None if it is not known."""
        if parent is not None and (folder := self._paths.get(parent[0])) is not None:
            return f"{folder.rstrip('/')}/{parent[1]}"
        return self._paths.get(pnfsid)


@lru_cache(maxsize=FOLDERS_MAX)
def _folder(folder: str) -> str:
    return subject_of(folder.encode())
