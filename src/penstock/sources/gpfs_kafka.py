"""A clustered watch folder of IBM Storage Scale (GPFS) whose sink is a Kafka topic."""

from __future__ import annotations

import time
from collections.abc import Sequence

from penstock.core.errors import Invalid
from penstock.core.event import Event
from penstock.core.ports import Lister, Loss, SourceContext
from penstock.sources.gpfs import WatchEnded, WatchFolder
from penstock.sources.kafka import KafkaRecord, KafkaSource, KafkaSourceSettings
from penstock.sources.mounted import MountedLister, MountedSettings


class GpfsSettings(KafkaSourceSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A watch folder and the topic it tells.

    Attributes:
        storage: Name of the storage its events are told of.
        mounted: Where the file system is mounted here, so that what was lost can be found.
    """

    storage: str
    mounted: MountedSettings | None = None


class GpfsKafka(KafkaSource):
    """The source of kind ``gpfs-kafka``."""

    Settings = GpfsSettings

    @classmethod
    def open(cls, settings: GpfsSettings, context: SourceContext) -> GpfsKafka:
        """Return the source; nothing is connected yet."""
        source = cls(settings, context, Watched(settings.storage, context).normalise)
        if settings.mounted is not None:
            source._mounted = MountedLister(settings.storage, settings.mounted)
        return source

    _mounted: MountedLister | None = None

    def lister(self) -> Lister | None:
        """Return what lists the file system; see ``core.ports.Listable``."""
        return self._mounted


class Watched:
    """Reads records, and tells of losses besides."""

    def __init__(self, storage: str, context: SourceContext) -> None:
        self._storage = storage
        self._context = context
        self._watch = WatchFolder(storage)

    def normalise(self, record: KafkaRecord) -> Sequence[Event]:
        """Return the events of one record.

        Raises:
            Invalid: It cannot be read.
        """
        if record.value is None:
            raise Invalid("the record has no value; expected a JSON object of a watch folder")
        try:
            events = self._watch.events(record.value)
        except WatchEnded as error:
            self._lost(b"/", str(error))
            raise
        for moved in self._watch.moved:
            self._lost(moved.path, moved.reason)
        self._watch.moved.clear()
        return events

    def _lost(self, folder: bytes, reason: str) -> None:
        self._context.lost(Loss(storage=self._storage, folder=folder, reason=reason, at_ns=time.time_ns()))
