"""Publication: what an attempt wrote becomes visible, each file whole and at once, exactly once.

1. The files are synced and moved to the attempt's own folder, on the storage's file system.
2. An intent row (what moves where) is committed.
3. Each file is renamed to its place. A rename is atomic, and doing it again changes nothing.
4. The result event is appended; then the intent is done.

After a crash ``unfinished`` gives the intents of step 2 that did not reach step 4; ``finish`` does 3 again.

While the disk is full, away, or another one is in its place, a publication waits where it is and tries again
by itself (``patience``). What only a person can repair (permissions, a file where a folder should be) is
found before step 2 and fails the attempt. Who may replace what is decided in ``claims``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from penstock.core.errors import Invalid, PenstockError, Superseded
from penstock.core.event import EVENT_BYTES_MAX, NEW_CONTENT, Event, file_record, path_of, subject_of
from penstock.core.ports import Publication
from penstock.core.rows import Intent, OutputRow, Row
from penstock.core.template import render
from penstock.storage.attempts import PRIVATE, attempt_folder, attempt_name, drop, name_in, sweep
from penstock.storage.claims import Claims, check_claim, output_row
from penstock.storage.fresh import Fresh
from penstock.storage.moves import STORAGE_SOURCE, collect, move_all, moves_of, stale
from penstock.storage.patience import AGAIN_S, Patience
from penstock.storage.place import Place

__all__ = ["PRIVATE", "Publisher"]

TOLD_MARGIN = 16 << 10
"""Room in the event of a step's end for what is not the outputs' names or the answer, in bytes."""


def output_text(path: bytes) -> str:
    """Return a published path as events hold it; one that is no text is percent-encoded behind ``file://``."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return f"file://{subject_of(path)}"


