"""What users do in a simulated dCache: its billing records are as dCache writes them, and get lost, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from penstock.core.event import Event
from penstock.sources.dcache.billing import Billing
from penstock.sources.dcache.paths import KnownPaths
from penstock.testing.dcache.billing import java_date
from penstock.testing.dcache.site import SimulatedDCache

pytestmark = pytest.mark.anyio
SCHEMA = Path(__file__).parent.parent / "data" / "dcache" / "billing" / "schema.json"
PATH = "/pnfs/raw/a.h5"


def busy(records: list[bytes], **options: Any) -> SimulatedDCache:
    """Return a dCache in which everything happened once."""
    dcache = SimulatedDCache(records.append, root="/pnfs", **options)
    dcache.make_folder("/pnfs/raw")
    dcache.write(PATH, b"data")
    dcache.read(PATH)
    dcache.copy(PATH)
    dcache.store(PATH)
    dcache.restore(PATH)
    dcache.remove(PATH)
    dcache.fail(PATH)
    dcache.write_by_srm("/pnfs/raw/b.h5", 3)
    return dcache


def told(records: list[bytes]) -> list[Event]:
    billing = Billing("d", KnownPaths(10))
    return [event for record in records if (event := billing.event(record)) is not None]


async def test_its_records_are_such_as_dcache_writes() -> None:
    records: list[bytes] = []
    busy(records, publishers=("direct", "billing"))
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    for record in records:
        validator.validate(json.loads(record))
    assert len(records) == 2 * 12


async def test_everything_is_told_by_its_records() -> None:
    records: list[bytes] = []
    busy(records)
    kinds = [event.type.removeprefix("penstock.file.") for event in told(records)]
    assert kinds == [
        "created", "read", "flushed", "staged", "deleted", "transfer-failed", "transfer-failed", "created",
    ]  # fmt: skip


async def test_two_publishers_tell_nothing_twice() -> None:
    once: list[bytes] = []
    twice: list[bytes] = []
    busy(once)
    busy(twice, publishers=("direct", "billing"))
    assert len({event.id for event in told(twice)}) == len({event.id for event in told(once)})


async def test_records_are_lost_doubled_and_turned_as_asked() -> None:
    records: list[bytes] = []
    dcache = SimulatedDCache(records.append, root="/pnfs")
    dcache.billing.transport.lose = 2
    dcache.write("/pnfs/lost", b"")
    assert records == []
    dcache.billing.transport.double = 1
    dcache.write("/pnfs/doubled", b"")
    assert len(records) == 3
    assert records[0] == records[1]
    records.clear()
    dcache.billing.transport.hold = 2
    dcache.write("/pnfs/turned", b"")
    assert [json.loads(record)["msgType"] for record in records] == ["request", "transfer"]


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (1791962403412, "2026-10-14T09:20:03.412+02:00"),
        (1791962403400, "2026-10-14T09:20:03.4+02:00"),
        (1791962403000, "2026-10-14T09:20:03+02:00"),
        (1791962403001, "2026-10-14T09:20:03.001+02:00"),
    ],
)
def test_times_are_printed_as_java_does(milliseconds: int, text: str) -> None:
    assert java_date(milliseconds) == text
