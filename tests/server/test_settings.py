"""Settings: every fault at once, each with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.core.errors import Invalid
from penstock.server.settings import Settings, StorageSettings, load, places, write_storage


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml", {}) == Settings()


def test_all_faults_are_told_at_once_with_their_places(tmp_path: Path) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text(
        'port = "many"\ncolour = "blue"\n[log]\nsegment_bytes = "x"\n'
        '[[storages]]\nname = "a"\nfolder = "relative"\n[[storages]]\nname = "a"\nfolder = "/b"\n'
        '[[storages]]\nname = "bad name!"\nfolder = "/c"\n'
    )
    with pytest.raises(Invalid) as caught:
        load(config, {})
    text = str(caught.value)
    assert str(config) in text
    for words in (
        "'colour'",
        "port:",
        "log:",
        "named twice",
        "'relative' must be an absolute path",
        "bad name!",
    ):
        assert words in text
    assert len(caught.value.faults) == 6


@pytest.mark.parametrize("section", ["log", "pool", "batch"])
def test_a_name_that_no_section_knows_is_refused(tmp_path: Path, section: str) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text(f"[{section}]\nretention = 5\n")
    with pytest.raises(Invalid, match="retention"):
        load(config, {})


@pytest.mark.parametrize("text", [b"port = ", b"\xff\xfe", b"[[storages]\n"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, text: bytes) -> None:
    config = tmp_path / "penstock.toml"
    config.write_bytes(text)
    with pytest.raises(Invalid, match=r"penstock\.toml"):
        load(config, {})


def test_the_environment_stands_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text("port = 1\ncapacity = 2\n")
    settings = load(config, {"PENSTOCK_PORT": "3"})
    assert (settings.port, settings.capacity) == (3, 2)
    with pytest.raises(Invalid, match="port"):
        load(config, {"PENSTOCK_PORT": "three"})


@pytest.mark.parametrize(
    "folder", ["/plain", "/with space", '/with "quotes"', "/back\\slash", "/ünï\u2028code"]
)
def test_a_storage_written_is_read_back(tmp_path: Path, folder: str) -> None:
    config = tmp_path / "new" / "penstock.toml"
    write_storage(config, StorageSettings(name="one", folder="/one", existing=True))
    write_storage(config, StorageSettings(name="two", folder=folder))
    one, two = load(config, {}).storages
    assert (one.folder, one.existing, two.folder, two.existing) == ("/one", True, folder, False)


def test_everything_is_below_one_home_or_in_the_xdg_folders(tmp_path: Path) -> None:
    home = places(str(tmp_path), {})
    assert all(path.is_relative_to(tmp_path) for path in (home.config, home.data, home.state, home.runtime))
    spread = places(None, {"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"})
    assert (str(spread.state), str(spread.runtime)) == ("/s/penstock", "/r/penstock")
    assert str(spread.config) == "/h/.config/penstock/penstock.toml"
