"""The folder source against the real kernel: what is told, once, and when."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.core.event import FILE_CREATED, FILE_UPDATED, Event
from penstock.core.ledger import file_state, generation_id
from penstock.testing.folder import FollowedFolder, contents, kinds, record, text_path
from penstock.testing.ledger import MemoryLedger

pytestmark = pytest.mark.anyio


async def test_a_file_is_told_when_it_is_closed_and_not_before(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        with (tmp_path / "a.nxs").open("wb") as file:
            file.write(b"half")
            file.flush()
            assert await following.settled() == []
            file.write(b" and half")
        (event,) = await following.settled()
    assert event.type == FILE_CREATED
    assert event.source == "/storages/local"
    assert event.subject == f"{tmp_path}/a.nxs"
    assert event.partitionkey == str(tmp_path)
    told = record(event)
    assert (told.size, told.generation, told.version) == (13, 1, "g1")
    assert told.inode == (tmp_path / "a.nxs").stat().st_ino
    assert told.owner == {"uid": os.getuid(), "gids": [(tmp_path / "a.nxs").stat().st_gid]}
    assert event.id == generation_id("local", os.fsencode(tmp_path / "a.nxs"), 1)


async def test_each_rewrite_is_new_content_even_with_equal_size(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        for number in range(5):
            (tmp_path / "a").write_text(str(number))
            await following.settled()
        told = await following.settled()
    assert [record(event).generation for event in told] == [1, 2, 3, 4, 5]
    assert [event.type for event in told] == [FILE_CREATED] + 4 * [FILE_UPDATED]
    assert len({event.id for event in told}) == 5


async def test_closing_again_without_a_change_is_not_told(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / "a").write_text("1")
        await following.settled()
        with (tmp_path / "a").open("r+"):
            pass
        assert kinds(await following.settled()) == [("created", "a")]


@pytest.mark.parametrize("temporary", [".a.nxs.Xy12Zw", "a.nxs.part", "a.nxs~", "a.nxs.tmp"])
async def test_a_temporary_name_raises_nothing_and_its_rename_one_event(
    tmp_path: Path, temporary: str
) -> None:
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / temporary).write_text("1")
        assert await following.settled() == []
        (tmp_path / temporary).rename(tmp_path / "a.nxs")
        assert kinds(await following.settled()) == [("created", "a.nxs")]


async def test_renaming_a_temporary_file_over_the_old_one_is_an_update(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        for text in "12":
            (tmp_path / ".a").write_text(text)
            (tmp_path / ".a").rename(tmp_path / "a")
            await following.settled()
        assert kinds(await following.settled()) == [("created", "a"), ("updated", "a")]


async def test_a_move_ends_the_old_path_and_is_new_content_at_the_new_one(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / "a").write_text("1")
        await following.settled()
        (tmp_path / "a").rename(tmp_path / "b")
        told = await following.settled()
    assert kinds(told) == [("created", "a"), ("moved", "a"), ("created", "b")]
    assert record(told[1]).origin["moved_to"] == f"{tmp_path}/b"
    assert record(told[2]).moved_from == f"{tmp_path}/a"


async def test_a_file_renamed_while_open_is_told_when_closed(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        with (tmp_path / ".a").open("w") as file:
            (tmp_path / ".a").rename(tmp_path / "a")
            assert await following.settled() == []
            file.write("more")
        (event,) = await following.settled()
    assert record(event).size == 4


async def test_a_path_deleted_and_written_again_is_created_with_the_next_generation(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / "a").write_text("1")
        await following.settled()
        (tmp_path / "a").unlink()
        await following.settled()
        (tmp_path / "a").write_text("2")
        told = await following.settled()
    assert kinds(told) == [("created", "a"), ("deleted", "a"), ("created", "a")]
    assert [record(event).generation for event in told] == [1, 1, 2]


async def test_attributes_and_times_set_after_closing_are_no_new_content(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / "a").write_text("1")
        await following.settled()
        os.chmod(tmp_path / "a", 0o600)
        await following.settled()
        os.utime(tmp_path / "a", (1, 1))
        told = await following.settled()
        ledger = following.ledger
    assert kinds(told) == [("created", "a"), ("attributes-changed", "a"), ("attributes-changed", "a")]
    assert len({event.id for event in told}) == 3
    async with FollowedFolder(tmp_path, ledger) as again:
        assert await again.settled() == []


async def test_a_file_linked_into_place_is_told(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / ".a").write_text("1")
        os.link(tmp_path / ".a", tmp_path / "a")
        (tmp_path / ".a").unlink()
        await following.until(lambda told: kinds(told)[-1:] == [("created", "a")])


async def test_a_file_linked_in_place_of_a_deleted_one_is_told(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / "a").write_text("1")
        (tmp_path / ".a").write_text("22")
        await following.settled()
        (tmp_path / "a").unlink()
        os.link(tmp_path / ".a", tmp_path / "a")
        await following.until(lambda told: kinds(told)[-1:] == [("updated", "a")])


async def test_a_nameless_file_linked_into_place_is_told_when_closed(tmp_path: Path) -> None:
    try:
        nameless = os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY)
    except OSError:
        pytest.skip("this file system has no nameless files")
    here = os.open(tmp_path, os.O_RDONLY)
    async with FollowedFolder(tmp_path) as following:
        os.write(nameless, b"12")
        os.link(f"/proc/self/fd/{nameless}", "a", src_dir_fd=here, dst_dir_fd=here, follow_symlinks=True)
        assert await following.settled() == []
        os.close(nameless)
        await following.until(lambda told: kinds(told)[-1:] == [("created", "a")])
    os.close(here)
    assert record(following.told[-1]).size == 2


async def test_links_pipes_and_folders_are_no_files(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "link").symlink_to("/etc/hostname")
        (tmp_path / "folder").mkdir()
        assert await following.settled() == []


@pytest.mark.parametrize(
    "name",
    [b"with space", "ünïcødé".encode(), b"new\nline", b"not-utf8-\xff", b"100%", b"-x", b"a'\"b", b"*?["],
)
async def test_odd_names_of_files_and_folders_come_through(tmp_path: Path, name: bytes) -> None:
    folder = os.fsencode(tmp_path) + b"/" + name
    async with FollowedFolder(tmp_path) as following:
        os.mkdir(folder)
        with open(folder + b"/" + name, "w"):
            pass
        (event,) = await following.settled()
    row = file_state(event)
    assert row is not None
    assert row.path == folder + b"/" + name
    assert event.subject is not None
    assert event.subject.isprintable()


async def test_every_row_can_be_read_off_its_event(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / "a").write_text("1")
        os.rename(tmp_path / "a", tmp_path / "b\udcff")
        await following.settled()
        os.chmod(tmp_path / "b\udcff", 0o640)
        await following.settled()
        (tmp_path / "b\udcff").unlink()
        told = await following.settled()
        rows = following.ledger.rows
    folded = MemoryLedger()
    for event in following.told:
        row = file_state(event)
        if row is not None:
            folded.put(row)
    assert told
    assert folded.rows == {key: row for key, row in rows.items() if key[1] != following.source.root}


async def test_the_cause_is_told_of_files_that_a_run_published(tmp_path: Path) -> None:
    def published(path: bytes, stat: os.stat_result) -> tuple[str, int] | None:
        return ("run-7", 3) if path.endswith(b"/out") and stat.st_ino else None

    async with FollowedFolder(tmp_path, published=published) as following:
        (tmp_path / "in").write_text("1")
        (tmp_path / ".out").write_text("1")
        (tmp_path / ".out").rename(tmp_path / "out")
        told = await following.settled()
    assert [(event.cause, event.depth) for event in told] == [(None, None), ("run-7", 3)]


# -- folders -----------------------------------------------------------------------------------------


async def test_folders_created_and_filled_at_once_are_told_wholly(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        wanted = set()
        for number in range(100):
            folder = tmp_path / f"{number}" / "deep" / "er"
            folder.mkdir(parents=True)
            for path in (folder / "x", tmp_path / f"{number}" / "y"):
                path.write_text("1")
                wanted.add(str(path))
        await following.until(lambda told: wanted <= {text_path(event) for event in told})
        told = await following.settled()
    assert sorted(text_path(event) for event in told) == sorted(wanted)


async def test_a_folder_moved_in_is_told_file_by_file(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    inside.mkdir()
    (outside / "sub").mkdir(parents=True)
    for number in range(300):
        (outside / "sub" / f"{number}").write_text("1")
    async with FollowedFolder(inside, inline_files=100) as following:
        with (outside / "open").open("w") as file:
            outside.rename(inside / "in")
            await following.until(lambda told: len(contents(told)) == 300)
            file.write("1")
        told = await following.settled()
    assert len(told) == len({event.id for event in told}) == 301
    assert kinds(told)[-1] == ("created", "open")


async def test_a_renamed_folder_is_one_event_and_its_files_follow(tmp_path: Path) -> None:
    (tmp_path / "a" / "sub").mkdir(parents=True)
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / "a" / "sub" / "x").write_text("1")
        await following.settled()
        (tmp_path / "a").rename(tmp_path / "b")
        await following.until(lambda told: len(told) == 4)
        (tmp_path / "b" / "sub" / "y").write_text("1")
        told = await following.settled()
    assert kinds(told) == [("created", "x"), ("moved", "a"), ("created", "x"), ("created", "y")]
    assert record(told[1]).origin["folder"]
    assert record(told[2]).moved_from == f"{tmp_path}/a/sub/x"
    assert text_path(told[3]) == f"{tmp_path}/b/sub/y"
    async with FollowedFolder(tmp_path, following.ledger) as again:
        assert await again.settled() == []


async def test_files_of_a_folder_moved_away_or_hidden_are_gone(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for name in "ab":
        (inside / name).mkdir(parents=True)
    async with FollowedFolder(inside) as following:
        for name in "ab":
            (inside / name / "x").write_text("1")
        await following.settled()
        (inside / "a").rename(outside)
        (inside / "b").rename(inside / ".b")
        told = await following.until(lambda told: [kind for kind, _ in kinds(told)].count("deleted") == 2)
        (outside / "y").write_text("1")
        (inside / ".b" / "y").write_text("1")
        assert "y" not in [name for _, name in kinds(await following.settled())]
    assert len(told)


async def test_a_deleted_tree_is_told_file_by_file_and_may_come_again(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        for generation in (1, 2):
            (tmp_path / "a" / "b").mkdir(parents=True)
            (tmp_path / "a" / "b" / "x").write_text("1")
            await following.until(lambda told: len(told) == 2 * generation - 1)  # noqa: B023
            shutil.rmtree(tmp_path / "a")
            await following.until(lambda told: len(told) == 2 * generation)  # noqa: B023
        told = await following.settled()
    assert [record(event).generation for event in told] == [1, 1, 2, 2]


# -- restart and first start -------------------------------------------------------------------------


async def test_files_that_were_there_first_are_known_in_silence_and_listed_on_demand(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("1")
    async with FollowedFolder(tmp_path) as following:
        assert await following.settled() == []
        (tmp_path / "a").write_text("22")
        (tmp_path / "new").write_text("1")
        live = {text_path(event): event.id for event in await following.settled()}
        listed = await listing(following)
    assert sorted(os.path.basename(path) for path in live) == ["a", "new"]
    assert sorted(os.path.basename(path) for path in listed if "sentinel" not in path) == [
        "a",
        "b",
        "c",
        "new",
    ]
    assert live.items() <= listed.items()
    assert {
        record_row.event_id
        for record_row in following.ledger.rows.values()
        if record_row.path.endswith(b"/b")
    } == {""}


async def listing(following: FollowedFolder) -> dict[str, str]:
    found = {}
    async for batch in following.source.listing():
        for event in batch:
            assert event.type == FILE_CREATED
            found[text_path(event)] = event.id
    return found


async def test_files_that_were_there_first_are_told_if_wanted(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    async with FollowedFolder(tmp_path, existing=True) as following:
        assert kinds(await following.settled()) == [("created", "a")]


async def test_the_silence_ends_with_the_first_start_even_in_an_empty_folder(tmp_path: Path) -> None:
    async with FollowedFolder(tmp_path) as following:
        pass
    (tmp_path / "a").write_text("1")
    async with FollowedFolder(tmp_path, following.ledger) as again:
        assert kinds(await again.settled()) == [("created", "a")]


async def test_a_first_listing_that_was_cut_short_tells_what_came_after_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("1")
    async with FollowedFolder(tmp_path) as following:
        begun = next(row for row in following.ledger.rows.values() if row.generation == 0)
    ledger = MemoryLedger()
    ledger.put(replace(begun, size=0))
    (tmp_path / "new").write_text("1")
    async with FollowedFolder(tmp_path, ledger) as again:
        assert kinds(await again.settled()) == [("created", "new")]


async def test_what_happened_while_away_is_told_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    async with FollowedFolder(tmp_path) as following:
        for name in ("same", "rewritten", "deleted", "moved", "d/x", "chmod"):
            (tmp_path / name).write_text("1")
        await following.settled()
    (tmp_path / "rewritten").write_text("2")
    (tmp_path / "deleted").unlink()
    (tmp_path / "moved").rename(tmp_path / "target")
    (tmp_path / "d").rename(tmp_path / "e")
    (tmp_path / "chmod").chmod(0o600)
    (tmp_path / "new").write_text("1")
    async with FollowedFolder(tmp_path, following.ledger) as again:
        told = await again.settled()
    assert sorted(kinds(told)) == [
        ("attributes-changed", "chmod"),
        ("created", "new"),
        ("created", "target"),
        ("created", "x"),
        ("deleted", "deleted"),
        ("deleted", "moved"),
        ("deleted", "x"),
        ("updated", "rewritten"),
    ]


async def test_a_lost_event_comes_again_under_the_same_id(tmp_path: Path) -> None:
    (tmp_path / "gone").write_text("1")
    async with FollowedFolder(tmp_path) as following:
        (tmp_path / "old").write_text("1")
        await following.settled()
        before = following.ledger.copy()
        count = len(following.told)
        (tmp_path / "old").write_text("22")
        (tmp_path / "new").write_text("1")
        (tmp_path / "gone").unlink()
        await following.settled()
        lost = following.told[count:]
    async with FollowedFolder(tmp_path, before) as again:
        await again.settled()
    assert ids(lost) <= ids(again.told)
    assert ids(again.told) - ids(lost) <= {generation_id("local", os.fsencode(tmp_path / "sentinel-1"), 2)}


def ids(events: list[Event]) -> set[str]:
    return {event.id for event in events}
