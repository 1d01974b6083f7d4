"""What an earlier version left in PostgreSQL is brought up, all or nothing, whoever comes first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, text
from tests.servers.postgres import Postgres
from tests.state.golden.make import sample
from tests.state.test_migrations import ADDED

from penstock.core.errors import Broken, Invalid, Unavailable
from penstock.state import migrations
from penstock.state.migrations import SCHEMA_VERSION
from penstock.state.postgres import schema as postgres_schema
from penstock.state.postgres.session import connect
from penstock.state.postgres.settings import PostgresSettings, parameters
from penstock.state.postgres.state import PostgresState
from penstock.state.tables import TABLES

GOLDEN = sorted((Path(__file__).parent / "golden").glob("postgres-*.sql"))
SHARD = 3
"""Whose rows the golden dumps hold."""


@pytest.fixture
def settings(postgres: Postgres) -> PostgresSettings:
    return postgres.fresh()


def load(golden: Path, settings: PostgresSettings) -> None:
    statements = golden.read_text(encoding="utf-8")
    for word in ("penstock.", "SCHEMA penstock"):
        statements = statements.replace(word, word.replace("penstock", settings.schema))
    with connect(settings, "load") as session:
        session.execute(statements)


def shape(settings: PostgresSettings) -> tuple[set[object], set[object]]:
    """Return columns and indexes, without the name of the schema."""
    columns = (
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_schema = %s"
    )
    indexes = (
        "SELECT indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes WHERE schemaname = %s"
    )
    with connect(settings, "shape") as session:
        return tuple(set(session.execute(asked, (settings.schema,))) for asked in (columns, indexes))  # type: ignore[return-value]


def version(settings: PostgresSettings) -> str:
    with connect(settings, "version") as session:
        row = session.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        assert row is not None
        return str(row[0])


def test_each_schema_since_the_first_has_a_golden_dump() -> None:
    assert [path.stem for path in GOLDEN] == [
        f"postgres-schema-{number}" for number in range(postgres_schema.FIRST_SCHEMA, SCHEMA_VERSION + 1)
    ]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
@pytest.mark.anyio
async def test_what_an_earlier_version_left_is_brought_up_with_all_its_rows(
    golden: Path, settings: PostgresSettings, postgres: Postgres
) -> None:
    load(golden, settings)
    added = ADDED.get(golden.stem.removeprefix("postgres-"), {})
    states = await asyncio.gather(*(PostgresState.open(settings, number) for number in (SHARD, 7, 8)))
    dumped = golden.read_text(encoding="utf-8")
    for kind in TABLES:
        wanted = sample(kind)
        if f".{TABLES[kind].name} (" not in dumped:
            assert states[0].select(kind) == []
            continue
        (row,) = states[0].select(kind)
        for name in kind.__struct_fields__:
            assert getattr(row, name) == added.get(kind, {}).get(name, getattr(wanted, name)), (kind, name)
    assert states[0].epoch == 2
    fresh = postgres.fresh()
    (await PostgresState.open(fresh, 0)).close()
    assert shape(settings) == shape(fresh)
    assert version(settings) == str(SCHEMA_VERSION)
    for state in states:
        state.close()


def with_step(monkeypatch: pytest.MonkeyPatch, step: migrations.Step) -> None:
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, step))
    for module in (migrations, postgres_schema):
        monkeypatch.setattr(module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)


@pytest.mark.anyio
async def test_a_further_step_is_taken_once_by_whoever_comes_first_while_the_old_version_works_on(
    settings: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(GOLDEN[-1], settings)
    old = PostgresState(settings, 5)
    taken = []

    def step(connection: Connection) -> None:
        taken.append(1)
        connection.execute(text("ALTER TABLE runs ADD COLUMN more TEXT NOT NULL DEFAULT ''"))

    with_step(monkeypatch, step)
    states = await asyncio.gather(*(PostgresState.open(settings, number) for number in range(4)))
    assert taken == [1]
    assert version(settings) == str(SCHEMA_VERSION + 1)
    old.put(*(sample(kind) for kind in TABLES))
    await old.commit()
    for state in (old, *states):
        state.close()


def test_a_step_that_fails_leaves_the_old_schema_whole(
    settings: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(GOLDEN[-1], settings)
    before = shape(settings)

    def fails(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE runs ADD COLUMN half TEXT"))
        connection.execute(text("ALTER TABLE no_such_table ADD COLUMN more TEXT"))

    with_step(monkeypatch, fails)
    with pytest.raises(Broken, match="no_such_table"):
        PostgresState(settings, 0)
    assert shape(settings) == before
    assert version(settings) == str(SCHEMA_VERSION)


def test_a_newer_schema_is_refused_and_left_alone(settings: PostgresSettings) -> None:
    load(GOLDEN[-1], settings)
    with connect(settings, "newer") as session:
        session.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(Unavailable, match=f"has schema 99, .* up to {SCHEMA_VERSION}; use the newer version"):
        PostgresState(settings, 0)
    assert version(settings) == "99"


def test_secrets_come_from_where_the_settings_say_and_are_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    by_file = PostgresSettings(host="db.example.org", password_file=str(tmp_path / "password"))
    assert parameters(by_file)["password"] == "s3cret"
    assert "s3cret" not in repr(by_file) + by_file.place
    by_variable = PostgresSettings(host="db.example.org", password_env="DB")
    assert parameters(by_variable, {"DB": "s3cret"})["password"] == "s3cret"
    with pytest.raises(Invalid, match="has no variable 'DB'"):
        parameters(by_variable, {})
    with pytest.raises(Invalid, match=r"password_file /nowhere cannot be read"):
        parameters(PostgresSettings(password_file="/nowhere"))
    given = parameters(PostgresSettings(host="db.example.org"))
    assert (given["sslmode"], given["sslrootcert"]) == ("verify-full", "system")
    assert "sslmode" not in parameters(PostgresSettings(host="/run/postgresql"))


def test_every_fault_of_the_settings_is_told_at_once() -> None:
    bad = {"schema": "Not; good", "password_env": "A", "password_file": "b", "tls_key": "c", "patience_s": 0}
    words = "give one of them.*belong together.*small word.*above 0"
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(bad, PostgresSettings)
