"""What every source must do: subclass ``SourceSuite`` in your tests and say how yours is opened and told.

::

    class TestMySource(SourceSuite):
        def open(self, context):
            return MySource(MySettings(storage="store", folder=str(self.folder)), context)

        async def tell(self, numbers):
            for number in numbers:
                (self.folder / str(number)).write_text("{}")

        async def poison(self):
            (self.folder / "bad").write_text("{")

        def number(self, event):
            return int(event.subject.rpartition("/")[2])

Sources that are called (``core.ports.Receiver``) take ``receiver_suite``. It needs pytest with anyio.
"""

# ruff: noqa: D102 - a suite of tests; their names say what they are about

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.core.event import Event, decode, encode
from penstock.core.ports import Loss, SourceContext
from penstock.core.rows import DeadLetter, DeadLetterKind
from penstock.testing.ledger import MemoryLedger

NAME = "suite"
"""Name of the source under test."""
FIRST_S = 20.0
"""Longest time until something that was told comes."""


class Site:
    """What an installation is to a source: a ledger that is kept, and what was told.

    Attributes:
        ledger: Of the last commit on, plus what was staged since.
        letters: Dead letters.
        losses: Losses.
        kept: Dead letters that were on disk when the source last waited for that.
    """

    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        self.ledger = ledger or MemoryLedger()
        self.letters: list[DeadLetter] = []
        self.losses: list[Loss] = []
        self.kept = 0
        self.context = SourceContext(
            name=NAME,
            ledger=self.ledger,
            dead_letter=self.letters.append,
            lost=self.losses.append,
            kept=self._keep,
        )

    async def _keep(self) -> None:
        self.kept = len(self.letters)

    def as_after_a_crash(self) -> Site:
        """Return a site that knows what this one knows now, and nothing that follows."""
        ledger = self.ledger.copy()
        ledger.others = list(self.ledger.others)
        return Site(ledger)


