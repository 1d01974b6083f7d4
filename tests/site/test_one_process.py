"""The log in Kafka, the state in the installation's own folder: one process, one partition."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.core.errors import Invalid
from penstock.server.settings import check
from tests.servers.kafka import Kafka
from tests.site.installation import SiteInstallation
from tests.site.seeing import COUNTED, exact, results, until, write

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]


async def test_files_become_results_also_when_it_is_killed_in_between(tmp_path: Path, kafka: Kafka) -> None:
    site = SiteInstallation(tmp_path / "home", kafka, None, partitions=1)
    try:
        site.start("all", api=True)
        function = tmp_path / "counted.py"
        function.write_text(COUNTED)
        await site.deploy(function)
        write(site, range(30))
        await until(lambda: len(results(site)) > 5, site)
        site.end("all", signal.SIGKILL)
        write(site, range(30, 60))
        site.start("all", api=True)
        await until(lambda: len(results(site)) == 60, site)
        exact(site, 60)
        await until((site.places.runtime / "api.json").exists, site)
        command = [sys.executable, "-m", "penstock", "events", "--json", "--home", str(site.home)]
        await until(lambda: b"penstock.run.succeeded" in _said(command), site)
        assert site.end("all") == 0
    finally:
        site.close()


def _said(command: list[str]) -> bytes:
    return subprocess.run(command, capture_output=True, check=False, timeout=60).stdout


def test_pairs_that_are_not_supported_are_refused_at_the_start() -> None:
    kafka = {"servers": "localhost:9092"}
    with pytest.raises(Invalid, match="postgres without kafka"):
        check({"postgres": {}}, "penstock.toml")
    with pytest.raises(Invalid, match="Set it to 1, or set"):
        check({"kafka": {**kafka, "partitions": 4}}, "penstock.toml")
    assert check({"kafka": {**kafka, "partitions": 1}}, "penstock.toml").postgres is None
    with pytest.raises(Invalid, match=r"kafka: .*partitoins"):
        check({"kafka": {**kafka, "partitoins": 1}}, "penstock.toml")
