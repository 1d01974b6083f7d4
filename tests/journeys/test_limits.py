"""Limits that a function declares hold, in the pool and as a job, and are named in its error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.rows import RunRow
from penstock.testing.installation import Installation
from tests.journeys.seeing import deploy, rows, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]

TEXT = """
import os
import socket
import time
from penstock import batch, function, workflow

@function(memory="100MiB", timeout_s=20)
def memory(call):
    kept = [b"x" * (10 << 20) for _ in range(40)]
    time.sleep(20)

@function(memory="100MiB", processes=20, timeout_s=20)
def tree(call):
    for _ in range(10):
        if os.fork() == 0:
            kept = b"x" * (30 << 20)
            time.sleep(20)
            os._exit(len(kept) % 7)
    time.sleep(20)

@function(log="200KiB", timeout_s=20)
def log(call):
    for _ in range(100):
        print("x" * 10000)
    time.sleep(2)

@function(disk="100KiB", timeout_s=20)
def disk(call):
    for number in range(4):
        call.output(f"{number}").write_bytes(bytes(50 << 10))

@function(disk="100KiB", timeout_s=20)
def file(call):
    call.output("large").write_bytes(bytes(300 << 20))

@function(processes=5, timeout_s=20)
def processes(call):
    for _ in range(30):
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
    time.sleep(20)

@function(timeout_s=0.6)
def timeout(call):
    time.sleep(20)

@function(timeout_s=20)
def offline(call):
    return {"online": connects()}

@function(network=True, timeout_s=20)
def online(call):
    return {"online": connects()}

def connects():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.create_connection(server.getsockname(), timeout=2):
            return True

for plain in (memory, tree, log, disk, file, processes, timeout, offline, online):
    name = plain.__name__
    workflow(name).step(plain)
    asked = batch(walltime_s=1 if plain is timeout else 20, memory="100MiB")
    workflow(f"{name}-job").step(plain, batch=asked)
"""
WORDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "memory": (("memory",), ("MiB", "out of memory")),
    "tree": (("memory",), ("100", "104857600")),
    "log": (("log",), ("200", "204800")),
    "disk": (("file_bytes",), ("102400", "100.0 KiB")),
    "processes": (("processes",), ("5",)),
}
"""What an error says: one word of each group."""
POOL_ONLY = {"timeout": (("timeout_s of 0.6 s",), ("raise timeout_s",))}
JOB_ONLY = {"timeout": (("wall",),)}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A running installation."""
    found = Installation(tmp_path)
    found.start()
    yield found
    found.kill()


async def called(installation: Installation, name: str) -> RunRow:
    asked = await installation.ask("start", workflow=f"local/{name}")

    def found() -> list[RunRow]:
        return [row for row in rows(installation, RunRow) if row.id == asked["run"] and row.ended_ns]

    ended: list[RunRow] = await until(found, installation)
    return ended[0]


def missing(error: str, groups: tuple[tuple[str, ...], ...]) -> list[Any]:
    return [group for group in groups if not any(word in error for word in group)]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["", "-job"])
async def test_declared_limits_hold_and_are_named(installation: Installation, place: str) -> None:
    await deploy(installation, TEXT)
    wrong = []
    for name, groups in (WORDS | (JOB_ONLY if place else POOL_ONLY)).items():
        run = await called(installation, name + place)
        if run.phase != "failed" or missing(run.error, groups):
            wrong.append((name, run.phase, run.error, missing(run.error, groups)))
    file = await called(installation, f"file{place}")
    assert not wrong
    assert file.phase == "failed", "a huge file was written"
    offline = await called(installation, f"offline{place}")
    assert offline.phase == "failed"
    assert "network=True" in offline.error or place, offline.error
    online = await called(installation, f"online{place}")
    assert online.phase == "succeeded", online.error


async def test_a_limit_of_time_and_of_files_hold_through_deploy(installation: Installation) -> None:
    await deploy(installation, TEXT)
    for name, groups in (("timeout", POOL_ONLY["timeout"]), ("disk", WORDS["disk"])):
        run = await called(installation, name)
        assert run.phase == "failed"
        assert not missing(run.error, groups), run.error
