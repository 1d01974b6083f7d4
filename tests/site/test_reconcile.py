"""An order given to one process of a site is carried out by the one that has the sources."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.core.rows import TreeRow
from penstock.state.postgres.door import PostgresDoor
from penstock.state.reader import StateReader
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.site.installation import SiteInstallation

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def site(tmp_path: Path, kafka: Kafka, postgres: Postgres) -> Iterator[SiteInstallation]:
    found = SiteInstallation(tmp_path / "home", kafka, postgres)
    (found.home / "spool").mkdir()
    (found.home / "spool" / "00000000000000000001.notices").write_bytes(b"1 ! start\n")
    with found.places.config.open("a") as config:
        config.write(
            f'\n[[sources]]\nkind = "xrootd-notify"\nname = "door"\nstorage = "xrd"\n'
            f'spool = "{found.home}/spool"\n'
            f'mounted = {{ folder = "{found.home}/xrd", path = "/data", settle_s = 0 }}\n'
        )
    yield found
    found.close()


@asynccontextmanager
async def reading(site: SiteInstallation) -> AsyncIterator[StateReader]:
    reader = StateReader(PostgresDoor(site.postgres))
    try:
        yield reader
    finally:
        await reader.close()


async def tree(reader: StateReader, holds: Callable[[TreeRow], object]) -> TreeRow:
    async with asyncio.timeout(90):
        while True:
            for row in await reader.trees():
                if row.storage == "xrd" and holds(row):
                    return row
            await asyncio.sleep(0.1)


async def test_an_order_reaches_the_process_with_the_sources(site: SiteInstallation) -> None:
    site.start("api", "api")
    site.start("runs", "runs")
    site.start("sources", "sources")
    await site.ask("status")
    async with reading(site) as reader:
        await tree(reader, lambda row: row.since_ns)
        (site.home / "xrd").mkdir()
        for number in range(30):
            (site.home / "xrd" / f"f{number}").write_text("x")
        trial = await site.ask("reconcile", storage="xrd", dry_run=True)
        assert (trial["listed"], trial["created"], trial["deleted"]) == (30, 30, 0)
        await site.ask("reconcile", storage="xrd")
        row = await tree(reader, lambda row: row.proven_ns and not row.lost_ns)
        assert (row.listed, row.created) == (30, 30), site.said()
        async with asyncio.timeout(60):
            while (found := await reader.file("xrd", b"/data/f29")) is None:
                await asyncio.sleep(0.1)
        assert found.present
        first = row.proven_ns
        (site.home / "xrd" / "f0").unlink()
        await site.ask("reconcile", storage="xrd", folder="/data")
        row = await tree(reader, lambda row: row.proven_ns > first and not row.lost_ns)
        assert (row.created, row.deleted) == (0, 1), site.said()
