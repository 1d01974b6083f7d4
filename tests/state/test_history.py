"""Old history goes, by rules; what is open or recent stays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.core.event import subject_of
from penstock.core.rows import (
    AttemptRow,
    CursorRow,
    DeadLetter,
    Decision,
    FileState,
    Intent,
    Outcome,
    OutputRow,
    RunRow,
    Seen,
)
from penstock.state.embedded import EmbeddedState
from penstock.state.history import Orphan


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
    await commit
    assert begun
    assert not removal.done(), "a commit waits for one step of the removal, not for all of it"
    await removal
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


def tombstone(path: bytes, offset: int, **changes: Any) -> FileState:
    values: dict[str, Any] = {
        "storage": "local",
        "path": path,
        "generation": 3,
        "size": 1,
        "mtime_ns": 1,
        "ctime_ns": 1,
        "inode": 1,
        "present": False,
        "offset": offset,
    }
    return FileState(**values | changes)


def kept_for(name: str) -> dict[bytes, Any]:
    """Return what keeps a deleted file's row, by the file's path."""
    about = {"subject": subject_of(f"/{name} run\xff".encode())}
    row, _, decision, _ = run("r", 1000)
    return {
        f"/{name} run\xff".encode(): replace(row, **about),
        b"/decision": replace(decision, subject="/decision", run="other", at_ns=1000),
        b"/letter": replace(letter("l", "open"), subject="/letter"),
    }


@pytest.mark.anyio
async def test_a_deleted_file_is_forgotten_when_nothing_can_come_again_under_its_ids(tmp_path: Path) -> None:
    state = EmbeddedState(tmp_path / "state.db")
    kept = kept_for("odd \u00e4")
    state.put(*(tombstone(path, 5) for path in kept), *kept.values())
    state.put(replace(letter("closed", "dropped"), subject="/closed"))
    state.put(*(tombstone(b"/gone %d" % number, number % 10) for number in range(1200)))
    state.put(tombstone(b"/closed", 5), tombstone(b"/on the log", 10), tombstone(b"/later", 11))
    state.put(tombstone(b"/there", 5, present=True), tombstone(b"/root", 0, generation=0))
    await state.commit()
    await state.forget(ended_before_ns=100, offset_before=10)
    wanted = {b"/on the log", b"/later", b"/there", b"/root", *kept}
    assert {row.path for row in state.select(FileState)} == wanted
    state.close()


def output(path: bytes, run: str, published_ns: int = 1) -> OutputRow:
    return OutputRow(
        path=path,
        tenant="t",
        run=run,
        subject="s",
        workflow="w",
        offset=1,
        depth=1,
        inode=1,
        published_ns=published_ns,
    )


@pytest.mark.anyio
async def test_outputs_of_forgotten_runs_are_found_in_rounds(tmp_path: Path) -> None:
    state = EmbeddedState(tmp_path / "state.db")
    state.put(*run("known", 1000), output(b"/known", "known"), output(b"/new", "forgotten", 1000))
    state.put(*(output(b"/o%04d" % number, "forgotten") for number in range(1200)))
    await state.commit()
    found: list[Orphan] = []
    ends = []
    for _ in range(3):
        chunk, is_end = await state.orphans(100)
        found += chunk
        ends.append(is_end)
        state.close()
        state = EmbeddedState(tmp_path / "state.db")  # a restart does not begin the round anew
    assert ends == [False, False, True]
    assert found == [Orphan(b"/o%04d" % number, "forgotten") for number in range(1200)]
    state.put(output(b"/o0001", "another run meanwhile"))
    await state.commit()
    await state.forget_outputs([*found[:2], Orphan(b"/none", "none")])
    assert [each.path for each in (await state.orphans(100))[0][:2]] == [b"/o0001", b"/o0002"]
    assert state.output(b"/o0000") is None
    assert state.output(b"/o0001") is not None
    state.close()
