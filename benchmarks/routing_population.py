"""Events and filters for the routing measurements: a made-up site, the same for the same seed.

Files lie in ``/data/<beamline>/<year>/<proposal>/raw/<run>/``. A plain filter wants one type of event
below one run's folder; every fourth one's prefix ends within a segment. Each event is drawn below
the prefix of a filter drawn at random, so that it has about one match.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

SEED = 20261121
EVENTS = 200_000
TYPES = ("penstock.file.created", "penstock.file.updated", "penstock.file.read", "penstock.file.deleted")

STEPS = {"globs": 10, "not": 10, "cesql": 100}
"""Which of a million runs the filters of a kind name: every so many."""

Document = dict[str, Any]


def prefix(number: int) -> str:
    """Return the prefix that the plain filter ``number`` wants; no two contain each other."""
    beamline, year, proposal = number % 37, 2015 + number % 11, number // 100
    folder = f"/data/p{beamline:02}/{year}/{11000000 + proposal}/raw/run{number:07}"
    return folder if number % 4 == 0 else folder + "/"


def event_type(number: int) -> str:
    """Return the type that the plain filter ``number`` wants."""
    return TYPES[number // 7 % len(TYPES)]


def plain_filter(number: int) -> Document:
    """Return the document of the plain filter ``number``."""
    return {"exact": {"type": event_type(number)}, "prefix": {"path": prefix(number)}}


def plain_events(filters: int, count: int = EVENTS) -> list[bytes]:
    """Return ``count`` distinct events, each below the prefix of one of so many filters."""
    chance = random.Random(f"{SEED} {filters}")
    return [_plain_event(chance, index, chance.randrange(filters)) for index in range(count)]


def changed_numbers(filters: int) -> list[int]:
    """Return which filters change: one in a hundred, at least one."""
    return random.Random(f"{SEED} changes {filters}").sample(range(filters), max(1, filters // 100))


def event(index: int, type: str, path: str, size: int, uid: int) -> bytes:
    """Return one event in the CloudEvents JSON format, as a storage's source would write it."""
    checksum = f"{index * 2654435761 % (1 << 32):08x}"
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"site:{index:024x}",
            "source": "/storages/site",
            "type": type,
            "subject": path,
            "time": f"2026-11-21T09:{index // 60 % 60:02}:{index % 60:02}.123456Z",
            "partitionkey": path.rsplit("/", 1)[0],
            "datacontenttype": "application/json",
            "data": {
                "storage": "site",
                "path": path,
                "size": size,
                "version": str(index),
                "checksum": {"adler32": checksum},
                "owner": {"uid": uid, "gids": [uid, 100]},
                "client": {"address": "192.0.2.7", "protocol": "https"},
            },
        },
        separators=(",", ":"),
    ).encode()


def _plain_event(chance: random.Random, index: int, number: int) -> bytes:
    inner = "" if number % 4 else "/"
    path = f"{prefix(number)}{inner}frame_{index:06}.nxs"
    return event(index, event_type(number), path, chance.randrange(1 << 30), 1000 + number % 5000)


def random_events(count: int, kind: str) -> Iterator[bytes]:
    """Yield events of any owner and size, with one of 1,000 endings, in runs that ``kind``'s filters name."""
    chance = random.Random(f"{SEED} {kind}")
    step = STEPS.get(kind, 1)
    for index in range(count):
        number = chance.randrange(1_000_000 // step) * step
        path = f"{prefix(number).rstrip('/')}/frame_{index:06}.x{chance.randrange(1000):03}"
        yield event(index, TYPES[0], path, chance.randrange(1_000_000), 1000 + chance.randrange(100_000))


def kinds() -> dict[str, Sequence[Document]]:
    """Return further sets of filters by name, for rows of their own."""
    created = {"exact": {"type": TYPES[0]}}
    return {
        "skewed": [
            {"exact": {"type": TYPES[0], "data.owner.uid": 1000 + number}, "prefix": {"path": "/data/"}}
            for number in range(100_000)
        ],
        "suffixes": [{**created, "suffix": {"path": f".x{number:03}"}} for number in range(1000)],
        "globs": [
            {**created, "glob": {"path": f"raw/run{number:07}/*.x[0-9]*"}}
            for number in range(0, 1_000_000, 10)
        ],
        "numbers": [
            {**created, "number": {"data.size": {">=": number * 10, "<": number * 10 + 10}}}
            for number in range(100_000)
        ],
        "not": [
            {**plain_filter(number), "not": {"suffix": {"path": ".x007"}}, "exact": {"type": TYPES[0]}}
            for number in range(0, 1_000_000, 10)
        ],
        "cesql": [
            {"sql": f"type = '{TYPES[0]}' AND subject LIKE '{prefix(number)}%' AND data_size > 1000"}
            for number in range(0, 1_000_000, 100)
        ],
    }
