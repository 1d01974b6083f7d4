"""One owner of a partition at a time: who was paused and wakes up writes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from tests.servers.postgres import Postgres

from penstock.core.errors import ConnectionLost, Fenced, Unavailable
from penstock.core.rows import CursorRow, DeadLetter, Intent, RunRow, Seen
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState
from penstock.testing.state_suite import run_row

pytestmark = pytest.mark.anyio

STOPPED_IN_COMMIT = """
import asyncio, sys
import msgspec
from penstock.core.errors import PenstockError
from penstock.core.rows import CursorRow
from penstock.state.postgres import writing
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState

def stopped(*given, original=writing._columns):
    print("behind the fence", flush=True)  # and before the rows
    sys.stdin.readline()
    return original(*given)

async def main():
    state = PostgresState(msgspec.json.decode(sys.argv[1], type=PostgresSettings), 0, "zombie")
    state.put(CursorRow("pump", 0, 1))
    await state.commit()
    writing._columns = stopped
    state.put(CursorRow("pump", 0, 100), CursorRow("zombie", 0, 1))
    for _ in range(2):  # the first one loses its connection
        try:
            await state.commit()
            print("written")
        except PenstockError as error:
            print(type(error).__name__, error)
        writing._columns = writing_columns

writing_columns = writing._columns
asyncio.run(main())
"""


@pytest.fixture
def settings(postgres: Postgres) -> PostgresSettings:
    return postgres.fresh()


@pytest.fixture
def first(settings: PostgresSettings, anyio_backend: object) -> Iterator[PostgresState]:
    state = PostgresState(settings, 0, "first")
    yield state
    state.close()


async def test_the_former_owner_s_commit_is_refused_in_words_and_writes_nothing(
    settings: PostgresSettings, first: PostgresState
) -> None:
    first.put(CursorRow("pump", 0, 1))
    await first.commit()
    second = PostgresState(settings, 0, "second")
    assert (first.epoch, second.epoch) == (1, 2)
    first.put(
        CursorRow("pump", 0, 2), DeadLetter(id="x", tenant="", kind="", subject="", reason="", body=b"")
    )
    for _ in range(2):
        with pytest.raises(Fenced, match=r"partition 0 is no longer ours \(epoch 1\): second took it over"):
            await first.commit()
    assert second.get(CursorRow, "pump", 0) == CursorRow("pump", 0, 1)
    assert second.get(DeadLetter, "x") is None
    second.put(CursorRow("pump", 0, 5))
    await second.commit()
    second.close()


async def test_a_process_stopped_in_a_commit_and_woken_after_another_took_over_has_written_nothing(
    settings: PostgresSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.state.postgres.fence.WAIT_MS", 200)
    script = tmp_path / "zombie.py"
    script.write_text(STOPPED_IN_COMMIT)
    command = [sys.executable, str(script), msgspec.json.encode(settings).decode()]
    zombie = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert zombie.stdout is not None
    try:
        assert await asyncio.to_thread(zombie.stdout.readline) == "behind the fence\n"
        zombie.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, zombie.pid, os.WSTOPPED)
        second = await PostgresState.open(settings, 0, "second")
        assert second.get(CursorRow, "pump", 0) == CursorRow("pump", 0, 1)
        second.put(CursorRow("pump", 0, 7))
        await second.commit()
        zombie.send_signal(signal.SIGCONT)
        said, _ = await asyncio.to_thread(zombie.communicate, "\n", timeout=30)
    finally:
        zombie.kill()
        zombie.wait()
    lost, fenced = said.strip().splitlines()
    assert lost.startswith("ConnectionLost")
    assert fenced.startswith("Fenced partition 0 is no longer ours (epoch 1): second took it over as epoch 2")
    assert second.get(CursorRow, "zombie", 0) is None
    assert second.select(CursorRow) == [CursorRow("pump", 0, 7)]
    second.close()


async def test_shards_share_tables_and_see_their_own_rows_only(settings: PostgresSettings) -> None:
    one, two = PostgresState(settings, 1), PostgresState(settings, 2)
    for state, name in ((one, "a"), (two, "b")):
        state.put(run_row(name), CursorRow("pump", 0, state.partition), Seen("s", "e", state.partition))
        state.put(Intent(key=f"{name}/s/-1/1", run=name, tenant="t", moves=b"", answer=b""))
        await state.commit()
    one.close()
    one = PostgresState(settings, 1)
    assert [row.id for row in one.select(RunRow, phase="running")] == ["a"]
    assert [row.key for row in one.select(Intent, done=False)] == ["a/s/-1/1"]
    assert one.get(CursorRow, "pump", 0) == CursorRow("pump", 0, 1)
    assert one.get(Intent, "b/s/-1/1") is None
    assert two.select(Seen) == [Seen("s", "e", 2)]
    await one.prefetch({Seen: [("s", "e")], RunRow: [("a",), ("b",)], Intent: [("b/s/-1/1",)]})
    blocking = one.blocking_reads
    assert one.get(Seen, "s", "e") == Seen("s", "e", 1)
    assert one.get(Intent, "b/s/-1/1") is None
    assert one.get(RunRow, "a") == run_row("a")
    assert one.get(RunRow, "b") is None, "who asks whether a run is its own must not be told of another's"
    assert one.blocking_reads == blocking
    one.close()
    two.close()


async def test_two_shards_that_write_the_same_shared_rows_at_once_do_not_block_each_other(
    settings: PostgresSettings,
) -> None:
    states = [PostgresState(settings, number) for number in range(2)]
    letters = [
        DeadLetter(id=f"{n:05}", tenant="", kind="", subject="", reason="", body=b"") for n in range(3000)
    ]
    for _ in range(3):
        states[0].put(*letters)
        states[1].put(*reversed(letters))
        await asyncio.gather(*(state.commit() for state in states))
    assert len(states[0].select(DeadLetter)) == 3000
    for state in states:
        state.close()


async def test_many_processes_may_open_a_new_schema_at_once(settings: PostgresSettings) -> None:
    states = await asyncio.gather(*(PostgresState.open(settings, number % 3) for number in range(6)))
    assert sorted(state.epoch for state in states) == [1, 1, 1, 2, 2, 2]
    for state in states:
        state.close()


async def test_a_connection_cut_by_the_server_is_made_again(
    settings: PostgresSettings, first: PostgresState
) -> None:
    first.put(CursorRow("pump", 0, 1))
    await first.commit()
    assert first.select(CursorRow)
    with psycopg.connect(
        host=settings.host, port=settings.port, dbname=settings.database, user=settings.user
    ) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'penstock%'"
        )
    first.put(CursorRow("pump", 0, 2))
    assert first.select(CursorRow) == [CursorRow("pump", 0, 2)]
    with pytest.raises(Unavailable, match=r"database 'postgres' at .*Nothing is lost; it goes on by itself"):
        await first.commit()
    assert first.dirty
    await first.commit()
    assert not first.dirty
    assert first.select(CursorRow) == [CursorRow("pump", 0, 2)]


async def test_a_database_that_is_not_there_is_told_in_words(settings: PostgresSettings) -> None:
    elsewhere = msgspec.structs.replace(settings, database="nowhere")
    with pytest.raises(Unavailable, match=r"does not let us in; its operator .* \"nowhere\" does not exist"):
        PostgresState(elsewhere, 0)
    elsewhere = msgspec.structs.replace(settings, host="/nowhere")
    with pytest.raises(ConnectionLost, match=r"at /nowhere:\d+ cannot be reached"):
        PostgresState(elsewhere, 0)
