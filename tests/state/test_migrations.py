"""Every database that a released version has written is opened, in place, or refused untouched."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from tests.state.golden.make import make, sample

from penstock.core.errors import Broken, Unavailable
from penstock.core.rows import Decision, FileState, OutputRow, Row
from penstock.state import migrations
from penstock.state.embedded import EmbeddedState
from penstock.state.migrations import SCHEMA_VERSION
from penstock.state.tables import KEY_WIDTH, TABLES

GOLDEN = Path(__file__).parent / "golden"
ADDED: dict[str, dict[type[Row], dict[str, object]]] = {
    "schema-1": {
        OutputRow: {"event_id": "", "step": "", "item": -1},
        FileState: {"version": "", "offset": 7},
        Decision: {"source": ""},
    },
    "schema-2": {FileState: {"version": "", "offset": 7}, Decision: {"source": ""}},
    "schema-3": {FileState: {"offset": 7}, Decision: {"source": ""}},
    "schema-4": {},
}
"""What rows of each older schema know nothing of, and what stands there."""


def columns(path: Path) -> dict[str, Sequence[object]]:
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        return {
            name: [row[1:4] + row[5:] for row in connection.execute(f"PRAGMA table_info({name})")]
            for name in names
        }


def indexes(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type='index' AND sql NOT NULL")
        return sorted(found)


def schema(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        (value,) = connection.execute("SELECT value FROM meta WHERE key='schema'").fetchone()
        return str(value)


def test_each_schema_left_behind_has_a_golden_file() -> None:
    assert {path.name for path in GOLDEN.glob("*.db")} == {f"schema-{n}.db" for n in range(1, SCHEMA_VERSION)}


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.db")), ids=lambda path: path.stem)
def test_a_database_of_an_older_schema_is_brought_up_with_all_its_rows(golden: Path, tmp_path: Path) -> None:
    old = Path(shutil.copy(golden, tmp_path / "old.db"))
    tables = columns(old)
    state = EmbeddedState(old)
    for kind in TABLES:
        if TABLES[kind].name not in tables:
            assert state.select(kind) == []
            continue
        wanted = sample(kind)
        added = ADDED[golden.stem].get(kind, {})
        (row,) = state.select(kind)
        for name in kind.__struct_fields__:
            assert getattr(row, name) == added.get(name, getattr(wanted, name)), (kind, name)
        assert state.get(kind, *[getattr(row, name) for name in kind.__struct_fields__[: KEY_WIDTH[kind]]])
    state.close()
    EmbeddedState(tmp_path / "new.db").close()
    assert columns(old) == columns(tmp_path / "new.db")
    assert indexes(old) == indexes(tmp_path / "new.db")
    assert schema(old) == str(SCHEMA_VERSION)
    EmbeddedState(old).close()  # and once more
    with closing(sqlite3.connect(old)) as connection:
        counted = [("dead_letters", "state of DeadLetter", 1), ("runs", "phase of RunRow", 1)]
        assert connection.execute("SELECT * FROM counts ORDER BY what").fetchall() == counted


@pytest.mark.anyio
async def test_this_version_s_database_holds_a_row_of_each_kind(tmp_path: Path) -> None:
    await make(tmp_path / "golden.db")
    assert schema(tmp_path / "golden.db") == str(SCHEMA_VERSION)
    state = EmbeddedState(tmp_path / "golden.db")
    assert [state.select(kind) for kind in TABLES] == [[sample(kind)] for kind in TABLES]
    state.close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
        connection.execute("INSERT INTO meta VALUES ('schema', '99')")
    with pytest.raises(Unavailable, match=f"has schema 99, .* up to {SCHEMA_VERSION}; use the newer version"):
        EmbeddedState(path)
    assert list(columns(path)) == ["meta"]
    assert schema(path) == "99"


def test_a_step_that_fails_leaves_the_old_schema_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE runs ADD COLUMN half TEXT"))
        connection.execute(text("ALTER TABLE no_such_table ADD COLUMN more TEXT"))

    old = tmp_path / "old.db"
    EmbeddedState(old).close()
    before = columns(old)
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, fails))
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(Broken, match="no_such_table"):
        EmbeddedState(old)
    assert columns(old) == before
    assert schema(old) == str(SCHEMA_VERSION)
