"""An installation of one machine becomes a site: with its history, its runs under way, its waits."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Invalid, Refused, Unavailable
from penstock.core.event import Event
from penstock.core.rows import CursorRow, Seen
from penstock.log.embedded import EmbeddedLog, LogSettings
from penstock.log.kafka import KafkaLog
from penstock.log.kafka_binding import partition_of
from penstock.log.kafka_filling import Filling
from penstock.log.reader import Reader
from penstock.server.settings import load
from penstock.server.site.moving import Move
from penstock.state import moving as state_moving
from penstock.state.embedded import EmbeddedState
from penstock.state.postgres.state import PostgresState
from penstock.testing.installation import Installation
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres
from tests.site.installation import SiteInstallation
from tests.site.seeing import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

FUNCTIONS = """
import os, time
from penstock import Retry, function

@function(on="*/*.raw", outputs="{parent}/done/{stem}.txt")
def counted(call):
    with open(call.input, "rb") as file:
        text = file.read().decode()
    call.output("x.txt").write_text(text + " " + call["run"]["id"])
    return {"size": len(text)}

@function(on="*/*.slow")
def patient(call):
    time.sleep(6)
    return {}

@function(on="*/*.again", retry=Retry(attempts=2, delay_s=8, jitter=0))
def stubborn(call):
    if call["run"]["attempt"] == 1:
        raise RuntimeError("not yet")
    return {}

@function(on="*/*.bad")
def broken(call):
    raise RuntimeError("never")

@function(on="*/*.late")
def later(call):
    return {}
