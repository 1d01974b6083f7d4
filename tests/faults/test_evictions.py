"""What is killed from outside is no try of the user's: it is called again, and published once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from penstock.core import lifecycle
from penstock.core.lifecycle import StepEnd, data_of
from penstock.core.rows import AttemptRow
from penstock.log.reader import Reader
from penstock.testing.installation import Installation
from tests.journeys.seeing import deploy, rows, runs, until

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(120)]

FUNCTION = """
import os, signal, time
from pathlib import Path
from penstock import Call, batch, function

@function(on="*.raw", outputs="{root}/derived/{stem}.txt"BATCH)
def work(call: Call):
    attempt = call["run"]["attempt"]
    print(f"begun {attempt}", flush=True)
    gate = call.input.with_name(f"go-{attempt}")
    while not gate.exists():
        time.sleep(0.02)
    call.output("out").write_text(f"of attempt {attempt}")
    return {"attempt": attempt}

@function(on="*.suicide")
def end_itself(call: Call):
    print("begun", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def said(home: Path, what: str) -> bool:
    """Whether a function has printed a line."""
    return any(what in path.read_text().splitlines() for path in home.rglob("*.log"))


def started(pid: int, by: str = "") -> list[int]:
    """Return the processes that one has started, those that run ``by``."""
    found = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for each in found if by in Path(f"/proc/{each}/cmdline").read_text()]


def victims(installation: Installation, program: str) -> list[int]:
    """Return the keepers of batch jobs, or the warm workers."""
    assert installation.process is not None
    found = started(installation.process.pid, program)
    return found if program == "wrapper.py" else [worker for pid in found for worker in started(pid)]


def attempts(installation: Installation) -> dict[int, str]:
    """Return how each attempt ended."""
    return {row.attempt: row.phase for row in rows(installation, AttemptRow)}


@pytest.mark.parametrize("batch", ["", ", batch=batch()"], ids=["worker", "job"])
async def test_a_call_whose_process_is_killed_is_made_again_and_published_once(
    tmp_path: Path, batch: str
) -> None:
    installation = Installation(tmp_path)
    installation.start()
    try:
        await deploy(installation, FUNCTION.replace("BATCH", batch))
        (installation.files / "a.raw").write_text("x")
        await until(lambda: said(tmp_path, "begun 1"), installation)
        for pid in victims(installation, "wrapper.py" if batch else "zygote"):
            os.kill(pid, signal.SIGKILL)
        await until(lambda: said(tmp_path, "begun 2"), installation)
        # What was decided is on the log: another life of the engine goes on with the second attempt.
        installation.kill()
        installation.start()
        (installation.files / "go-2").touch()
        (run,) = await runs(installation, 1)
        assert (run.phase, run.error) == ("succeeded", "")
        published = {path.name: path.read_text() for path in (installation.files / "derived").iterdir()}
        assert published == {"a.txt": "of attempt 2"}
        assert attempts(installation) == {1: "evicted", 2: "succeeded"}
    finally:
        installation.kill()


async def test_a_function_that_kills_its_own_worker_each_time_fails_in_the_end(tmp_path: Path) -> None:
    # In a process namespace of its own it could not; and without nobody can tell who did it.
    installation = Installation(tmp_path, {"PENSTOCK_CONFINE_WITHOUT": "namespaces"})
    installation.start()
    try:
        await deploy(installation, FUNCTION.replace("BATCH", ""))
        (installation.files / "a.suicide").write_text("x")
        (run,) = await runs(installation, 1)
        assert run.phase == "failed"
        assert "number 4; 3 are forgiven" in run.error
        assert attempts(installation) == dict.fromkeys((1, 2, 3, 4), "evicted")
        told = [record.event for record in Reader(installation.places.state / "log" / "0").read(0)]
        failed = [data_of(event, StepEnd) for event in told if event.type == lifecycle.STEP_FAILED]
        assert [end.evicted for end in failed] == [True] * 4
    finally:
        installation.kill()


async def test_in_its_own_namespace_a_function_cannot_kill_its_worker(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    installation.start()
    try:
        await deploy(installation, FUNCTION.replace("BATCH", ""))
        (installation.files / "a.suicide").write_text("x")
        (run,) = await runs(installation, 1)
        assert (run.phase, attempts(installation)) == ("succeeded", {1: "succeeded"})
    finally:
        installation.kill()
