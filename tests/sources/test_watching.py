"""When things go wrong: overflow, unreadable folders, a vanished root, too few watches."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path
from struct import pack

import pytest
from tests.mounts import disk

from penstock.core.errors import Refused, Unavailable
from penstock.sources import watching as module
from penstock.sources.filesystems import FileSystems
from penstock.sources.inotify import Inotify, Mask
from penstock.sources.lease import Writers
from penstock.testing.folder import FollowedFolder, contents, kinds, record, text_path
from penstock.testing.ledger import MemoryLedger

pytestmark = pytest.mark.anyio
COARSE = FileSystems(mountinfo=lambda: b"1 0 0:1 / / rw - vfat none rw\n", magic=lambda path: 0)


def lose_notices(following: FollowedFolder) -> None:
    """Throw away what the kernel has to say and report an overflow instead."""
    watching = following.source._watching
    assert watching is not None
    assert watching._inotify is not None
    while watching._inotify.read():
        pass
    watching._keep(pack("iIII", -1, int(Mask.Q_OVERFLOW), 0, 0))
    watching._wake()


async def test_after_an_overflow_what_was_missed_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    async with FollowedFolder(tmp_path) as following:
        for name in ("same", "rewritten", "deleted", "d/e/x"):
            (tmp_path / name).write_text("1")
        count = len(await following.settled())
        (tmp_path / "rewritten").write_text("22")
        (tmp_path / "deleted").unlink()
        (tmp_path / "d" / "e").rename(tmp_path / "f")
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "y").write_text("1")
        lose_notices(following)
        wanted = [("created", "x"), ("created", "y"), ("deleted", "deleted"), ("deleted", "x")]
        wanted.append(("updated", "rewritten"))
        await following.until(
            lambda told: sorted(t for t in kinds(told)[count:] if "sent" not in t[1]) == wanted
        )
        (tmp_path / "f" / "z").write_text("1")
        (tmp_path / "new" / "z").write_text("1")
        told = await following.settled()
    assert sorted(text_path(event) for event in told[-2:]) == [f"{tmp_path}/f/z", f"{tmp_path}/new/z"]


@pytest.mark.slow
async def test_a_real_overflow_loses_no_file(tmp_path: Path) -> None:
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if queue > 20_000:
        pytest.skip(f"the kernel would queue {queue} notices")
    count = queue // 3 + 500
    async with FollowedFolder(tmp_path) as following:
        # No await in between: nobody reads while three notices for each file are queued.
        for number in range(count):
            with open(tmp_path / f"{number}", "w") as file:
                file.write("1")
        await following.until(lambda told: len(contents(told)) == count)
        told = await following.settled()
    assert len({event.id for event in told}) == len(told) == count


async def test_a_file_being_written_is_left_alone_by_a_listing(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        async with FollowedFolder(tmp_path, existing=True) as following:
            assert await following.settled() == []
            file.write("1")
            file.close()
            assert kinds(await following.settled()) == [("created", "open")]


async def test_an_unreadable_folder_is_named_and_the_others_go_on(users_folder: Path) -> None:
    (users_folder / "closed").mkdir()
    (users_folder / "closed" / "x").write_text("1")
    (users_folder / "closed").chmod(0)
    async with FollowedFolder(users_folder, existing=True) as following:
        (users_folder / "a").write_text("1")
        assert kinds(await following.settled()) == [("created", "a")]
        (letter,) = following.letters
        assert letter.subject == f"{users_folder}/closed"
        assert "setfacl" in letter.reason
        (users_folder / "closed").chmod(0o700)
        await following.until(lambda told: kinds(told)[-1:] == [("created", "x")])


async def test_another_users_file_found_by_a_listing_is_told_once_it_is_at_rest(
    users_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.sources.rescan.writers", lambda path: Writers.UNKNOWN)
    (users_folder / "x").write_text("1")
    async with FollowedFolder(users_folder, existing=True, settle_s=0.2) as following:
        assert await following.settled() == []
        await following.until(lambda told: ("created", "x") in kinds(told))


async def test_an_ordinary_user_is_told_of_his_files(users_folder: Path) -> None:
    async with FollowedFolder(users_folder) as following:
        with (users_folder / ".a").open("w") as file:
            (users_folder / ".a").rename(users_folder / "a")
            assert await following.settled() == []
            file.write("1")
        (users_folder / "d").mkdir()
        (users_folder / "d" / "b").write_text("1")
        assert kinds(await following.settled()) == [("created", "a"), ("created", "b")]


async def test_a_vanished_folder_is_unavailable_and_no_deletion(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    following = FollowedFolder(folder)
    with pytest.raises(Unavailable, match="was deleted, moved or unmounted"):  # noqa: PT012
        async with following:
            (folder / "x").write_text("1")
            await following.until(lambda told: len(told) == 1)
            folder.rename(tmp_path / "away")
            await following.ended()
    with pytest.raises(Unavailable, match="mount its disk"):
        async with FollowedFolder(folder, following.ledger):
            pass
    folder.mkdir()
    with pytest.raises(Unavailable, match="empty"):
        async with FollowedFolder(folder, following.ledger):
            pass
    assert kinds(following.told) == [("created", "x")]


async def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("1")
    with pytest.raises(Refused, match="is no folder"):
        async with FollowedFolder(tmp_path / "in"):
            pass


async def test_too_few_watches_are_refused_with_the_command_that_gives_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Inotify.add

    def add_up_to_two(self: Inotify, folder: bytes, mask: int) -> int:
        if folder.endswith(b"/third"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return add(self, folder, mask)

    monkeypatch.setattr(Inotify, "add", add_up_to_two)
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / "third").mkdir()
        await following.settled()
    assert "sysctl fs.inotify.max_user_watches=" in following.letters[0].reason
    with pytest.raises(Refused, match="sysctl fs"):
        async with FollowedFolder(tmp_path):
            pass


async def test_without_fine_times_each_rewrite_in_one_tick_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FollowedFolder(tmp_path, filesystems=COARSE) as following:
        path = tmp_path / "a"
        path.write_text("1")
        await following.settled()
        same = os.stat(path)
        monkeypatch.setattr(
            "penstock.sources.notices.stat_of", lambda p: same if p.endswith(b"/a") else os.lstat(p)
        )
        path.write_text("2")
        await following.settled()
        with path.open("r+"):
            pass
        told = await following.settled()
    assert [record(event).generation for event in told] == [1, 2]


async def test_without_fine_times_one_file_still_gives_one_event(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path, filesystems=COARSE) as following:
        for number in range(200):
            (tmp_path / f"{number}").write_text("1")
            if number % 10 == 0:
                await asyncio.sleep(0)
        assert len(await following.settled()) == 200


async def test_closing_ends_the_events_and_leaves_no_thread_or_descriptor(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / "a").write_text("1")
        await following.settled()
    assert not [thread for thread in threading.enumerate() if "folder-scan" in thread.name]
    assert set(os.listdir("/proc/self/fd")) <= before
    async with FollowedFolder(tmp_path, following.ledger) as again:
        assert await again.settled() == []


async def test_a_source_at_rest_has_no_timer_running(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        with (tmp_path / "open").open("w"):
            (tmp_path / "d").mkdir()
            (tmp_path / "d").rename(tmp_path.parent / "elsewhere")
            await following.settled()
            watching = following.source._watching
            assert watching is not None
            while watching._timers:
                await asyncio.sleep(module.LATE_S)
            await following.settled()
            while watching._timers:
                await asyncio.sleep(module.LATE_S)
            assert not watching.has_work()


async def test_a_reader_that_falls_behind_leaves_notices_in_the_kernel(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    async with FollowedFolder(tmp_path, ledger, notice_bytes_max=64) as following:
        for number in range(500):
            (tmp_path / f"{number}").write_text("1")
        assert len(await following.settled()) == 500


async def test_a_disk_unmounted_while_in_use_is_unavailable_at_once_and_no_deletion(tmp_path: Path) -> None:
    folder, ledger = tmp_path / "in", MemoryLedger()
    with disk(folder, tmp_path / "kept") as mounted:
        following = FollowedFolder(folder, ledger)
        with pytest.raises(Unavailable, match="was deleted, moved or unmounted"):  # noqa: PT012
            async with following:
                (folder / "x").write_text("1")
                await following.until(lambda told: len(told) == 1)
                mounted.unmount()  # its files' watches stay: it is mounted elsewhere, too
                await following.ended()
        with pytest.raises(Unavailable, match="empty"):
            async with FollowedFolder(folder, ledger):
                pass
        mounted.mount()
        async with FollowedFolder(folder, ledger) as again:
            assert kinds(await again.settled()) == []


async def test_a_disk_mounted_over_the_folder_is_noticed(tmp_path: Path) -> None:
    folder, ledger = tmp_path / "in", MemoryLedger()
    with disk(folder, tmp_path / "kept") as mounted:
        (folder / "x").write_text("1")
        mounted.unmount()
        with pytest.raises(Unavailable, match="was deleted, moved or unmounted"):  # noqa: PT012
            async with FollowedFolder(folder, ledger) as following:
                mounted.mount()
                await following.ended()
        async with FollowedFolder(folder, ledger) as again:
            assert kinds(await again.settled()) == [("created", "x")]


async def test_other_mounts_are_nobodys_business(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    async with FollowedFolder(folder) as following:
        with disk(tmp_path / "other", tmp_path / "kept") as mounted:
            mounted.unmount()
            (folder / "x").write_text("1")
            assert kinds(await following.settled()) == [("created", "x")]
