"""Who gives way to whom, as the kernel tells it."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.core.function import Function, Limits
from penstock.core.ports import Answer
from penstock.functions import priority
from penstock.functions.pool import Pool
from penstock.functions.settings import PoolSettings
from penstock.testing.runtime import Caller

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})]),
]

CODE = """
import os, time

def is_demoted():
    return os.sched_getscheduler(0) == os.SCHED_IDLE or os.getpriority(os.PRIO_PROCESS, 0) > 0

def work(call):
    until = time.process_time() + call["cpu_s"]
    while time.process_time() < until:
        pass
    return {"demoted": is_demoted()}

def wait(call):
    time.sleep(0.3)
    return {"demoted": is_demoted()}

def for_ever(call):
    while True:
        pass
"""


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    (tmp_path / "work.py").write_text(CODE)
    caller = Caller()
    settings = PoolSettings(scratch=str(tmp_path / "s"), logs=str(tmp_path / "l"), read=(str(tmp_path),))
    pool = caller.runtime = Pool(settings, caller.answered)
    yield caller
    await pool.close()


def function(folder: Path, name: str = "work", limits: Limits | None = None) -> Function:
    return Function(
        tenant="t", name=f"tests/{name.replace('_', '-')}", version=1, code=str(folder),
        entry=f"work.py:{name}", concurrency=1, limits=limits or Limits(),
    )  # fmt: skip


async def test_a_call_that_lasts_gives_way_and_the_next_one_does_from_the_start(
    caller: Caller, tmp_path: Path
) -> None:
    work = function(tmp_path)
    assert (await caller.call(work, cpu_s=0)) == {"demoted": False}
    assert (await caller.call(work, cpu_s=0.3)) == {"demoted": True}
    born_so = await caller.start(work, cpu_s=0.3)
    kept = await caller.start(work, cpu_s=0)
    assert log_file(born_so) == log_file(kept), "a worker that was born demoted stays for such calls"
    assert bytes(kept.result or b"") == b'{"demoted":true}'
    # That one was short: the function is as good as others again.
    assert (await caller.call(work, cpu_s=0)) == {"demoted": False}


async def test_a_call_that_waits_keeps_its_place(caller: Caller, tmp_path: Path) -> None:
    assert await caller.call(function(tmp_path, "wait")) == {"demoted": False}


async def test_a_function_that_was_stopped_for_its_time_begins_demoted(
    caller: Caller, tmp_path: Path
) -> None:
    loop = function(tmp_path, "for_ever", Limits(timeout_s=0.1))
    assert "timeout_s" in await caller.error(loop)
    assert isinstance(caller.runtime, Pool)
    await caller.runtime.emptied()
    future = caller.start(loop)
    await asyncio.sleep(0)
    assert [slot.demoted for slot in caller.runtime._crew.slots.values()] == [True]
    await future


async def test_what_a_demoted_process_starts_is_demoted(anyio_backend: object) -> None:
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        priority.give_way()
        if os.fork() == 0:
            gives_way = os.sched_getscheduler(0) == os.SCHED_IDLE or os.getpriority(os.PRIO_PROCESS, 0) > 0
            os.write(tell, b"%d" % gives_way)
        os._exit(0)
    os.close(tell)
    select.select([told], [], [])
    assert os.read(told, 10) == b"1"
    os.close(told)
    os.waitpid(pid, 0)


async def test_processes_that_have_ended_are_skipped(anyio_backend: object) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    priority.demote([pid])
    assert priority.cpu_s([pid]) == 0


def log_file(answer: Answer) -> str:
    return answer.log.rsplit(":", 2)[0]
