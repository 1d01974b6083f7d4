"""dCache's billing topic on Kafka as a source."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from penstock.core.errors import Invalid
from penstock.core.event import Event
from penstock.core.ports import Lister, SourceContext
from penstock.sources.dcache.billing import UPLOADS, Billing, PathUnknown
from penstock.sources.dcache.frontend import Frontend
from penstock.sources.dcache.listing import NamespaceLister
from penstock.sources.dcache.paths import KnownPaths
from penstock.sources.dcache.settings import FrontendSettings
from penstock.sources.kafka import KafkaRecord, KafkaSource, KafkaSourceSettings


class DCacheKafkaSettings(KafkaSourceSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The topic that doors, pools and the billing service write.

    Attributes:
        topics: Names of the topics.
        storage: Name of the storage; part of every event's id and source.
        uploads: Folder of SRM's unfinished uploads, with a slash at its end.
        paths: Files whose path is remembered, for records that name none (restored from tape).
        namespace: A frontend, and an admin's token, to ask for the paths of others.
    """

    topics: tuple[str, ...] = ("billing",)
    storage: str
    uploads: str = UPLOADS
    paths: int = 50_000
    namespace: FrontendSettings | None = None


class DCacheKafka(KafkaSource):
    """The source of kind ``dcache-kafka``."""

    Settings = DCacheKafkaSettings

    def __init__(self, settings: DCacheKafkaSettings, context: SourceContext) -> None:
        super().__init__(settings, context, self._events_of)
        self._namespace = settings.namespace
        self._storage, self._uploads = settings.storage, settings.uploads
        self._paths = KnownPaths(settings.paths)
        self._billing = Billing(settings.storage, self._paths, settings.uploads)

    @classmethod
    def open(cls, settings: DCacheKafkaSettings, context: SourceContext) -> DCacheKafka:
        """Return the source; nothing is connected yet."""
        return cls(settings, context)

    async def read(self, records: Sequence[KafkaRecord]) -> list[Event]:
        """Return the events of a batch; paths that records do not name are asked of the namespace.

        Raises:
            Unavailable: The frontend is away; the batch comes again.
        """
        told: list[Event | None] = []
        unknown: list[tuple[int, KafkaRecord, PathUnknown]] = []
        for record in records:
            try:
                told.append(self._event(record))
            except PathUnknown as error:
                unknown.append((len(told), record, error))
                told.append(None)
            except Invalid as error:
                self._context.dead_letter(self._poison(record, error))
        if unknown:
            await self._ask([error for _, _, error in unknown])
        for index, record, _ in unknown:
            try:
                told[index] = self._event(record)
            except Invalid as error:
                self._context.dead_letter(self._poison(record, error))
        return [event for event in told if event is not None]

    def lister(self) -> Lister | None:
        """Return what lists the namespace; see ``core.ports.Listable``."""
        if self._namespace is None:
            return None
        uploads = self._uploads
        return NamespaceLister(
            self._storage,
            self._namespace,
            ("/",),
            lambda _root: lambda path: (path + "/").startswith(uploads),
        )

    def take_doors(self) -> frozenset[str]:
        """Return the doors that told of something since this was last asked."""
        doors = frozenset(self._billing.doors)
        self._billing.doors.clear()
        return doors

    def _events_of(self, record: KafkaRecord) -> Sequence[Event]:
        event = self._event(record)
        return () if event is None else (event,)

    def _event(self, record: KafkaRecord) -> Event | None:
        if record.value is None:
            raise Invalid("the record has no value; expected a billing record in JSON")
        return self._billing.event(record.value)

    async def _ask(self, unknown: Sequence[PathUnknown]) -> None:
        """Learn the paths of these files, as far as the namespace tells them."""
        if self._namespace is None:
            return
        wanted = dict.fromkeys(error.parent[0] if error.parent else error.pnfsid for error in unknown)
        async with Frontend(self._namespace) as frontend:
            found = await asyncio.gather(*(frontend.path_of(pnfsid) for pnfsid in wanted if pnfsid))
        for pnfsid, path in zip([each for each in wanted if each], found, strict=True):
            if path is not None:
                self._paths.learn(pnfsid, path)
