"""What another process reads: the numbers of the status, and what was decided for which event."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from penstock.core.rows import DeadLetter, Decision, Outcome, RunRow
from penstock.state.door import SqliteDoor
from penstock.state.embedded import EmbeddedState
from penstock.state.reader import StateReader

pytestmark = pytest.mark.anyio


@pytest.fixture
def state(tmp_path: Path) -> Iterator[EmbeddedState]:
    state = EmbeddedState(tmp_path / "state.db")
    yield state
    state.close()


@pytest.fixture
async def reader(state: EmbeddedState) -> AsyncIterator[StateReader]:
    reader = StateReader(state.path)
    yield reader
    await reader.close()


def run(name: str, phase: str, ended_ns: int = 0) -> RunRow:
    return RunRow(
        id=name,
        tenant="t",
        workflow="w",
        trigger="t",
        event_id=name,
        subject="s",
        phase=phase,
        started_ns=1,
        ended_ns=ended_ns,
    )


def letter(name: str, state: str) -> DeadLetter:
    return DeadLetter(id=name, tenant="t", kind="step", subject="s", reason="r", body=b"", state=state)


async def test_the_counts_follow_what_is_written_changed_and_forgotten(
    state: EmbeddedState, reader: StateReader
) -> None:
    chance = random.Random(1)
    runs: dict[str, str] = {}
    letters: dict[str, str] = {}
    assert await reader.counts() == ({}, {})
    for _ in range(10):
        for _ in range(50):
            name = f"r{chance.randrange(100)}"
            runs[name] = chance.choice(["running", "succeeded", "failed"])
            state.put(run(name, runs[name], ended_ns=10 if runs[name] == "failed" else 0))
            letters[name] = chance.choice(["open", "dropped"])
            state.put(letter(name, letters[name]))
        await state.commit()
        assert await reader.counts() == (Counter(runs.values()), Counter(letters.values()))
    await state.forget(ended_before_ns=100, offset_before=0)
    found = await reader.counts()
    left = [row.phase for row in state.select(RunRow)]
    assert found == (Counter(left), Counter(row.state for row in state.select(DeadLetter)))
    assert 0 < len(left) < len(runs)


async def test_counting_looks_at_no_run_and_no_letter(state: EmbeddedState, reader: StateReader) -> None:
    state.put(*(run(f"r{number}", "running") for number in range(5000)))
    await state.commit()
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    statements: list[str] = []
    assert await reader.counts() == ({"running": 5000}, {})  # the connections are there
    door = reader.door
    assert isinstance(door, SqliteDoor)
    with door.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_trace_callback(statements.append)
    assert await reader.counts() == ({"running": 5000}, {})
    assert len(statements) == 2
    with closing(sqlite3.connect(state.path)) as other:
        other.set_progress_handler(step, 1)
        for statement in statements:
            other.execute(statement).fetchall()
    assert 0 < steps < 1000, "opening included"


async def test_two_sources_may_use_one_id(state: EmbeddedState, reader: StateReader) -> None:
    def decided(source: str, run: str) -> Decision:
        return Decision(
            event_id="1",
            source=source,
            trigger="t",
            tenant="t",
            offset=1,
            subject="s",
            outcome=Outcome.MATCHED,
            run=run,
        )

    state.put(decided("/a", "run of a"), decided("/b", "run of b"))
    await state.commit()
    assert [row.run for row in await reader.decisions("1", "/a")] == ["run of a"]
    assert [row.run for row in await reader.decisions("1", "/b")] == ["run of b"]
    assert len(await reader.decisions("1")) == 2
    state.put(decided("", "of an older Penstock"))
    await state.commit()
    assert [row.run for row in await reader.decisions("1", "/a")] == ["of an older Penstock", "run of a"]
