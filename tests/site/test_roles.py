"""A site's processes: the same definitions as on a laptop, on a real broker and a real database."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.servers.server import free_port
from tests.site.installation import SiteInstallation
from tests.site.seeing import COUNTED, all_succeeded, exact, results, run_phases, until, write

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def site(tmp_path: Path, kafka: Kafka, postgres: Postgres) -> Iterator[SiteInstallation]:
    found = SiteInstallation(tmp_path / "home", kafka, postgres)
    yield found
    found.close()


async def test_files_become_results_through_processes_of_three_roles(
    site: SiteInstallation, tmp_path: Path
) -> None:
    site.start("api", "api")
    site.start("runs", "runs")
    site.start("sources", "sources")
    function = tmp_path / "counted.py"
    function.write_text(COUNTED)
    report = await site.deploy(function)
    assert report["functions"] == ["local/counted@1"]
    write(site, range(40))
    await until(lambda: len(results(site)) == 40, site)
    await until(lambda: all_succeeded(site, 40), site)
    for name in ("sources", "runs", "api"):
        assert site.end(name) == 0, site.said()


@pytest.mark.timeout(300)
async def test_killed_and_stopped_owners_lose_nothing_and_double_nothing(
    site: SiteInstallation, tmp_path: Path
) -> None:
    site.start("api", "api")
    site.start("runs 1", "runs")
    site.start("runs 2", "runs")
    site.start("sources", "sources")
    function = tmp_path / "counted.py"
    function.write_text(COUNTED)
    await site.deploy(function)
    for number in range(0, 300, 10):
        write(site, range(number, number + 10))
        if number == 50:
            site.end("runs 1", signal.SIGKILL)
            site.start("runs 3", "runs")
        if number == 100:
            site.processes["runs 2"].send_signal(signal.SIGSTOP)
        if number == 150:
            site.end("sources", signal.SIGKILL)
            site.start("sources", "sources")
        await asyncio.sleep(0.5)
    await until(lambda: len(results(site)) == 300, site, 120)
    site.processes["runs 2"].send_signal(signal.SIGCONT)  # it wakes, and others own what it had
    write(site, range(300, 320))
    await until(lambda: len(results(site)) == 320, site)
    await until(lambda: all_succeeded(site, 320), site)
    exact(site, 320)


def penstock(site: SiteInstallation, *words: str) -> list[Any]:
    """A command as a person gives it, with --json."""
    command = [sys.executable, "-m", "penstock", *words, "--json", "--home", str(site.home)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stderr.decode()}{site.said()}"
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_people_see_and_steer_a_site_as_they_do_a_laptop(
    site: SiteInstallation, tmp_path: Path
) -> None:
    site.start("all", "api", "runs", "sources", api=True)
    function = tmp_path / "counted.py"
    function.write_text(COUNTED)
    await site.deploy(function)
    write(site, range(5))
    await until(lambda: all_succeeded(site, 5), site)
    await until((site.places.runtime / "api.json").exists, site)
    assert {run["phase"] for run in penstock(site, "runs")} == {"succeeded"}
    (status,) = penstock(site, "status")
    assert status["engine"]["partitions"] == [0, 1, 2, 3]
    file = str(site.files / "d3" / "f3.raw")
    (told,) = penstock(site, "explain", file)
    run = next(run["id"] for run in penstock(site, "runs") if run["subject"] == file)
    assert run in json.dumps(told["triggers"]), told
    events = await until(lambda: penstock(site, "events", "list", "--type", "penstock.run.succeeded"), site)
    assert len(events) == 5
    again = penstock(site, "runs", "rerun", run, "--whole")
    await until(lambda: all_succeeded(site, 6), site)
    assert again
    penstock(site, "triggers", "pause", "counted")
    write(site, range(5, 8))
    await asyncio.sleep(1)
    assert (await run_phases(site)) == {"succeeded": 6}
    penstock(site, "triggers", "resume", "counted")
    await until(lambda: all_succeeded(site, 9), site)


async def test_each_process_tells_how_it_is(site: SiteInstallation, tmp_path: Path) -> None:
    port = free_port()
    with site.places.config.open("a") as config:
        config.write(f"\n[health]\nport = {port}\n")
    site.start("runs", "api", "runs")
    function = tmp_path / "counted.py"
    function.write_text(COUNTED)
    await site.deploy(function)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        async with http.get("/healthz") as answer:
            assert (answer.status, (await answer.json())["roles"]) == (200, ["runs", "api"])
        async with http.get("/readyz") as answer:
            assert answer.status == 200, await answer.text()
        async with http.get("/metrics") as answer:
            text = await answer.text()
    lags = dict(re.findall(r'penstock_partition_lag_records\{partition="(\d)"\} (\S+)', text))
    assert lags == {str(number): "0.0" for number in range(4)}
    assert 'penstock_trigger_waiting{trigger="local/counted"} 0.0' in text
