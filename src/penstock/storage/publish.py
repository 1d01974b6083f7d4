"""Publication: what an attempt wrote becomes visible, each file whole and at once, exactly once.

1. The files are synced and moved to the attempt's own folder, on the storage's file system.
2. An intent row (what moves where) is committed.
3. Each file is renamed to its place. A rename is atomic, and doing it again changes nothing.
4. The result event is appended; then the intent is done.

After a crash ``unfinished`` gives the intents of step 2 that did not reach step 4; ``finish`` does 3 again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import time_ns
from typing import Protocol

import msgspec

from penstock.core.errors import Conflict, Invalid, Superseded, Unavailable
from penstock.core.event import NEW_CONTENT, Event, FileRecord, file_record, path_of
from penstock.core.ports import Publication
from penstock.core.rows import Intent, OutputRow, Row
from penstock.core.template import render

PRIVATE = ".penstock"
"""Folder in a storage's root that holds attempts; sources leave it out."""
STORAGE_SOURCE = "/storages/"
FRESH_MAX = 10_000
"""Published files remembered until their source has seen them; beyond, state is asked."""
FRESH_MARGIN_NS = 60 * 10**9

Moves = list[tuple[bytes, bytes]]
_moves = msgspec.msgpack.Decoder(Moves)


class IntentStore(Protocol):
    """What publication needs of the state."""

    def put(self, *rows: Row) -> None:
        """Stage rows."""

    def output(self, path: bytes) -> OutputRow | None:
        """Return who published a path last."""

    def get(self, kind: type[Intent], *key: str) -> Intent | None:
        """Return an intent."""

    def select(self, kind: type[Intent], **equal: object) -> list[Intent]:
        """Return intents."""


class Publisher:
    """Publishes into local folders.

    Args:
        roots: Storage name to its root folder.
        store: State.
        durable: Returns once everything staged so far is on disk.
    """

    def __init__(
        self, roots: Mapping[str, bytes], store: IntentStore, durable: Callable[[], Awaitable[None]]
    ) -> None:
        self._roots = dict(roots)
        self._store = store
        self._durable = durable
        self._fresh: dict[bytes, OutputRow] = {}
        self._since_ns = time_ns()
        self._busy: dict[bytes, asyncio.Future[None]] = {}

    async def publish(self, publication: Publication) -> tuple[str, ...]:
        """Make the files visible and return their paths as text.

        Raises:
            Superseded: The input changed meanwhile, or newer content was published already.
            Conflict: A path holds something that is not an output of the same input.
            Invalid: The template does not fit, or there is no storage to publish to.
            Unavailable: The disk is full or away.
        """
        root = self._root(publication.event)
        targets = [self._target(publication, root, name) for name in publication.files]
        if len(set(targets)) < len(targets):
            raise Invalid(
                f"the template {publication.template!r} gives two outputs one path; put {{name}} into it"
            )
        while busy := [self._busy[target] for target in targets if target in self._busy]:
            await asyncio.wait(busy)
        done = asyncio.get_running_loop().create_future()
        self._busy.update(dict.fromkeys(targets, done))
        try:
            return await self._publish_to(publication, root, targets)
        finally:
            for target in targets:
                del self._busy[target]
            done.set_result(None)

    async def _publish_to(
        self, publication: Publication, root: bytes, targets: list[bytes]
    ) -> tuple[str, ...]:
        for target in targets:
            self._may_replace(publication, target)
        loop = asyncio.get_running_loop()
        moves = await loop.run_in_executor(None, _collect, publication, root, targets)
        intent = Intent(
            key=publication.key,
            run=publication.run,
            tenant=publication.tenant,
            moves=msgspec.msgpack.encode(moves),
            answer=publication.answer,
        )
        self._store.put(intent, *(self._output(publication, *move) for move in moves))
        await self._durable()
        return await self.finish(intent)

    async def finish(self, intent: Intent) -> tuple[str, ...]:
        """Do (or do again) an intent's moves and return the published paths."""
        moves = _moves.decode(intent.moves)
        self._remember([self._store.output(target) for _, target in moves])
        await asyncio.get_running_loop().run_in_executor(None, _move_all, moves)
        return tuple(target.decode("utf-8", "replace") for _, target in moves)

    def settle(self, key: str) -> None:
        """Mark an intent as done; call it when its event is on the log."""
        intent = self._store.get(Intent, key)
        if intent is not None:
            self._store.put(msgspec.structs.replace(intent, done=True, moves=b"", answer=b""))

    def unfinished(self) -> list[Intent]:
        """Return the intents that a crash left."""
        return self._store.select(Intent, done=False)

    def published(self, path: bytes, stat: os.stat_result) -> tuple[str, int] | None:
        """Return run and depth behind a file that we published, or None if it is not ours.

        A file is ours once: who rewrites it later is its author. Only files that changed before this
        process began are looked up in state; those of this life are remembered until they are seen.
        """
        fresh = self._fresh.pop(path, None)
        if fresh is None and stat.st_ctime_ns < self._since_ns:
            fresh = self._store.output(path)
        return (fresh.run, fresh.depth) if fresh is not None and fresh.inode == stat.st_ino else None

    def _remember(self, outputs: list[OutputRow | None]) -> None:
        """Expect the source to see these soon."""
        self._fresh.update({output.path: output for output in outputs if output is not None})
        if len(self._fresh) > FRESH_MAX:
            self._fresh.clear()
            self._since_ns = time_ns() + FRESH_MARGIN_NS

    def discard(self, folder: str, files: tuple[str, ...] | None) -> None:
        """Remove what an attempt wrote and nobody wants."""
        for name in files or ():
            Path(folder, name).unlink(missing_ok=True)

    def input_place(self, event: Event) -> bytes | None:
        """Return the local path of the event's file, or None if it is about no file of ours."""
        name = self._storage(event)
        return path_of(event.subject) if name is not None and event.subject else None

    def stale(self, event: Event) -> str | None:
        """Say in words whether the content that the event tells of is no longer there; else None."""
        return _stale(event) if self._storage(event) is not None else None

    def clean(self) -> int:
        """Remove attempts' folders that no intent needs; return how many. For the start only."""
        needed = {
            os.path.dirname(source)
            for intent in self.unfinished()
            for source, _ in _moves.decode(intent.moves)
        }
        count = 0
        for root in self._roots.values():
            attempts = os.path.join(root, PRIVATE.encode(), b"attempts")
            for name in os.listdir(attempts) if os.path.isdir(attempts) else ():
                folder = os.path.join(attempts, name)
                if not any(place == folder or place.startswith(folder + b"/") for place in needed):
                    shutil.rmtree(folder, ignore_errors=True)
                    count += 1
        return count

    def _storage(self, event: Event) -> str | None:
        name = event.source.removeprefix(STORAGE_SOURCE)
        return name if name != event.source and name in self._roots else None

    def _root(self, event: Event) -> bytes:
        name = self._storage(event) or next(iter(self._roots), None)
        if name is None:
            raise Invalid("there is no storage to publish outputs to; name one in the settings")
        return self._roots[name]

    def _target(self, publication: Publication, root: bytes, name: str) -> bytes:
        path = self.input_place(publication.event)
        return render(
            publication.template,
            subject=path if path is not None else os.path.join(root, publication.run.encode()),
            root=root,
            name=name,
            function=publication.function,
            run=publication.run,
            generation=_generation(publication.event),
        )

    def _may_replace(self, publication: Publication, target: bytes) -> None:
        output = self._store.output(target)
        shown = target.decode("utf-8", "replace")
        if output is None:
            if os.path.lexists(target):
                raise Conflict(
                    f"{shown} exists and was not published by Penstock, so it is not replaced. "
                    "Move it away, or change the template of the outputs"
                )
            return
        if output.subject != publication.event.subject and os.path.lexists(target):
            raise Conflict(
                f"{shown} was published from {output.subject}, and now {publication.event.subject} would "
                "replace it. Put {stem}, {parent} or {run} into the template of the outputs"
            )
        if output.subject == publication.event.subject and output.offset > publication.offset:
            raise Superseded(f"{shown} was already published from newer content of the same file")

    def _output(self, publication: Publication, source: bytes, target: bytes) -> OutputRow:
        return OutputRow(
            path=target,
            tenant=publication.tenant,
            run=publication.run,
            subject=publication.event.subject or "",
            workflow=publication.workflow,
            offset=publication.offset,
            depth=publication.depth,
            inode=os.lstat(source).st_ino,
            published_ns=time_ns(),
        )


