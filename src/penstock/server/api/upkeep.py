"""The installation: status, health, metrics, replay, backup, one-time addresses, stopping."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from starlette.responses import Response
from starlette.types import ASGIApp

from penstock import __version__
from penstock.core.errors import Invalid, PenstockError, Unavailable
from penstock.server.api.coverage import coverage_of
from penstock.server.api.definitions import find_trigger
from penstock.server.api.desk import Desk
from penstock.server.api.doors import make_token
from penstock.server.api.operation import Ask, Noun, Operation
from penstock.server.api.positions import moment, position
from penstock.server.api.shapes import BackedUp, Done, Health, Replayed, Status, Text, Visit
from penstock.server.api.shapes.coverage import Coverage
from penstock.server.api.times import posix_ns

METRICS_MEDIA = "text/plain; version=0.0.4; charset=utf-8"
RUN_PHASES = ("waiting", "running", "succeeded", "failed", "cancelled")
LETTER_STATES = ("open", "replayed", "dropped", "superseded")


class Replay(Struct, kw_only=True, forbid_unknown_fields=True):
    """For which events of the past a trigger is run.

    Attributes:
        trigger: Its name or id.
        since: Offset or RFC 3339 time of the first event.
        until: The same of the first event that is not wanted any more; empty is now.
        again: Whether what has run is run once more.
        dry_run: Only say what would be run.
    """

    trigger: Text
    since: Text = ""
    until: Text = ""
    again: bool = False
    dry_run: bool = False


class Backup(Struct, kw_only=True, forbid_unknown_fields=True):
    """Where log and state are copied to: an absolute path of a new or empty folder."""

    folder: Text


class Nothing(Struct, forbid_unknown_fields=True):
    """Nothing needs to be said."""


async def status(ask: Ask) -> Status:
    """Say how the installation is; also while the engine is away."""
    return await status_of(ask.desk)


async def status_of(desk: Desk) -> Status:
    """Return how the installation is; for the page, too."""
    runs, letters = await _counts(desk)
    coverage = await _coverage(desk)
    return Status(
        version=__version__,
        page=f"http://127.0.0.1:{desk.keys.port}/",
        log_end=desk.tail.end,
        streams=len(desk.streams) // 2,
        engine=await _engine(desk),
        runs=runs,
        dead_letters=letters,
        trees=coverage.trees,
        silent=[each for each in coverage.heard if each.silent],
    )


async def _coverage(desk: Desk) -> Coverage:
    try:
        return await coverage_of(desk)
    except Unavailable:
        return Coverage(trees=[], heard=[])


async def _counts(desk: Desk) -> tuple[dict[str, int], dict[str, int]]:
    try:
        return await desk.state.counts()
    except Unavailable:
        return {}, {}


async def _engine(desk: Desk) -> dict[str, Any] | None:
    try:
        return msgspec.convert(await desk.link.ask("status"), dict[str, Any])
    except PenstockError:
        return None


async def health(ask: Ask) -> Health:
    """Say that engine and API are there, or answer 503."""
    await ask.desk.link.ask("status")
    return Health(ok=True)


async def metrics(ask: Ask) -> ASGIApp:
    """Give the numbers for Prometheus."""
    found = await status_of(ask.desk)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(found))
    return Response(generate_latest(registry), media_type=METRICS_MEDIA)


class _Numbers:
    """The status as Prometheus' families of metrics."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status, engine = self._status, self._status.engine
        yield _gauge("up", "Whether the engine is there.", int(engine is not None))
        yield _gauge("streams", "Streams that are open.", status.streams)
        yield _gauge("log_end", "Offset behind the last durable record.", status.log_end)
        yield CounterMetricFamily(
            "penstock_events_appended", "Events that were ever appended.", value=status.log_end
        )
        yield _labelled("runs", "Runs that are remembered.", "phase", RUN_PHASES, status.runs)
        yield _labelled("dead_letters", "Dead letters.", "state", LETTER_STATES, status.dead_letters)
        if engine is not None:
            yield from _engine_numbers(engine)
        yield from _coverage_numbers(status)