"""


class Moved:
    """A home that begins as an installation of one machine, and is a site later."""

    def __init__(self, home: Path, kafka: Kafka, postgres: Postgres) -> None:
        self.before = Installation(home)
        shelf = SiteInstallation(home.parent / "shelf", kafka, postgres, partitions=3)
        self.site = shelf
        shelf.home, shelf.files, shelf.places = self.before.home, self.before.files, self.before.places

    def name_the_site(self) -> None:
        self.before.places.config.write_text(self.site._toml())

    def move(self) -> Move:
        return Move(load(self.before.places.config, {}), self.before.places)

    def penstock(self, *words: str, code: int = 0) -> list[Any]:
        command = [sys.executable, "-m", "penstock", *words, "--json", "--home", str(self.before.home)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert done.returncode == code, f"{words}: {done.stderr.decode()}{self.site.said()}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def write(self, name: str) -> None:
        place = self.before.files / f"d{sum(name.encode()) % 5}" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"content {name}")

    def phases(self) -> dict[str, str]:
        return {
            Path(run["subject"]).name: run["phase"] for run in self.penstock("runs", "list", "--limit", "200")
        }


@pytest.fixture
def moved(tmp_path: Path, kafka: Kafka, postgres: Postgres) -> Iterator[Moved]:
    found = Moved(tmp_path / "home", kafka, postgres)
    yield found
    found.before.kill()
    found.site.close()


async def lived(moved: Moved, tmp_path: Path) -> None:
    """Let everything be there that a move must not lose."""
    function = tmp_path / "functions.py"
    function.write_text(FUNCTIONS)
    moved.before.start(api=True)
    await moved.before.deploy(function)
    for number in range(20):
        moved.write(f"f{number}.raw")
    moved.write("b.bad")
    await until(lambda: moved.before.places.runtime.joinpath("api.json").exists(), moved.site)
    await until(lambda: sorted(moved.phases().values()) == ["failed"] + ["succeeded"] * 20, moved.site)
    moved.penstock("triggers", "pause", "later")
    moved.write("l.late")
    moved.write("s.slow")
    moved.write("a.again")
    await until(lambda: moved.phases().get("a.again") in ("running", "retrying"), moved.site)
    await until(lambda: moved.phases().get("s.slow") == "running", moved.site)
    assert moved.before.stop() == 0
    moved.name_the_site()


@pytest.mark.anyio
async def test_everything_goes_on_at_the_site_and_nothing_comes_twice(moved: Moved, tmp_path: Path) -> None:
    await lived(moved, tmp_path)
    moved.write("meanwhile.raw")
    (planned,) = moved.penstock("move", "--to-site", "--dry-run")
    assert planned["against"] == []
    assert planned["records"] == len(list(Reader(moved.move()._folder).read(0))) > 60
    assert moved.move()._filling.there() is None, "a dry run changes nothing"
    moved.penstock("move", "--to-site")
    moved.site.start("1", "runs", "sources", "api", api=True)
    async with moved.site.connected():
        pass
    moved.site.end("1", signal.SIGKILL)
    moved.site.start("2", "runs", "sources", "api", api=True)
    await until((moved.site.places.runtime / "api.json").exists, moved.site)
    wanted = {**{f"f{n}.raw": "succeeded" for n in range(20)}, "meanwhile.raw": "succeeded"}
    wanted |= {"b.bad": "failed", "s.slow": "succeeded", "a.again": "succeeded"}
    await until(lambda: moved.phases() == wanted, moved.site)
    contents = [place.read_text().split() for place in moved.before.files.glob("*/done/*.txt")]
    assert sorted(text[1] for text in contents) == sorted(name for name in wanted if name.endswith(".raw"))
    assert len({text[2] for text in contents}) == 21

    moved.penstock("triggers", "resume", "later")
    await until(lambda: moved.phases().get("l.late") == "succeeded", moved.site)
    file = next(moved.before.files.glob("*/f3.raw"))
    run = next(
        run["id"] for run in moved.penstock("runs", "list", "--limit", "200") if run["subject"] == str(file)
    )
    (told,) = moved.penstock("explain", str(file))
    assert run in json.dumps(told["triggers"])
    (shown,) = moved.penstock("runs", "show", run)
    assert shown["event"]["event"]["subject"] == str(file)
    (past,) = moved.penstock("backtest", "counted", "--since", "1h")
    assert past["fired"][0]["runs"] == 21, past
    moved.penstock("runs", "rerun", run, "--whole")
    await until(lambda: len(moved.penstock("runs", "list", "--limit", "200")) == 26, moved.site)
    (letter,) = moved.penstock("dead-letters")
    moved.penstock("dead-letters", "replay", letter["id"])
    await until(lambda: len(moved.penstock("runs", "list", "--limit", "200")) == 27, moved.site)


def stopped(home: Path) -> Installation:
    """A stopped installation with a log of 300 events in two pieces and the state that folded 250 of them."""
    installation = Installation(home)
    places = installation.places

    async def made() -> None:
        log = EmbeddedLog(places.state / "log" / "0", LogSettings(segment_bytes=4096))
        state = EmbeddedState(places.state / "state.db")
        for number in range(300):
            event = Event(id=f"e{number}", source="/elsewhere", type="t", partitionkey=f"/d{number % 7}")
            (record,) = await log.append([event])
            if number < 250:
                state.put(Seen(event.source, event.id, record.offset))
        state.put(CursorRow("pump", 0, 250))
        await state.commit()
        state.close()
        log.close()

    asyncio.run(made())
    return installation


@pytest.fixture
def small(tmp_path: Path, kafka: Kafka, postgres: Postgres) -> Moved:
    stopped(tmp_path / "home")
    found = Moved(tmp_path / "home", kafka, postgres)
    found.name_the_site()
    return found


def test_a_move_that_is_interrupted_anywhere_goes_on_and_arrives_whole(
    small: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_fill, real_move = Filling.fill, state_moving.move

    def half(self: Filling, records: Any) -> None:
        real_fill(self, islice(records, 120))
        raise Unavailable("the broker went away")

    monkeypatch.setattr(Filling, "fill", half)
    with pytest.raises(Unavailable):
        small.move().carry_out()
    with pytest.raises(Invalid, match=r"message\.timestamp\.type is CreateTime"):
        KafkaLog(small.site.kafka)  # nobody works with half of it
    assert small.move().plan().done == 120
    monkeypatch.setattr(Filling, "fill", real_fill)
    monkeypatch.setattr(state_moving, "move", lambda *_: (_ for _ in ()).throw(Unavailable("away")))
    with pytest.raises(Unavailable, match="away"):
        small.move().carry_out()
    monkeypatch.setattr(state_moving, "move", real_move)
    with monkeypatch.context() as crash:
        crash.setattr(Move, "_settle", lambda *_: (_ for _ in ()).throw(Unavailable("killed")))
        with pytest.raises(Unavailable, match="killed"):
            small.move().carry_out()
    assert small.move().plan().is_copied
    small.move().carry_out()
    with pytest.raises(Refused, match="nothing to move"):
        small.move()
    arrived(small)


def arrived(small: Moved) -> None:
    old = list(Reader(small.before.places.state / "log" / "0").read(0))
    kafka = small.site.kafka
    folded, seen = 0, 0
    for part in range(3):
        log, state = KafkaLog(kafka, part), PostgresState(small.site.postgres, part)
        records = log.read(0, 300)
        wanted = [each for each in old if log_part(each.event) == part]
        assert [each.event for each in records] == [each.event for each in wanted]
        assert [each.appended_ns for each in records] == [
            each.appended_ns // 1_000_000 * 1_000_000 for each in wanted
        ], "each with the time that it had"
        cursor = state.get(CursorRow, "pump", 0)
        assert cursor is not None
        assert all((number < cursor.offset) == (each.offset < 250) for number, each in enumerate(wanted))
        for row in state.select(Seen):
            assert records[row.offset].event.id == row.event_id
            seen += 1
        folded += cursor.offset
        log.close()
        state.close()
    assert (folded, seen) == (250, 250)


def log_part(event: Event) -> int:
    return partition_of(event.partitionkey or event.id, 3)


def test_a_target_that_is_used_is_refused_before_anything_is_done(small: Moved) -> None:
    log = KafkaLog(small.site.kafka)
    asyncio.run(told(log))
    log.close()
    PostgresState(small.site.postgres, 0).close()
    planned = small.move().plan()
    database, topic = planned.against
    assert "is in use already" in database
    assert "holds 1 records that are not of this move" in topic
    assert small.penstock("move", "--to-site", code=3)[0]["against"] == list(planned.against)
    assert (small.before.places.state / "state.db").exists()


async def told(log: KafkaLog) -> None:
    await log.append([Event(id="other", source="/elsewhere", type="t")])
