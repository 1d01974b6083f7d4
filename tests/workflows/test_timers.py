"""Deadlines: none wakes anybody before it is due, and each survives a restart."""

from __future__ import annotations

import asyncio
from time import time_ns

import pytest

from penstock.core.rows import TimerRow
from penstock.testing.state import MemoryState
from penstock.workflows import timers
from penstock.workflows.timers import Timers

pytestmark = pytest.mark.anyio
HOUR_NS = 3600 * 10**9


class Bench:
    """Timers on a state in memory; ``due`` receives what came."""

    def __init__(self, state: MemoryState | None = None) -> None:
        self.state = state or MemoryState()
        self.due: asyncio.Queue[TimerRow] = asyncio.Queue()
        self.timers = Timers(self.state, self.due.put_nowait)

    async def next(self) -> str:
        return (await self.due.get()).id


def row(name: str, due_ns: int, run: str = "run") -> TimerRow:
    return TimerRow(id=name, run=run, due_ns=due_ns, fact=b"{}")


async def test_deadlines_come_in_their_order_and_once() -> None:
    bench, now = Bench(), time_ns()
    for name, after_ns in (("c", 3_000_000), ("a", 1_000_000), ("b", 2_000_000), ("late", HOUR_NS)):
        bench.timers.add(row(name, now + after_ns))
    assert [await bench.next() for _ in range(3)] == ["a", "b", "c"]
    assert {timer.id for timer in bench.state.select(TimerRow, done=False)} == {"late"}
    bench.timers.close()
    assert bench.due.empty()


async def test_nothing_is_armed_while_there_is_none() -> None:
    bench = Bench()
    assert bench.timers._handle is None
    bench.timers.add(row("a", time_ns() + HOUR_NS))
    bench.timers.drop("a")
    bench.timers.add(row("b", time_ns()))
    assert await bench.next() == "b"
    assert bench.timers._handle is None


async def test_what_was_overdue_at_a_restart_comes_soon_and_what_was_done_does_not() -> None:
    state, now = MemoryState(), time_ns()
    state.put(row("overdue", now - HOUR_NS), row("later", now + HOUR_NS))
    state.put(TimerRow(id="done", run="run", due_ns=now - HOUR_NS, fact=b"", done=True))
    await state.commit()
    bench = Bench(state.restarted())
    bench.timers.load()
    assert await bench.next() == "overdue"
    bench.timers.close()
    assert bench.due.empty()


async def test_a_deadline_set_again_after_a_restart_stands_as_it_was() -> None:
    bench, now = Bench(), time_ns()
    bench.timers.add(row("a", now + HOUR_NS))
    bench.timers.add(row("a", now + 2 * HOUR_NS))
    kept = bench.state.get(TimerRow, "a")
    assert kept is not None
    assert kept.due_ns == now + HOUR_NS
    bench.timers.close()


async def test_a_run_that_ends_takes_its_deadlines_along_and_no_other_s() -> None:
    bench, now = Bench(), time_ns()
    bench.timers.add(row("a", now + HOUR_NS))
    bench.timers.add(row("b", now + 1_000_000))
    bench.timers.add(row("c", now + 2_000_000, run="other"))
    bench.timers.drop_run("run")
    assert await bench.next() == "c"
    bench.timers.drop("unknown")
    assert bench.state.select(TimerRow, done=False) == []


async def test_a_clock_that_is_set_back_makes_nobody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.timers.add(row("soon", time_ns() + 5_000_000))
    monkeypatch.setattr(timers, "time_ns", lambda: time_ns() - HOUR_NS)
    async with asyncio.timeout(30):
        assert await bench.next() == "soon"
    bench.timers.close()
