"""Makes losses good: what sources say was lost is compared with a listing, one tree of a storage at a time.

Losses are kept before anything is done about them, so a restart forgets none. While nothing is lost, nothing
is asked of any storage. What is told goes the way of the source's own events, beside them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast

from penstock.core.errors import NotFound, PenstockError, Refused, Unavailable
from penstock.core.event import subject_of
from penstock.core.ports import Covered, Lister, Loss, Source
from penstock.core.rows import HeardRow, Row, TreeRow
from penstock.server.comparison import Comparison, Seen, Told
from penstock.server.heard import Heard
from penstock.server.ledger import PendingLedger
from penstock.server.life import Life
from penstock.server.trees import Trees

logger = logging.getLogger("penstock.reconcile")
AGAIN_S, AGAIN_S_MAX = 5.0, 600.0
"""How long after a comparison that broke off the next one begins, at least and at most."""
PROGRESS_S = 1.0


class Memory(Protocol):
    """What is remembered; see ``core.ports.State``."""

    def put(self, *rows: Row) -> None:
        """Stage rows."""

    def select(self, kind: type[Any], **equal: Any) -> list[Any]:
        """Return rows."""


class OwnListing(Protocol):
    """A source that compares its folder with the ledger by itself, and says when it has."""

    root: bytes

    def compare(self, folder: bytes) -> None:
        """Compare a folder in the background."""


def opened(state: Memory, storage: str, folder: bytes, reason: str) -> TreeRow:
    """Have a tree compared by whichever process lists the storage; it hears of it when this is committed."""
    return Trees(state.select(TreeRow), state.put).lost(storage, folder, reason, time.time_ns())


def ordered(row: TreeRow) -> dict[str, Any]:
    """Return what the answer to an order says: when it is made good is seen from the tree's coverage."""
    return {"storage": row.storage, "folder": subject_of(row.folder), "lost_ns": row.lost_ns}


