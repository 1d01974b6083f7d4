"""Events by the clock, on a clock of our own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from penstock.core.errors import Invalid
from penstock.core.event import Event, decode, encode
from penstock.core.ports import SourceContext
from penstock.core.rows import DeadLetter
from penstock.sources.alarm import Alarm
from penstock.sources.schedule import Schedule, ScheduleSettings
from penstock.testing.ledger import MemoryLedger

BERLIN = ZoneInfo("Europe/Berlin")


class Clock(Alarm):
    """A clock that stands until somebody waits; then it goes on to that moment, at most until ``end``."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.jumps: list[datetime] = []
        self.waits = 0

    def now_ns(self) -> int:
        return int(self.now.timestamp() * 1_000_000) * 1000

    async def wait(self, until_ns: int) -> None:
        self.waits += 1
        await asyncio.sleep(0)
        self.now = self.jumps.pop(0) if self.jumps else datetime.fromtimestamp(until_ns / 1e9, UTC)


def at(text: str, zone: Any = UTC) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


class Bench:
    """A schedule, its clock and what it told."""

    def __init__(self, start: datetime, ledger: MemoryLedger | None = None, **settings: Any) -> None:
        self.ledger = ledger or MemoryLedger()
        self.letters: list[DeadLetter] = []
        self.clock = Clock(start)
        context = SourceContext(name="nightly", ledger=self.ledger, dead_letter=self.letters.append)
        self.source = Schedule(msgspec.convert(settings, ScheduleSettings), context, self.clock)
        self.stream: AsyncIterator[Sequence[Event]] = self.source.events()

    async def next(self) -> list[str]:
        return [json.loads(bytes(event.data))["local"] for event in await anext(self.stream)]  # type: ignore[arg-type]

    async def end(self) -> None:
        await self.source.close()
        await self.stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.anyio
async def test_an_event_is_raised_each_time_it_is_due() -> None:
    bench = Bench(at("2026-11-21T10:00"), cron="0 3 * * *")
    (event,) = await anext(bench.stream)
    assert (event.type, event.source) == ("penstock.schedule.due", "/schedules/nightly")
    assert (event.subject, event.time) == ("/schedules/nightly", "2026-11-22T03:00:00Z")
    assert decode(encode(event)) == event
    assert await bench.next() == ["2026-11-23T03:00:00+00:00"]
    await bench.end()


@pytest.mark.anyio
async def test_spring_raises_a_left_out_time_behind_the_gap_once() -> None:
    bench = Bench(at("2026-03-28T12:00", BERLIN), cron="30 2 * * *", zone="Europe/Berlin")
    assert await bench.next() == ["2026-03-29T03:00:00+02:00"]
    assert await bench.next() == ["2026-03-30T02:30:00+02:00"]
    await bench.end()


@pytest.mark.anyio
async def test_autumn_raises_a_time_of_day_once_and_a_rhythm_in_both_hours() -> None:
    daily = Bench(at("2026-10-24T12:00", BERLIN), cron="30 2 * * *", zone="Europe/Berlin")
    assert await daily.next() == ["2026-10-25T02:30:00+02:00"]
    assert await daily.next() == ["2026-10-26T02:30:00+01:00"]
    await daily.end()
    often = Bench(at("2026-10-25T01:45", BERLIN), cron="*/30 * * * *", zone="Europe/Berlin")
    found = [(await often.next())[0] for _ in range(5)]
    assert [text[11:] for text in found] == [
        "02:00:00+02:00",
        "02:30:00+02:00",
        "02:00:00+01:00",
        "02:30:00+01:00",
        "03:00:00+01:00",
    ]
    await often.end()


async def stopped_over(days: int, **settings: Any) -> tuple[list[str], Bench]:
    first = Bench(at("2026-11-01T10:00"), cron="0 3 * * *", **settings)
    await first.next()
    waiting = asyncio.create_task(first.next())
    await waiting
    await first.end()
    start = at("2026-11-02T12:00") + timedelta(days=days)
    second = Bench(start, first.ledger, cron="0 3 * * *", **settings)
    return await second.next(), second


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("missed", "wanted"),
    [
        ("once", ["05"]),
        ("skip", ["06"]),
        ("all", ["03", "04", "05"]),
    ],
)
async def test_what_was_missed_while_stopped_is_raised_as_the_policy_says(
    missed: str, wanted: list[str]
) -> None:
    found, bench = await stopped_over(3, missed=missed)
    assert [text[8:10] for text in found] == wanted
    assert bool(bench.letters) == (missed == "skip")
    await bench.end()


