"""S3 storages that write their notifications to a Kafka topic: MinIO, Ceph."""

from __future__ import annotations

import time
from collections.abc import Sequence

from penstock.core.errors import Invalid
from penstock.core.event import Event
from penstock.core.ports import SourceContext
from penstock.sources.file_events import unreadable
from penstock.sources.kafka import KafkaRecord, KafkaSource, KafkaSourceSettings
from penstock.sources.s3 import Keys, Notifications


class S3KafkaSettings(KafkaSourceSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An S3 storage and the topic it tells.

    Attributes:
        storage: Name of the storage its events are told of.
        keys: How object keys are written: ``auto`` (by flavour), ``escaped`` or ``plain``.
        buckets: The only buckets told of; empty for all.
    """

    storage: str
    keys: Keys = Keys.AUTO
    buckets: tuple[str, ...] = ()


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

        return cls(settings, context, normalise)