def _engine_numbers(engine: dict[str, Any]) -> Iterator[Metric]:
    yield _gauge("runs_active", "Runs under way.", engine["runs"]["active"])
    yield _gauge("runs_backlog", "Runs that wait for a place.", engine["runs"]["waiting"])
    yield _gauge("calls_in_flight", "Calls and jobs without an answer.", engine["in_flight"])
    yield _gauge("triggers", "Triggers that are deployed.", engine["triggers"])
    yield _gauge("triggers_paused", "Triggers that are paused.", engine["paused"])
    yield _gauge(
        "pump_lag_records", "Records appended but not folded.", engine["log"]["end"] - engine["folded"]
    )
    yield _gauge("log_written", "Offset behind the last record.", engine["log"]["end"])
    names = [storage["name"] for storage in engine["storages"]]
    troubles = dict.fromkeys(engine["troubles"], 1)
    words = "Whether a source, the log or the state is in trouble."
    yield _labelled("trouble", words, "part", (*names, "log", "state"), troubles)


def _coverage_numbers(status: Status) -> Iterator[Metric]:
    open_trees = Counter(tree.storage for tree in status.trees if tree.state == "open")
    words = "Trees in which something lost is not made good yet."
    known = tuple(tree.storage for tree in status.trees)
    yield _labelled("trees_open", words, "storage", known, dict(open_trees))
    words = "Sources and doors that are silent for longer than usual."
    yield _labelled("silent", words, "source", (), dict(Counter(each.source for each in status.silent)))
    largest_last = sorted(status.trees, key=lambda tree: -len(tree.folder))
    proven = {each.storage: posix_ns(each.proven) // 10**9 for each in largest_last if each.proven}
    words = "Up to when everything in a storage was told, in POSIX seconds."
    yield _labelled("storage_complete_seconds", words, "storage", (), proven)


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"penstock_{name}", words, value=value)


def _labelled(name: str, words: str, label: str, known: tuple[str, ...], values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(f"penstock_{name}", words, labels=[label])
    for each in dict.fromkeys((*known, *values)):
        family.add_metric([each], values.get(each, 0))
    return family


async def replay(ask: Ask) -> Replayed:
    """Run a trigger for events of the past."""
    body: Replay = ask.body
    desk = ask.desk
    trigger = await find_trigger(desk, body.trigger)
    first = await desk.history.first()
    since = max(first, await position(desk, body.since, first, "since"))
    until = await position(desk, body.until, desk.tail.end, "until")
    answer = await desk.link.ask(
        "replay",
        trigger=trigger.id,
        since=since,
        until=until,
        again=body.again,
        dry_run=body.dry_run,
        since_ns=moment(body.since) if body.since else 1,
        until_ns=moment(body.until),
    )
    return msgspec.convert(answer, Replayed)


async def backup(ask: Ask) -> BackedUp:
    """Copy log and state, consistently, while they are in use."""
    folder = ask.body.folder
    if not os.path.isabs(folder) or "\0" in folder:
        raise Invalid(f"'folder' is {folder[:200]!r}; expected an absolute path")
    return msgspec.convert(await ask.desk.link.ask("backup", folder=folder), BackedUp)


async def visit(ask: Ask) -> Visit:
    """Make an address that opens the page once."""
    return Visit(url=ask.desk.keys.visit())


async def renew(ask: Ask) -> Done:
    """Draw another token: open pages, and programs that hold the former one, are shut out."""
    desk = ask.desk
    desk.keys.renew(make_token(desk.places.runtime))
    for task in list(desk.streams):
        task.cancel()  # whoever may still come in takes them up again
    return Done(id="token")


async def stop(ask: Ask) -> Done:
    """Stop the installation; what is under way is taken up again at the next start."""
    await ask.desk.link.ask("stop")
    return Done(id="engine")


_whole = Noun("/api/v1")
OPERATIONS = (
    _whole.get("Say how the installation is", status, Status, below="/status"),
    _whole.get("Say whether all is well", health, Health, below="/health"),
    Operation(
        method="GET",
        path="/metrics",
        summary="Give numbers for Prometheus",
        handler=metrics,
        media=("text/plain",),
    ),
    _whole.post(
        "Run a trigger for events of the past",
        replay,
        Replayed,
        below="/replay",
        body=Replay,
        errors=(404, 409, 410),
    ),
    _whole.post(
        "Copy log and state into a new folder",
        backup,
        BackedUp,
        below="/backup",
        body=Backup,
        errors=(409, 500),
    ),
    _whole.post(
        "Make an address that opens the page once",
        visit,
        Visit,
        below="/visits",
        body=Nothing,
        status=201,
        errors=(429,),
    ),
    _whole.post(
        "Draw another token; what the former one opened is shut", renew, Done, below="/token", body=Nothing
    ),
    _whole.post("Stop the installation", stop, Done, below="/stop", body=Nothing),
)
