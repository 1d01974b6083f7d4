"""Publication: what an attempt wrote becomes visible, each file whole and at once, exactly once.

1. The files are synced and moved to the attempt's own folder, on the storage's file system.
2. An intent row (what moves where) is committed.
3. Each file is renamed to its place. A rename is atomic, and doing it again changes nothing.
4. The result event is appended; then the intent is done.

After a crash ``unfinished`` gives the intents of step 2 that did not reach step 4; ``finish`` does 3 again.

While the disk is full or away, a publication waits where it is and tries again by itself; ``troubles`` says
so. What only a person can repair (permissions, a file where a folder should be) is found before step 2 and
fails the attempt. Within the outputs of one content a path has one maker: workflow, step and item.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import time_ns
from typing import Protocol, TypeVar

import msgspec

from penstock.core.errors import Conflict, Invalid, PenstockError, Superseded, Unavailable
from penstock.core.event import EVENT_BYTES_MAX, NEW_CONTENT, Event, file_record, path_of, subject_of
from penstock.core.ports import Publication
from penstock.core.rows import Intent, OutputRow, Row
from penstock.core.template import render
from penstock.storage.moves import (
    PRIVATE,
    STORAGE_SOURCE,
    attempt_folder,
    collect,
    make_private,
    move_all,
    moves_of,
    stale,
)

__all__ = ["PRIVATE", "Publisher"]

FRESH_MAX = 10_000
"""Published files remembered until their source has seen them; beyond, state is asked."""
FRESH_MARGIN_NS = 60 * 10**9
TOLD_MARGIN = 16 << 10
"""Room in the event of a step's end for what is not the outputs' names or the answer, in bytes."""
AGAIN_S, AGAIN_S_MAX = 1.0, 30.0
"""First and longest wait before a publication is tried again, in seconds."""
logger = logging.getLogger("penstock.publish")
T = TypeVar("T")


def output_text(path: bytes) -> str:
    """Return a published path as events hold it; one that is no text is percent-encoded behind ``file://``."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return f"file://{subject_of(path)}"


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
        again_s: First wait before a publication is tried again, in seconds; it doubles.

    Attributes:
        troubles: Place to words, for each that publications wait for.
    """

    def __init__(
        self,
        roots: Mapping[str, bytes],
        store: IntentStore,
        durable: Callable[[], Awaitable[None]],
        again_s: float = AGAIN_S,
    ) -> None:
        self._roots = dict(roots)
        self._store = store
        self._durable = durable
        self._again_s = again_s
        self.troubles: dict[str, str] = {}
        self._fresh: dict[bytes, OutputRow] = {}
        self._since_ns = time_ns()
        self._busy: dict[bytes, asyncio.Future[None]] = {}

    async def publish(
        self, publication: Publication, wanted: Callable[[], bool] = lambda: True
    ) -> tuple[str, ...]:
        """Make the files visible and return their paths as text; while the disk is full, wait.

        Args:
            publication: What, and where to.
            wanted: Asked as long as nothing is visible; when it is not any more, nothing will be.

        Raises:
            Superseded: The input changed meanwhile, newer content was published already, or it is not wanted.
            Conflict: A path holds something that is not an output of the same input and maker.
            Forbidden: The place cannot be written to.
            Invalid: The template does not fit, or there is no storage to publish to.
        """
        root = self._root(publication.event)
        targets = [self._target(publication, root, name) for name in publication.files]
        if len(set(targets)) < len(targets):
            raise Invalid(
                f"the template {publication.template!r} gives two outputs one path; put {{name}} into it"
            )
        _check_told(publication, targets)
        async with self._alone(targets):
            try:
                intent = await self._prepare(publication, root, targets, wanted)
            except PenstockError:
                await _in_thread(shutil.rmtree, attempt_folder(publication.key, root), True)
                raise
            self._store.put(intent, *(self._output(publication, *move) for move in moves_of(intent)))
            await self._durable()
            return await self._finish(intent)

    @asynccontextmanager
    async def _alone(self, targets: list[bytes]) -> AsyncIterator[None]:
        """Let nobody else publish to these paths."""
        while busy := [self._busy[target] for target in targets if target in self._busy]:
            await asyncio.wait(busy)
        done = asyncio.get_running_loop().create_future()
        self._busy.update(dict.fromkeys(targets, done))
        try:
            yield
        finally:
            for target in targets:
                del self._busy[target]
            done.set_result(None)

    async def _prepare(
        self, publication: Publication, root: bytes, targets: list[bytes], wanted: Callable[[], bool]
    ) -> Intent:
        """Bring the files to the storage and return what is to be done with them."""

        def check() -> None:
            if not wanted():
                raise Superseded("the run ended before its outputs were published")
            for target in targets:
                self._may_replace(publication, target)

        check()
        moves = await self._patiently(root, partial(collect, publication, root, targets), check)
        check()  # bringing large files takes its time
        return Intent(
            key=publication.key,
            run=publication.run,
            tenant=publication.tenant,
            moves=msgspec.msgpack.encode(moves),
            answer=publication.answer,
        )

    async def finish(self, intent: Intent) -> tuple[str, ...]:
        """Do (or do again) an intent's moves and return the published paths; while the disk is away, wait.

        Raises:
            Failed: The files are not there any more.
        """
        async with self._alone([target for _, target in moves_of(intent)]):
            return await self._finish(intent)

    async def _finish(self, intent: Intent) -> tuple[str, ...]:
        moves = moves_of(intent)
        self._remember([self._store.output(target) for _, target in moves])
        if moves:
            roots = self._roots.values()
            root = next((root for root in roots if moves[0][0].startswith(attempt_folder("", root))), b"/")
            await self._patiently(root, partial(move_all, root, moves))
        return tuple(output_text(target) for _, target in moves)

    async def _patiently(
        self, root: bytes, work: Callable[[], T], check: Callable[[], None] = lambda: None
    ) -> T:
        """Do blocking ``work`` in a thread; while it is ``Unavailable``, wait, ``check`` and do it again."""
        place, wait_s = f"outputs in {root.decode('utf-8', 'replace')}", self._again_s
        while True:
            try:
                result = await _in_thread(work)
            except Unavailable as error:
                if place not in self.troubles:
                    logger.warning("%s", error)
                self.troubles[place] = str(error)
            else:
                self.troubles.pop(place, None)
                return result
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_S_MAX)
            check()

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
        return stale(event) if self._storage(event) is not None else None

    def collected(self, key: str) -> frozenset[str]:
        """Return the names of an attempt's files that were brought to the storage before a crash. Blocks."""
        folders = [attempt_folder(key, root) for root in self._roots.values()]
        return frozenset(
            os.fsdecode(os.path.relpath(os.path.join(place, name), folder))
            for folder in folders
            for place, _, names in os.walk(folder)
            for name in names
        )

    def clean(self, wanted: Collection[str] = ()) -> int:
        """Remove attempts' folders that no intent needs; return how many. For the start only.

        Args:
            wanted: Keys of attempts that will be published although their files may have left the
                place where they were written: a job that has ended is not run again.
        """
        kept = {os.path.basename(attempt_folder(key, b"/")) for key in wanted}
        needed = {os.path.dirname(source) for intent in self.unfinished() for source, _ in moves_of(intent)}
        count = 0
        for root in self._roots.values():
            if not os.path.lexists(os.path.join(root, PRIVATE.encode())):
                continue
            try:
                attempts = make_private(root)
            except OSError as error:
                logger.warning("%s is not cleaned: %s", os.fsdecode(root), error)
                continue
            for name in set(os.listdir(attempts)) - kept:
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
        event = publication.event
        of_same = output.subject == event.subject if event.subject else output.event_id == event.id
        if not of_same and os.path.lexists(target):
            raise Conflict(
                f"{shown} was published from {output.subject or output.event_id}, and now "
                f"{event.subject or event.id} would replace it. Put what tells them apart, such "
                "as {{suffix}}, {{relative}} or {{run}}, into the template of the outputs"
            )
        if of_same and output.offset > publication.offset:
            raise Superseded(f"{shown} was already published from newer content of the same file")
        made, makes = _maker(output.workflow, output.step, output.item), _maker_of(publication)
        if output.event_id == publication.event.id and made != makes and os.path.lexists(target):
            raise Conflict(
                f"{shown} was published by {made}, and now {makes} would replace it. Give one of them "
                "another output name, or another template of the outputs"
            )

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
            event_id=publication.event.id,
            step=_step_and_item(publication.key)[0],
            item=_step_and_item(publication.key)[1],
        )


