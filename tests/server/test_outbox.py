"""What rooms emit reaches the log in order, whatever the log does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from penstock.core.errors import Invalid, Unavailable
from penstock.core.event import Event
from penstock.core.ports import Record
from penstock.server.outbox import Outbox
from penstock.testing.log import MemoryLog

pytestmark = pytest.mark.anyio


def event(name: str) -> Event:
    return Event(id=name, source="/penstock", type="test")


class PickyLog(MemoryLog):
    """Takes no event called ``large``, nor any batch with it."""

    def write(self, events: Sequence[Event]) -> Sequence[Record]:
        if any(event.id.startswith("large") for event in events):
            raise Invalid("too large")
        return super().write(events)


def stored(log: MemoryLog) -> list[str]:
    return [record.event.id for record in log.records]


async def test_events_of_one_turn_are_appended_together_before_the_loop_waits() -> None:
    log = MemoryLog()
    outbox = Outbox(log)
    for number in range(5):
        outbox.emit(event(str(number)))
    await asyncio.sleep(0)
    assert stored(log) == ["0", "1", "2", "3", "4"]
    assert len({record.appended_ns for record in log.records}) == 1


async def test_a_full_log_delays_events_and_keeps_their_order() -> None:
    log = MemoryLog()
    outbox = Outbox(log)
    log.full = True
    for number in range(5):
        outbox.emit(event(str(number)))
        await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        outbox.flush()
    assert stored(log) == []
    log.full = False
    outbox.emit(event("5"))
    outbox.flush()
    await asyncio.sleep(0.01)
    assert stored(log) == ["0", "1", "2", "3", "4", "5"]


async def test_an_event_that_the_log_never_takes_does_not_keep_up_the_others() -> None:
    log, refused = PickyLog(), list[str]()
    outbox = Outbox(log, lambda event, error: refused.append(f"{event.id}: {error}"))
    for name in ("a", "large 1", "b", "large 2", "c"):
        outbox.emit(event(name))
    await asyncio.sleep(0)
    assert stored(log) == ["a", "b", "c"]
    assert refused == ["large 1: too large", "large 2: too large"]
    outbox.emit(event("d"))
    outbox.flush()
    assert stored(log) == ["a", "b", "c", "d"]
