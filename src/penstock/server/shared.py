"""What the shards of one process share: workers, the local batch queue, storages, folders."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.batch.local import LocalQueue
from penstock.batch.settings import LocalQueueSettings
from penstock.core.ports import Answer, BatchSystem, Runtime
from penstock.functions.pool import Pool
from penstock.functions.settings import PoolSettings
from penstock.server.life import Life
from penstock.server.returns import Returns
from penstock.server.settings import Places, Settings


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Of one process.

    Attributes:
        settings: What the operator wants.
        places: Where things are kept.
        folder: What this process alone keeps: scratch, jobs, queue.
        life: Tasks, troubles, the end.
        roots: Storage name to its root folder.
        runtime: Calls functions.
        batch: Runs jobs.
        returns: Leads what comes back to its shard.
    """

    settings: Settings
    places: Places
    folder: Path
    life: Life
    roots: Mapping[str, bytes]
    runtime: Runtime
    batch: Mapping[str, BatchSystem]
    returns: Returns

    async def close(self) -> None:
        """End jobs and workers."""
        for system in self.batch.values():
            await system.close()
        await self.runtime.close()


def share(settings: Settings, places: Places, folder: Path, life: Life, cgroup: str = "") -> Shared:
    """Return what a process's shards share.

    Args:
        settings: What the operator wants.
        places: Where things are kept.
        folder: What this process alone keeps.
        life: Of the process.
        cgroup: Folder in which workers get control groups; empty for none.
    """
    roots = {storage.name: os.path.realpath(os.fsencode(storage.folder)) for storage in settings.storages}
    returns = Returns()

    def answered(answer: Answer) -> None:
        returns.answered(runtime.release, answer)

    runtime = Pool(_pool_settings(settings, places, folder, roots, cgroup), answered)
    return Shared(
        settings=settings,
        places=places,
        folder=folder,
        life=life,
        roots=roots,
        runtime=runtime,
        batch={"local": LocalQueue(_queue_settings(settings, folder), returns.noticed)},
        returns=returns,
    )


def _pool_settings(
    settings: Settings, places: Places, folder: Path, roots: Mapping[str, bytes], cgroup: str
) -> PoolSettings:
    chosen = PoolSettings(
        scratch=str(folder / "scratch"),
        logs=str(places.state / "logs"),
        idle_s=settings.pool.idle_s,
        read=tuple(os.fsdecode(root) for root in roots.values()),
        cgroup=cgroup,
    )
    workers_max = settings.pool.workers_max
    return dataclasses.replace(chosen, workers_max=workers_max) if workers_max else chosen


def _queue_settings(settings: Settings, folder: Path) -> LocalQueueSettings:
    default = LocalQueueSettings(folder=folder / "queue")
    return dataclasses.replace(
        default,
        cores=settings.batch.cores or default.cores,
        memory_bytes=settings.batch.memory_bytes or default.memory_bytes,
    )
