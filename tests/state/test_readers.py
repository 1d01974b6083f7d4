"""Every question of a reader, answered alike by SQLite and by PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from tests.servers.postgres import Postgres

from penstock.core.rows import (
    AttemptRow,
    DeadLetter,
    Decision,
    Definition,
    HeardRow,
    Outcome,
    OutputRow,
    Row,
    RunRow,
    Seen,
    TreeRow,
)
from penstock.state.embedded import EmbeddedState
from penstock.state.postgres.door import PostgresDoor
from penstock.state.postgres.session import connect
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState
from penstock.state.reader import RunQuery, StateReader
from penstock.testing.state_suite import file_row

pytestmark = pytest.mark.anyio

LONG = [b"/d/" + b"n" * 1500 + b"/%d" % number for number in range(5)]
"""Paths whose beginnings, as an index has them, are the same."""


def rows() -> Iterator[Row]:
    """Some of each kind; the same each time."""
    chance = random.Random(1)
    for number in range(40):
        run = f"r{number:02}"
        yield RunRow(
            id=run, tenant="t", workflow=f"ns/{'ab'[number % 2]}@{number % 3}", trigger="t/x",
            event_id=f"e{number}", subject=f"/s{number % 5}", phase=chance.choice(["running", "failed"]),
            started_ns=number // 2, ended_ns=0, snapshot=b"\0snapshot",
        )  # fmt: skip
        for item in range(3):
            yield AttemptRow(
                run=run, step="fit", item=item, attempt=1, tenant="t", function="f@1",
                phase=chance.choice(["failed", "done"]), place=chance.choice(["pool", "local", ""]),
                result=b"{}",
                started_ns=10 * item + number, ended_ns=1_000_000_000 * (1 + item),
                outputs=chance.choice(["[]", '["/o"]']),
            )  # fmt: skip
        yield Decision(
            event_id=f"e{number % 7}", source=f"/storages/{number % 2}", trigger=f"t/{number}", tenant="t",
            offset=number, subject=f"/s{number % 5}\0", run=run,
            outcome=chance.choice([Outcome.MATCHED, Outcome.PAUSED]),
        )  # fmt: skip
        yield Seen("/outside", f"id{number}", number)
        yield DeadLetter(
            id=f"l{number}", tenant="t", kind="step", subject="/s", reason="r\0", body=b"\0b",
            at_ns=number // 3, state=chance.choice(["open", "dropped"]),
        )  # fmt: skip
    for version in range(3):
        yield Definition(
            kind="function",
            tenant="t",
            name="ns/f",
            version=version,
            body=b"{}",
            deployed_ns=1,
            active=version > 0,
        )
    for folder in (b"/d", b"/d\xff", b"/"):
        yield TreeRow(storage="local", folder=folder, lost_ns=7, reason="lost\0")
        yield HeardRow(source="s", door=folder.decode("latin-1"), last_ns=5)
    for path in (*LONG, b"/d/a", b"/d/a\xff", b"/e"):
        yield file_row(path)
        yield OutputRow(
            path=path,
            tenant="t",
            run="r01",
            subject="/s",
            workflow="w@1",
            offset=1,
            depth=1,
            inode=1,
            published_ns=1,
        )


QUESTIONS: dict[str, tuple[Any, ...]] = {
    "run": ("r03",),
    "runs_of": (["r01", "r02", "no"],),
    "attempts": ("r01", "fit", 2),
    "attempt": ("r01", "fit", 1, 0),
    "attempt_counts": ("r01",),
    "published": ("r02", 10),
    "jobs": ("t", 5),
    "decisions": ("e3", "/storages/1"),
    "decisions_about": ("/s1\0", 3),
    "file": ("local", LONG[3]),
    "output": (LONG[2],),
    "outputs_between": (b"/d/", b"/d0", 7),
    "definitions": ("function", "t"),
    "dead_letter": ("l7",),
    "counts": (),
    "shard_of": ("r01",),
    "first_offsets": ([("/outside", "id7"), ("/outside", "no")],),
    "mean_work": ("ns/a",),
    "trees": (),
    "heard": (),
}
RUNS = [
    RunQuery(tenant="t", limit=7),
    RunQuery(tenant="t", phase="failed", subject="/s1"),
    RunQuery(tenant="t", workflow="ns/a", trigger="t/x", before=(15, "r31")),
    RunQuery(tenant="t", workflow="ns/a@1"),
    RunQuery(tenant="other"),
]


@pytest.fixture
def settings(postgres: Postgres) -> PostgresSettings:
    return postgres.fresh()


@pytest.fixture
async def readers(
    tmp_path: Path, settings: PostgresSettings
) -> AsyncIterator[tuple[StateReader, StateReader]]:
    embedded, states = EmbeddedState(tmp_path / "state.db"), [PostgresState(settings, n) for n in range(2)]
    for number, row in enumerate(rows()):
        embedded.put(row)
        for state in states if isinstance(row, Definition) else [states[number % 2]]:
            state.put(row)
    every: tuple[EmbeddedState | PostgresState, ...] = (embedded, *states)
    for each in every:
        await each.commit()
        each.close()
    pair = StateReader(tmp_path / "state.db"), StateReader(PostgresDoor(settings))
    yield pair
    for reader in pair:
        await reader.close()


async def test_both_answer_every_question_alike(readers: tuple[StateReader, StateReader]) -> None:
    one, other = readers

    async def alike(name: str, *values: Any) -> None:
        answers = [await getattr(reader, name)(*values) for reader in (one, other)]
        if name == "shard_of":
            assert answers == [0, 1], "rows() went to two shards"
            return
        if name == "attempt_counts":
            answers = [sorted(answer, key=str) for answer in answers]
        assert answers[0] == answers[1], name
        assert answers[0] is not None, name

    for name, values in QUESTIONS.items():
        await alike(name, *values)
    for query in RUNS:
        await alike("runs", query)
    await alike("attempts", "r01")
    await alike("attempt", "r01", "fit", 2, 1)
    await alike("decisions", "e3")
    for state, before in (("", None), ("open", (7, "l22")), ("", (5, "l16"))):
        await alike("dead_letters", "t", state, before, 9)
    asked = {name for name in dir(StateReader) if not name.startswith("_")} - {
        "close",
        "runs",
        "dead_letters",
    }
    assert asked == QUESTIONS.keys(), "each question is asked here"


async def test_in_postgresql_too_questions_by_a_key_use_an_index(
    readers: tuple[StateReader, StateReader], settings: PostgresSettings
) -> None:
    door = readers[1].door
    assert isinstance(door, PostgresDoor)
    told: list[tuple[str, Any]] = []

    @event.listens_for(door.engine, "before_cursor_execute")
    def tell(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        told.append((statement, parameters))

    for name in QUESTIONS.keys() - {"counts", "mean_work", "attempt_counts", "trees", "heard"}:
        await getattr(readers[1], name)(*QUESTIONS[name])
    plans: list[str] = []
    with connect(settings, "plans", enable_seqscan="off") as session:
        for statement, parameters in told:
            found = session.execute(f"EXPLAIN {statement}", parameters).fetchall()
            plans += [f"{row[0]}  <- {statement[-100:]}" for row in found]
    assert len(plans) > 20
    assert [plan for plan in plans if "Seq Scan" in plan] == []
