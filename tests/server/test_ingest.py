"""Events from outside: acknowledged when on disk, once each, and nobody spoiled by another."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from penstock.core.errors import Forbidden, Invalid, Unavailable
from penstock.core.event import EVENT_BYTES_MAX, Event, json_data
from penstock.core.rows import Seen
from penstock.server.ingest import Ingest
from penstock.server.parts import Parts
from penstock.testing.log import MemoryLog
from penstock.testing.state import MemoryState

pytestmark = pytest.mark.anyio


class Bench:
    """An ingest whose pump folds when it is asked to."""

    def __init__(self, log: MemoryLog | None = None, state: MemoryState | None = None) -> None:
        self.log, self.state = log or MemoryLog(), state or MemoryState()
        self.folded = asyncio.Event()
        pump = SimpleNamespace(reached=self._reached)
        self.ingest = Ingest(cast(Parts, SimpleNamespace(log=self.log, state=self.state, pump=pump)))

    async def _reached(self, _offset: int) -> None:
        await self.folded.wait()
        self.state.put(*(Seen(r.event.source, r.event.id, r.offset) for r in self.log.records))

    async def take(self, *names: str) -> list[Any]:
        return await self.ingest.take([Event(id=name, source="/test", type="test") for name in names])

    def stored(self) -> list[str]:
        return [record.event.id for record in self.log.records]


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_event_is_taken_once_within_a_request_a_turn_and_before_it_is_folded() -> None:
    bench = Bench()
    first, second = await asyncio.gather(bench.take("a", "b", "a"), bench.take("b", "c"))
    assert [answer["new"] for answer in first + second] == [True, True, False, False, True]
    assert [answer["new"] for answer in await bench.take("a", "c")] == [False, False]
    bench.folded.set()
    await turns()
    assert [answer["new"] for answer in await bench.take("a", "d")] == [False, True]
    assert bench.stored() == ["a", "b", "c", "d"]


async def test_an_event_is_known_after_a_restart() -> None:
    bench = Bench()
    bench.folded.set()
    await bench.take("a")
    await turns()
    await bench.state.commit()
    again = Bench(bench.log, bench.state.restarted())
    assert await again.take("a") == [{"id": "a", "new": False}]
    assert again.stored() == ["a"]


async def test_what_arrives_in_one_turn_shares_a_sync_and_all_is_durable_when_told() -> None:
    bench = Bench()
    await asyncio.gather(*(bench.take(f"e{number}") for number in range(50)))
    assert bench.log.syncs == 1
    assert bench.log.durable_end == 50


async def test_a_full_log_refuses_and_a_duplicate_meanwhile_is_not_called_known() -> None:
    bench = Bench()
    bench.log.full = True
    first = asyncio.create_task(bench.take("a"))
    outcomes = []

    async def again() -> None:
        for _ in range(20):
            try:
                outcomes.append(await bench.take("a"))
            except Unavailable:
                await asyncio.sleep(0)

    others = [asyncio.create_task(again()) for _ in range(5)]
    await asyncio.wait([first, *others])
    with pytest.raises(Unavailable):
        await first
    assert outcomes == []
    bench.log.full = False
    assert await bench.take("a") == [{"id": "a", "new": True}]


async def test_a_request_that_goes_away_leaves_its_event_known_until_it_is_folded() -> None:
    bench = Bench()
    leaving = asyncio.create_task(bench.take("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    await turns()
    assert await bench.take("a") == [{"id": "a", "new": False}]
    assert bench.stored() == ["a"]


async def test_one_event_too_large_does_not_spoil_the_others_of_its_turn() -> None:
    bench = Bench()
    large = Event(id="large", source="/test", type="test", data=json_data("x" * EVENT_BYTES_MAX))
    good, bad = await asyncio.gather(bench.take("a"), bench.ingest.take([large]), return_exceptions=True)
    assert good == [{"id": "a", "new": True}]
    assert isinstance(bad, Invalid)


@pytest.mark.parametrize("source", ["/penstock", "/penstock/x", "/storages/local", "/manual"])
async def test_nobody_outside_speaks_for_our_own_sources(source: str) -> None:
    bench = Bench()
    with pytest.raises(Forbidden, match="Penstock's own"):
        await bench.ingest.take([Event(id="x", source=source, type="test")])
    assert bench.stored() == []


@pytest.mark.parametrize("depth", [-1, 2**63 - 1])
async def test_a_depth_that_cannot_be_counted_on_from_is_refused(depth: int) -> None:
    bench = Bench()
    with pytest.raises(Invalid, match=r"'depth' is -?[0-9]+; expected 0 to"):
        await bench.ingest.take([Event(id="x", source="/test", type="test", depth=depth)])
    assert bench.stored() == []
