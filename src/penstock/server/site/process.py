"""A process of a site, in one role or several: ``sources``, ``runs``, ``api``."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import socket
import time
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from penstock.core.errors import Invalid, PenstockError
from penstock.log.kafka import KafkaLog
from penstock.server.channel import Channel
from penstock.server.commands.table import Commands, Handler, receivers
from penstock.server.commands.wishes import BackupWish, LogWish, ReconcileWish, ReplayWish, Who
from penstock.server.kinds import load_kind, open_sources
from penstock.server.life import Life
from penstock.server.parts import Parts
from penstock.server.roles import ROLES, check_roles
from penstock.server.settings import Places, Settings
from penstock.server.shared import share
from penstock.server.site.feeder import Feeder, SourceMemory
from penstock.server.site.front import SiteFront
from penstock.server.site.health import HealthServer, build_health, listener
from penstock.server.site.listing import EXISTING, Listing
from penstock.server.site.mirror import Mirror
from penstock.server.site.neighbours import HOW, Neighbours, Process, telling
from penstock.server.site.orders import Orders
from penstock.server.site.owner import Owner
from penstock.server.site.probe import Probe
from penstock.server.site.wishes import LOG, LogPlaces, SiteWishes
from penstock.state.postgres.calls import Answers, Calls
from penstock.state.postgres.clock import clock_skew_s
from penstock.state.postgres.door import PostgresDoor
from penstock.state.postgres.state import PostgresState
from penstock.state.reader import StateReader

logger = logging.getLogger("penstock.site")
PROCESSES_MAX = 1000
"""Most processes of one installation on one host."""


class Site:
    """One process of a site.

    Args:
        settings: With ``kafka`` and ``postgres``.
        places: Where things are kept.
        roles: What this process does.
        folder: What it alone keeps.
        cgroup: Folder in which workers get control groups; empty for none.
    """

    def __init__(
        self, settings: Settings, places: Places, roles: Collection[str], folder: Path, cgroup: str
    ) -> None:
        self.life = Life()
        self.roles = tuple(role for role in ROLES if role in roles)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._settings, self._places, self._folder = settings, places, folder
        self._shared = share(settings, places, folder, self.life, cgroup)
        self._owner: Owner | None = None
        self._feeder: Feeder | None = None
        self._listing: StateReader | None = None
        self._front_parts: tuple[KafkaLog, StateReader, Mirror, SourceMemory] | None = None
        self._channel: Channel | None = None
        self._answers: dict[str, Answers] = {}
        self._answers[HOW] = telling(self.how)
        self._calls = Calls(settings.postgres, self.name, self._answers)
        self._neighbours = Neighbours(self._calls, self.name)

    async def start(self) -> None:
        """Let every role begin. What is away is waited for."""
        if self._settings.health.port:
            self.life.spawn("health", self._tell_health())
        if "api" in self.roles:
            await self._start_front()
        self.life.spawn("calls", self._calls.keep())
        if "runs" in self.roles:
            self._answers[LOG] = LogPlaces(self.owned).answer
            self._owner = Owner(self._shared, self._settings.kafka, self._settings.postgres, self.name)
            self._shared.runtime.sweep_earlier()
            self._owner.start()
        if "sources" in self.roles:
            log = await self._log()
            memory = SourceMemory(self._shared, log, await self._state("sources"))
            self._feeder = Feeder(self._shared, log, memory)
            reader = self._listing = StateReader(PostgresDoor(self._settings.postgres))
            listing = Listing(log, reader, memory.state, self._feeder.sources, self.life.troubles)
            self._answers[EXISTING] = listing.answer
            self._feeder.start()
        self.life.started.set()

    def owned(self) -> list[Parts]:
        """Return the shards that are ours now."""
        return [shard.parts for shard in self._owner.shards.values()] if self._owner is not None else []

    @property
    def partitions(self) -> int:
        """How many the log has."""
        return int(self._settings.kafka.partitions)

    async def clock_skew_s(self) -> float | None:
        """Return by how much our clock is ahead of the database's; None if that is away."""
        try:
            return await asyncio.to_thread(clock_skew_s, self._settings.postgres)
        except PenstockError:
            return None

    def how(self) -> Process:
        """Return how we are, for the other processes."""
        return Process(
            name=self.name,
            roles=self.roles,
            partitions=tuple(sorted(each.partition for each in self.owned())),
            troubles=self.present_troubles(),
            now_ns=time.time_ns(),
        )

    def present_troubles(self) -> dict[str, str]:
        """Return what does not work here, the state of each of our partitions included."""
        states = {f"state of partition {each.partition}": each.checkpoint.trouble for each in self.owned()}
        return self.life.troubles | {part: words for part, words in states.items() if words}

    async def _tell_health(self) -> None:
        """Say how we are to whom asks, until the end."""
        config = uvicorn.Config(
            build_health(self), http="httptools", ws="none", lifespan="off", access_log=False,
            log_config=None, log_level="warning", server_header=False,
        )  # fmt: skip
        server = HealthServer(config)
        serving = asyncio.ensure_future(server.serve([listener(self._settings.health)]))
        await self.life.stopping.wait()
        server.leave()
        await serving

    async def _log(self) -> KafkaLog:
        return await asyncio.to_thread(KafkaLog, self._settings.kafka)

    async def _state(self, role: str) -> PostgresState:
        """Open state under a number of this process's own, below 0: host, role and folder make it."""
        text = f"{socket.gethostname()}/{role}/{self._folder.name}"
        return await PostgresState.open(self._settings.postgres, -1 - zlib.crc32(text.encode()), self.name)

    async def _start_front(self) -> None:
        settings, postgres = self._settings, self._settings.postgres
        channel = Channel(self._places.runtime / "engine.sock", self._handle)
        mirror = Mirror(
            settings.kafka,
            self._places.state / "log" / "0",
            settings.log,
            channel.durable_to,
            partial(self.life.trouble, "log"),
        )
        log = await self._log()
        memory = SourceMemory(self._shared, log, await self._state("api"))
        reader = StateReader(PostgresDoor(postgres))
        front = SiteFront(
            settings, log, postgres, reader, lambda: channel.committed_to(mirror.end), self._calls
        )
        self._front_parts = (log, reader, mirror, memory)
        self._probe = Probe({"log": log.newest, "state": reader.counts})
        orders = Orders(self._shared, memory, reader)
        called = open_sources(
            [each for each in settings.sources if hasattr(load_kind(each.kind), "receive")],
            orders.context,
            self.life.troubles,
        )
        wishes = SiteWishes(log, reader, memory.state, self._calls)
        more: dict[str, tuple[type[Who], Handler]] = {
            "reconcile": (ReconcileWish, orders.reconcile),
            "replay": (ReplayWish, wishes.replay),
            "log": (LogWish, wishes.log),
            "backup": (BackupWish, wishes.backup),
            "status": (Who, self._status),
            "stop": (Who, self._stop),
        }
        self._commands = Commands(front, self.life.started, receivers(called), more)
        self._channel = channel
        await channel.open()
        self.life.spawn("the copy of the log", mirror.keep())
        self.life.spawn("commits", front.follow())
        channel.durable_to(mirror.end)

    async def _handle(self, do: str, with_: Any) -> Any:
        return await self._commands.handle(do, with_)

    async def _status(self, _who: Who) -> dict[str, Any]:
        """Return what is going on, as far as this process knows."""
        parts = self.owned()
        triggers = parts[0].registry.triggers.values() if parts else ()
        end = self._front_parts[2].end if self._front_parts is not None else 0
        return {
            "roles": self.roles,
            "partitions": sorted(each.partition for each in parts),
            "log": {"end": end, "durable": end},
            "folded": end,
            "runs": {
                "active": sum(len(each.keeper.active) for each in parts),
                "waiting": sum(len(each.keeper.backlog) for each in parts),
            },
            "in_flight": sum(len(each.dispatcher.in_flight) for each in parts),
            "triggers": len(triggers),
            "paused": sum(trigger.paused for trigger in triggers),
            "storages": [{"name": s.name, "folder": s.folder} for s in self._settings.storages],
            "troubles": self._neighbours.troubles() | self.present_troubles() | await self._probe.troubles(),
        }

    async def _stop(self, _who: Who) -> dict[str, Any]:
        self.life.stopping.set()
        return {}

    async def stop(self) -> None:
        """End sources first, then runs, then what shows them."""
        self.life.stopping.set()
        if self._feeder is not None:
            await self._feeder.stop()
        if self._listing is not None:
            await self._listing.close()
        if self._owner is not None:
            await self._owner.stop()
        if self._channel is not None:
            await self._channel.close()
        await self.life.close()
        await self._shared.close()
        if self._front_parts is not None:
            log, reader, mirror, memory = self._front_parts
            mirror.close()
            await reader.close()
            await memory.close()
            await asyncio.to_thread(log.close)


