"""Deployed copies: equal contents, equal folder; nothing from outside; nothing to write to."""

import os
import stat
from pathlib import Path

import pytest

from penstock.core.errors import Invalid, Unavailable
from penstock.core.function import Function
from penstock.functions import bundle
from penstock.functions.bundle import make, placed, remove, stored_lock

FUNCTION = Function(tenant="local", name="local/scan", version=0, entry="scan.py:f")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "tables" / "deep").mkdir(parents=True)
    (folder / "scan.py").write_text("def f(call): ...")
    (folder / "tables" / "a.csv").write_text("1")
    (folder / "tables" / "deep" / "b.csv").write_text("2")
    (folder / "run.sh").write_text("#!/bin/sh")
    (folder / "run.sh").chmod(0o755)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


def test_named_files_patterns_and_folders_are_copied_with_the_lock(tmp_path: Path, source: Path) -> None:
    made = make(tmp_path, FUNCTION, source, ["scan.py", "tables/*.csv"], "six==1")
    assert made.folder == tmp_path / "functions" / "local" / "scan" / made.digest
    assert names(made.folder) == ["penstock.lock", "scan.py", "tables/a.csv"]
    assert stored_lock(made.folder) == "six==1"
    assert names(make(tmp_path, FUNCTION, source, ["tables"]).folder) == ["tables/a.csv", "tables/deep/b.csv"]


def test_equal_contents_give_the_same_copy_and_other_ones_another(tmp_path: Path, source: Path) -> None:
    first = make(tmp_path, FUNCTION, source, ["scan.py", "run.sh"])
    assert make(tmp_path, FUNCTION, source, ["run.sh", "scan.py", "scan.py"]) == first
    others = {first.digest, make(tmp_path, FUNCTION, source, ["scan.py"]).digest}
    others.add(make(tmp_path, FUNCTION, source, ["scan.py", "run.sh"], "six==1").digest)
    (source / "run.sh").chmod(0o644)
    others.add(make(tmp_path, FUNCTION, source, ["scan.py", "run.sh"]).digest)
    (source / "scan.py").write_text("def f(call): return {}")
    others.add(make(tmp_path, FUNCTION, source, ["scan.py", "run.sh"]).digest)
    assert len(others) == 5
    assert (first.folder / "scan.py").read_text() == "def f(call): ..."


def test_the_copy_is_read_only_and_programs_stay_programs(tmp_path: Path, source: Path) -> None:
    folder = make(tmp_path, FUNCTION, source, ["tables", "run.sh"]).folder
    everything = [folder, *folder.rglob("*")]
    assert not [each for each in everything if each.stat().st_mode & 0o222]
    assert stat.S_IMODE((folder / "run.sh").stat().st_mode) == 0o555
    remove(folder)
    assert not folder.exists()
    remove(folder)


def test_nothing_half_written_stays(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        make(tmp_path, FUNCTION, source, ["scan.py"])
    assert names(tmp_path / "functions") == []
    assert list((tmp_path / "functions" / "local" / "scan").iterdir()) == []


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("../secret", "leads out"),
        ("/etc/passwd", "leads out"),
        ("absent.csv", "there is no file 'absent.csv'"),
        ("*.none", "there is no file"),
        ("link", "is a link to"),
        ("links", "is a link to"),
    ],
)
def test_what_lies_elsewhere_or_nowhere_is_refused(
    tmp_path: Path, source: Path, pattern: str, message: str
) -> None:
    (tmp_path / "secret").write_text("s")
    (source / "link").symlink_to(tmp_path / "secret")
    (source / "links").mkdir()
    (source / "links" / "l").symlink_to(tmp_path / "secret")
    with pytest.raises(Invalid, match=message):
        make(tmp_path, FUNCTION, source, [pattern])


def test_a_link_within_the_folder_is_copied_as_what_it_means(tmp_path: Path, source: Path) -> None:
    (source / "near.py").symlink_to("scan.py")
    copy = make(tmp_path, FUNCTION, source, ["near.py"]).folder / "near.py"
    assert not copy.is_symlink()
    assert copy.read_text() == "def f(call): ..."


def test_more_than_the_limit_is_refused(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "BUNDLE_FILES_MAX", 1)
    with pytest.raises(Invalid, match="leave data out"):
        make(tmp_path, FUNCTION, source, ["tables"])
    with (source / "huge").open("wb") as file:
        file.truncate(bundle.BUNDLE_BYTES_MAX + 1)
    with pytest.raises(Invalid, match="256 MiB"):
        make(tmp_path, FUNCTION, source, ["huge"])


def test_a_placed_function_knows_its_copy(tmp_path: Path, source: Path) -> None:
    made = make(tmp_path, FUNCTION, source, ["scan.py"])
    function = placed(FUNCTION, made, "/env/bin/python")
    assert (function.code, function.python, function.source_digest) == (
        str(made.folder),
        "/env/bin/python",
        made.digest,
    )
