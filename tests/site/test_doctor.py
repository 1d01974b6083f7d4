"""`penstock doctor` at a site: what is wrong is said in words, with what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.site.installation import SiteInstallation
from tests.site.seeing import until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def site(tmp_path: Path, kafka: Kafka, postgres: Postgres) -> Iterator[SiteInstallation]:
    found = SiteInstallation(tmp_path / "home", kafka, postgres, partitions=2)
    yield found
    found.close()


def doctor(site: SiteInstallation) -> dict[str, dict[str, str]]:
    command = [sys.executable, "-m", "penstock", "doctor", "--json", "--home", str(site.home)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode in (0, 1), done.stderr.decode()
    return {found["name"]: found for found in map(json.loads, done.stdout.splitlines())}


async def test_it_tells_who_is_there_and_what_nobody_works_on(site: SiteInstallation) -> None:
    found = doctor(site)
    assert "is not there" in found["broker"]["message"]
    assert "is empty" in found["database schema"]["message"]
    assert found["role runs"]["remedy"] == "penstock serve --role runs"
    site.start("api", "api", api=True)
    site.start("runs", "runs")
    site.start("sources", "sources")
    found = await until(lambda: owned(doctor(site)), site)
    assert "partition 0" not in found
    assert found["broker"]["state"] == found["broker rights"]["state"] == "holds"
    assert found["database schema"]["state"] == found["clock of the database"]["state"] == "holds"
    roles = {each["message"] for name, each in found.items() if name.startswith("process ")}
    assert roles == {"roles api", "roles runs; partitions 0, 1", "roles sources"}
    assert "position" in found["source local"]["message"]
    site.end("runs")
    found = doctor(site)
    assert "had it last" in found["partition 1"]["message"]
    assert found["role runs"]["state"] == "fails"


def owned(found: dict[str, dict[str, str]]) -> dict[str, dict[str, str]] | None:
    there = " ".join(each["message"] for name, each in found.items() if name.startswith("process "))
    return found if "partitions 0, 1" in there and "api" in there and "sources" in there else None


async def test_a_site_without_broker_and_database_is_told_in_words(site: SiteInstallation) -> None:
    text = site.places.config.read_text()
    text = text.replace(site.kafka.servers, "127.0.0.1:1").replace(f"port = {site.postgres.port}", "port = 1")
    site.places.config.write_text(text)
    found = doctor(site)
    assert found["broker"]["state"] == found["database"]["state"] == "fails"
    assert "127.0.0.1:1" in found["broker"]["message"]