class Following:
    """Follows a source as the engine does: asking for the next batch acknowledges the one before."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self._stream: AsyncIterator[Sequence[Event]] = source.events()
        self._asked: asyncio.Task[Sequence[Event] | None] | None = None

    def ask(self) -> asyncio.Task[Sequence[Event] | None]:
        """Acknowledge what came, and ask for more."""
        if self._asked is None:
            self._asked = asyncio.create_task(self._next())
        return self._asked

    async def _next(self) -> Sequence[Event] | None:
        return await anext(self._stream, None)

    async def next(self) -> Sequence[Event]:
        """Return the next batch."""
        asked = self.ask()
        async with asyncio.timeout(FIRST_S):
            batch = await asyncio.shield(asked)
        self._asked = None
        assert batch, "a source yields no empty batches, and does not end by itself"
        return batch

    async def leave(self) -> None:
        """Go away in the middle, acknowledging nothing more."""
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.wait({self._asked})
            if not self._asked.cancelled():
                self._asked.exception()  # Closed it may have ended with one; the engine asks no more.
        await self._stream.aclose()  # type: ignore[attr-defined]


class SourceSuite:
    """The contract of ``core.ports.Source``, as tests."""

    folder: Path
    batch_max = 10_000
    """Most events that one batch may have with the settings used here."""
    in_order = True
    """Whether what is told comes in its order."""

    def open(self, context: SourceContext) -> Any:
        """Return the source; called again it goes on with the same outside system."""
        raise NotImplementedError

    async def tell(self, numbers: Sequence[int]) -> None:
        """Let the outside system tell of these, in this order."""
        raise NotImplementedError

    async def poison(self) -> None:
        """Let it tell of something that cannot be read."""
        raise NotImplementedError

    def number(self, event: Event) -> int:
        """Return which of what was told this event is about."""
        raise NotImplementedError

    async def heard(self, unacknowledged: int) -> None:
        """Return once the outside system knows of all acknowledgements but this many; by default it does."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    async def begun(self, site: Site) -> Following:
        """Return a source that is followed and misses nothing from now on."""
        following = Following(self.open(site.context))
        following.ask()
        async with asyncio.timeout(FIRST_S):
            await following.source.ready()
        return following

    async def several(self, following: Following, count: int) -> list[Event]:
        """Return this many events, or a few more; the last batch is not acknowledged."""
        found: list[Event] = []
        while len(found) < count:
            found += await following.next()
        return found

    def numbers(self, events: Sequence[Event]) -> list[int]:
        found = [self.number(event) for event in events]
        return found if self.in_order else sorted(found)

    async def acknowledged(self, following: Following, marker: int) -> None:
        """Return once all that came before is acknowledged: something told afterwards has come."""
        following.ask()
        await self.tell([marker])
        assert self.numbers(await following.next()) == [marker]
        await self.heard(1)

    @pytest.mark.anyio
    async def test_everything_told_comes_once(self) -> None:
        site = Site()
        following = await self.begun(site)
        await self.tell(range(20))
        events = await self.several(following, 20)
        assert self.numbers(events) == list(range(20))
        assert len({event.id for event in events}) == 20
        await self.acknowledged(following, 20)
        assert site.letters == []
        await following.leave()

    @pytest.mark.anyio
    async def test_events_are_as_the_log_keeps_them(self) -> None:
        following = await self.begun(Site())
        await self.tell(range(3))
        for event in await self.several(following, 3):
            assert decode(encode(event)) == event
            assert event.source.startswith("/")
            assert event.partitionkey, "without it the order of a file's events is lost on many partitions"
        await following.leave()

    @pytest.mark.anyio
    async def test_after_a_restart_only_what_was_not_acknowledged_comes_and_under_its_id(self) -> None:
        site = Site()
        following = await self.begun(site)
        await self.tell([0])
        first = await self.several(following, 1)
        await self.acknowledged(following, 1)
        crashed = site.as_after_a_crash()
        await following.leave()
        await self.tell([2])
        again = await self.begun(crashed)
        events: list[Event] = []
        while not events or self.number(events[-1]) != 2:
            events += await again.next()
        assert 0 not in self.numbers(events), "it was acknowledged"
        assert first[0].id not in {event.id for event in events}
        await again.leave()

    @pytest.mark.anyio
    async def test_an_event_that_comes_again_has_the_same_id(self) -> None:
        site = Site()
        following = await self.begun(site)
        before = site.as_after_a_crash()
        await self.tell(range(3))
        events = await self.several(following, 3)
        await following.leave()
        again = await self.begun(before)
        known = {self.number(event): event.id for event in events}
        repeated: list[Event] = []
        while not repeated or self.number(repeated[-1]) != 2:  # The last one was surely not acknowledged.
            repeated += await again.next()
        for event in repeated:
            assert event.id == known[self.number(event)]
        await again.leave()

    @pytest.mark.anyio
    async def test_poison_is_a_dead_letter_and_stops_nothing(self) -> None:
        site = Site()
        following = await self.begun(site)
        await self.tell([0])
        await self.poison()
        await self.tell([1])
        assert self.numbers(await self.several(following, 2)) == [0, 1]
        assert site.letters, "what cannot be read must be seen by somebody"
        for letter in site.letters:
            check_letter(letter)
        await following.leave()

    @pytest.mark.anyio
    async def test_a_batch_has_a_limit_and_nothing_is_lost_to_it(self) -> None:
        following = await self.begun(Site())
        await self.tell(range(300))
        found: list[Event] = []
        while len(found) < 300:
            batch = await following.next()
            assert len(batch) <= self.batch_max
            found += batch
        assert self.numbers(found) == list(range(300))
        await following.leave()

    @pytest.mark.anyio
    async def test_cancelled_while_it_waits_it_loses_nothing(self) -> None:
        site = Site()
        following = await self.begun(site)
        await asyncio.sleep(0)
        await following.leave()
        await self.tell([0])
        again = await self.begun(site)
        assert self.numbers(await self.several(again, 1)) == [0]
        await again.leave()

    @pytest.mark.anyio
    async def test_it_may_be_closed_twice_while_it_waits_and_then_ends_at_once(self) -> None:
        following = await self.begun(Site())
        await following.source.close()
        await following.source.close()
        async with asyncio.timeout(FIRST_S):
            await following.leave()

    @pytest.mark.anyio
    async def test_it_may_be_closed_before_it_was_ever_followed(self) -> None:
        await self.open(Site().context).close()

    @pytest.mark.anyio
    async def test_a_listing_ends(self) -> None:
        following = await self.begun(Site())
        async with asyncio.timeout(FIRST_S):
            async for batch in following.source.listing():
                assert batch
        await following.leave()


def check_letter(letter: DeadLetter) -> None:
    """Check that a person can act on a dead letter of a source, and that sending again makes no second."""
    assert letter.kind == DeadLetterKind.NOTICE
    assert letter.id
    assert letter.at_ns > 0
    assert NAME in letter.reason, "the reason names the source"
    assert len(letter.reason) > len(NAME) + 20, "the reason says what was expected"
    assert replace(letter, at_ns=1).id == letter.id
