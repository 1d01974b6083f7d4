"""What sources lost is found by a listing: on mounted folders, dCache and S3."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.core.errors import NotFound, Refused, Unavailable
from penstock.core.event import FILE_CREATED, NEW_CONTENT, Event, content_id, path_of, rfc3339
from penstock.core.identity import fold, version_gone_id
from penstock.core.ports import Listed, Lister, Look, Loss, SourceContext, Stamp
from penstock.core.rows import FileState, TreeRow
from penstock.outside.secret import Secret
from penstock.server.ledger import PendingLedger
from penstock.server.life import Life
from penstock.server.reconcile import Reconciler
from penstock.sources.dcache.settings import DCacheSseSettings
from penstock.sources.dcache.streams import DCacheSseSource
from penstock.sources.file_events import Storage
from penstock.sources.mounted import MountedLister, MountedSettings
from penstock.sources.s3_listing import S3Lister, S3ListingSettings
from penstock.testing.dcache.site import SimulatedDCache
from penstock.testing.s3 import FakeS3
from penstock.testing.state import MemoryState

pytestmark = pytest.mark.anyio


class Listing:
    """A source of which only the lister is used."""

    def __init__(self, lister: Lister) -> None:
        self.name = f"source of {lister.storage}"
        self._lister = lister

    def lister(self) -> Lister:
        return self._lister


class Desk:
    """A reconciler, and all that is told to it and by it."""

    def __init__(
        self, *listers: Lister, state: MemoryState | None = None, seen: set[str] | None = None
    ) -> None:
        self.state = state or MemoryState()
        self.seen = set() if seen is None else seen
        self.told: list[Event] = []
        self.letters: list[Loss] = []
        self.life = Life()
        self.moved = asyncio.Event()
        self.ledger = PendingLedger(self.state, lambda: None)
        self.away: Unavailable | None = None
        self.reconciler = Reconciler(
            self.state, self.ledger, staged=self.moved.set, durable=self.state.commit, seen=self._seen,
            unlisted=lambda _source, loss: self.letters.append(loss), files_per_s=1e9, life=self.life,
        )  # fmt: skip
        self.reconciler.add([Listing(lister) for lister in listers])  # type: ignore[misc]
        self.reconciler.start(self.take)

    async def _seen(self, events: Sequence[Event]) -> set[str]:
        return {event.id for event in events if event.id in self.seen}

    async def take(self, events: Sequence[Event]) -> None:
        """Fold events, as a shard does."""
        for event in events:
            if event.id in self.seen:
                continue
            self.seen.add(event.id)
            path = path_of(event.subject or "")
            storage = event.source.removeprefix("/storages/")
            found = fold(self.ledger.file(storage, path), event)
            if found.row is not None:
                self.ledger.folded(found.row)
            if not found.known:
                self.told.append(event)

    async def until(self, holds: Callable[[], object]) -> None:
        while not holds():
            self.moved.clear()
            await asyncio.wait_for(self.moved.wait(), 20)

    async def lose(self, storage: str, folder: bytes = b"/", reason: str = "a test") -> TreeRow:
        """Lose something, and return the tree when it is made good."""
        before = time.time_ns()
        self.reconciler.lost("source", Loss(storage=storage, folder=folder, reason=reason, at_ns=before))
        key = (storage, folder.rstrip(b"/") or b"/")
        rows = self.reconciler.trees.rows
        await self.until(lambda: not rows[key].lost_ns and rows[key].proven_ns >= before)
        return rows[key]

    def kinds(self) -> list[tuple[str, str]]:
        return sorted(
            ("created" if event.type in NEW_CONTENT else "gone", os.path.basename(event.subject or ""))
            for event in self.told
        )

    def present(self, storage: str) -> set[bytes]:
        return {row.path for row in self.state.select(FileState, storage=storage) if row.present}

    async def close(self) -> None:
        await self.life.close()
        await self.reconciler.close()


@asynccontextmanager
async def desk(*listers: Lister, **given: object) -> AsyncIterator[Desk]:
    made = Desk(*listers, **given)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.close()


def mounted(folder: Path, path: str = "/gpfs/raw", **given: object) -> MountedLister:
    return MountedLister("gpfs", MountedSettings(folder=str(folder), path=path, settle_s=0, **given))  # type: ignore[arg-type]


def old(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def since(desk: Desk, storage: str, folder: bytes, at_ns: int = 1) -> None:
    """Have everything count, whenever it was written."""
    desk.reconciler.trees.watched(storage, folder, at_ns)


# -- mounted folders ---------------------------------------------------------------------------------


async def test_a_mounted_tree_is_made_good_and_a_second_time_has_nothing_to_tell(tmp_path: Path) -> None:
    for name in ("a", "b/c", "b/d.e", "b-f", ".hidden", "b/x.tmp"):
        old(tmp_path / name)
    async with desk(mounted(tmp_path)) as here:
        since(here, "gpfs", b"/gpfs/raw")
        row = await here.lose("gpfs", b"/gpfs/raw")
        assert here.kinds() == [("created", name) for name in ("a", "b-f", "c", "d.e")]
        assert (row.listed, row.created, row.deleted, row.reason) == (6, 4, 0, "a test")
        (tmp_path / "a").unlink()
        old(tmp_path / "b/c", "changed")
        row = await here.lose("gpfs", b"/gpfs/raw")
        assert (row.listed, row.created, row.deleted) == (5, 1, 1)
        row = await here.lose("gpfs", b"/gpfs/raw")
        assert (row.created, row.deleted) == (0, 0)
        assert here.present("gpfs") == {b"/gpfs/raw/b/c", b"/gpfs/raw/b/d.e", b"/gpfs/raw/b-f"}


async def test_only_the_affected_subtree_is_listed(tmp_path: Path) -> None:
    old(tmp_path / "one/a")
    old(tmp_path / "two/b")
    async with desk(mounted(tmp_path)) as here:
        since(here, "gpfs", b"/gpfs/raw")
        row = await here.lose("gpfs", b"/gpfs/raw/one")
        assert here.kinds() == [("created", "a")]
        assert row.listed == 1


async def test_a_notice_that_comes_late_tells_nothing_new(tmp_path: Path) -> None:
    path = old(tmp_path / "a", "four")
    async with desk(mounted(tmp_path)) as here:
        since(here, "gpfs", b"/gpfs/raw")
        await here.lose("gpfs", b"/gpfs/raw")
        stat = path.stat()
        late = Storage("gpfs").event(
            FILE_CREATED, b"/gpfs/raw/a", native=[b"1"], time=rfc3339(stat.st_mtime), size=4,
            mtime_ns=stat.st_mtime_ns,
        )  # fmt: skip
        await here.take([late])
        assert here.kinds() == [("created", "a")]


async def test_what_a_notice_told_is_not_told_again(tmp_path: Path) -> None:
    path = old(tmp_path / "a", "four")
    async with desk(mounted(tmp_path)) as here:
        since(here, "gpfs", b"/gpfs/raw")
        stat = path.stat()
        told = Storage("gpfs").event(
            FILE_CREATED, b"/gpfs/raw/a", native=[b"1"], time=rfc3339(stat.st_mtime), size=4,
            mtime_ns=stat.st_mtime_ns // 1000 * 1000,
        )  # fmt: skip
        await here.take([told])
        row = await here.lose("gpfs", b"/gpfs/raw")
        assert (row.listed, row.created, row.deleted) == (1, 0, 0)


async def test_files_older_than_our_asking_are_known_and_not_told(tmp_path: Path) -> None:
    old(tmp_path / "a")
    async with desk(mounted(tmp_path)) as here:
        since(here, "gpfs", b"/gpfs/raw", time.time_ns() + 10**9)
        await here.lose("gpfs", b"/gpfs/raw")
        assert here.told == []
        (tmp_path / "a").unlink()
        old(tmp_path / "b")
        row = await here.lose("gpfs", b"/gpfs/raw")
        assert (here.kinds(), row.deleted) == ([("gone", "a")], 1)


async def test_a_disk_that_is_away_is_no_end_of_its_files(tmp_path: Path) -> None:
    old(tmp_path / "disk/a")
    async with desk(mounted(tmp_path / "disk", retry_s=0.01)) as here:
        since(here, "gpfs", b"/gpfs/raw")
        await here.lose("gpfs", b"/gpfs/raw")
        shutil.move(tmp_path / "disk/a", tmp_path / "a")
        here.reconciler.lost("s", Loss(storage="gpfs", folder=b"/gpfs/raw", reason="x", at_ns=time.time_ns()))
        row = here.reconciler.trees.rows
        await here.until(lambda: "there is nothing in" in row["gpfs", b"/gpfs/raw"].trouble)
        assert here.kinds() == [("created", "a")]


class Breaking:
    """A lister that breaks off behind its first page, as often as it is told to."""

    stamp = ("version",)

    def __init__(self, pages: list[list[Stamp]], error: Exception | None) -> None:
        self.storage = "s"
        self.pages_ = pages
        self.error = error
        self.listings = 0
        self.while_looking: Callable[[bytes], None] = lambda _path: None
        self.gate: asyncio.Event | None = None

    async def trees(self) -> Sequence[bytes]:
        return [b"/d"]

    async def pages(self, folder: bytes) -> AsyncIterator[Sequence[Stamp]]:
        self.listings += 1
        for number, page in enumerate(self.pages_):
            if number and self.error is not None:
                raise self.error
            if number and self.gate is not None:
                await self.gate.wait()
            yield [stamp for stamp in page if stamp[0].startswith(folder.rstrip(b"/") + b"/")]

    async def look(self, paths: Sequence[bytes]) -> Sequence[Listed | Look]:
        return [self._look(path) for path in paths]

    def _look(self, path: bytes) -> Listed | Look:
        self.while_looking(path)
        found = {stamp[0]: stamp for page in self.pages_ for stamp in page}.get(path)
        if found is None:
            return Look.NOTHING
        return Listed(path=path, size=1, mtime_ns=5, born_ns=10**18, version=found[1])

    def is_same(self, stamp: Stamp, known: object) -> bool:
        return False

    async def close(self) -> None:
        pass


def told(path: bytes, version: str) -> Event:
    return Storage("s").event(FILE_CREATED, path, native=[], time=rfc3339(10**9), version=version, size=1)


async def test_a_listing_that_breaks_off_tells_of_nothing_as_deleted_and_proves_nothing() -> None:
    lister = Breaking([[(b"/d/b", "v")], [(b"/d/x", "v")]], Unavailable("half-way", 0.01))
    async with desk(lister) as here:
        since(here, "s", b"/d")
        await here.take([told(b"/d/a", "v"), told(b"/d/x", "v"), told(b"/d/z", "v")])
        del here.told[:]
        here.reconciler.lost("s", Loss(storage="s", folder=b"/d", reason="x", at_ns=time.time_ns()))
        rows = here.reconciler.trees.rows
        await here.until(lambda: rows["s", b"/d"].trouble == "half-way")
        assert here.kinds() in ([], [("created", "b")])
        assert rows["s", b"/d"].proven_ns == 0


async def test_a_storage_that_refuses_is_asked_again_at_the_next_word_only() -> None:
    lister = Breaking([[], []], Refused("not for you"))
    async with desk(lister) as here:
        since(here, "s", b"/d")
        here.reconciler.lost("s", Loss(storage="s", folder=b"/d", reason="x", at_ns=time.time_ns()))
        rows = here.reconciler.trees.rows
        await here.until(lambda: rows["s", b"/d"].trouble == "not for you")
        assert lister.listings == 1
        lister.error = None
        await here.lose("s", b"/d")


async def test_a_file_that_changes_while_it_is_looked_at_is_left_to_its_notices() -> None:
    lister = Breaking([[(b"/d/a", "old")]], None)
    async with desk(lister) as here:
        since(here, "s", b"/d")

        def overtaken(path: bytes) -> None:
            if path == b"/d/a" and not here.told:
                folded = fold(None, told(path, "new")).row
                assert folded is not None
                here.ledger.folded(folded)
                here.told.append(told(path, "new"))
                lister.pages_ = [[(b"/d/a", "new")]]

        lister.while_looking = overtaken
        await here.lose("s", b"/d")
        assert [event.id for event in here.told] == [content_id("s", b"/d/a", "new")]


async def test_a_loss_during_the_comparison_is_compared_once_more() -> None:
    lister = Breaking([[(b"/d/a", "v")], [(b"/d/b", "v")]], None)
    lister.gate = asyncio.Event()
    async with desk(lister) as here:
        since(here, "s", b"/d")
        here.reconciler.lost("s", Loss(storage="s", folder=b"/d", reason="first", at_ns=time.time_ns()))
        await here.until(lambda: lister.listings == 1)
        here.reconciler.lost("s", Loss(storage="s", folder=b"/d/e", reason="second", at_ns=time.time_ns()))
        lister.gate.set()
        rows = here.reconciler.trees.rows
        await here.until(lambda: not any(row.lost_ns for row in rows.values()))
        assert lister.listings == 2
        assert rows["s", b"/d/e"].proven_ns > rows["s", b"/d"].proven_ns


async def test_nested_losses_are_one_comparison() -> None:
    lister = Breaking([[(b"/d/a", "v")]], None)
    async with desk(lister) as here:
        since(here, "s", b"/d")
        for folder in (b"/d/e/f", b"/d/e", b"/d/g", b"/d", b"/d/h"):
            here.reconciler.lost("s", Loss(storage="s", folder=folder, reason="x", at_ns=time.time_ns()))
        rows = here.reconciler.trees.rows
        await here.until(lambda: not any(row.lost_ns for row in rows.values()))
        assert lister.listings == 1


async def test_a_restart_in_the_middle_forgets_no_loss_and_doubles_nothing() -> None:
    lister = Breaking([[(b"/d/a", "v")], [(b"/d/b", "v")]], None)
    lister.gate = asyncio.Event()
    seen: set[str] = set()
    async with desk(lister, seen=seen) as first:
        since(first, "s", b"/d")
        first.reconciler.lost("s", Loss(storage="s", folder=b"/d", reason="x", at_ns=time.time_ns()))
        await first.state.commit()
        await first.until(lambda: lister.listings == 1)
    lister.gate.set()
    async with desk(lister, state=first.state.restarted(), seen=seen) as second:
        rows = second.reconciler.trees.rows
        assert rows["s", b"/d"].lost_ns
        await second.until(lambda: not rows["s", b"/d"].lost_ns)
        events = [event.id for event in (*first.told, *second.told)]
        assert sorted(events) == sorted(content_id("s", path, "v") for path in (b"/d/a", b"/d/b"))


async def test_a_loss_that_nobody_can_list_is_a_dead_letter_and_stays_open() -> None:
    async with desk() as here:
        loss = Loss(storage="other", folder=b"/d", reason="x", at_ns=5)
        here.reconciler.lost("s", loss)
        assert here.letters == [loss]
        row = here.reconciler.trees.rows["other", b"/d"]
        assert row.lost_ns == 5
        assert "no source" in row.trouble
        with pytest.raises(NotFound, match="nothing lists a storage 'other'"):
            here.reconciler.order("other", b"/", "x")


async def test_a_trial_says_what_would_be_told_and_changes_nothing() -> None:
    lister = Breaking([[(b"/d/a", "v")]], None)
    async with desk(lister) as here:
        since(here, "s", b"/d")
        await here.take([told(b"/d/gone", "v")])
        del here.told[:]
        found = await here.reconciler.trial("s", b"/")
        assert (found["listed"], found["created"], found["deleted"]) == (1, 1, 1)
        assert found["found"] == [
            {"what": "created", "subject": "/d/a"}, {"what": "deleted", "subject": "/d/gone"},
        ]  # fmt: skip
        assert here.told == []
        assert here.ledger.file("s", b"/d/a") is None
        with pytest.raises(Refused, match="'/e' is not listed: of 's' is /d"):
            await here.reconciler.trial("s", b"/e")


# -- dCache ------------------------------------------------------------------------------------------


async def test_what_dcache_s_stream_lost_is_found_under_the_ids_that_billing_gives(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token\n")
    async with SimulatedDCache(root="/pnfs") as dcache:
        dcache.make_folder("/pnfs/raw/a")
        dcache.make_folder("/pnfs/raw/a.b")
        settings = DCacheSseSettings(
            storage="d", folders=("/raw",), frontend=dcache.frontend.address,
            token=Secret(file=str(tmp_path / "token")), page=2,
        )  # fmt: skip
        first = [dcache.write(f"/pnfs/raw/a/{n}", b"x") for n in range(3)]
        dcache.write("/pnfs/raw/a.b/f", b"yy")
        async with desk() as here:
            source = DCacheSseSource.open(
                settings, SourceContext(name="x", ledger=here.ledger, dead_letter=lambda _letter: None)
            )
            here.reconciler.add([source])
            here.reconciler.start(here.take)
            since(here, "d", b"/pnfs/raw")
            row = await here.lose("d", b"/pnfs/raw")
            assert (row.listed, row.created) == (4, 4)
            assert content_id("d", b"/pnfs/raw/a/1", first[1].pnfsid) in {event.id for event in here.told}
            del here.told[:]
            dcache.remove("/pnfs/raw/a/1")
            dcache.write("/pnfs/raw/a/2", b"new")
            dcache.move("/pnfs/raw/a/0", "/pnfs/raw/a.b/0")
            row = await here.lose("d", b"/pnfs/raw/a")
            assert here.kinds() == [("created", "2"), ("gone", "0"), ("gone", "1")]
            assert version_gone_id("d", b"/pnfs/raw/a/1", first[1].pnfsid) in {each.id for each in here.told}
            await here.lose("d", b"/pnfs/raw/a.b")
            assert here.kinds()[0] == ("created", "0")


async def test_an_overflow_in_dcache_is_made_good_ends_included(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token\n")
    async with SimulatedDCache(root="/pnfs") as dcache, desk() as here:
        raw = dcache.make_folder("/pnfs/raw")
        settings = DCacheSseSettings(
            storage="d", folders=("/raw",), frontend=dcache.frontend.address,
            token=Secret(file=str(tmp_path / "token")),
        )  # fmt: skip
        context = SourceContext(
            name="x", ledger=here.ledger, dead_letter=lambda _letter: None,
            lost=lambda loss: here.reconciler.lost("x", loss),
        )  # fmt: skip
        source = DCacheSseSource.open(settings, context)
        here.reconciler.add([source])
        here.reconciler.start(here.take)

        async def follow() -> None:
            async for events in source.events():
                await here.take(events)
                here.moved.set()

        following = asyncio.create_task(follow())
        await source.ready()
        dcache.write("/pnfs/raw/stays", b"x")
        dcache.write("/pnfs/raw/goes", b"x")
        await here.until(lambda: len(here.told) == 2)
        channel = next(iter(dcache.frontend.channels.values()))
        channel.faults.lose = 1000
        dcache.remove("/pnfs/raw/goes")
        dcache.write("/pnfs/raw/comes", b"x")
        channel.faults.lose = 0
        channel.overflow(raw.pnfsid)
        rows = here.reconciler.trees.rows
        await here.until(lambda: (row := rows.get(("d", b"/pnfs/raw"))) is not None and row.proven_ns)
        assert here.kinds() == [("created", name) for name in ("comes", "goes", "stays")] + [("gone", "goes")]
        await source.close()
        await asyncio.wait_for(following, 20)


# -- S3 ----------------------------------------------------------------------------------------------


def s3(storage: FakeS3) -> S3Lister:
    os.environ["PENSTOCK_TEST_S3"] = "key"
    key = Secret(env="PENSTOCK_TEST_S3")
    return S3Lister("s3", S3ListingSettings(endpoint=storage.address, buckets=("raw",), key_id=key, key=key))


@pytest.mark.parametrize("versioned", [False, True])
async def test_dropped_notifications_of_s3_are_made_good(versioned: bool) -> None:
    pytest.importorskip("obstore")
    async with FakeS3(versioned=versioned, page=2) as storage:
        notices = Storage("s3")

        def notice(key: str, content: bytes) -> Event:
            item = storage.put("raw", key, content)
            version = item.version or f"{item.etag}-0001"
            return notices.event(
                FILE_CREATED, f"/raw/{key}".encode(), native=[key.encode()],
                time=rfc3339(item.at.timestamp() + 0.4), version=version, size=item.size,
            )  # fmt: skip

        async with desk(s3(storage)) as here:
            since(here, "s3", b"/raw")
            await here.take([notice(f"run 1/é{n}", b"%d" % n) for n in range(5)])
            row = await here.lose("s3")
            assert (row.listed, row.created, row.deleted) == (5, 0, 0)
            assert not any(call.startswith("HEAD") for call in storage.calls)
            lost = notice("run 1/new", b"lost")
            storage.remove("raw", "run 1/é0")
            changed = notice("run 1/é1", b"changed")
            row = await here.lose("s3")
            assert (row.listed, row.created, row.deleted) == (5, 2, 1)
            count = len(here.told)
            await here.take([lost, changed] if versioned else [lost])
            assert len(here.told) == count
            row = await here.lose("s3")
            assert (row.created, row.deleted) == (0, 0)


async def test_s3_that_breaks_off_tells_of_nothing_as_deleted() -> None:
    pytest.importorskip("obstore")
    async with FakeS3(page=1000) as storage, desk(s3(storage)) as here:
        since(here, "s3", b"/raw")
        for number in range(3):
            storage.put("raw", f"{number}", b"x")
        await here.lose("s3")
        del here.told[:]
        storage.items["raw"].clear()
        storage.broken = 0
        here.reconciler.lost("s", Loss(storage="s3", folder=b"/raw", reason="x", at_ns=time.time_ns()))
        rows = here.reconciler.trees.rows
        await here.until(lambda: rows["s3", b"/raw"].trouble)
        assert here.told == []