@pytest.mark.anyio
async def test_all_has_a_limit_and_says_what_was_given_up() -> None:
    found, bench = await stopped_over(20, missed="all", missed_max=2)
    assert [text[8:10] for text in found] == ["21", "22"]
    (letter,) = bench.letters
    assert "18 times passed" in letter.reason
    await bench.end()


@pytest.mark.anyio
async def test_the_last_of_several_says_how_many_were_missed() -> None:
    first = Bench(at("2026-11-01T10:00"), cron="0 3 * * *")
    await first.next()
    await first.end()
    second = Bench(at("2026-11-05T12:00"), first.ledger, cron="0 3 * * *")
    (event,) = await anext(second.stream)
    assert json.loads(bytes(event.data))["missed"] == 4  # type: ignore[arg-type]
    await second.end()


@pytest.mark.anyio
async def test_nothing_before_the_very_first_start_was_missed() -> None:
    bench = Bench(at("2026-11-21T10:00"), cron="* * * * *", missed="all")
    assert await bench.next() == ["2026-11-21T10:01:00+00:00"]
    await bench.end()


@pytest.mark.anyio
async def test_an_event_that_was_not_acknowledged_comes_again_under_its_id() -> None:
    first = Bench(at("2026-11-21T02:59"), cron="0 3 * * *")
    (event,) = await anext(first.stream)
    kept = first.ledger.copy()
    kept.others = list(first.ledger.others)
    await first.end()
    second = Bench(at("2026-11-21T03:00:10"), kept, cron="0 3 * * *")
    (again,) = await anext(second.stream)
    assert again.id == event.id
    await second.end()


@pytest.mark.anyio
async def test_a_clock_set_back_raises_nothing_twice() -> None:
    bench = Bench(at("2026-11-21T02:59"), cron="0 3 * * *")
    assert await bench.next() == ["2026-11-21T03:00:00+00:00"]
    bench.clock.jumps = [at("2026-11-21T02:00"), at("2026-11-21T03:00")]
    assert await bench.next() == ["2026-11-22T03:00:00+00:00"]
    assert bench.clock.waits == 4
    await bench.end()


@pytest.mark.anyio
async def test_a_clock_set_forwards_raises_what_it_passed_by_the_policy() -> None:
    bench = Bench(at("2026-11-21T02:59"), cron="0 3 * * *", missed="once")
    bench.clock.jumps = [at("2026-11-25T12:00")]
    assert await bench.next() == ["2026-11-25T03:00:00+00:00"]
    assert await bench.next() == ["2026-11-26T03:00:00+00:00"]
    await bench.end()


@pytest.mark.anyio
async def test_closing_ends_the_wait() -> None:
    bench = Bench(at("2026-11-21T10:00"), cron="0 3 * * *")
    source = Schedule(bench.source._settings, bench.source._context)
    following = asyncio.create_task(anext(aiter(source.events()), None))
    await source.ready()
    await source.close()
    assert await following is None
    await bench.end()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cron": "61 * * * *"}, "cron = '61"),
        ({"cron": "daily"}, "crontab"),
        ({"cron": "* * * * *", "zone": "Europe/Hamburg"}, "Europe/Hamburg"),
        ({"cron": "* * * * *", "zone": "../../etc/passwd"}, "is not known"),
        ({"cron": "* * * * *", "missed_max": 0}, "missed_max"),
    ],
)
def test_faulty_settings_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        Bench(at("2026-11-21T10:00"), **settings)


@pytest.mark.anyio
async def test_the_kernel_rings_at_the_moment_and_not_before() -> None:
    alarm = Alarm()
    until = time.time_ns() + 20_000_000
    await alarm.wait(until)
    assert time.time_ns() >= until
    await alarm.wait(until)
