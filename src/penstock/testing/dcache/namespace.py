"""A simulated namespace of dCache: a tree of entries, and the inotify notices that changing it raises.

The notices follow what dCache's services send: one for the entry's folder, with its name, and one without a
name for a watch on the entry itself. Nothing here waits or talks to a network.
"""

from __future__ import annotations

import base64
import itertools
import posixpath
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from zlib import adler32

from msgspec import Struct

FOLDER = "DIR"
FILE = "REGULAR"
IS_FOLDER = "IN_ISDIR"


class Notice(Struct, frozen=True):
    """One inotify notice: whose watch it is for, and what it says.

    Attributes:
        watched: pnfsid of the folder or file that a watch is on.
        flag: Such as ``IN_CREATE``.
        name: Of the entry in the watched folder; None for what happened to the watched entry itself.
        cookie: Joins the two halves of a move.
        folder: Whether the entry is a folder.
    """

    watched: str
    flag: str
    name: str | None = None
    cookie: str | None = None
    folder: bool = False


@dataclass(eq=False)
class Entry:
    """A file or folder. Times in milliseconds since 1970."""

    pnfsid: str
    kind: str
    name: str
    parent: Entry | None
    mtime_ms: int
    created_ms: int
    size: int = 0
    checksum: str = ""
    locality: str = "NONE"
    owner: int = 1042
    group: int = 2042
    children: dict[str, Entry] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Absolute path in the namespace."""
        if self.parent is None:
            return "/"
        return posixpath.join(self.parent.path, self.name)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.kind == FOLDER


class Namespace:
    """The tree. Every change is told to ``told`` before the method returns.

    Args:
        told: Receives the notices, in order.
        pnfsids: Names of new entries, one after another.
        cookies: Names of moves.
        now_ms: The clock.
    """

    def __init__(
        self,
        told: Callable[[Notice], None],
        *,
        pnfsids: Iterator[str] | None = None,
        cookies: Iterator[str] | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._told = told
        self._pnfsids = pnfsids or (f"0000{number:032X}" for number in itertools.count(1))
        self._cookies = cookies or (
            base64.b64encode(number.to_bytes(16, "big")).decode().rstrip("=") for number in itertools.count(1)
        )
        self._now_ms = now_ms
        self.root = Entry("000000000000000000000000000000000000", FOLDER, "", None, now_ms(), now_ms())
        self._by_id = {self.root.pnfsid: self.root}

    # -- looking -------------------------------------------------------------------------------------

    def find(self, path: str) -> Entry | None:
        """Return the entry at a path, or None."""
        entry: Entry | None = self.root
        for name in path.split("/"):
            if name and entry is not None:
                entry = entry.children.get(name)
        return entry

    def at(self, path: str) -> Entry:
        """Return the entry at a path.

        Raises:
            FileNotFoundError: There is none.
        """
        entry = self.find(path)
        if entry is None:
            raise FileNotFoundError(path)
        return entry

    def by_id(self, pnfsid: str) -> Entry | None:
        """Return the entry of this name, or None."""
        return self._by_id.get(pnfsid)

    # -- changing ------------------------------------------------------------------------------------

    def make_folder(self, path: str, *, parents: bool = False) -> Entry:
        """Make a folder; with ``parents`` also those above it, and none that is there."""
        if parents and (found := self.find(path)) is not None:
            return found
        if parents and posixpath.dirname(path) != "/":
            self.make_folder(posixpath.dirname(path), parents=True)
        entry = self._add(path, FOLDER)
        self._tell(entry, "IN_CREATE", own=False)
        return entry

    def begin_upload(self, path: str) -> Entry:
        """Begin to write a file; one that is there is replaced by a new one."""
        if self.find(path) is not None:
            self.remove(path)
        entry = self._add(path, FILE)
        self._tell(entry, "IN_CREATE", own=False)
        self._tell(entry, "IN_OPEN")
        return entry

    def finish_upload(
        self, entry: Entry, content: bytes | int, *, modifies: int = 1, attributes: int = 1
    ) -> Entry:
        """Close a file after writing: ``content``, or as many bytes without any."""
        entry.size = content if isinstance(content, int) else len(content)
        entry.checksum = f"{entry.size & 0xFFFFFFFF if isinstance(content, int) else adler32(content):08x}"
        entry.locality = "ONLINE"
        entry.mtime_ms = self._now_ms()
        for flag in ["IN_MODIFY"] * modifies + ["IN_ATTRIB"] * attributes + ["IN_CLOSE_WRITE"]:
            self._tell(entry, flag)
        return entry

    def upload(
        self, path: str, content: bytes | int = b"", *, modifies: int = 1, attributes: int = 1
    ) -> Entry:
        """Write a whole file."""
        return self.finish_upload(self.begin_upload(path), content, modifies=modifies, attributes=attributes)

    def fail_upload(self, entry: Entry) -> None:
        """End an upload in failure: the file goes, and its closing is told all the same."""
        self._drop(entry)
        self._tell(entry, "IN_CLOSE_WRITE")
        self._tell(entry, "IN_DELETE", own=False)

    def arrive(self, path: str, content: bytes | int = b"") -> Entry:
        """Let a file appear as SRM's uploads do: moved here from where nobody watches."""
        entry = self._add(path, FILE)
        entry.size = content if isinstance(content, int) else len(content)
        entry.checksum = f"{entry.size:08x}"
        entry.locality = "ONLINE"
        self._tell(entry, "IN_MOVED_TO", cookie=next(self._cookies), own=False)
        return entry

    def move(self, old: str, new: str) -> Entry:
        """Rename a file or folder; a file at the new path goes without a word of its own."""
        entry, replaced = self.at(old), self.find(new)
        cookie = next(self._cookies)
        if replaced is not None and replaced is not entry:
            self._drop(replaced)
        self._tell(entry, "IN_MOVED_FROM", cookie=cookie, own=False)
        assert entry.parent is not None
        del entry.parent.children[entry.name]
        parent = self.at(posixpath.dirname(new))
        entry.parent, entry.name = parent, posixpath.basename(new)
        parent.children[entry.name] = entry
        self._tell(entry, "IN_MOVED_TO", cookie=cookie, own=False)
        self._told(Notice(entry.pnfsid, "IN_MOVE_SELF", folder=entry.is_folder))
        return entry

    def remove(self, path: str) -> Entry:
        """Delete a file or an empty folder."""
        entry = self.at(path)
        if entry.children:
            raise OSError(f"{path} is not empty")
        self._drop(entry)
        self._tell(entry, "IN_DELETE", own=False)
        self._told(Notice(entry.pnfsid, "IN_DELETE_SELF"))
        return entry

    def read(self, path: str) -> Entry:
        """Read a file."""
        entry = self.at(path)
        for flag in ("IN_OPEN", "IN_ACCESS", "IN_CLOSE_NOWRITE"):
            self._tell(entry, flag)
        return entry

    def touch(self, path: str) -> Entry:
        """Change an entry's attributes."""
        entry = self.at(path)
        self._tell(entry, "IN_ATTRIB")
        return entry

    def list(self, path: str) -> list[Entry]:
        """Look into a folder, which its own folder's watch is told of."""
        entry = self.at(path)
        for flag in ("IN_OPEN", "IN_CLOSE_NOWRITE"):
            self._tell(entry, flag, own=False)
        return list(entry.children.values())

    # -- parts ---------------------------------------------------------------------------------------

    def _add(self, path: str, kind: str) -> Entry:
        parent = self.at(posixpath.dirname(path))
        now = self._now_ms()
        entry = Entry(next(self._pnfsids), kind, posixpath.basename(path), parent, now, now)
        parent.children[entry.name] = entry
        self._by_id[entry.pnfsid] = entry
        return entry

    def _drop(self, entry: Entry) -> None:
        assert entry.parent is not None
        entry.parent.children.pop(entry.name, None)
        self._by_id.pop(entry.pnfsid, None)

    def _tell(self, entry: Entry, flag: str, *, cookie: str | None = None, own: bool = True) -> None:
        assert entry.parent is not None
        self._told(Notice(entry.parent.pnfsid, flag, entry.name, cookie, entry.is_folder))
        if own and not entry.is_folder:
            self._told(Notice(entry.pnfsid, flag))
