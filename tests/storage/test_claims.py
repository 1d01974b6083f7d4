"""Results follow their folder: what was moved with it stays ours, and nothing else becomes ours."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.storage.test_publish import Desk

from penstock.core.errors import Conflict
from penstock.core.rows import FileState, OutputRow

pytestmark = pytest.mark.anyio
TEMPLATE = "{parent}/derived/{stem}.{name}"


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    """A storage with a result, ``day1/derived/in.x`` of ``day1/in.raw``, that its source has seen."""
    desk = Desk(tmp_path)
    await desk.publisher.publish(desk.attempt(desk.wrote("day1/in.raw"), {"x": "first"}, template=TEMPLATE))
    seen(desk, desk.root / "day1" / "derived" / "in.x")
    return desk


def seen(desk: Desk, path: Path) -> FileState:
    """Let the ledger know a file."""
    stat = path.stat()
    row = FileState(
        storage="local",
        path=os.fsencode(path),
        generation=1,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        ctime_ns=stat.st_ctime_ns,
        inode=stat.st_ino,
        present=True,
        event_id="e",
    )
    desk.state.put(row)
    return row


def moved(desk: Desk, old: str = "day1", new: str = "day2") -> None:
    (desk.root / old).rename(desk.root / new)


async def publish_anew(desk: Desk, folder: str = "day2", key: str = "run2/step/-1/1") -> str:
    event = desk.wrote(f"{folder}/in.raw")
    await desk.publisher.publish(desk.attempt(event, {"x": "second"}, key, template=TEMPLATE, offset=9))
    return (desk.root / folder / "derived" / "in.x").read_text()


async def test_a_result_that_moved_with_its_input_is_replaced_by_the_new_run(desk: Desk) -> None:
    moved(desk)
    assert await publish_anew(desk) == "second"
    row = desk.state.output(os.fsencode(desk.root / "day2" / "derived" / "in.x"))
    assert row is not None
    assert row.run == "run2"


async def test_a_result_that_moved_twice_is_still_known(desk: Desk) -> None:
    moved(desk)
    moved(desk, "day2", "day3")
    assert await publish_anew(desk, "day3") == "second"


async def test_a_folder_that_moved_deeper_takes_its_results_along(desk: Desk) -> None:
    (desk.root / "year").mkdir()
    moved(desk, "day1", "year/one")
    assert await publish_anew(desk, "year/one") == "second"


async def test_a_result_of_another_input_is_not_replaced_where_it_moved_to(desk: Desk) -> None:
    (desk.root / "other").mkdir()
    (desk.root / "day1" / "derived").rename(desk.root / "other" / "derived")
    with pytest.raises(Conflict, match=r"published from .*/day1/in.raw, and now .*/other/in.raw would"):
        await publish_anew(desk, "other")


async def test_a_foreign_file_in_a_moved_folder_is_refused(desk: Desk) -> None:
    result = desk.root / "day1" / "derived" / "in.x"
    inode = result.stat().st_ino
    result.rename(result.with_name("kept"))
    result.write_text("mine!")
    assert result.stat().st_ino != inode
    moved(desk)
    with pytest.raises(Conflict, match="was not published by Penstock"):
        await publish_anew(desk)


async def test_a_result_that_somebody_rewrote_is_his(desk: Desk) -> None:
    moved(desk)
    result = desk.root / "day2" / "derived" / "in.x"
    result.write_text("corrected by hand")
    with pytest.raises(Conflict, match="was not published by Penstock"):
        await publish_anew(desk)
    assert result.read_text() == "corrected by hand"


async def test_a_copy_of_a_folder_is_somebody_else_s(desk: Desk) -> None:
    shutil.copytree(desk.root / "day1", desk.root / "day2")
    with pytest.raises(Conflict, match="was not published by Penstock"):
        await publish_anew(desk)


async def test_a_hard_link_beside_the_result_is_somebody_else_s(desk: Desk) -> None:
    (desk.root / "day2" / "derived").mkdir(parents=True)
    os.link(desk.root / "day1" / "derived" / "in.x", desk.root / "day2" / "derived" / "in.x")
    with pytest.raises(Conflict, match="was not published by Penstock"):
        await publish_anew(desk)


async def test_a_file_moved_out_of_its_folder_by_hand_is_its_mover_s(desk: Desk) -> None:
    (desk.root / "day2" / "derived").mkdir(parents=True)
    old = desk.root / "day1" / "derived" / "in.x"
    old.rename(desk.root / "day2" / "derived" / "in.x")
    with pytest.raises(Conflict, match="was not published by Penstock"):
        await publish_anew(desk)


async def test_a_folder_made_again_under_the_old_name_changes_nothing(desk: Desk) -> None:
    moved(desk)
    (desk.root / "day1" / "derived").mkdir(parents=True)
    old = os.fsencode(desk.root / "day1" / "derived" / "in.x")
    row = desk.state.file("local", old)
    assert row is not None
    desk.state.put(replace(row, present=False, event_id=""))  # as the source does for a renamed folder
    assert await publish_anew(desk) == "second"


async def test_the_run_behind_a_moved_result_is_known(desk: Desk) -> None:
    old = os.fsencode(desk.root / "day1" / "derived" / "in.x")
    moved(desk)
    result = desk.root / "day2" / "derived" / "in.x"
    assert desk.publisher.moved(old, result.stat()) == ("run", 1)
    result.write_text("corrected by hand")
    assert desk.publisher.moved(old, result.stat()) is None
    assert desk.publisher.moved(os.fsencode(result), result.stat()) is None
    assert desk.state.select(OutputRow)