def _check_told(publication: Publication, targets: list[bytes]) -> None:
    """Find out now whether the event that tells of the outputs can hold all their names."""
    size = len(msgspec.json.encode([output_text(target) for target in targets])) + len(publication.answer)
    if size > EVENT_BYTES_MAX - TOLD_MARGIN:
        raise Invalid(
            f"the names of its {len(targets)} outputs, with its answer, have {size} bytes; at most "
            f"{EVENT_BYTES_MAX - TOLD_MARGIN} can be told. Write fewer files, or put them into an archive"
        )


async def _in_thread(work: Callable[..., T], *args: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, work, *args)


def _step_and_item(key: str) -> tuple[str, int]:
    _, step, item, _ = key.rsplit("/", 3)
    return step, int(item)


def _maker(workflow: str, step: str, item: int) -> str:
    place = f" (item {item} of its list)" if item >= 0 else ""
    return f"step {step!r}{place} of workflow {workflow.rsplit('@', 1)[0]!r}"


def _maker_of(publication: Publication) -> str:
    return _maker(publication.workflow, *_step_and_item(publication.key))


def _generation(event: Event) -> int:
    """Return which content of its file the event tells of, from 1; 1 for what numbers none."""
    if event.type not in NEW_CONTENT or not event.source.startswith(STORAGE_SOURCE):
        return 1
    return file_record(event).generation or 1