class Store(Claims, Protocol):
    """What publication needs of the state."""

    def put(self, *rows: Row) -> None:
        """Stage rows."""

    def get(self, kind: type[Intent], *key: str) -> Intent | None:
        """Return an intent."""


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
        store: Store,
        durable: Callable[[], Awaitable[None]],
        again_s: float = AGAIN_S,
    ) -> None:
        self._places = {name: _place(name, root, store) for name, root in roots.items()}
        self._store = store
        self._durable = durable
        self._patience = Patience(again_s)
        self.troubles = self._patience.troubles
        self._fresh = Fresh(store)
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
        place = self._place(publication.event)
        targets = [self._target(publication, place.path, name) for name in publication.files]
        if len(set(targets)) < len(targets):
            raise Invalid(
                f"the template {publication.template!r} gives two outputs one path; put {{name}} into it"
            )
        _check_told(publication, targets)
        async with self._alone(targets):
            try:
                intent, outputs = await self._prepare(publication, place, targets, wanted)
            except PenstockError:
                await asyncio.to_thread(drop, place, publication.key)
                raise
            self._store.put(intent, *outputs)
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
        self, publication: Publication, place: Place, targets: list[bytes], wanted: Callable[[], bool]
    ) -> tuple[Intent, list[OutputRow]]:
        """Bring the files to the storage and return what is to be done with them."""

        def check() -> None:
            if not wanted():
                raise Superseded("the run ended before its outputs were published")
            for target in targets:
                check_claim(self._store, place, publication, target)

        check()
        moves, inodes = await self._patience.do(place, partial(collect, publication, place, targets), check)
        check()  # bringing large files takes its time
        intent = Intent(
            key=publication.key,
            run=publication.run,
            tenant=publication.tenant,
            moves=msgspec.msgpack.encode(moves),
            answer=publication.answer,
        )
        rows = [output_row(publication, *each) for each in zip(targets, inodes, strict=False)]
        return intent, rows

    async def finish(self, intent: Intent) -> tuple[str, ...]:
        """Do (or do again) an intent's moves and return the published paths; while the disk is away, wait.

        Raises:
            Failed: The files are not there any more.
        """
        async with self._alone([target for _, target in moves_of(intent)]):
            return await self._finish(intent)

    async def _finish(self, intent: Intent) -> tuple[str, ...]:
        moves = moves_of(intent)
        self._fresh.expect([self._store.output(target) for _, target in moves])
        if moves:
            places = self._places.values()
            held = (place for place in places if moves[0][0].startswith(attempt_folder("", place.path)))
            place = next(held, Place("", b"/"))
            await self._patience.do(place, partial(move_all, place, moves))
        return tuple(output_text(target) for _, target in moves)

    def watched(self, storage: str, device: int, inode: int) -> bool:
        """A storage's source begins to watch this folder: outputs go into no other from now on.

        Returns:
            Whether it watched another one before.
        """
        changed = self._places[storage].watched(device, inode)
        self._patience.again(storage)
        return changed

    def settle(self, key: str) -> None:
        """Mark an intent as done; call it when its event is on the log."""
        intent = self._store.get(Intent, key)
        if intent is not None:
            self._store.put(msgspec.structs.replace(intent, done=True, moves=b"", answer=b""))

    def unfinished(self) -> list[Intent]:
        """Return the intents that a crash left."""
        found: list[Intent] = self._store.select(Intent, done=False)
        return found

    def published(self, path: bytes, stat: os.stat_result) -> tuple[str, int] | None:
        """Return run and depth behind a file that we published, or None if it is not ours."""
        return self._fresh.published(path, stat)

    def moved(self, old: bytes, stat: os.stat_result) -> tuple[str, int] | None:
        """Return run and depth behind an output that was at ``old`` before its folder was renamed."""
        output = self._store.output(old)
        if output is None or output.inode != stat.st_ino or stat.st_mtime_ns > output.published_ns:
            return None
        return output.run, output.depth

    def discard(self, folder: str, files: tuple[str, ...] | None) -> None:
        """Remove what an attempt wrote and nobody wants."""
        for name in files or ():
            Path(folder, name).unlink(missing_ok=True)

    def input_place(self, event: Event) -> bytes | None:
        """Return the local path of the event's file, or None if it is about no file of ours."""
        return path_of(event.subject) if self._own(event) is not None and event.subject else None

    def stale(self, event: Event) -> str | None:
        """Say in words whether the content that the event tells of is no longer there; else None.

        Of a storage that is not what it was nothing can be said.
        """
        place = self._own(event)
        why = stale(event) if place is not None else None
        return why if why is not None and place is not None and place.is_there() else None

    def collected(self, key: str) -> frozenset[str]:
        """Return the names of an attempt's files that were brought to the storage before a crash. Blocks."""
        folders = [attempt_folder(key, place.path) for place in self._places.values()]
        return frozenset(
            os.fsdecode(os.path.relpath(os.path.join(place, name), folder))
            for folder in folders
            for place, _, names in os.walk(folder)
            for name in names
        )

    def clean(self, wanted: Collection[str] = (), is_ours: Callable[[str], bool] = lambda _run: True) -> int:
        """Remove attempts' folders that no intent needs; return how many. For the start only.

        Args:
            wanted: Keys of attempts that will be published although their files may have left the
                place where they were written: a job that has ended is not run again.
            is_ours: Says of a run's id whether the run is this shard's.
        """
        kept = {attempt_name(key) for key in wanted}
        kept |= {name_in(source) for intent in self.unfinished() for source, _ in moves_of(intent)}
        return sum(sweep(place, kept, is_ours) for place in self._places.values())

    def gone(self, paths: Collection[bytes]) -> list[bytes]:
        """Return those of these paths at which there is nothing, in a storage that is what it was. Blocks."""
        there = [place.path.rstrip(b"/") + b"/" for place in self._places.values() if place.is_there()]
        return [
            path
            for path in paths
            if any(path.startswith(root) for root in there) and not os.path.lexists(path)
        ]

    def _own(self, event: Event) -> Place | None:
        name = event.source.removeprefix(STORAGE_SOURCE)
        return self._places.get(name) if name != event.source else None

    def _place(self, event: Event) -> Place:
        place = self._own(event) or next(iter(self._places.values()), None)
        if place is None:
            raise Invalid("there is no storage to publish outputs to; name one in the settings")
        return place

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


def _place(name: str, root: bytes, store: Store) -> Place:
    baseline = store.file(name, root)
    return Place(name, root, baseline.version if baseline is not None else "")


def _check_told(publication: Publication, targets: list[bytes]) -> None:
    """Find out now whether the event that tells of the outputs can hold all their names."""
    size = len(msgspec.json.encode([output_text(target) for target in targets])) + len(publication.answer)
    if size > EVENT_BYTES_MAX - TOLD_MARGIN:
        raise Invalid(
            f"the names of its {len(targets)} outputs, with its answer, have {size} bytes; at most "
            f"{EVENT_BYTES_MAX - TOLD_MARGIN} can be told. Write fewer files, or put them into an archive"
        )


def _generation(event: Event) -> int:
    """Return which content of its file the event tells of, from 1; 1 for what numbers none."""
    if event.type not in NEW_CONTENT or not event.source.startswith(STORAGE_SOURCE):
        return 1
    return file_record(event).generation or 1
