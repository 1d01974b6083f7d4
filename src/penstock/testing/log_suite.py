"""What every log must do: subclass ``LogSuite`` in your tests and say how yours is opened and closed.

::

    class TestMyLog(LogSuite):
        def open(self):
            return MyLog(MySettings(folder=self.folder / "log"))

        def close(self, log):
            log.close()

``open`` after ``close`` opens the same log again. It needs pytest with anyio.
"""

# ruff: noqa: D102, ARG002 - a suite of tests; their names say what they are about

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.core.event import Event, json_data
from penstock.core.ports import Cursor, Log, Record


def numbered(first: int, count: int, size: int = 0) -> list[Event]:
    """Return events whose ids are numbers, with at least ``size`` bytes of data each."""
    data = json_data({"text": "x" * size})
    return [
        Event(id=str(n), source="/suite", type="suite.number", data=data) for n in range(first, first + count)
    ]


async def first(log: Log, count: int, start: int = 0) -> list[Record]:
    """Follow ``log`` from offset ``start`` until ``count`` records have come."""
    found: list[Record] = []
    following = log.follow(Cursor((start,)))
    try:
        while len(found) < count:
            found += await anext(following)
    finally:
        await following.aclose()  # type: ignore[attr-defined]
    return found


def ids(records: Sequence[Record]) -> list[str]:
    """Return the ids of the records' events."""
    return [record.event.id for record in records]


class LogSuite:
    """The contract of ``core.ports.Log``, as tests."""

    folder: Path
    persistent = True
    """Whether the log is the same after ``close`` and ``open``."""

    def open(self) -> Any:
        """Return the log, opened; also called after ``close``."""
        raise NotImplementedError

    def close(self, log: Any) -> None:
        """Let go of the log."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @pytest.fixture
    def log(self, anyio_backend: object) -> Iterator[Log]:
        log = self.open()
        yield log
        self.close(log)

    @pytest.mark.anyio
    async def test_offsets_rise_by_one_from_0_and_times_never_fall(self, log: Log) -> None:
        records: list[Record] = []
        for batch in range(5):
            records += await log.append(numbered(10 * batch, 10), durable=batch % 2 == 0)
        assert [record.offset for record in records] == list(range(50))
        assert ids(records) == [str(number) for number in range(50)]
        times = [record.appended_ns for record in records]
        assert times == sorted(times)
        assert log.end() == Cursor((50,))

    @pytest.mark.anyio
    async def test_an_empty_log_ends_where_it_begins(self, log: Log) -> None:
        assert log.end() == Cursor((0,))
        assert list(await log.append([])) == []
        assert log.end() == Cursor((0,))

    @pytest.mark.anyio
    async def test_a_follower_gets_the_records_as_they_were_appended(self, log: Log) -> None:
        event = Event(
            id="ä\n",
            source="/suite",
            type="suite.odd",
            subject="/a%0Ab",
            data=json_data({"large": 1 << 60, "text": "\u2028"}),
            cause="run",
            depth=3,
            extensions={"mine": "yours", "number": 7, "flag": True},
        )
        appended = await log.append([event])
        assert await first(log, 1) == list(appended)
        assert appended[0].event == event

    @pytest.mark.anyio
    @pytest.mark.parametrize("start", [0, 1, 499, 500, 998, 999])
    async def test_a_follower_may_start_anywhere(self, log: Log, start: int) -> None:
        await log.append(numbered(0, 500))
        log.write(numbered(500, 500))
        found = await first(log, 1000 - start, start)
        assert [record.offset for record in found] == list(range(start, 1000))
        assert ids(found) == [str(number) for number in range(start, 1000)]

    @pytest.mark.anyio
    async def test_followers_far_behind_and_at_the_end_all_see_everything_once(self, log: Log) -> None:
        await log.append(numbered(0, 3000))
        following = [
            asyncio.create_task(first(log, 6000 - start, start)) for start in (0, 0, 1234, 2999, 3000)
        ]
        for batch in range(30):
            await log.append(numbered(3000 + 100 * batch, 100), durable=batch % 3 == 0)
            await asyncio.sleep(0)
        for start, found in zip((0, 0, 1234, 2999, 3000), await asyncio.gather(*following), strict=True):
            assert ids(found) == [str(number) for number in range(start, 6000)]

    @pytest.mark.anyio
    async def test_a_follower_at_the_end_is_told_of_writes_that_nobody_waits_for(self, log: Log) -> None:
        await log.append(numbered(0, 1))
        waiting = asyncio.create_task(first(log, 1, 1))
        await asyncio.sleep(0)
        assert not waiting.done()
        log.write(numbered(1, 1))
        assert ids(await waiting) == ["1"]

    @pytest.mark.anyio
    async def test_what_was_written_is_numbered_when_it_is_synced(self, log: Log) -> None:
        await log.append(numbered(0, 1))
        told = [*log.write(numbered(1, 3)), *log.write(numbered(4, 2))]
        assert told == [] or [record.offset for record in told] == [1, 2, 3, 4, 5]
        await log.sync()
        assert log.end() == Cursor((6,))
        (behind,) = await log.append(numbered(6, 1))
        assert behind.offset == 6
        assert ids(await first(log, 7)) == [str(number) for number in range(7)]

    @pytest.mark.anyio
    async def test_a_follower_from_beyond_the_end_waits_for_its_offset(self, log: Log) -> None:
        waiting = asyncio.create_task(first(log, 1, 3))
        await asyncio.sleep(0)
        for number in range(4):
            await log.append(numbered(number, 1))
            await asyncio.sleep(0)
        assert ids(await waiting) == ["3"]

    @pytest.mark.anyio
    async def test_a_cancelled_follower_disturbs_nobody(self, log: Log) -> None:
        leaving, staying = asyncio.create_task(first(log, 1)), asyncio.create_task(first(log, 1))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        await log.append(numbered(0, 1))
        assert ids(await staying) == ["0"]

    @pytest.mark.anyio
    async def test_what_was_synced_is_there_when_opened_again(self, anyio_backend: object) -> None:
        if not self.persistent:
            pytest.skip("this log forgets")
        log = self.open()
        await log.append(numbered(0, 10), durable=False)
        log.write(numbered(10, 5))
        await log.sync()
        kept = await first(log, 15)
        self.close(log)
        log = self.open()
        assert log.end() == Cursor((15,))
        assert await first(log, 15) == kept
        (fresh,) = await log.append(numbered(15, 1))
        assert fresh.offset == 15
        assert fresh.appended_ns >= kept[-1].appended_ns
        self.close(log)
