"""What a laptop can do, a site can do, too: start with what exists, replay, follow logs, settle letters."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Refused
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.site.installation import SiteInstallation
from tests.site.seeing import COUNTED, all_succeeded, exact, run_phases, until, write
from tests.site.test_roles import penstock

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]
SECOND = COUNTED.replace("counted", "second").replace("/done/", "/second/")
TALKING = """
import time
from penstock import function

@function(on="*/*.raw")
def talking(call):
    print("first words", flush=True)
    time.sleep(8)
    print("last words", flush=True)
    return {}
"""


@pytest.fixture
def site(tmp_path: Path, kafka: Kafka, postgres: Postgres) -> Iterator[SiteInstallation]:
    found = SiteInstallation(tmp_path / "home", kafka, postgres)
    yield found
    found.close()


async def deployed(site: SiteInstallation, place: Path, text: str, **options: Any) -> Any:
    place.write_text(text)
    return await site.deploy(place, **options)


async def test_a_trigger_starts_with_what_exists_and_is_replayed_on_what_was(
    site: SiteInstallation, tmp_path: Path
) -> None:
    write(site, range(20))
    site.start("api", "api", api=True)
    site.start("runs", "runs")
    site.start("sources", "sources")
    report = await deployed(site, tmp_path / "counted.py", COUNTED, existing=True)
    assert report["existing"] == 20
    await until(lambda: all_succeeded(site, 20), site)
    exact(site, 20)
    again = await deployed(site, tmp_path / "counted.py", COUNTED, existing=True)
    assert again["existing"] == 20, "all of them have run"
    write(site, range(20, 25))
    await until(lambda: all_succeeded(site, 25), site)
    await deployed(site, tmp_path / "second.py", SECOND)
    await until((site.places.runtime / "api.json").exists, site)
    (would,) = penstock(site, "replay", "second", "--since", "1h", "--dry-run")
    assert would["count"] == 5, "those whose events are on the log"
    penstock(site, "replay", "second", "--since", "1h")
    await until(lambda: all_succeeded(site, 30), site)
    penstock(site, "replay", "second", "--since", "1h")
    penstock(site, "replay", "counted", "--since", "1h")
    await asyncio.sleep(1)
    assert await run_phases(site) == {"succeeded": 30}, "nothing runs twice"
    penstock(site, "replay", "second", "--since", "1h", "--again")
    await until(lambda: all_succeeded(site, 35), site)
    with pytest.raises(Refused, match="pg_dump"):
        await site.ask("backup", folder=str(tmp_path / "copy"))


async def test_what_a_function_prints_is_followed_while_another_process_runs_it(
    site: SiteInstallation, tmp_path: Path
) -> None:
    site.start("api", "api", api=True)
    site.start("runs", "runs")
    site.start("sources", "sources")
    await deployed(site, tmp_path / "talking.py", TALKING)
    await until((site.places.runtime / "api.json").exists, site)
    write(site, range(1))
    await until(lambda: run_phases(site), site)
    command = [sys.executable, "-m", "penstock", "logs", "--follow", "--home", str(site.home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert await asyncio.to_thread(following.stdout.readline) == "first words\n"
        assert await run_phases(site) == {"running": 1}, "it is seen while it runs"
        assert await asyncio.to_thread(following.stdout.readline) == "last words\n"


async def test_letters_are_seen_dropped_and_replayed(site: SiteInstallation, tmp_path: Path) -> None:
    site.start("all", "api", "runs", "sources", api=True)
    await deployed(
        site, tmp_path / "counted.py", COUNTED.replace("with open", "raise ValueError\n    with open")
    )
    await until((site.places.runtime / "api.json").exists, site)
    write(site, range(2))
    letters = await until(lambda: two(penstock(site, "dead-letters", "list")), site)
    penstock(site, "dead-letters", "drop", letters[0]["id"])
    penstock(site, "dead-letters", "replay", letters[1]["id"])
    states = {each["id"]: each["state"] for each in penstock(site, "dead-letters", "list", "--all")}
    assert (states[letters[0]["id"]], states[letters[1]["id"]]) == ("dropped", "replayed")


def two(found: list[Any]) -> list[Any] | None:
    return found if len(found) == 2 else None
