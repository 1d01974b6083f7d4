"""The billing topic: paths that records do not name, and a real broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Unavailable
from penstock.core.event import Event, file_record
from penstock.core.ports import SourceContext
from penstock.core.rows import DeadLetter
from penstock.outside.secret import Secret
from penstock.sources.dcache.billing_topic import DCacheKafka, DCacheKafkaSettings
from penstock.sources.dcache.settings import FrontendSettings
from penstock.sources.kafka import KafkaRecord
from penstock.testing.dcache.site import SimulatedDCache
from penstock.testing.ledger import MemoryLedger

pytestmark = pytest.mark.anyio
PATH = "/pnfs/raw/a.h5"


def source(letters: list[DeadLetter], **given: Any) -> DCacheKafka:
    wanted = DCacheKafkaSettings(servers="k:9092", storage="d", **given)
    context = SourceContext(name="billing", ledger=MemoryLedger(), dead_letter=letters.append)
    return DCacheKafka.open(wanted, context)


def batch(*values: bytes | None) -> list[KafkaRecord]:
    return [
        KafkaRecord(topic="billing", partition=0, offset=n, timestamp_ms=1, key=None, headers=(), value=value)
        for n, value in enumerate(values)
    ]


def kinds(events: list[Event]) -> list[tuple[str, str]]:
    return [(each.type.removeprefix("penstock.file."), file_record(each).path) for each in events]


async def test_a_path_that_no_record_named_is_asked_of_the_namespace(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("admin-token")
    records: list[bytes] = []
    async with SimulatedDCache(records.append, root="/pnfs") as dcache:
        dcache.make_folder("/pnfs/raw")
        dcache.write(PATH, b"x")
        dcache.store(PATH)
        records.clear()
        dcache.restore(PATH)
        dcache.restore(PATH)
        dcache.read(PATH)
        letters: list[DeadLetter] = []
        asked = FrontendSettings(frontend=dcache.frontend.address, token=Secret(file=str(tmp_path / "token")))
        reader = source(letters, namespace=asked)
        events = await reader.read(batch(*records))
        assert kinds(events) == [("staged", PATH), ("staged", PATH), ("read", PATH)]
        assert letters == []
        assert sum("/id/" in call for call in dcache.frontend.calls) == 1
        await dcache.frontend.stop()
        with pytest.raises(Unavailable):
            await source(letters, namespace=asked).read(batch(*records))


async def test_without_anybody_to_ask_it_is_a_letter_that_says_what_to_do() -> None:
    records: list[bytes] = []
    dcache = SimulatedDCache(records.append, root="/pnfs")
    dcache.make_folder("/pnfs/raw")
    dcache.write(PATH, b"x")
    records.clear()
    dcache.restore(PATH)
    dcache.read(PATH)
    letters: list[DeadLetter] = []
    events = await source(letters).read(batch(*records, b"garbage", None))
    assert kinds(events) == [("read", PATH)]
    reasons = " ".join(letter.reason for letter in letters)
    assert "give the source a 'namespace'" in reasons
    assert "not a billing record" in reasons
    assert "no value" in reasons
    assert {letter.subject for letter in letters} == {"billing/0/0", "billing/0/3", "billing/0/4"}


async def test_it_reads_the_topic_that_dcache_writes_unless_told_otherwise() -> None:
    assert source([])._settings.topics == ("billing",)
