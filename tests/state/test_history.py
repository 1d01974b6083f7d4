"""Old history goes, by rules; what is open or recent stays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from penstock.core.rows import AttemptRow, CursorRow, DeadLetter, Decision, Intent, Outcome, RunRow, Seen
from penstock.state.embedded import EmbeddedState


def run(name: str, ended_ns: int) -> list[Any]:
    return [
        RunRow(id=name, tenant="t", workflow="w", trigger="t", event_id=name, subject="s", phase="x",
               started_ns=1, ended_ns=ended_ns),
        AttemptRow(run=name, step="s", item=-1, attempt=1, tenant="t", phase="x", function="f"),
        Decision(event_id=name, source="a", trigger="t", tenant="t", offset=1, subject="s",
                 outcome=Outcome.MATCHED,
                 run=name, at_ns=1),
        Intent(key=f"{name}/s/-1/1", run=name, tenant="t", moves=b"", answer=b"", done=True),
    ]  # fmt: skip


def letter(name: str, state: str) -> DeadLetter:
    return DeadLetter(
        id=name, tenant="t", kind="step", subject="s", reason="r", body=b"", at_ns=1, state=state
    )


@pytest.mark.anyio
async def test_ended_runs_go_with_all_that_belongs_to_them(tmp_path: Path) -> None:
    state = EmbeddedState(tmp_path / "state.db")
    for number in range(1200):
        state.put(*run(f"old{number}", 10))
    state.put(*run("new", 1000), *run("running", 0), letter("open", "open"), letter("gone", "dropped"))
    state.put(Seen("a", "early", 5), Seen("a", "late", 50))
    await state.commit()
    assert await state.forget(ended_before_ns=100, offset_before=20) == 1200
    assert {row.id for row in state.select(RunRow)} == {"new", "running"}
    assert {row.run for row in state.select(AttemptRow)} == {"new", "running"}
    assert {row.run for row in state.select(Decision)} == {"new", "running"}
    assert {row.run for row in state.select(Intent)} == {"new", "running"}
    assert {row.id for row in state.select(DeadLetter)} == {"open"}
    assert {row.event_id for row in state.select(Seen)} == {"late"}
    state.close()


@pytest.mark.anyio
async def test_a_commit_that_waits_for_the_removal_takes_what_is_staged_then(tmp_path: Path) -> None:
    state = EmbeddedState(tmp_path / "state.db")
    for number in range(3000):
        state.put(*run(f"old{number}", 10))
    await state.commit()
    begun = False

    def stage() -> None:
        nonlocal begun
        begun = True
        state.put(*run("late", 0))

    removal = asyncio.create_task(state.forget(ended_before_ns=100, offset_before=0))
    await asyncio.sleep(0)
    commit = asyncio.create_task(state.commit(None, stage))
    await asyncio.sleep(0)
    assert not begun, "nothing is staged before its turn: a cursor that moves meanwhile would be alone"
    state.put(CursorRow("pump", 0, 7))
    await asyncio.gather(removal, commit)
    assert begun
    assert {row.id for row in state.select(RunRow)} == {"late"}
    state.close()


@pytest.mark.anyio
async def test_what_stays_is_not_looked_through(tmp_path: Path) -> None:
    state = EmbeddedState(tmp_path / "state.db")
    state.put(*run("old", 10))
    await state.commit()
    plans: list[str] = []

    def explained(statement: str) -> None:
        if statement.startswith(("DELETE", "SELECT")):
            found = state._connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}")  # type: ignore[union-attr]
            plans.extend(f"{row[3]}: {statement}" for row in found)

    statements: list[str] = []
    connection = state._connection.connection.driver_connection
    assert connection is not None
    state._thread.submit(connection.set_trace_callback, statements.append).result()
    assert await state.forget(ended_before_ns=100, offset_before=20) == 1
    state._thread.submit(connection.set_trace_callback, None).result()
    for statement in statements:
        state._thread.submit(explained, statement).result()
    assert len(plans) > 8
    assert [plan for plan in plans if plan.startswith("SCAN")] == []
    state.close()


@pytest.mark.anyio
async def test_decisions_that_started_nothing_go_with_time(tmp_path: Path) -> None:
    state = EmbeddedState(tmp_path / "state.db")
    for name, at_ns in (("old", 1), ("new", 1000)):
        state.put(
            Decision(event_id=name, source="a", trigger="t", tenant="t", offset=1, subject="s",
                     outcome=Outcome.PAUSED,
                     at_ns=at_ns)
        )  # fmt: skip
    await state.commit()
    await state.forget(ended_before_ns=100, offset_before=0)
    assert {row.event_id for row in state.select(Decision)} == {"new"}
    state.close()


@pytest.mark.anyio
async def test_a_run_stays_as_long_as_its_letter_is_open(tmp_path: Path) -> None:
    state = EmbeddedState(tmp_path / "state.db")
    state.put(*run("open", 10), *run("closed", 10), letter("open", "open"), letter("closed", "dropped"))
    await state.commit()
    assert await state.forget(ended_before_ns=100, offset_before=0) == 1
    assert {row.id for row in state.select(RunRow)} == {"open"}
    assert {row.run for row in state.select(Decision)} == {"open"}
    state.close()
