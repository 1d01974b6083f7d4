"""Everything at once: crashes, leftovers, timeouts, stops, killed zygotes, too few places."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from pathlib import Path

import pytest

from penstock.core.function import Function, Limits
from penstock.functions.pool import Pool
from penstock.functions.settings import PoolSettings
from penstock.testing.runtime import Caller

CODE = """
import os, random, subprocess, time

def well(call):
    return {"n": call["n"]}

def naps(call):
    time.sleep(random.random() * 0.02)
    return {"n": call["n"]}

def dies(call):
    if random.random() < 0.2:
        os.abort()
    return {"n": call["n"]}

def leaves(call):
    if random.random() < 0.2:
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
    return {"n": call["n"]}

def writes(call):
    if random.random() < 0.5:
        call.output("x").write_text("y")
    return {"n": call["n"]}

def hangs(call):
    if random.random() < 0.1:
        time.sleep(1000)
    return {"n": call["n"]}
"""
NAMES = ("well", "naps", "dies", "leaves", "writes", "hangs")
CALLS = 400


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(6))
async def test_each_call_is_answered_once_whatever_happens(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    (tmp_path / "code.py").write_text(CODE)
    places = chance.choice([2, 3, 6, 32])
    settings = PoolSettings(
        scratch=str(tmp_path / "scratch"),
        logs=str(tmp_path / "logs"),
        workers_total_max=places,
        turn_s=0.02,
        idle_s=0.05,
    )
    caller = Caller()
    pool = caller.runtime = Pool(settings, caller.answered)
    functions = [
        Function(
            tenant="t",
            name=f"stress/{name}",
            version=1,
            code=str(tmp_path),
            entry=f"code.py:{name}",
            concurrency=chance.choice([1, 2, 8]),
            limits=Limits(timeout_s=0.5),
        )
        for name in NAMES
    ]
    futures = []
    for number in range(CALLS):
        futures.append(caller.start(chance.choice(functions), key=str(number), n=number))
        if chance.random() < 0.05:
            pool.stop(str(chance.randrange(number + 1)))
        if chance.random() < 0.01:
            for zygote in zygotes():
                os.kill(zygote, signal.SIGKILL)
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 0.01)
    for number, future in enumerate(futures):
        answer = await future
        pool.release(answer)
        assert answer.error is not None or json.loads(bytes(answer.result or b""))["n"] == number
    await pool.emptied()
    await pool.close()
    assert sorted(int(answer.key) for answer in caller.answers) == list(range(CALLS))
    assert os.listdir(settings.scratch) == []
    assert zygotes() == []
    assert working_for(str(os.getpid())) == []


def zygotes() -> list[int]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in children if b"zygote" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def working_for(engine: str) -> list[int]:
    """Everything that was forked from a zygote of ``engine``, wherever it has got to."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if b"zygote" in words and engine.encode() in words:
                found.append(int(entry.name))
        except OSError:
            continue
    return found
