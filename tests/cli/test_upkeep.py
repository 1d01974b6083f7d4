"""init, test, doctor, unit, restore: what needs no server."""

from __future__ import annotations

import fcntl
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.cli.checks import machine, places, storages
from penstock.cli.checks.finding import FAILS, HOLDS, NOTE
from penstock.core.errors import Refused
from penstock.demo.play import Options
from penstock.server.settings import Settings, StorageSettings, load
from penstock.server.settings import places as places_of
from penstock.sources.filesystems import FileSystems
from tests.cli.conftest import Command


def test_init_makes_what_a_newcomer_needs_and_no_more_the_second_time(
    penstock: Command, tmp_path: Path
) -> None:
    said = penstock("init", "work")
    assert said.code == 0
    assert "cd " in said.err
    work = tmp_path / "work"
    assert sorted(each.name for each in work.iterdir()) == ["data", "function.py", "sample.txt"]
    (storage,) = load(tmp_path / "h" / "penstock.toml").storages
    assert (storage.name, storage.folder) == ("data", str(work / "data"))
    (work / "function.py").write_text("mine")
    again = penstock("init", "work")
    assert "stays as it is" in again.err
    assert (work / "function.py").read_text() == "mine"
    assert len(load(tmp_path / "h" / "penstock.toml").storages) == 1


def test_init_says_dry_what_it_would_make(penstock: Command, tmp_path: Path) -> None:
    assert "would add storage 'data'" in penstock("init", "work", "--dry-run").out
    assert not (tmp_path / "work").exists()
    assert not (tmp_path / "h").exists()


def test_init_gives_storages_names_of_their_own(penstock: Command, tmp_path: Path) -> None:
    penstock("init", "one")
    penstock("init", "two")
    penstock("init", "three", "--storage", "Räw Data 2026!")
    names = [each.name for each in load(tmp_path / "h" / "penstock.toml").storages]
    assert names == ["data", "data-2", "r-w-data-2026"]
    assert penstock("init", "four", "--name", "data").code == 3


def test_init_refuses_folders_in_each_other(penstock: Command) -> None:
    penstock("init", "work")
    for other in ("work/data", "."):
        said = penstock("init", "x", "--storage", f"{other}/sub" if other != "." else ".")
        assert said.code == 3
        assert "overlaps with storage 'data'" in said.err


