"""An embedded installation: one process, one partition, log and state in files of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from penstock.core.event import Event
from penstock.core.ports import ShardLog
from penstock.core.rows import Seen
from penstock.log.embedded import EmbeddedLog
from penstock.server.engine import Copy, Engine
from penstock.server.feeding import opened, reconciling
from penstock.server.housekeeping import pinned, tidy
from penstock.server.life import Life
from penstock.server.pump import STORAGES
from penstock.server.settings import Places, Settings
from penstock.server.shard import Shard
from penstock.server.shared import share
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

    async def seen(events: Sequence[Event]) -> set[str]:
        return {event.id for event in events if state.get(Seen, event.source, event.id) is not None}

    reconciler = reconciling(shard.parts, shared, seen)
    return Engine(shared, shard, opened(shard.parts, shared, reconciler), reconciler, mirror)


def _in_kafka(
    settings: Settings, places: Places, synced: Callable[[int], None], life: Life
) -> tuple[ShardLog, Copy]:
    """Return a log in Kafka, and what copies it to where the API reads it."""
    from penstock.log.kafka import KafkaLog  # needs an extra
    from penstock.server.site.mirror import Mirror

    mirror = Mirror(
        settings.kafka, places.state / "log" / "0", settings.log, synced, partial(life.trouble, "log")
    )
    return KafkaLog(settings.kafka, 0), mirror