class Reconciler:
    """Of one process.

    Args:
        state: Remembers trees, and who was heard of.
        ledger: What is known of files.
        staged: Called when rows were staged.
        durable: Returns once what was staged is on disk.
        seen: Returns the ids of those events that were told before.
        unlisted: Told of losses in storages that nothing lists, with the source's name.
        files_per_s: Most files listed in a second.
        life: Of the process.
    """

    def __init__(
        self,
        state: Memory,
        ledger: PendingLedger,
        *,
        staged: Callable[[], None],
        durable: Callable[[], Any],
        seen: Seen,
        unlisted: Callable[[str, Loss], None],
        files_per_s: float,
        life: Life,
    ) -> None:
        self._state = state
        self._ledger = ledger
        self._staged = staged
        self._durable = durable
        self._seen = seen
        self._unlisted = unlisted
        self._files_per_s = files_per_s
        self._life = life
        self._told: Told | None = None
        self._listers: dict[str, tuple[str, Lister]] = {}
        self._own: dict[str, OwnListing] = {}
        self._wanted: dict[str, asyncio.Event] = {}
        self._early: list[tuple[str, Loss]] = []
        self._trees: Trees | None = None
        self._heard: Heard | None = None

    # -- beginning -----------------------------------------------------------------------------------

    def add(self, sources: Iterable[Source]) -> None:
        """Take note of what can be listed."""
        for source in sources:
            ask = getattr(source, "lister", None)
            lister: Lister | None = ask() if ask is not None else None
            if lister is not None:
                self._listers.setdefault(lister.storage, (source.name, lister))
            elif hasattr(source, "compare"):
                self._own[source.name] = cast(OwnListing, source)

    def start(self, told: Told) -> None:
        """Go on with what an earlier life left; ``told`` puts events on the log, durably."""
        self._told = told
        self.load()
        self._heard = Heard(self._state.select(HeardRow), self._keep)
        early, self._early = self._early, []
        for storage in self._listers:
            self._wanted[storage] = asyncio.Event()
            self._wanted[storage].set()
            self._life.spawn(f"reconcile {storage}", self._run(storage, time.time_ns()))
        for source, loss in early:
            self.lost(source, loss)

    def load(self) -> None:
        """Learn what is known of trees."""
        self._trees = Trees(self._state.select(TreeRow), self._keep)

    def _keep(self, row: Row) -> None:
        self._state.put(row)
        self._staged()

    @property
    def trees(self) -> Trees:
        """What is known of trees; there is something once it was started."""
        assert self._trees is not None
        return self._trees

    # -- told from outside ---------------------------------------------------------------------------

    def lost(self, source: str, loss: Loss) -> None:
        """Take note of a loss that a source tells of."""
        if self._trees is None:
            self._early.append((source, loss))
            return
        if loss.storage not in self._listers:
            self._unlisted(source, loss)
        logger.warning("storage %s, %r: %s", loss.storage, loss.folder, loss.reason)
        row = self._trees.lost(loss.storage, loss.folder, loss.reason, loss.at_ns)
        self._wake(row)

    def order(self, storage: str, folder: bytes, reason: str) -> TreeRow:
        """Have a folder compared because somebody says so, and return its tree as it stands.

        Raises:
            NotFound: Nothing lists this storage.
            Refused: The folder is not among what is listed.
        """
        self.check(storage)
        own = self._own.get(storage)
        if own is not None and not (folder.rstrip(b"/") + b"/").startswith(own.root.rstrip(b"/") + b"/"):
            folder = own.root
        if own is None and self.trees.is_watched(storage):
            inside = self.trees.within(storage, folder)
            folder = inside[0] if len(inside) == 1 else folder
        row = self.trees.lost(storage, folder, reason, time.time_ns())
        self._wake(row)
        if own is not None:
            own.compare(row.folder)
        return row

    def adopt(self, rows: Sequence[TreeRow]) -> None:
        """Take in what another process ordered."""
        if self.trees.adopt(rows):
            for row in rows:
                self._wake(row)

    def check(self, storage: str) -> None:
        """Refuse a storage that cannot be listed.

        Raises:
            NotFound: It cannot.
        """
        if storage not in self._listers and storage not in self._own:
            known = ", ".join(sorted({*self._listers, *self._own})) or "none"
            raise NotFound(
                f"nothing lists a storage {storage!r}; known are: {known}. For an outside storage, its "
                "source needs 'listing', 'mounted' or 'namespace' in the settings"
            )

    def _wake(self, row: TreeRow) -> None:
        wanted = self._wanted.get(row.storage)
        if wanted is not None:
            wanted.set()
        elif row.storage not in self._own:
            words = "no source of this storage says how it is listed; see docs/how-to/reconcile.md"
            self.trees.failed(row.storage, row.folder, words, hopeless=True)

    def covered(self, done: Covered) -> None:
        """Note that a source has compared a folder by itself; see ``core.ports.CoveredSink``."""
        storage, folder = done.storage, done.folder
        if self._trees is None:
            return
        if done.unread and (storage, folder) in self._trees.rows:
            words = f"{done.unread} folders or files could not be read; the dead letters name them"
            self._trees.failed(storage, folder, words, hopeless=True)
        elif not done.unread:
            counts = done.listed, done.created, done.deleted
            self._trees.proven(storage, folder, done.begun_ns, storage, *counts)

    def heard(self, source: Source, count: int) -> None:
        """Note that a source told of ``count`` events, and by which doors."""
        if self._heard is not None:
            take = getattr(source, "take_doors", None)
            self._heard.notices(source.name, count, take() if take is not None else (), time.time_ns())

    # -- comparing -----------------------------------------------------------------------------------

    async def _run(self, storage: str, since_ns: int) -> None:
        """Compare what is open of a storage, for ever."""
        wanted = self._wanted[storage]
        again_s = 0.0
        while True:
            await wanted.wait()
            wanted.clear()
            try:
                await self._watch(storage, since_ns)
                while (row := self.trees.next(storage)) is not None:
                    await self._compare(row)
                    again_s = 0.0
            except Unavailable as error:
                again_s = min(max(2 * again_s, error.retry_after_s, AGAIN_S), AGAIN_S_MAX)
                asyncio.get_running_loop().call_later(again_s, wanted.set)
            except Refused as error:
                logger.error("storage %s cannot be listed: %s", storage, error)
                self._life.trouble(f"reconcile {storage}", str(error))
            else:
                self._life.troubles.pop(f"reconcile {storage}", None)

    async def _watch(self, storage: str, since_ns: int) -> None:
        """Learn which trees a storage has; that it is asked for once only."""
        if self.trees.is_watched(storage):
            return
        lister = self._listers[storage][1]
        try:
            for folder in await lister.trees():
                self.trees.watched(storage, folder, since_ns)
        finally:
            await lister.close()

    async def _compare(self, row: TreeRow) -> None:
        name, lister = self._listers[row.storage]
        begun_ns = time.time_ns()
        self.trees.begun(row, begun_ns)
        comparison = self._comparison(lister, self._told)
        comparison.progress = _now_and_then(lambda: self._progress(row, comparison))
        try:
            for folder in self.trees.within(row.storage, row.folder):
                await comparison.run(folder, self.trees.since(row.storage, folder))
            await self._durable()
        except (Unavailable, Refused) as error:
            hopeless = isinstance(error, Refused)
            self.trees.failed(row.storage, row.folder, str(error), hopeless=hopeless)
            if not hopeless:
                raise
            logger.error("storage %s, %r: %s", row.storage, row.folder, error)
            return
        finally:
            await lister.close()
        counts = comparison.listed, comparison.created, comparison.deleted
        self.trees.proven(row.storage, row.folder, begun_ns, name, *counts)
        logger.info("storage %s, %r: %d files listed, %d told, %d gone", row.storage, row.folder, *counts)

    def _progress(self, row: TreeRow, comparison: Comparison) -> None:
        counts = comparison.listed, comparison.created, comparison.deleted
        self.trees.progress(row.storage, row.folder, *counts)

    def _comparison(self, lister: Lister, told: Told | None) -> Comparison:
        return Comparison(
            lister,
            self._ledger,
            seen=self._seen,
            told=told,
            files_per_s=self._files_per_s,
        )

    async def trial(self, storage: str, folder: bytes) -> dict[str, Any]:
        """Compare a folder, and say what would be told; nothing is changed.

        Raises:
            NotFound: Nothing lists this storage.
            Unavailable: It is away.
            Refused: It does not let us, or its source compares by itself.
        """
        self.check(storage)
        if storage not in self._listers:
            raise Refused(
                f"the source of {storage!r} compares by itself, and tells what it finds: no --dry-run"
            )
        lister = self._listers[storage][1]
        comparison = self._comparison(lister, None)
        try:
            for tree in self.trees.within(storage, folder, await lister.trees()):
                await comparison.run(tree, self.trees.since(storage, tree))
        finally:
            await lister.close()
        return {
            "storage": storage,
            "folder": subject_of(folder),
            "listed": comparison.listed,
            "created": comparison.created,
            "deleted": comparison.deleted,
            "found": [{"what": what, "subject": path.decode()} for what, path in comparison.found],
        }

    async def close(self) -> None:
        """Keep who was heard of."""
        if self._heard is not None:
            for row in self._heard.rows.values():
                self._state.put(row)
        for _, lister in self._listers.values():
            try:
                await lister.close()
            except PenstockError as error:
                logger.warning("%s", error)


def _now_and_then(call: Callable[[], None]) -> Callable[[], None]:
    last = 0.0

    def perhaps() -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_S:
            last = time.monotonic()
            call()

    return perhaps
