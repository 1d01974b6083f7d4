"""Bad days of a site: what is away comes back, nobody helps, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.kafka import Kafka
from tests.servers.plugin import started
from tests.servers.postgres import Postgres
from tests.site.installation import SiteInstallation
from tests.site.seeing import COUNTED, all_succeeded, exact, results, until, write

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Kafka]:
    """A broker of this test's own."""
    found = Kafka(tmp_path / "kafka")
    started(found)
    yield found
    found.kill()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Postgres]:
    """A database server of this test's own."""
    found = Postgres(tmp_path / "postgres")
    started(found)
    yield found
    found.kill()


async def working(site: SiteInstallation, tmp_path: Path) -> None:
    site.start("api", "api")
    site.start("runs", "runs")
    site.start("sources", "sources")
    function = tmp_path / "counted.py"
    function.write_text(COUNTED)
    await site.deploy(function)
    write(site, range(20))
    await until(lambda: len(results(site)) == 20, site)


async def test_the_broker_is_killed_and_comes_back(tmp_path: Path, broker: Kafka, postgres: Postgres) -> None:
    site = SiteInstallation(tmp_path / "home", broker, postgres)
    try:
        await working(site, tmp_path)
        broker.kill()
        write(site, range(20, 60))
        await asyncio.sleep(5)
        status = await site.ask("status")
        assert "log" in status["troubles"], status
        await asyncio.to_thread(broker.start)
        await until(lambda: len(results(site)) == 60, site, 120)
        await until(lambda: all_succeeded(site, 60), site)
        exact(site, 60)
        await until(lambda: _well(site), site)
    finally:
        site.close()


async def test_the_database_is_killed_and_comes_back(
    tmp_path: Path, kafka: Kafka, database: Postgres
) -> None:
    site = SiteInstallation(tmp_path / "home", kafka, database)
    try:
        await working(site, tmp_path)
        database.kill()
        write(site, range(20, 60))
        await asyncio.sleep(5)
        assert "PostgreSQL" in (await site.ask("status"))["troubles"]["state"]
        await asyncio.to_thread(database.start)
        await until(lambda: len(results(site)) == 60, site, 120)
        await until(lambda: all_succeeded(site, 60), site)
        exact(site, 60)
    finally:
        site.close()


async def test_the_database_and_the_broker_stand_still_for_a_while(
    tmp_path: Path, broker: Kafka, database: Postgres
) -> None:
    site = SiteInstallation(tmp_path / "home", broker, database)
    try:
        await working(site, tmp_path)
        for server in (broker, database):
            server.pause()
        write(site, range(20, 40))
        await asyncio.sleep(15)
        for server in (broker, database):
            server.resume()
        await until(lambda: len(results(site)) == 40, site, 120)
        await until(lambda: all_succeeded(site, 40), site)
        exact(site, 40)
    finally:
        site.close()


async def test_a_rolling_restart_under_load_loses_nothing(
    tmp_path: Path, kafka: Kafka, postgres: Postgres
) -> None:
    site = SiteInstallation(tmp_path / "home", kafka, postgres)
    try:
        await working(site, tmp_path)
        site.start("runs b", "runs")
        for number in range(20, 140, 10):
            write(site, range(number, number + 10))
            if number == 40:
                assert site.end("runs", signal.SIGTERM) == 0
                site.start("runs", "runs")
            if number == 80:
                assert site.end("runs b", signal.SIGTERM) == 0
            if number == 100:
                assert site.end("sources", signal.SIGTERM) == 0
                site.start("sources", "sources")
            await asyncio.sleep(0.5)
        await until(lambda: len(results(site)) == 140, site, 120)
        await until(lambda: all_succeeded(site, 140), site)
        exact(site, 140)
    finally:
        site.close()


async def _well(site: SiteInstallation) -> bool:
    return not (await site.ask("status"))["troubles"]
