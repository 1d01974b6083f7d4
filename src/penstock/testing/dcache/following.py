"""A source that is followed as the engine does: events are folded into a ledger, doubles are dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from penstock.core.errors import Unavailable
from penstock.core.event import Event, file_record, path_of
from penstock.core.identity import fold
from penstock.core.ports import Loss, Source, SourceContext
from penstock.core.rows import DeadLetter, FileState
from penstock.testing.ledger import MemoryLedger


class Folding:
    """Folds events into a ledger, one by one, and drops what was told before: by its id, or by its content.

    Attributes:
        ledger: What is known.
        told: Events that were new, in order.
        under: The id under which each content event's content was told.
    """

    def __init__(self, ledger: MemoryLedger | None = None) -> None:
        self.ledger = MemoryLedger() if ledger is None else ledger
        self.told: list[Event] = []
        self.under: dict[str, str] = {}
        self._seen = {row.event_id for row in self.ledger.rows.values()}

    def take(self, event: Event) -> None:
        """Fold one event."""
        if event.id in self._seen:
            return
        self._seen.add(event.id)
        storage, path = file_record(event).storage, path_of(event.subject or "")
        folded = fold(self.ledger.file(storage, path), event)
        if folded.row is not None:
            self.ledger.put(folded.row)
        if folded.content:
            self.under[event.id] = folded.content
        if not folded.known:
            self.told.append(event)


class Following:
    """Follows one source, again and again when it is ``Unavailable``, and without waiting.

    ``async with Following(lambda context: Source(...)) as following`` begins; ``ready`` waits for it.

    Several that share a ``folding`` are the sources of one storage.

    Attributes:
        ledger: What is known; may outlive this.
        told: Events that were new, in order.
        raw: All events, as they came.
        letters: Dead letters.
        losses: Where notices were lost.
        failures: Why the source had to be called again.
    """

    def __init__(
        self,
        make: Callable[[SourceContext], Source],
        ledger: MemoryLedger | None = None,
        *,
        folding: Folding | None = None,
        name: str = "events",
        lives_max: int = 100,
    ) -> None:
        self.folding = folding or Folding(ledger)
        self.ledger = self.folding.ledger
        self.told = self.folding.told
        self.raw: list[Event] = []
        self.letters: list[DeadLetter] = []
        self.losses: list[Loss] = []
        self.failures: list[Unavailable] = []
        self._lives_max = lives_max
        self._news = asyncio.Condition()
        context = SourceContext(
            name=name, ledger=self.ledger, dead_letter=self.letters.append, lost=self.losses.append
        )
        self.source = make(context)

    async def __aenter__(self) -> Following:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop following, in the middle of whatever it does."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def ready(self) -> None:
        """Return once nothing is missed any more, or raise what ended the source."""
        ready = asyncio.create_task(self.source.ready())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            self._task.result()

    async def _follow(self) -> None:
        while True:
            events = self.source.events()
            try:
                async for batch in events:
                    await self._take(batch)
            except Unavailable as error:
                async with self._news:
                    self.failures.append(error)
                    self._news.notify_all()
                if len(self.failures) >= self._lives_max:
                    raise
            finally:
                await events.aclose()  # type: ignore[attr-defined]

    async def _take(self, batch: Sequence[Event]) -> None:
        async with self._news:
            for event in batch:
                self.raw.append(event)
                self.folding.take(event)
            self._news.notify_all()

    async def until(self, holds: Callable[[], bool]) -> list[Event]:
        """Return what was told once ``holds`` says so; raise what ended the source instead."""
        async with self._news:
            waiting = asyncio.ensure_future(self._news.wait_for(holds))
            await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                with suppress(asyncio.CancelledError):
                    await waiting
                self._task.result()
                raise AssertionError("the source ended")
        return self.told

    def kinds(self) -> list[tuple[str, str]]:
        """``(kind, name)`` of what was told, the kind without its prefix."""
        return [
            (event.type.removeprefix("penstock.file."), file_record(event).path.rpartition("/")[2])
            for event in self.told
        ]

    def rows(self) -> dict[str, FileState]:
        """Return the present rows of the ledger by path."""
        return {row.path.decode(): row for row in self.ledger.rows.values() if row.present}
