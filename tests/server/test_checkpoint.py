"""When state is committed, who is told, and what happens when it cannot be."""

from __future__ import annotations

import asyncio

import pytest

from penstock.core.errors import Broken, Unavailable
from penstock.core.event import Event
from penstock.core.rows import CursorRow
from penstock.server.checkpoint import STAGED_RECORDS, Checkpoint
from penstock.testing.log import MemoryLog
from penstock.testing.state import MemoryState

pytestmark = pytest.mark.anyio


class Bench:
    """A checkpoint on fakes."""

    def __init__(self, linger_s: float = 0.0) -> None:
        self.log, self.state = MemoryLog(), MemoryState()
        self.staged = 0
        self.broken: list[BaseException] = []
        self.checkpoint = Checkpoint(self.log, self.state, self.stage, linger_s, broken=self.broken.append)

    def stage(self) -> None:
        self.staged += 1

    def put(self, offset: int) -> None:
        self.state.put(CursorRow("pump", 0, offset))
        self.checkpoint.touch()


async def test_nothing_is_scheduled_while_nothing_is_staged() -> None:
    bench = Bench()
    loop = asyncio.get_running_loop()
    before = len(loop._scheduled)  # type: ignore[attr-defined]
    await bench.checkpoint.durable()
    assert len(loop._scheduled) == before  # type: ignore[attr-defined]
    assert bench.state.commits == 0
    bench.put(1)
    await bench.checkpoint.durable()
    assert bench.checkpoint._running is None or bench.checkpoint._running.done()
    assert bench.checkpoint._timer is None or bench.checkpoint._timer.cancelled()
    assert bench.state.commits == 1


async def test_many_touches_make_one_commit_and_who_waits_does_not_linger() -> None:
    bench = Bench(linger_s=3600)
    for number in range(100):
        bench.put(number)
    await asyncio.gather(*(bench.checkpoint.durable() for _ in range(10)))
    assert bench.state.commits == 1
    assert bench.state.committed[CursorRow] == {("pump", 0): CursorRow("pump", 0, 99)}


async def test_a_burst_is_committed_in_parts_without_lingering() -> None:
    bench = Bench(linger_s=3600)
    committed = asyncio.Event()
    bench.checkpoint.report(lambda: 0, lambda _position: committed.set())
    bench.state.put(CursorRow("pump", 0, 1))
    bench.checkpoint.touch(STAGED_RECORDS - 1)
    assert bench.checkpoint._running is None
    bench.checkpoint.touch(1)
    await committed.wait()
    committed.clear()
    bench.put(2)  # the count begins anew
    assert not committed.is_set()
    assert bench.state.commits == 1
    await bench.checkpoint.durable()
    assert bench.state.commits == 2


async def test_the_log_is_synced_before_state_is_written() -> None:
    bench = Bench()
    bench.log.write([Event(id="a", source="/t", type="t")])
    bench.put(1)
    await bench.checkpoint.durable()
    assert bench.log.durable_end == 1


async def test_rows_staged_during_a_commit_are_committed_by_the_next() -> None:
    bench = Bench(linger_s=3600)
    bench.put(1)
    first = asyncio.create_task(bench.checkpoint.durable())
    await asyncio.sleep(0)
    bench.put(2)
    await asyncio.gather(first, bench.checkpoint.durable())
    assert bench.state.committed[CursorRow] == {("pump", 0): CursorRow("pump", 0, 2)}


async def test_a_commit_that_is_unavailable_is_tried_again_and_says_so() -> None:
    bench = Bench()
    bench.state.failure = Unavailable("the disk is full", retry_after_s=0.001)
    bench.put(1)
    waiting = asyncio.create_task(bench.checkpoint.durable())
    while bench.checkpoint.trouble is None:
        await asyncio.sleep(0)
    assert "the disk is full" in bench.checkpoint.trouble
    assert not waiting.done()
    bench.state.failure = None
    await waiting
    assert bench.checkpoint.trouble is None
    assert bench.broken == []


async def test_a_commit_that_never_succeeds_is_told_to_all_who_wait() -> None:
    bench = Bench()
    bench.state.failure = Broken("the state is damaged")
    bench.put(1)
    ends = await asyncio.gather(*(bench.checkpoint.durable() for _ in range(3)), return_exceptions=True)
    assert [str(end) for end in ends] == ["the state is damaged"] * 3
    assert [str(error) for error in bench.broken] == ["the state is damaged"]


async def test_the_end_does_not_wait_for_a_full_disk_for_ever() -> None:
    bench = Bench()
    bench.state.failure = Unavailable("the disk is full", retry_after_s=3600)
    bench.put(1)
    await bench.checkpoint.close(wait_s=0.01)
    assert bench.state.dirty
