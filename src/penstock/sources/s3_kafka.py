"""S3 storages that write their notifications to a Kafka topic: MinIO, Ceph."""

from __future__ import annotations

import time
from collections.abc import Sequence

from penstock.core.errors import Invalid
from penstock.core.event import Event
from penstock.core.ports import Lister, SourceContext
from penstock.sources.file_events import unreadable
from penstock.sources.kafka import KafkaRecord, KafkaSource, KafkaSourceSettings
from penstock.sources.s3 import Keys, Notifications
from penstock.sources.s3_listing import S3Lister, S3ListingSettings


class S3KafkaSettings(KafkaSourceSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An S3 storage and the topic it tells.

    Attributes:
        storage: Name of the storage its events are told of.
        keys: How object keys are written: ``auto`` (by flavour), ``escaped`` or ``plain``.
        buckets: The only buckets told of; empty for all.
        listing: How buckets are listed, so that what was lost can be found.
    """

    storage: str
    keys: Keys = Keys.AUTO
    buckets: tuple[str, ...] = ()
    listing: S3ListingSettings | None = None


class S3Kafka(KafkaSource):
    """The source of kind ``s3-kafka``."""

    Settings = S3KafkaSettings

    @classmethod
    def open(cls, settings: S3KafkaSettings, context: SourceContext) -> S3Kafka:
        """Return the source; nothing is connected yet."""
        read = Notifications(settings.storage, settings.keys, frozenset(settings.buckets))

        def normalise(record: KafkaRecord) -> Sequence[Event]:
            events: list[Event] = []
            for raw in read.records(record.value or b""):
                try:
                    events += read.events(raw)
                except Invalid as error:  # The message's other records are none the worse.
                    context.dead_letter(unreadable(context.name, raw, error, time.time_ns()))
            return events

        source = cls(settings, context, normalise)
        if settings.listing is not None:
            source._lister = S3Lister(settings.storage, settings.listing)
        return source

    _lister: S3Lister | None = None

    def lister(self) -> Lister | None:
        """Return what lists the buckets; see ``core.ports.Listable``."""
        return self._lister
