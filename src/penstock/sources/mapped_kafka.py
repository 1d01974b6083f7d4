"""Any Kafka topic with JSON in it, by a mapping."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.core.errors import Invalid
from penstock.core.event import Event
from penstock.core.ports import SourceContext
from penstock.sources.kafka import KafkaRecord, KafkaSource, KafkaSourceSettings
from penstock.sources.mapping import Mapping, MappingSettings


class MappedKafkaSettings(KafkaSourceSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A topic with JSON in it.

    Attributes:
        storage: Name of the storage, or of whatever its events are about.
        mapping: How a record's value becomes events.
    """

    storage: str
    mapping: MappingSettings


class MappedKafka(KafkaSource):
    """The source of kind ``kafka``."""

    Settings = MappedKafkaSettings

    @classmethod
    def open(cls, settings: MappedKafkaSettings, context: SourceContext) -> MappedKafka:
        """Return the source; nothing is connected yet.

        Raises:
            Invalid: The mapping cannot work.
        """
        mapping = Mapping(settings.storage, settings.mapping)

        def normalise(record: KafkaRecord) -> Sequence[Event]:
            if record.value is None:
                raise Invalid("the record has no value; expected JSON")
            place = (record.topic.encode(), b"%d" % record.partition, b"%d" % record.offset)
            return mapping.events(record.value, place)

        return cls(settings, context, normalise)