def _collect(publication: Publication, root: bytes, targets: list[bytes]) -> Moves:
    """Check the input, and move the files to the attempt's folder (blocking)."""
    why = _stale(publication.event)
    if why is not None and os.path.lexists(path_of(publication.event.subject or "")):
        raise Superseded(why)  # what was moved or deleted meanwhile was read whole, and its result stands
    attempt = publication.key.replace("/", "-").encode()
    folder = os.path.join(root, PRIVATE.encode(), b"attempts", attempt)
    try:
        moves = []
        for name, target in zip(publication.files, targets, strict=True):
            source = os.path.join(os.fsencode(publication.folder), os.fsencode(name))
            kept = os.path.join(folder, os.fsencode(name))
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            _bring(source, kept)
            moves.append((kept, target))
    except OSError as error:
        raise Unavailable(
            f"outputs cannot be kept in {folder.decode(errors='replace')}: {error}", retry_after_s=5.0
        ) from error
    return moves


def _generation(event: Event) -> int:
    """Return which content of its file the event tells of, from 1; 1 for what numbers none."""
    if event.type not in NEW_CONTENT:
        return 1
    return file_record(event).generation or 1


def _stale(event: Event) -> str | None:
    """Say whether the content that the event tells of is no longer there."""
    if event.type not in NEW_CONTENT or event.subject is None:
        return None
    record: FileRecord = file_record(event)
    try:
        stat = os.lstat(path_of(event.subject))
    except OSError:
        return f"{record.path} was moved or deleted before it could be worked on"
    if record.inode is None or record.mtime_ns is None:
        return None
    if (stat.st_ino, stat.st_mtime_ns, stat.st_size) == (record.inode, record.mtime_ns, record.size):
        return None
    return f"{record.path} has changed since the event; the newer content has its own event and run"


def _bring(source: bytes, target: bytes) -> None:
    try:
        os.rename(source, target)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)
        os.unlink(source)
    handle = os.open(target, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move_all(moves: Moves) -> None:
    """Rename each file to its place; one that is already there was moved before (blocking)."""
    try:
        for source, target in moves:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            try:
                os.replace(source, target)
            except FileNotFoundError:
                if not os.path.lexists(target):
                    raise
        for folder in {os.path.dirname(target) for _, target in moves}:
            _sync_folder(folder)
        for source, _ in moves:
            _remove_empty(os.path.dirname(source))
    except OSError as error:
        raise Unavailable(f"outputs cannot be moved into place: {error}", retry_after_s=5.0) from error


def _sync_folder(folder: bytes) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_empty(folder: bytes) -> None:
    while os.path.basename(folder) != b"attempts":
        try:
            os.rmdir(folder)
        except OSError:
            return
        folder = os.path.dirname(folder)
