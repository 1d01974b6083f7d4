"""Runs with a fork, a map, a job and a join under SIGKILL: each ends once, with each of its outputs once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from penstock.core import lifecycle
from penstock.core.errors import PenstockError
from penstock.core.lifecycle import JobMove, RunEnd, StepEnd, data_of
from penstock.core.rows import AttemptRow, DeadLetter
from penstock.log.reader import Reader
from penstock.testing.installation import Installation
from tests.faults.boundaries import BOUNDARIES
from tests.journeys.seeing import processes, rows, runs, until

HERE = Path(__file__).parent
FILES = 20
STEPS = {"cut": 1, "piece": 6, "left": 1, "heavy": 1, "join": 1}
pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]


def text_of(number: int) -> str:
    """Return a file's content, six characters."""
    return f"f{number:03}xy"


def write(installation: Installation, first: int, count: int) -> None:
    """Write files."""
    for number in range(first, first + count):
        (installation.files / f"{number}.raw").write_text(text_of(number))


async def check(installation: Installation) -> None:
    """Assert that each run succeeded once, with each output once, and that nothing is left."""
    found = await runs(installation, FILES, within_s=100)
    failed = [row.error for row in found if row.phase != "succeeded"]
    assert not failed, "\n".join(failed)
    assert len({row.subject for row in found}) == FILES
    assert rows(installation, DeadLetter) == []
    await _check_outputs(installation)
    assert {row.phase for row in rows(installation, AttemptRow)} == {"succeeded"}
    status = await installation.ask("status")
    assert (status["runs"], status["in_flight"]) == ({"active": 0, "waiting": 0}, 0)
    assert installation.stop() == 0, installation.said()
    _check_log(installation)
    await until(lambda: not processes(installation), installation)
    jobs = installation.places.state / "jobs"
    assert [path.name for path in jobs.glob("*")] == [], "a job's folder was left behind"
    attempts = installation.files / ".penstock" / "attempts"
    assert not attempts.exists() or not any(attempts.iterdir()), "an attempt was left behind"


async def _check_outputs(installation: Installation) -> None:
    derived = installation.files / "derived"
    wanted = {}
    for number in range(FILES):
        text, total = text_of(number), sum(map(ord, text_of(number)))
        wanted[f"{number}.cut"] = text.upper()
        wanted[f"{number}.left"] = f"{text}<"
        wanted[f"{number}.heavy"] = f"{text}>"
        wanted[f"{number}.join"] = f"{total} {number}.heavy,{number}.left"
    assert {path.name: path.read_text() for path in derived.iterdir()} == wanted


def _check_log(installation: Installation) -> None:
    ended: Counter[str] = Counter()
    steps: Counter[tuple[str, str, int]] = Counter()
    jobs: Counter[str] = Counter()
    for record in Reader(installation.places.state / "log" / "0").read(0):
        event = record.event
        if event.type in lifecycle.ENDED_TYPE.values():
            ended[data_of(event, RunEnd).run] += 1
        if event.type == lifecycle.STEP_SUCCEEDED:
            end = data_of(event, StepEnd)
            steps[end.run, end.step, end.item] += 1
        if event.type == lifecycle.JOB_FINISHED:
            jobs[data_of(event, JobMove).job] += 1
    assert (len(ended), set(ended.values())) == (FILES, {1}), "a run ended twice"
    assert [key for key, count in steps.items() if count > 1] == [], "a step was told twice"
    assert Counter(step for _, step, _ in steps) == {name: FILES * count for name, count in STEPS.items()}
    assert len(jobs) == FILES, "a job was doubled"


@pytest.mark.parametrize("seed", [1, 2])
async def test_each_run_ends_once_however_often_the_engine_is_killed(tmp_path: Path, seed: int) -> None:
    installation, chance = Installation(tmp_path), random.Random(seed)
    installation.start()
    try:
        await installation.deploy(HERE / "runs.py")
        write(installation, 0, FILES // 2)
        for number in range(10):
            if number == 3:
                write(installation, FILES // 2, FILES // 2)
            await asyncio.sleep(chance.random() * 0.7)
            installation.kill()
            installation.start()
            await installation.ask("status")
        await check(installation)
    finally:
        installation.kill()


@pytest.mark.parametrize("boundary", sorted(BOUNDARIES))
async def test_a_kill_at_a_boundary_doubles_no_part_of_a_run(tmp_path: Path, boundary: str) -> None:
    installation = Installation(tmp_path)
    installation.start()
    try:
        await installation.deploy(HERE / "runs.py")
        assert installation.stop() == 0, installation.said()
        command = [sys.executable, str(HERE / "boundaries.py"), str(tmp_path), boundary, "12"]
        with open(tmp_path / "engine.log", "ab") as log:
            installation.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ})
        with contextlib.suppress(PenstockError):
            await installation.ask("status")
        number = 0
        while installation.process.poll() is None and number < FILES:
            write(installation, number, 1)
            number += 1
            await asyncio.sleep(0.1)
        assert installation.process.wait(timeout=30) == -9, installation.said()
        write(installation, number, FILES - number)
        installation.start()
        await check(installation)
    finally:
        installation.kill()
