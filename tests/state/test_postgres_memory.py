"""What a shard knows without asking the database: right, whoever writes meanwhile, and bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.servers.postgres import Postgres

from penstock.core.rows import CursorRow, DeadLetter, Decision, FileState, Outcome, OutputRow, RunRow, Seen
from penstock.state.postgres.memory import SNAPSHOT_BYTES_MAX, Memory, Unknown
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState
from penstock.testing.state_suite import file_row, run_row

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(postgres: Postgres) -> PostgresSettings:
    return postgres.fresh()


@pytest.fixture
def state(settings: PostgresSettings, anyio_backend: object) -> Iterator[PostgresState]:
    state = PostgresState(settings, 0)
    yield state
    state.close()


async def test_what_is_prefetched_is_read_without_waiting_absent_rows_too(state: PostgresState) -> None:
    paths = [b"/a", b"/a\xff\0b", b"/" + b"n" * 4000, b"/" + b"n" * 3999 + b"m"]
    state.put(*(file_row(path) for path in paths[:3]), Seen("s" * 5000, "e\0\ue0ff", 3))
    await state.commit()
    before = state.blocking_reads
    await state.prefetch(
        {
            FileState: [("local", path) for path in paths],
            Seen: [("s" * 5000, "e\0\ue0ff"), ("s" * 5000 + "x", "e"), ("half \udc80", "e")],
            CursorRow: [("pump", 0)],
            OutputRow: [(b"/o",)],
        }
    )
    assert [state.file("local", path) for path in paths] == [*map(file_row, paths[:3]), None]
    assert state.get(Seen, "s" * 5000, "e\0\ue0ff") == Seen("s" * 5000, "e\0\ue0ff", 3)
    assert state.get(Seen, "s" * 5000 + "x", "e") is None
    assert state.get(Seen, "half \udc80", "e") is None
    assert state.get(CursorRow, "pump", 0) is None
    assert state.output(b"/o") is None
    assert state.blocking_reads == before
    assert state.get(CursorRow, "other", 0) is None
    assert state.blocking_reads == before + 1, "what was not prefetched is asked for"


async def test_shared_rows_are_known_until_the_next_commit_and_own_ones_for_long(
    state: PostgresState, settings: PostgresSettings
) -> None:
    other = PostgresState(settings, 1)
    state.put(file_row(b"/a"), Seen("s", "e", 1))
    await state.commit()
    await state.prefetch({FileState: [("local", b"/a")]})
    other.put(file_row(b"/a", generation=2))
    await other.commit()
    assert state.file("local", b"/a") == file_row(b"/a"), "as it was when it was asked for"
    state.put(CursorRow("pump", 0, 1))
    await state.commit()
    before = state.blocking_reads
    assert state.file("local", b"/a") == file_row(b"/a", generation=2)
    assert state.blocking_reads == before + 1
    assert state.get(Seen, "s", "e") == Seen("s", "e", 1)
    assert state.blocking_reads == before + 1
    other.close()


async def test_a_commit_that_ends_while_a_prefetch_is_under_way_is_not_overlooked(
    state: PostgresState, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.put(file_row(b"/a"))
    await state.commit()
    asked, go_on = threading.Event(), threading.Event()
    many = state._reading.many

    def slow(wanted: Any) -> Any:
        found = many(wanted)
        asked.set()
        assert go_on.wait(30)
        return found

    monkeypatch.setattr(state._reading, "many", slow)
    asking = asyncio.ensure_future(state.prefetch({FileState: [("local", b"/a"), ("local", b"/b")]}))
    await asyncio.to_thread(asked.wait)
    state.put(file_row(b"/a", generation=2), file_row(b"/b"))
    await state.commit()
    go_on.set()
    await asking
    assert state.file("local", b"/a") == file_row(b"/a", generation=2)
    assert state.file("local", b"/b") == file_row(b"/b")


async def test_text_and_numbers_that_no_column_can_hold_are_kept_as_the_nearest(state: PostgresState) -> None:
    odd = DeadLetter(
        id="odd",
        tenant="",
        kind="",
        subject="half \udc80",
        reason="nul \0 \ue0ff0",
        body=b"\0",
        at_ns=1 << 70,
    )
    state.put(odd)
    await state.commit()
    state._memory.clear()
    found = state.get(DeadLetter, "odd")
    assert found == msgspec.structs.replace(odd, subject="half ?", at_ns=(1 << 63) - 1)


async def test_stamps_are_those_of_the_rows_also_while_a_commit_ends(
    state: PostgresState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.state.postgres.pages.FILES_PAGE", 3)
    paths = [b"/d/%d" % number for number in range(8)]
    state.put(*(msgspec.structs.replace(file_row(path), version="v\0\ue0ff") for path in paths))
    await state.commit()
    found: list[Any] = []
    async for page in state.stamps("local", b"/d", ("version", "generation")):
        found += page
        if len(found) == 3:
            state.put(file_row(paths[1], present=False), file_row(paths[4], present=False))
            state.put(file_row(paths[6], generation=2), file_row(b"/d/9"))
            await state.commit()
    odd = "v\0\ue0ff"
    assert found == [
        *((path, odd, 1) for path in (*paths[:4], paths[5])),
        (paths[6], "", 2),
        (paths[7], odd, 1),
        (b"/d/9", "", 1),
    ]


async def test_very_long_keys_are_told_apart_and_come_back_whole(state: PostgresState) -> None:
    def decided(event_id: str) -> Decision:
        return Decision(
            event_id=event_id,
            source="/s" * 3000,
            trigger="t",
            tenant="t",
            offset=1,
            subject="/x" * 4000,
            outcome=Outcome.MATCHED,
        )

    made = [decided("ä\0" * 3000 + str(number)) for number in range(3)]
    state.put(*made)
    await state.commit()
    state.put(msgspec.structs.replace(made[1], run="r"))
    await state.commit()
    state._memory.clear()
    made[1] = msgspec.structs.replace(made[1], run="r")
    assert state.select(Decision) == made
    for row in made:
        assert state.select(Decision, event_id=row.event_id) == [row]
        assert state.get(Decision, row.event_id, row.source, row.trigger) == row


def test_memory_keeps_the_latest_used_own_rows_and_no_large_ones() -> None:
    memory = Memory(rows_max=3)
    rows = {(f"e{number}",): Seen("s", f"e{number}", number) for number in range(3)}
    memory.wrote({Seen: dict(rows)})
    assert memory.get(Seen, ("e0",)) == Seen("s", "e0", 0)
    memory.wrote({Seen: {("e3",): Seen("s", "e3", 3)}})
    assert isinstance(memory.get(Seen, ("e1",)), Unknown)
    assert memory.get(Seen, ("e0",)) == Seen("s", "e0", 0)
    memory.wrote({FileState: {("local", b"/a"): file_row(b"/a")}})
    assert isinstance(memory.get(FileState, ("local", b"/a")), Unknown), "others may write it"
    memory.wrote({RunRow: {("r",): run_row("r")}})
    large = msgspec.structs.replace(run_row("r"), snapshot=bytes(SNAPSHOT_BYTES_MAX + 1))
    memory.wrote({RunRow: {("r",): large}})
    assert isinstance(memory.get(RunRow, ("r",)), Unknown), "nor is the older, smaller one kept"