def test_init_refuses_a_file_system_that_hides_writes(
    penstock: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(FileSystems, "type_at", lambda *_: "nfs4")
    said = penstock("init", "work")
    assert said.code == 3
    assert "is on nfs4" in said.err
    assert not (tmp_path / "work").exists()


def test_the_starter_function_works(penstock: Command) -> None:
    penstock("init", ".")
    said = penstock("test", "function.py", "--file", "sample.txt", "--json")
    (outcome,) = said.objects()
    assert outcome["result"] == {"lines": 1, "words": 5}
    assert "read sample.txt" in said.err
    assert outcome["calls"][0]["outputs"][0]["published"].endswith("/derived/sample.json")


def test_a_failing_function_is_shown_with_its_line_and_exit_code_1(penstock: Command, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("from penstock import function\n\n@function\ndef f(call):\n    1 / 0\n")
    (tmp_path / "in").write_text("")
    said = penstock("test", "f.py", "--file", "in")
    assert said.code == 1
    assert "✗ failed" in said.out
    assert "f.py:5 in f" in said.out


def test_the_schema_is_json(penstock: Command) -> None:
    assert json.loads(penstock("schema").out)["$id"].endswith("definitions-1.json")


def test_doctor_gives_each_finding_its_remedy(penstock: Command) -> None:
    said = penstock("doctor", "--json")
    findings = said.objects()
    names = [each["name"] for each in findings]
    assert {
        "python",
        "sqlite",
        "clock",
        "settings",
        "server",
        "storages",
        "limit memory",
        "limit writes",
    } <= set(names)
    for each in findings:
        assert each["state"] in (HOLDS, NOTE, FAILS)
        assert each["remedy"] or each["state"] == HOLDS, each
    assert said.code == any(each["state"] == FAILS for each in findings)


def test_doctor_tells_of_faulty_settings_and_vanished_folders(penstock: Command, tmp_path: Path) -> None:
    config = tmp_path / "h" / "penstock.toml"
    config.parent.mkdir()
    config.write_text('[[storages]]\nname = "data"\nfolder = "/absent/folder"\n')
    said = penstock("doctor")
    assert said.code == 1
    assert "✗ storage data" in said.out
    assert "mkdir -p /absent/folder" in said.out
    config.write_text("prot = 3\n")
    assert "unknown setting 'prot'" in penstock("doctor").out


def test_old_sqlite_and_python_are_told() -> None:
    assert machine.sqlite((3, 30, 0)).state == FAILS
    assert "before 3.51.3" in machine.sqlite((3, 40, 1)).message.lower()
    assert machine.sqlite((3, 51, 3)).message == "SQLite 3.51.3"
    assert machine.python((3, 10, 0)).state == FAILS


def test_state_on_a_network_file_system_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileSystems, "type_at", lambda *_: "nfs4")
    states = {each.name: each.state for each in places.findings(places_of(str(tmp_path), {}))}
    assert states["file system state"] == FAILS


def test_a_storage_on_a_network_file_system_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise Refused("it is on lustre")

    monkeypatch.setattr(FileSystems, "check", refused)
    settings = Settings(storages=(StorageSettings(name="d", folder=str(tmp_path)),))
    found = {each.name: each for each in storages.findings(settings)}
    assert found["storage d: file system"].state == FAILS
    assert "lustre" in found["storage d: file system"].message


def test_a_home_that_is_too_long_for_sockets_is_refused_before_the_start(
    penstock: Command, tmp_path: Path
) -> None:
    said = penstock("serve", "--home", str(tmp_path / ("x" * 100)))
    assert said.code == 3
    assert "107 are allowed" in said.err


def test_a_unit_is_printed_or_installed_but_never_replaced_unasked(
    penstock: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    assert "Delegate=yes" in penstock("unit").out
    path = tmp_path / "c" / "systemd" / "user" / "penstock.service"
    assert penstock("unit", "--install", "--dry-run").code == 0
    assert not path.exists()
    assert penstock("unit", "--install").code == 0
    assert penstock("unit", "--install").code == 0, "the same again is no conflict"
    path.write_text("mine")
    assert penstock("unit", "--install").code == 3
    assert path.read_text() == "mine"
    assert penstock("unit", "--install", "--force").code == 0


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a backup in miniature."""
    folder = tmp_path / "copy"
    (folder / "log" / "0").mkdir(parents=True)
    (folder / "log" / "0" / "segment").write_text("new")
    with sqlite3.connect(folder / "state.db") as state:
        state.execute("CREATE TABLE t (x)")
    state.close()
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return the state folder with something in it."""
    folder = tmp_path / "h" / "state"
    (folder / "log" / "0").mkdir(parents=True)
    (folder / "log" / "0" / "lock").touch()
    (folder / "log" / "0" / "segment").write_text("old")
    (folder / "state.db").write_text("old")
    (folder / "state.db-wal").write_text("old")
    return folder


def test_restore_keeps_what_was_there(penstock: Command, copy: Path, state: Path) -> None:
    said = penstock("restore", "copy")
    assert said.code == 0, said.err
    assert (state / "log" / "0" / "segment").read_text() == "new"
    assert not (state / "state.db-wal").exists(), "it belongs to the other database"
    (aside,) = state.glob("replaced-*")
    assert (aside / "log" / "0" / "segment").read_text() == "old"
    assert (aside / "state.db-wal").exists()
    assert str(aside) in said.err


def test_restore_into_an_empty_home(penstock: Command, copy: Path, tmp_path: Path) -> None:
    assert penstock("restore", str(copy)).code == 0
    assert (tmp_path / "h" / "state" / "log" / "0" / "segment").read_text() == "new"


def _without_log(copy: Path) -> None:
    shutil.rmtree(copy / "log")


def _damaged(copy: Path) -> None:
    (copy / "state.db").write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(("harm", "part"), [(_without_log, "is no backup"), (_damaged, "is damaged")])
def test_restore_refuses_what_is_no_backup(
    penstock: Command, copy: Path, state: Path, harm: Callable[[Path], None], part: str
) -> None:
    harm(copy)
    said = penstock("restore", "copy")
    assert said.code == 3
    assert part in said.err
    assert (state / "state.db").read_text() == "old"


def test_restore_refuses_while_an_engine_holds_the_log(penstock: Command, copy: Path, state: Path) -> None:
    with (state / "log" / "0" / "lock").open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = penstock("restore", "copy")
    assert said.code == 3
    assert "stop it first" in said.err
    assert (state / "state.db").read_text() == "old"


def test_the_demo_is_played_where_it_is_asked_for(penstock: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Options] = []

    def played(options: Options) -> int:
        asked.append(options)
        return 0

    monkeypatch.setattr("penstock.cli.demo.main", played)
    assert penstock("demo", "there", "--stay").code == 0
    assert asked == [Options(folder=Path("there"), stay=True)]