@contextmanager
def own_folder(places: Places, roles: Collection[str]) -> Iterator[Path]:
    """Give this process a folder that no other has at the same time; an earlier life's if there is one."""
    above = places.state / "processes"
    above.mkdir(parents=True, exist_ok=True, mode=0o700)
    for number in range(PROCESSES_MAX):
        folder = above / f"{'-'.join(roles)}-{number}"
        folder.mkdir(exist_ok=True, mode=0o700)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        try:
            yield folder
        finally:
            os.close(handle)
        return
    raise Invalid(f"{PROCESSES_MAX} processes with the roles {', '.join(roles)} run here already")


async def serve_site(
    settings: Settings,
    places: Places,
    roles: Collection[str],
    started: Callable[[], None],
    cgroup: str,
    keep_api: Callable[[Places, asyncio.Event], Any] | None,
) -> None:
    """Run a process of a site until it is told to stop; see ``server.serve.serve``."""
    check_roles(roles)
    loop = asyncio.get_running_loop()
    with own_folder(places, roles) as folder:
        site = Site(settings, places, roles, folder, cgroup)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, site.life.stopping.set)
        try:
            await site.start()
            if "api" in roles and keep_api is not None:
                site.life.spawn("api", keep_api(places, site.life.stopping))
            started()
            await site.life.stopping.wait()
        finally:
            await site.stop()
    if site.life.failure is not None:
        raise site.life.failure
