"""In PostgreSQL, too, old history goes by the rules; each shard removes its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from tests.servers.postgres import Postgres
from tests.state.test_history import kept_for, letter, output, run, tombstone

from penstock.core.errors import Fenced
from penstock.core.rows import AttemptRow, DeadLetter, Decision, FileState, Intent, Outcome, RunRow, Seen
from penstock.state.history import Orphan
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(postgres: Postgres) -> PostgresSettings:
    return postgres.fresh()


@pytest.fixture
def shards(settings: PostgresSettings, anyio_backend: object) -> Iterator[list[PostgresState]]:
    states = [PostgresState(settings, number) for number in range(2)]
    yield states
    for state in states:
        state.close()


async def test_ended_runs_go_with_all_that_belongs_to_them(shards: list[PostgresState]) -> None:
    state, other = shards
    for number in range(1200):
        state.put(*run(f"old{number}", 10))
    state.put(*run("new", 1000), *run("running", 0), *run("open", 10), letter("open", "open"))
    state.put(letter("gone", "dropped"), Seen("a", "early", 5), Seen("a", "late", 50))
    for name, at_ns in (("old", 1), ("new", 1000)):
        state.put(
            Decision(event_id=f"{name} paused", source="a", trigger="t", tenant="t", offset=1, subject="s",
                     outcome=Outcome.PAUSED, at_ns=at_ns)
        )  # fmt: skip
    other.put(*run("other's", 10), Seen("a", "other's", 5))
    await state.commit()
    await other.commit()
    assert await state.forget(ended_before_ns=100, offset_before=20) == 1200
    left = {"new", "running", "open"}
    assert {row.id for row in state.select(RunRow)} == left
    assert {row.run for row in state.select(AttemptRow)} == left
    assert {row.run for row in state.select(Decision)} == left | {""}
    assert {row.run for row in state.select(Intent)} == left
    assert state.get(RunRow, "old5") is None, "what was in memory is gone, too"
    assert {row.id for row in state.select(DeadLetter)} == {"open"}
    assert {row.event_id for row in state.select(Seen)} == {"late"}
    assert {row.id for row in other.select(RunRow)} == {"other's"}
    assert {row.event_id for row in other.select(Seen)} == {"other's"}


async def test_a_deleted_file_is_forgotten_when_nothing_can_come_again_under_its_ids(
    shards: list[PostgresState],
) -> None:
    state, other = shards
    kept = kept_for("odd ä")
    state.put(*(tombstone(path, 5) for path in kept), *kept.values())
    state.put(replace(letter("closed", "dropped"), subject="/closed"))
    state.put(*(tombstone(b"/gone %d" % number, number % 10) for number in range(1200)))
    state.put(tombstone(b"/closed", 5), tombstone(b"/on the log", 10), tombstone(b"/later", 11))
    state.put(tombstone(b"/there", 5, present=True), tombstone(b"/root", 0, generation=0))
    other.put(tombstone(b"/other's", 5))
    await state.commit()
    await other.commit()
    await state.forget(ended_before_ns=100, offset_before=10)
    wanted = {b"/on the log", b"/later", b"/there", b"/root", b"/other's", *kept}
    assert {row.path for row in state.select(FileState)} == wanted


async def test_outputs_of_forgotten_runs_are_found_in_rounds(
    shards: list[PostgresState], settings: PostgresSettings
) -> None:
    state, other = shards
    other.put(*run("known", 1000), output(b"/other's", "forgotten"))
    await other.commit()
    state.put(output(b"/known", "known"), output(b"/new", "forgotten", 1000))
    state.put(*(output(b"/o%04d" % number, "forgotten") for number in range(1200)))
    await state.commit()
    found: list[Orphan] = []
    ends = []
    for _ in range(3):
        chunk, is_end = await state.orphans(100)
        found += chunk
        ends.append(is_end)
    assert ends == [False, False, True]
    assert found == [Orphan(b"/o%04d" % number, "forgotten") for number in range(1200)]
    state.put(output(b"/o0001", "another run meanwhile"))
    await state.commit()
    await state.forget_outputs([*found[:2], Orphan(b"/none", "none"), Orphan(b"/other's", "forgotten")])
    assert state.output(b"/o0000") is None
    assert state.output(b"/o0001") is not None
    assert state.output(b"/other's") is not None


async def test_who_was_fenced_removes_nothing(
    shards: list[PostgresState], settings: PostgresSettings
) -> None:
    state = shards[0]
    state.put(*run("old", 10))
    await state.commit()
    later = PostgresState(settings, 0)
    with pytest.raises(Fenced):
        await state.forget(ended_before_ns=100, offset_before=0)
    assert later.get(RunRow, "old") is not None
    later.close()
