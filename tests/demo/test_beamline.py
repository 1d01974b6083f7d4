"""The ways a beamline writes a file, seen step by step."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.demo.beamline import PIECES, Drop, Way, perform, plan, repair
from penstock.demo.data import DataFile, Role

CONTENT = bytes(range(256)) * 4


def data_file(folder: Path, name: str, role: Role = Role.RAW) -> DataFile:
    (folder / name).write_bytes(CONTENT)
    return DataFile(
        name=name,
        path=folder / name,
        role=role,
        licence="0BSD",
        licence_text=folder,
        package="lake 1.0",
        description="",
    )


@pytest.fixture
def drops(tmp_path: Path) -> dict[Way, Drop]:
    """One drop for each way."""
    names = ("a.h5", "b.nxs", "c.h5")
    files = [data_file(tmp_path, name) for name in names]
    reference = data_file(tmp_path, "r.h5", Role.REFERENCE)
    return {drop.way: drop for drop in plan([*files, reference])}


def test_each_raw_file_comes_its_own_way_and_a_copy_comes_truncated(drops: dict[Way, Drop]) -> None:
    assert {way: drop.name for way, drop in drops.items()} == {
        Way.IN_PIECES: "a.h5",
        Way.RENAMED: "b.nxs",
        Way.CLOSED_TWICE: "c.h5",
        Way.TRUNCATED: "a_interrupted.h5",
    }


def test_pieces_grow_between_the_pauses(drops: dict[Way, Drop], tmp_path: Path) -> None:
    sizes: list[int] = []
    target = tmp_path / "raw" / "a.h5"
    perform(drops[Way.IN_PIECES], tmp_path / "raw", print, lambda _: sizes.append(target.stat().st_size))
    assert len(sizes) == PIECES
    assert sizes == sorted(set(sizes))
    assert target.read_bytes() == CONTENT


def test_a_renamed_file_never_shows_its_own_name_unfinished(drops: dict[Way, Drop], tmp_path: Path) -> None:
    seen: set[str] = set()
    raw = tmp_path / "raw"
    perform(drops[Way.RENAMED], raw, print, lambda _: seen.update(path.name for path in raw.iterdir()))
    assert seen == {".b.nxs.part"}
    assert [path.name for path in raw.iterdir()] == ["b.nxs"]
    assert (raw / "b.nxs").read_bytes() == CONTENT


def test_the_second_close_changes_nothing(drops: dict[Way, Drop], tmp_path: Path) -> None:
    states: list[tuple[int, int]] = []
    target = tmp_path / "raw" / "c.h5"

    def look(_: float) -> None:
        status = target.stat()
        states.append((status.st_mtime_ns, status.st_size))

    told: list[str] = []
    perform(drops[Way.CLOSED_TWICE], target.parent, told.append, look)
    status = target.stat()
    assert states[-1] == (status.st_mtime_ns, status.st_size)
    assert told == ["c.h5: closed", "c.h5: opened for writing and closed again, unchanged"]


def test_a_truncated_file_has_half_its_bytes_until_it_is_repaired(
    drops: dict[Way, Drop], tmp_path: Path
) -> None:
    drop, told = drops[Way.TRUNCATED], list[str]()
    target = perform(drop, tmp_path / "raw", told.append, lambda _: None)
    assert target.read_bytes() == CONTENT[:512]
    assert "closed after 512 of 1,024 bytes" in told[-1]
    assert repair(drop, tmp_path / "raw", told.append, lambda _: None) == target
    assert target.read_bytes() == CONTENT
