"""An embedded installation: one process, one partition, log and state in files of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from penstock.core.event import Event
from penstock.core.ports import ShardLog, Source, SourceContext
from penstock.core.rows import Seen
from penstock.log.embedded import EmbeddedLog
from penstock.server.engine import Copy, Engine
from penstock.server.housekeeping import pinned, tidy
from penstock.server.kinds import loss_letter, open_sources
from penstock.server.life import Life
from penstock.server.parts import Parts
from penstock.server.pump import STORAGES
from penstock.server.reconcile import Reconciler
from penstock.server.settings import Places, Settings
from penstock.server.shard import Shard
from penstock.server.shared import share
from penstock.server.watch import watch
from penstock.server.wiring import build_shard
from penstock.state.embedded import EmbeddedState


def build(settings: Settings, places: Places, synced: Callable[[int], None], cgroup: str = "") -> Engine:
    """Return an engine, ready to ``start``. Call it in the running event loop.

    Args:
        settings: What the operator wants.
        places: Where things are kept.
        synced: Called with the end of the durable log whenever it rises.
        cgroup: Folder in which workers get control groups; empty for none.
    """
    life = Life()
    shared = share(settings, places, places.state, life, cgroup)
    shard: Shard

    def needed() -> int | None:
        life.spawn("housekeeping", tidy(shard.parts))
        return pinned(shard.parts)

    log: ShardLog
    mirror = None
    if settings.kafka is None:
        log = EmbeddedLog(
            places.state / "log" / "0", settings.log, synced, needed, lambda: shard.parts.calendar.now_ns()
        )
    else:
        log, mirror = _in_kafka(settings, places, synced, life)
    state = EmbeddedState(places.state / "state.db")
    numbered = frozenset(f"{STORAGES}{storage.name}" for storage in settings.storages)
    shard = build_shard(shared, log, state, numbered=numbered)
    reconciler = reconciling(shard.parts, settings, life)
    sources = feeding(shard.parts, settings, life, reconciler)
    return Engine(shared, shard, sources, reconciler, mirror)


def _in_kafka(
    settings: Settings, places: Places, synced: Callable[[int], None], life: Life
) -> tuple[ShardLog, Copy]:
    """Return a log in Kafka, and what copies it to where the API reads it."""
    from penstock.log.kafka import KafkaLog  # needs an extra
    from penstock.server.site.mirror import Mirror

    def trouble(words: str | None) -> None:
        if words is None:
            life.troubles.pop("log", None)
        else:
            life.trouble("log", words)

    mirror = Mirror(settings.kafka, places.state / "log" / "0", settings.log, synced, trouble)
    return KafkaLog(settings.kafka, 0), mirror


def reconciling(parts: Parts, settings: Settings, life: Life) -> Reconciler:
    """Return what makes losses good."""

    async def seen(events: Sequence[Event]) -> set[str]:
        return {event.id for event in events if parts.state.get(Seen, event.source, event.id) is not None}

    return Reconciler(
        parts.state,
        parts.ledger,
        staged=parts.checkpoint.touch,
        durable=parts.checkpoint.durable,
        seen=seen,
        unlisted=lambda source, loss: parts.dead_letter(loss_letter(source, loss)),
        files_per_s=settings.reconcile.files_per_s,
        life=life,
    )


def feeding(parts: Parts, settings: Settings, life: Life, reconciler: Reconciler) -> tuple[Source, ...]:
    """Return the sources that the settings name; one that cannot work is told among the troubles."""
    watched = tuple(
        watch(storage, parts.ledger, parts.dead_letter, parts.publisher, parts.runtime, reconciler.covered)
        for storage in settings.storages
    )
    context = partial(_context, parts, reconciler)
    sources = watched + open_sources(settings.sources, context, life.troubles)
    reconciler.add(sources)
    return sources


def _context(parts: Parts, reconciler: Reconciler, name: str) -> SourceContext:
    return SourceContext(
        name=name,
        ledger=parts.ledger,
        dead_letter=parts.dead_letter,
        lost=partial(reconciler.lost, name),
        kept=parts.checkpoint.durable,
    )
