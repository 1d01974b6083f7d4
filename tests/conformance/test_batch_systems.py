"""Every batch system passes the same suite."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from penstock.batch.local import LocalQueue
from penstock.batch.settings import LocalQueueSettings
from penstock.core.errors import JobFailed
from penstock.core.job import Job
from penstock.core.ports import BatchSystem, JobSink
from penstock.testing.batch import FakeBatch, Farm
from penstock.testing.batch_suite import BatchSystemSuite


class TestLocalQueue(BatchSystemSuite):
    def open(self, noticed: JobSink) -> BatchSystem:
        settings = LocalQueueSettings(folder=self.folder / "queue", cores=4, memory_bytes=4 << 30)
        return LocalQueue(settings, noticed)


class TestFakeBatch(BatchSystemSuite):
    @pytest.fixture(autouse=True)
    def _farm(self) -> None:
        self.farm = Farm()

    def open(self, noticed: JobSink) -> BatchSystem:
        return FakeBatch(noticed, play=play, farm=self.farm)

    async def evict(self, name: str, pid: int) -> None:
        assert isinstance(self.system, FakeBatch)
        self.system.evict(name)


NOBODY = 1 << 30
"""No process has this id: nothing that a job of the fake says it started is alive."""


async def play(job: Job) -> bytes:
    """Do in memory what the suite's probe does in a process."""
    call = json.loads(job.payload)
    params, pipes = call["params"], Path(call["pipes"])
    does = call["does"]
    if does == "litter":
        say(pipes)
        await asyncio.sleep(0)
    if does == "hold" or params.get("hold"):
        say(pipes)
        await gate(pipes)
    if does == "fail" or params.get("fail"):
        raise JobFailed("ValueError: the beam was off")
    if does == "write":
        (Path(job.folder) / "scratch").mkdir(parents=True)
        (Path(job.folder) / "scratch" / "out put.txt").write_text("42")
    if does == "talk":
        Path(job.folder).mkdir(parents=True)
        Path(job.log).write_text(f"zwölf Böhsen {params}")
    if does == "large":
        return json.dumps({"text": "x" * params["bytes"], "got": len(params["payload"])}).encode()
    return json.dumps({"got": params}).encode()


def say(pipes: Path) -> None:
    (pipes / "said").write_text(f"ready {NOBODY}\n")


async def gate(pipes: Path) -> None:
    opened = asyncio.Event()
    descriptor = os.open(pipes / "gate", os.O_RDONLY | os.O_NONBLOCK)
    asyncio.get_running_loop().add_reader(descriptor, opened.set)
    try:
        await opened.wait()
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
