"""An embedded state moves to PostgreSQL: whole, counted, told beforehand; or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.servers.postgres import Postgres
from tests.state.golden.make import sample
from tests.state.test_readers import rows

from penstock.core.errors import Broken, Refused, Unavailable
from penstock.core.rows import CursorRow, FileState, RunRow, Seen
from penstock.state import moving
from penstock.state.embedded import EmbeddedState
from penstock.state.moving import Progress, move, plan
from penstock.state.postgres.session import connect
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState
from penstock.state.tables import TABLES

pytestmark = pytest.mark.anyio
ODD = Seen("/source\0", "ä" * 3000, 7)


@pytest.fixture
def settings(postgres: Postgres) -> PostgresSettings:
    return postgres.fresh()


@pytest.fixture
async def embedded(tmp_path: Path) -> EmbeddedState:
    state = EmbeddedState(tmp_path / "state.db")
    state.put(*rows(), *(sample(kind) for kind in TABLES), ODD)
    await state.commit()
    return state


@pytest.fixture
def source(embedded: EmbeddedState) -> Iterator[Path]:
    yield embedded.path
    embedded.close()


def tables(settings: PostgresSettings) -> int:
    with connect(settings, "look") as session:
        found = session.execute("SELECT count(*) FROM pg_tables WHERE schemaname = %s", (settings.schema,))
        ((number,),) = found.fetchall()
        return int(number)


async def test_everything_arrives_and_is_the_new_shard_s_own(
    source: Path, embedded: EmbeddedState, settings: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "PROGRESS_ROWS", 50)
    planned = plan(source, settings)
    assert planned.against == ()
    assert planned.rows["attempts"] == 121
    assert planned.size_bytes > 4096
    assert tables(settings) == 0, "a plan changes nothing"
    told: list[Progress] = []
    assert move(source, settings, 4, told.append) == planned
    assert [each.done_of_all for each in told] == sorted(each.done_of_all for each in told)
    assert told[-1].done_of_all == told[-1].total_of_all == planned.total
    assert any(each.table == "attempts" and each.done == 50 for each in told)
    state = PostgresState(settings, 4)
    for kind in TABLES:
        assert state.select(kind) == embedded.select(kind), kind
    assert state.get(Seen, ODD.source, ODD.event_id) == ODD
    state.put(CursorRow("pump", 0, 1))
    await state.commit()
    state.close()
    elsewhere = PostgresState(settings, 5)
    assert elsewhere.select(RunRow) == []
    elsewhere.close()


async def test_a_target_in_use_is_refused_in_words(source: Path, settings: PostgresSettings) -> None:
    PostgresState(settings, 0).close()
    (against,) = plan(source, settings).against
    assert "is in use already: schema" in against
    assert "rows in partitions; choose another schema" in against
    with pytest.raises(Refused, match=r"cannot be moved .* is in use already"):
        move(source, settings)


async def test_what_does_not_arrive_whole_does_not_arrive_at_all(
    source: Path, settings: PostgresSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = moving._count
    monkeypatch.setattr(moving, "_count", lambda file, table: real(file, table) + (table == "timers"))
    with pytest.raises(Broken, match=r"timers had 2 rows, of 1 1 were made, and \(1,\) arrived; nothing"):
        move(source, settings)
    monkeypatch.undo()
    assert plan(source, settings).against == ()
    state = PostgresState(settings, 0)
    assert state.select(FileState) == []
    state.close()


async def test_a_database_that_goes_away_meanwhile_holds_nothing_and_is_moved_to_later(
    source: Path, settings: PostgresSettings
) -> None:
    def cut(progress: Progress) -> None:
        if progress.table == "attempts":
            with connect(settings, "cut") as session:
                session.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'penstock move'"
                )

    with pytest.raises(Unavailable, match="goes on by itself"):
        move(source, settings, 0, cut)
    assert plan(source, settings).against == ()
    assert move(source, settings).total > 100


async def test_a_source_of_another_schema_or_none_is_refused(
    tmp_path: Path, settings: PostgresSettings
) -> None:
    place = tmp_path / "other.db"
    with closing(sqlite3.connect(place)) as file:
        file.execute("CREATE TABLE shopping (what TEXT)")
    assert plan(place, settings).against == (f"{place} holds no state of Penstock",)
    with closing(sqlite3.connect(place)) as file, file:
        file.execute("CREATE TABLE meta (key TEXT, value TEXT)")
        file.execute("INSERT INTO meta VALUES ('schema', '1')")
    (against,) = plan(place, settings).against
    assert "has schema 1, and this Penstock moves" in against
    with pytest.raises(Unavailable, match=r"nowhere.db cannot be read"):
        plan(tmp_path / "nowhere.db", settings)
