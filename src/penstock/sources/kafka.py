"""Kafka topics as a source of events: the reading that all sources on Kafka share.

A source gives its settings, and a pure function from one record to events::

    class BillingSettings(KafkaSourceSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
        storage: str

    class BillingSource(KafkaSource):
        Settings = BillingSettings

        @classmethod
        def open(cls, settings: BillingSettings, context: SourceContext) -> "BillingSource":
            return cls(settings, context, Billing(settings.storage, context.ledger).normalise)

``normalise(record)`` is called in the event loop's thread, once per record, in the order of each partition.
It returns the record's events (none: nothing of interest) or raises ``Invalid``, whose words go to the dead
letters with the record. Rows about files are staged by it (``context.ledger.put``) or made from the events
by the pump; positions are this module's.

- Partitions are shared among all processes of one consumer group.
- A position is what the ledger says; where it says nothing, what the group has committed; else ``begin``.
  What the group commits is for those who watch its lag.
- The next batch is fetched when the one before is durable; the client reads ``QUEUE_KIB`` ahead at most.
- After a crash or a rebalance some records come again; their events' ids say so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import ClassVar, Literal

from msgspec import Struct

from penstock.core.errors import Invalid
from penstock.core.event import Event, digest
from penstock.core.ports import Loss, SourceContext
from penstock.core.rows import DeadLetter, DeadLetterKind, PositionRow
from penstock.outside.kafka import KafkaAccess
from penstock.sources.kafka_group import Batch, Gap, GroupReader, KafkaRecord, part_of

__all__ = ["KafkaRecord", "KafkaSource", "KafkaSourceSettings", "Normalise"]

BODY_BYTES_MAX = 1 << 20
"""Most of an unreadable record that is kept in its dead letter."""

Normalise = Callable[[KafkaRecord], Sequence[Event]]


class KafkaSourceSettings(KafkaAccess, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every source on Kafka can be told.

    Attributes:
        topics: Names of the topics; one that begins with ``^`` is a regular expression.
        group: Consumer group; default ``penstock-NAME``. Processes with one group share the partitions.
        begin: Where to begin at the very first start: ``end`` (what comes from now on) or ``start``.
        batch_records: Most records taken at once.
    """

    topics: tuple[str, ...]
    group: str = ""
    begin: Literal["start", "end"] = "end"
    batch_records: int = 500


class KafkaSource:
    """``core.ports.Source`` over Kafka topics.

    Args:
        settings: Cluster, topics, group.
        context: Name, ledger and dead letters.
        normalise: Turns one record into events; see the top of this file.
    """

    Settings: ClassVar[type[Struct]] = KafkaSourceSettings

    def __init__(self, settings: KafkaSourceSettings, context: SourceContext, normalise: Normalise) -> None:
        self.name = context.name
        self._settings = settings
        self._context = context
        self._normalise = normalise
        self._reader: GroupReader | None = None
        self._ready = asyncio.Event()

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """Yield the events of each batch of records; see ``core.ports.Source``.

        Raises:
            Unavailable: Brokers, topic or permission are missing; the message says which.
            Refused: The settings can never work.
        """
        reader = GroupReader(
            self._settings,
            self._settings.topics,
            self._settings.group or f"penstock-{self.name}",
            self._settings.batch_records,
            self._begin,
        )
        self._reader = reader
        try:
            while True:
                batch = await reader.next()
                self._tell_gaps(batch.gaps)
                events = await self.read(batch.records)
                if events:
                    yield events
                self._keep(batch, reader)
        finally:
            reader.stop()

    def _begin(self, parts: Sequence[str]) -> dict[str, int | Literal["start", "end"]]:
        """Return where each part that was given to us is read from, as far as we know."""
        self._ready.set()
        known = self._context.ledger.positions(self.name)
        return {part: int(known[part]) if part in known else self._settings.begin for part in parts}

    async def read(self, records: Sequence[KafkaRecord]) -> list[Event]:
        """Return the events of a batch; a source that has to ask somebody about some records overrides this.

        Raises:
            Unavailable: Who was asked is away; the batch comes again.
        """
        return self._normalised(records)

    def _normalised(self, records: Sequence[KafkaRecord]) -> list[Event]:
        events: list[Event] = []
        for record in records:
            try:
                events += self._normalise(record)
            except Invalid as error:
                self._context.dead_letter(self._poison(record, error))
        return events

    def _poison(self, record: KafkaRecord, error: Invalid) -> DeadLetter:
        place = f"{part_of(record.topic, record.partition)}/{record.offset}"
        body = record.value or b""
        cut = f" (its first {BODY_BYTES_MAX} bytes are kept)" if len(body) > BODY_BYTES_MAX else ""
        return DeadLetter(
            id=digest(b"kafka", self.name.encode(), place.encode(), str(record.timestamp_ms).encode()),
            tenant="",
            kind=DeadLetterKind.NOTICE,
            subject=place,
            reason=f"source {self.name!r}: the record {place} cannot be read{cut}: {error}",
            body=body[:BODY_BYTES_MAX],
            at_ns=time.time_ns(),
        )

    def _tell_gaps(self, gaps: Sequence[Gap]) -> None:
        for gap in gaps:
            lost = f"Kafka no longer has the records {gap.wanted} to {gap.first - 1} of {gap.part}"
            anew = f"{gap.part} ends before record {gap.wanted}: it was made anew"
            reason = f"source {self.name!r}: {lost if gap.first > gap.wanted else anew}"
            storage = getattr(self._settings, "storage", None)
            if isinstance(storage, str):
                self._context.lost(Loss(storage=storage, reason=reason, at_ns=time.time_ns()))
            self._context.dead_letter(
                DeadLetter(
                    id=digest(
                        b"gap", self.name.encode(), gap.part.encode(), b"%d-%d" % (gap.wanted, gap.first)
                    ),
                    tenant="",
                    kind=DeadLetterKind.NOTICE,
                    subject=gap.part,
                    reason=f"{reason}. Reading goes on at {gap.first}; compare the storage with the ledger",
                    body=b"",
                    at_ns=time.time_ns(),
                )
            )

    def _keep(self, batch: Batch, reader: GroupReader) -> None:
        """Stage the positions behind a batch whose events are durable."""
        positions = {part: offset for part, offset in batch.behind.items() if part in reader.owned}
        self._context.ledger.put(*(PositionRow(self.name, part, str(at)) for part, at in positions.items()))
        reader.done(positions)

    async def ready(self) -> None:
        """Return once partitions were given to us; where others have them all, that is never."""
        await self._ready.wait()

    async def listing(self) -> AsyncIterator[Sequence[Event]]:
        """Yield nothing: a topic does not say what is there now."""
        return
        yield

    async def close(self) -> None:
        """Leave the group, so that others get the partitions at once."""
        if self._reader is not None:
            await self._reader.stopped()
