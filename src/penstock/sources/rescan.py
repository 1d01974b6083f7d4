"""Listing a tree: watch first, then list, so that nothing falls between. Runs in a thread, in steps."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from penstock.sources.compare import stat_of
from penstock.sources.ignore import Ignore
from penstock.sources.lease import Writers, writers
from penstock.sources.watches import Folder

_VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Fault(NamedTuple):
    """A folder or file that could not be read, and why; ``number`` is the errno, or 0."""

    path: bytes
    number: int
    reason: str


@dataclass(slots=True)
class Step:
    """What one step of a walk found."""

    files: list[tuple[bytes, os.stat_result]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    folders: int = 0

    @property
    def size(self) -> int:
        """Entries looked at."""
        return len(self.files) + len(self.faults) + self.folders


class Look(NamedTuple):
    """A file looked at: whether somebody writes to it, and then its state (None: no such file)."""

    path: bytes
    stat: os.stat_result | None
    writers: Writers


class Walk:
    """A walk through a tree, in steps of bounded size.

    Args:
        start: Folders to begin with, absolute.
        watch: Watches a folder; called before it is listed.
        ignore: What is nobody's business.
        refusal: Why a folder must not be watched at all; empty if it may.
    """

    def __init__(
        self,
        start: Sequence[bytes],
        watch: Callable[[bytes], Folder],
        ignore: Ignore,
        refusal: Callable[[bytes], str],
    ) -> None:
        self._folders = list(start)
        self._watch = watch
        self._ignore = ignore
        self._refusal = refusal
        self._folder: Folder | None = None
        self._entries: Iterator[os.DirEntry[bytes]] = iter(())

    @property
    def done(self) -> bool:
        """Whether everything was listed."""
        return self._folder is None and not self._folders

    def step(self, entries_max: int) -> Step:
        """List up to about ``entries_max`` further entries. Blocks on the disk."""
        step = Step()
        while step.size < entries_max and not self.done:
            if self._folder is None:
                self._enter(self._folders.pop(), step)
            else:
                self._list(self._folder, step, entries_max)
        return step

    def _enter(self, path: bytes, step: Step) -> None:
        step.folders += 1
        try:
            refusal = self._refusal(path)
            if refusal:
                step.faults.append(Fault(path, 0, refusal))
                return
            self._folder = self._watch(path)
            self._entries = os.scandir(path)
        except OSError as error:
            self._folder = None
            _note(step, path, error)

    def _list(self, folder: Folder, step: Step, entries_max: int) -> None:
        try:
            for entry in self._entries:
                self._take(folder, entry, step)
                if step.size >= entries_max:
                    return
        except OSError as error:
            _note(step, folder.path, error)
        self._folder = None

    def _take(self, folder: Folder, entry: os.DirEntry[bytes], step: Step) -> None:
        if self._ignore(folder.below, entry.name):
            return
        path = folder.prefix + entry.name
        try:
            if entry.is_dir(follow_symlinks=False):
                self._folders.append(path)
            elif entry.is_file(follow_symlinks=False):
                step.files.append((path, entry.stat(follow_symlinks=False)))
        except OSError as error:
            _note(step, path, error)


def look(path: bytes) -> Look:
    """Return whether ``path`` is being written to, and its state *after* that was asked.

    Raises:
        OSError: It cannot be asked, such as for want of permission.
    """
    if stat_of(path) is None:
        return Look(path, None, Writers.NONE)
    try:
        state = writers(path)
    except FileNotFoundError:
        return Look(path, None, Writers.NONE)
    return Look(path, stat_of(path), state)


def look_at_all(paths: Sequence[bytes]) -> tuple[list[Look], list[Fault]]:
    """Look at each path; those that cannot be asked are faults."""
    looks, faults = [], []
    for path in paths:
        try:
            looks.append(look(path))
        except OSError as error:
            faults.append(Fault(path, error.errno or 0, error.strerror or str(error)))
    return looks, faults


def missing(paths: Sequence[bytes]) -> list[bytes]:
    """Return those paths at which there is no regular file; one that cannot be asked is not missing."""
    gone = []
    for path in paths:
        try:
            if stat_of(path) is None:
                gone.append(path)
        except OSError:
            continue
    return gone


def _note(step: Step, path: bytes, error: OSError) -> None:
    if error.errno not in _VANISHED:
        step.faults.append(Fault(path, error.errno or 0, error.strerror or str(error)))
