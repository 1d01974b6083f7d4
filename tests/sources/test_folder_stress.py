"""Many writers at once, restarts in between, and big trees: in the end ledger, events and folder agree."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from penstock.core.event import NEW_CONTENT, Event
from penstock.core.ledger import file_state
from penstock.sources.compare import _same_content
from penstock.testing.folder import FollowedFolder, contents, record, text_path
from penstock.testing.ledger import MemoryLedger

pytestmark = pytest.mark.anyio
FOLDERS = 6
NAMES = 12


class Writer:
    """Does what users do to files, at random; its folders are shared with other writers."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.chance = random.Random(seed)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            actions = [self.write, self.write, self.write, self.replace, self.pieces]
            actions += [self.delete, self.rename, self.rename_folder, self.link]
            action = self.chance.choice(actions)
            try:
                action()
            except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, OSError):
                continue  # Another writer was faster.

    def folder(self) -> Path:
        parts = [f"d{self.chance.randrange(FOLDERS)}" for _ in range(self.chance.randint(0, 3))]
        return self.root.joinpath(*parts)

    def file(self) -> Path:
        folder = self.folder()
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"f{self.chance.randrange(NAMES)}"

    def content(self) -> str:
        return str(self.chance.randrange(10_000, 99_999))

    def write(self) -> None:
        self.file().write_text(self.content())

    def replace(self) -> None:
        path = self.file()
        temporary = path.with_name(f".{path.name}.{self.chance.randrange(1 << 30)}")
        temporary.write_text(self.content())
        temporary.rename(path)

    def pieces(self) -> None:
        with self.file().open("a") as file:
            for _ in range(3):
                file.write(self.content())
                file.flush()

    def delete(self) -> None:
        self.file().unlink()

    def rename(self) -> None:
        self.file().rename(self.file())

    def rename_folder(self) -> None:
        self.folder().rename(self.folder())

    def link(self) -> None:
        path = self.file()
        temporary = path.with_name(f".{path.name}.{self.chance.randrange(1 << 30)}")
        temporary.write_text(self.content())
        try:
            os.link(temporary, path)
        finally:
            temporary.unlink()


def assert_agreement(root: Path, ledger: MemoryLedger, told: list[Event]) -> None:
    present = {os.fsencode(path): os.lstat(path) for path in root.rglob("f*") if path.is_file()}
    known = {path: row for (_, path), row in ledger.rows.items() if row.present and b"sentinel" not in path}
    assert known.keys() == present.keys()
    # Unlinking another name of a file changes its ctime and raises no notice at this name.
    assert [path for path, stat in present.items() if not _same_content(known[path], stat)] == []
    counts = Counter(event.id for event in told)
    assert [identity for identity, count in counts.items() if count > 1] == []
    generations: dict[str, list[int]] = {}
    for event in told:
        if event.type in NEW_CONTENT:
            generations.setdefault(text_path(event), []).append(record(event).generation or 0)
    assert all(found == list(range(1, len(found) + 1)) for found in generations.values())
    last = {os.fsencode(path): found[-1] for path, found in generations.items()}
    assert {path: row.generation for path, row in known.items()} == {path: last[path] for path in known}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
async def test_in_the_end_every_version_was_told_once(tmp_path: Path, seed: int) -> None:
    ledger = MemoryLedger()
    told: list[Event] = []
    for life in range(3):
        async with FollowedFolder(tmp_path, ledger) as following:
            writers = [Writer(tmp_path, 100 * seed + 10 * life + number) for number in range(4)]
            await asyncio.gather(*(asyncio.to_thread(writer.run, 150) for writer in writers))
            await following.settled()
            # A second whole listing finds nothing new unless something was missed before it.
            await at_rest(following)
            told += following.told
            assert_agreement(tmp_path, ledger, told)
        Writer(tmp_path, 7 * seed + life).run(50)


async def at_rest(following: FollowedFolder) -> None:
    """Return once no listing, timer or notice is left."""
    watching = following.source._watching
    assert watching is not None
    while watching._timers or watching.has_work() or not watching._scanner.idle:
        await asyncio.sleep(0.01)
    await following.settled()


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_hundred_thousand_files_in_ten_thousand_folders(tmp_path: Path) -> None:
    folders = [tmp_path / f"{group}" / f"{number}" for group in range(100) for number in range(100)]
    async with FollowedFolder(tmp_path) as following:
        for folder in folders:
            folder.mkdir(parents=True)
        for folder in folders:
            for number in range(10):
                (folder / f"{number}").touch()
            if not os.path.basename(folder).strip("05"):
                await asyncio.sleep(0)
        await following.until(lambda told: len(told) >= 100_000)
        told = await following.settled()
        assert len({event.id for event in told}) == len(told) == len(contents(told)) == 100_000
    count = len(following.ledger.rows)
    (folders[7] / "new").touch()
    (folders[8] / "3").unlink()
    async with FollowedFolder(tmp_path, following.ledger) as again:
        changed = await again.settled()
    assert sorted(text_path(event) for event in changed) == [f"{folders[7]}/new", f"{folders[8]}/3"]
    assert len(again.ledger.rows) == count + 1  # the new file; the sentinel is rewritten
    assert all(file_state(event) for event in changed)
