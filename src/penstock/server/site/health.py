"""How a process of a site is, for those who watch over it: ``/healthz``, ``/readyz``, ``/metrics``.

On an address of its own, which the operator opens with ``[health]``; it tells of numbers and states, of no
file and no token, and takes no orders. Nothing is asked of anybody but when somebody asks here.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from time import time_ns
from typing import Any, Protocol

import msgspec
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.core.errors import PenstockError, Unavailable
from penstock.server.life import Life
from penstock.server.parts import Parts
from penstock.server.settings import HealthOptions

PORTS_TRIED = 100


class HealthServer(uvicorn.Server):
    """uvicorn without its ten wake-ups a second, and without its hands on our signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leaving = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait to be told to leave."""
        await self._leaving.wait()

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Take none."""
        return nullcontext()

    def leave(self) -> None:
        """End, soon."""
        self.should_exit = self.force_exit = True
        self._leaving.set()


def listener(options: HealthOptions) -> socket.socket:
    """Listen on the first free port from the one that is set.

    Raises:
        Unavailable: There is none.
    """
    for port in range(options.port, options.port + PORTS_TRIED):
        try:
            return socket.create_server((options.host, port))
        except OSError as error:
            last = error
    raise Unavailable(
        f"[health]: no port from {options.port} on can be listened on at {options.host}: {last}"
    )


class Watched(Protocol):
    """What is told of a process."""

    life: Life
    roles: tuple[str, ...]

    @property
    def partitions(self) -> int:
        """How many the log has."""

    def owned(self) -> list[Parts]:
        """Return the shards that are ours now."""

    def present_troubles(self) -> dict[str, str]:
        """Return what does not work, by part, in words."""

    async def clock_skew_s(self) -> float | None:
        """Return by how much our clock is ahead of the database's, in seconds; None if that is away."""


def build_health(process: Watched) -> Starlette:
    """Return the application.

    ``/healthz`` is 200 while the process works on, 503 when it ends: restart it. ``/readyz`` is 503, with the
    reasons, while anything it needs is away: send nothing there; it recovers by itself.
    """

    async def healthz(_request: Request) -> Response:
        return _answer(503 if process.life.stopping.is_set() else 200, {"roles": process.roles})

    async def readyz(_request: Request) -> Response:
        troubles = process.present_troubles()
        ready = process.life.started.is_set() and not troubles
        return _answer(200 if ready else 503, {"roles": process.roles, "troubles": troubles})

    async def metrics(_request: Request) -> Response:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Numbers(process, await _lags(process.owned()), await process.clock_skew_s()))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
    )


def _answer(status: int, body: Any) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


async def _lags(shards: list[Parts]) -> dict[int, int]:
    """Return how many records wait, by partition; without those whose broker is away."""
    found = {}
    for parts in shards:
        newest = getattr(parts.log, "newest", None)
        try:
            end = await newest() if newest is not None else parts.log.end()
        except PenstockError:
            continue
        found[parts.partition] = max(end.offsets[0] - parts.pump.folded, 0)
    return found


class _Numbers:
    """A process as Prometheus' families of metrics."""

    def __init__(self, process: Watched, lags: dict[int, int], skew_s: float | None) -> None:
        self._process = process
        self._lags = lags
        self._skew_s = skew_s

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        shards = self._process.owned()
        troubles = dict.fromkeys(self._process.life.troubles, 1)
        yield _gauge("trouble", "Parts that do not work at present.", "part", troubles)
        yield GaugeMetricFamily(
            "penstock_partitions", "Partitions of the log.", value=self._process.partitions
        )
        if self._skew_s is not None:
            words = "By how much the clock is ahead of the database's."
            yield GaugeMetricFamily("penstock_clock_skew_seconds", words, value=self._skew_s)
        folded = {each.partition: each.pump.folded for each in shards}
        yield _gauge("partition_folded", "Offset up to which a partition is folded.", "partition", folded)
        yield _gauge("partition_lag_records", "Records that are not folded yet.", "partition", self._lags)
        active, waiting, ages = _by_trigger(shards)
        yield _gauge("trigger_active", "Runs under way.", "trigger", active)
        yield _gauge("trigger_waiting", "Runs that wait for room.", "trigger", waiting)
        yield _gauge("trigger_oldest_seconds", "Age of the oldest run under way.", "trigger", ages)


def _gauge(name: str, words: str, label: str, values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(f"penstock_{name}", words, labels=[label])
    for each, value in values.items():
        family.add_metric([str(each)], value)
    return family


def _by_trigger(shards: list[Parts]) -> tuple[Counter[str], Counter[str], dict[str, float]]:
    """Return how many runs are under way and how many wait, and the oldest one's age in seconds."""
    active: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    oldest: dict[str, int] = {}
    for parts in shards:
        names = {trigger.id: trigger.name for trigger in parts.registry.triggers.values()}
        active.update(dict.fromkeys(names.values(), 0))
        waiting.update(dict.fromkeys(names.values(), 0))
        for each in parts.keeper.active.values():
            name = names.get(each.run.trigger, "")
            active[name] += 1
            oldest[name] = min(oldest.get(name, each.run.started_ns), each.run.started_ns)
        waiting.update(
            late.trigger.name if late.trigger is not None else "" for late in parts.keeper.backlog.values()
        )
    now = time_ns()
    return active, waiting, {name: max(now - began, 0) / 1e9 for name, began in oldest.items()}
