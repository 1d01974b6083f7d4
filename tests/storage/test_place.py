"""Outputs go into the folder that is watched, and into no other that is in its place."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest
from tests.mounts import disk
from tests.storage.test_publish import Desk

from penstock.core.errors import Unavailable
from penstock.core.ledger import baseline, identity_of
from penstock.core.rows import Intent
from penstock.sources.folder import FolderSettings, FolderSource
from penstock.storage.place import Place
from penstock.storage.publish import Publisher
from penstock.testing.ledger import MemoryLedger

pytestmark = pytest.mark.anyio
FOR_EVER_S = 3600.0


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def watched(desk: Desk) -> None:
    stat = desk.root.stat()
    desk.publisher.watched("local", stat.st_dev, stat.st_ino)


async def trouble(desk: Desk) -> str:
    """Return the words about the first trouble, once there is one."""
    while not desk.publisher.troubles:
        await asyncio.sleep(0)
    return next(iter(desk.publisher.troubles.values()))


async def test_a_folder_in_place_of_the_watched_one_gets_nothing(desk: Desk) -> None:
    watched(desk)
    desk.publisher._patience._again_s = FOR_EVER_S
    attempt = desk.attempt(desk.wrote(), {"x": "X"})
    away = desk.root.rename(desk.root.with_name("away"))
    desk.root.mkdir()
    publishing = asyncio.create_task(desk.publisher.publish(attempt))
    assert "storage local is not what it was" in (words := await trouble(desk))
    assert "Unmounted? Nothing is lost" in words
    assert list(desk.root.iterdir()) == []
    desk.root.rmdir()
    away.rename(desk.root)
    watched(desk)  # the source says so; nothing else would wake the publication for an hour
    await asyncio.wait_for(publishing, 20)
    assert desk.out("in.x").read_text() == "X"
    assert desk.publisher.troubles == {}


async def test_a_folder_made_anew_gets_outputs_once_it_is_watched(desk: Desk) -> None:
    watched(desk)
    attempt = desk.attempt(desk.wrote(), {"x": "X"})
    desk.root.rename(desk.root.with_name("away"))
    desk.root.mkdir()
    publishing = asyncio.create_task(desk.publisher.publish(attempt))
    await trouble(desk)
    watched(desk)
    await asyncio.wait_for(publishing, 20)
    assert desk.out("in.x").read_text() == "X"


async def test_a_promise_is_kept_over_a_restart_without_the_disk(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = desk.root.stat()
    identity = identity_of(os.statvfs(desk.root).f_fsid, stat.st_ino)
    root = os.fsencode(desk.root)
    desk.state.put(baseline("local", root, 1, stat.st_ino, identity, done=True))
    with monkeypatch.context() as patched:
        patched.setattr("penstock.storage.publish.move_all", lambda *_: (_ for _ in ()).throw(KeyError))
        with pytest.raises(KeyError):
            await desk.publisher.publish(desk.attempt(desk.wrote(), {"x": "X"}))
    away = desk.root.rename(desk.root.with_name("away"))
    desk.root.mkdir()
    desk.begin()
    (intent,) = desk.publisher.unfinished()
    finishing = asyncio.create_task(desk.publisher.finish(intent))
    assert "is not what it was" in await trouble(desk)
    assert desk.publisher.clean() == 0
    assert list(desk.root.iterdir()) == []
    desk.root.rmdir()
    away.rename(desk.root)
    assert await asyncio.wait_for(finishing, 20) == (str(desk.out("in.x")),)


async def test_a_missing_input_says_nothing_while_the_disk_is_away(desk: Desk) -> None:
    event = desk.wrote()
    watched(desk)
    assert desk.publisher.stale(event) is None
    away = desk.root.rename(desk.root.with_name("away"))
    desk.root.mkdir()
    assert desk.publisher.stale(event) is None, "else its run would be taken for superseded"
    desk.root.rmdir()
    away.rename(desk.root)
    (desk.root / "in.raw").unlink()
    assert "was moved or deleted" in (desk.publisher.stale(event) or "")


async def test_two_file_systems_may_give_their_roots_one_inode(tmp_path: Path) -> None:
    stat = tmp_path.stat()
    place = Place("local", os.fsencode(tmp_path), identity_of(12345, stat.st_ino))
    with pytest.raises(Unavailable, match="not what it was"), place.opened():
        pass
    place.watched(stat.st_dev, stat.st_ino)
    with place.opened():
        pass


async def test_an_unmounted_disk_gets_its_outputs_when_it_is_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with disk(desk.root, tmp_path / "kept") as mounted:
        attempt = desk.attempt(desk.wrote(), {"x": "X"})
        source = FolderSource(
            FolderSettings(folder=str(desk.root), name="local"),
            MemoryLedger(),
            lambda _letter: None,
            desk.publisher.published,
            begun=lambda device, inode: desk.publisher.watched("local", device, inode),
        )

        async def follow() -> None:
            """Follow the source as an engine does: while it is away, ask again a little later."""
            while True:
                with suppress(Unavailable):
                    async for _ in source.events():
                        pass
                await asyncio.sleep(0.02)

        following = asyncio.create_task(follow())
        await asyncio.wait_for(source.ready(), 20)
        desk.publisher._patience._again_s = FOR_EVER_S
        mounted.unmount()
        publishing = asyncio.create_task(desk.publisher.publish(attempt))
        assert "is not what it was" in await trouble(desk)
        assert list(desk.root.iterdir()) == []
        mounted.mount()
        await asyncio.wait_for(publishing, 20)
        assert (mounted.inside / "out" / "in.x").read_text() == "X"
        mounted.unmount()
        assert list(desk.root.iterdir()) == []
        following.cancel()
        await asyncio.wait({following})


async def test_a_store_without_a_baseline_lets_the_first_life_publish(desk: Desk) -> None:
    assert isinstance(desk.publisher, Publisher)
    await desk.publisher.publish(desk.attempt(desk.wrote(), {"x": "X"}))
    assert desk.state.select(Intent)
