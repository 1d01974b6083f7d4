"""What every batch system must do: subclass ``BatchSystemSuite`` in your tests and say how yours is made.

::

    class TestMySystem(BatchSystemSuite):
        def open(self, noticed):
            return MySystem(MySettings(folder=self.folder / "queue"), noticed)

The jobs run ``PROBE`` through Penstock's job wrapper. They talk with the test through two named pipes
in the job's folder, so that nothing waits by the clock: a job says ``ready PID`` into ``said`` and
goes on when something comes through ``gate``. The test needs pytest with anyio, and Linux.
"""

# ruff: noqa: D102, ARG002, ASYNC240 - a suite of tests; their names say what they are about

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.batch.command import job_argv
from penstock.core.errors import Refused
from penstock.core.function import Function
from penstock.core.job import ENDED, Job, JobNotice, JobState
from penstock.core.ports import BatchSystem, JobSink

PROBE = """
import os, time

def say(call, word):
    with open(os.path.join(call["pipes"], "said"), "w") as said:
        said.write(f"{word} {os.getpid()}\\n")

def wait(call):
    with open(os.path.join(call["pipes"], "gate")) as gate:
        gate.read(1)

def echo(call):
    return {"got": call["params"], "write": call["write"]["path"]}

def talk(call):
    print("zwölf Böhsen", call["params"], flush=True)

def fail(call):
    raise ValueError("the beam was off")

def hold(call):
    say(call, "ready")
    wait(call)
    return {"held": True}

def large(call):
    return {"text": "x" * call["params"]["bytes"], "got": len(call["params"].get("payload", ""))}

def write(call):
    with open(os.path.join(call["write"]["path"], "out put.txt"), "w") as file:
        file.write("42")

def litter(call):
    ready, told = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            say(call, "left")
            os.write(told, b".")
            time.sleep(3600)
        os._exit(0)
    os.read(ready, 1)
    if call["params"].get("hold"):
        hold(call)
    if call["params"].get("fail"):
        fail(call)
    return {}
"""


class Notices:
    """Collects notices and lets a test wait for them."""

    def __init__(self) -> None:
        self.all: list[JobNotice] = []
        self._came = asyncio.Event()

    def __call__(self, notice: JobNotice) -> None:
        """Take a notice."""
        self.all.append(notice)
        self._came.set()

    def of(self, name: str) -> list[JobNotice]:
        """Return the notices of one job, in their order."""
        return [notice for notice in self.all if notice.name == name]

    def states(self, name: str) -> list[JobState]:
        """Return the states of one job, in their order."""
        return [notice.state for notice in self.of(name)]

    async def until(self, name: str, *states: JobState) -> JobNotice:
        """Return the first notice of the job with one of these states (any last one if none is named)."""
        while True:
            for notice in self.of(name):
                if notice.state in (states or ENDED):
                    return notice
            self._came.clear()
            await asyncio.wait_for(self._came.wait(), 30)


class Pipes:
    """The two named pipes between a test and its job. Open at both ends here, so neither side blocks."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._heard = b""
        for name in ("said", "gate"):
            os.mkfifo(folder / name)
        self._said = os.open(folder / "said", os.O_RDWR | os.O_NONBLOCK)
        self._gate = os.open(folder / "gate", os.O_RDWR | os.O_NONBLOCK)

    async def hear(self) -> int:
        """Wait for the job's next word and return the id of the process that said it."""
        while b"\n" not in self._heard:
            await asyncio.wait_for(self._more(), 30)
        line, _, self._heard = self._heard.partition(b"\n")
        return int(line.split()[1])

    async def _more(self) -> None:
        readable = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._said, readable.set)
        try:
            await readable.wait()
        finally:
            asyncio.get_running_loop().remove_reader(self._said)
        self._heard += os.read(self._said, 1000)

    def release(self) -> None:
        """Let the job go on."""
        os.write(self._gate, b".")

    def close(self) -> None:
        """Let go of the pipes."""
        os.close(self._said)
        os.close(self._gate)


@pytest.mark.anyio
class BatchSystemSuite:
    """Behaviour of a batch system with at least four cores.

    Attributes:
        folder: An empty folder that the jobs can see, with a space and other odd characters in it.
        noticed: The notices of the current system.
        system: The system under test.
        walltime_s: The shortest that the system can keep, in seconds.
    """

    folder: Path
    noticed: Notices
    system: BatchSystem
    walltime_s = 0.3

    def open(self, noticed: JobSink) -> BatchSystem:
        """Return a new system; a second call, after ``close``, returns it as after a restart."""
        raise NotImplementedError

    async def evict(self, name: str, pid: int) -> None:
        """Take the place of the running job away; ``pid`` is the function's process."""
        os.kill(pid, signal.SIGKILL)

    def sdk(self) -> Path:
        """Return the folder of the ``penstock`` package, as the jobs see it."""
        return Path(penstock.__file__).parent

    @pytest.fixture(autouse=True)
    async def _system(self, tmp_path: Path) -> AsyncIterator[None]:
        self.folder = tmp_path / "söme folder 'quoted'"
        (self.folder / "code").mkdir(parents=True)
        (self.folder / "code" / "probe.py").write_text(PROBE)
        self.noticed = Notices()
        self.system = self.open(self.noticed)
        self._pipes: list[Pipes] = []
        yield
        await self.system.close()
        for pipes in self._pipes:
            pipes.close()

    async def restart(self) -> None:
        """Close the system and open it again, with new notices."""
        await self.system.close()
        self.noticed = Notices()
        self.system = self.open(self.noticed)

    def job(self, name: str, does: str, params: dict[str, Any] | None = None, **wants: Any) -> Job:
        """Return a job that runs one function of ``PROBE``."""
        folder = self.folder / "jobs" / name.replace("/", "_")
        pipes = str(folder.with_suffix(".pipes"))
        function = Function(
            tenant="t", name="t/probe", version=1, code=str(self.folder / "code"), entry=f"probe.py:{does}"
        )
        wants.setdefault("memory_bytes", 256 << 20)
        return Job(
            name=name,
            tenant="t",
            argv=job_argv(function, self.sdk()),
            payload=json.dumps({"params": params or {}, "pipes": pipes, "does": does}).encode(),
            folder=str(folder),
            log=str(folder / "job.log"),
            **wants,
        )

    def pipes(self, job: Job) -> Pipes:
        """Make the job's pipes."""
        pipes = Pipes(Path(json.loads(job.payload)["pipes"]))
        self._pipes.append(pipes)
        return pipes

    async def run(self, job: Job) -> JobNotice:
        """Submit the job and return its last notice."""
        await self.system.submit(job)
        return await self.noticed.until(job.name)

    async def test_a_job_is_noticed_running_then_succeeded_once_each_with_its_answer(self) -> None:
        notice = await self.run(self.job("run/step/-1/1", "echo", {"a": [1, "ü"]}))
        assert json.loads(notice.result or b"")["got"] == {"a": [1, "ü"]}
        assert (notice.error, notice.exit_code) == (None, 0)
        await self.run(self.job("later", "echo"))
        assert self.noticed.states("run/step/-1/1") == [JobState.RUNNING, JobState.SUCCEEDED]

    async def test_a_failure_is_told_in_the_functions_own_words(self) -> None:
        notice = await self.run(self.job("bad", "fail"))
        assert notice.state is JobState.FAILED
        assert "the beam was off" in (notice.error or "")
        assert notice.result is None
        assert notice.exit_code not in (0, None)

    async def test_a_name_submitted_again_makes_no_second_job(self) -> None:
        job = self.job("twice", "hold")
        pipes = self.pipes(job)
        ids = {await self.system.submit(job), await self.system.submit(job)}
        await pipes.hear()
        ids.add(await self.system.submit(job))
        pipes.release()
        await self.noticed.until("twice", *ENDED)
        ids.add(await self.system.submit(job))
        await self.run(self.job("later", "echo"))
        assert len(ids) == 1
        assert self.noticed.states("twice") == [JobState.RUNNING, JobState.SUCCEEDED]

    async def test_a_name_submitted_at_the_same_time_makes_one_job(self) -> None:
        job = self.job("same", "echo")
        await asyncio.gather(*(self.system.submit(job) for _ in range(8)))
        await self.noticed.until("same")
        await self.run(self.job("later", "echo"))
        assert self.noticed.states("same") == [JobState.RUNNING, JobState.SUCCEEDED]

    async def test_a_queued_job_can_be_cancelled_and_never_starts(self) -> None:
        first, second = self.job("first", "hold", cores=4), self.job("second", "echo", cores=4)
        pipes = self.pipes(first)
        await self.system.submit(first)
        await pipes.hear()
        await self.system.submit(second)
        await self.system.cancel("second")
        await self.noticed.until("second")
        pipes.release()
        await self.noticed.until("first")
        await self.run(self.job("later", "echo", cores=4))
        assert self.noticed.states("second") == [JobState.CANCELLED]

    async def test_a_running_job_can_be_cancelled_with_all_its_processes(self) -> None:
        job = self.job("running", "litter", {"hold": True})
        pipes = self.pipes(job)
        await self.system.submit(job)
        pids = [await pipes.hear(), await pipes.hear()]
        await self.system.cancel("running")
        notice = await self.noticed.until("running", *ENDED)
        assert notice.state is JobState.CANCELLED
        assert not [pid for pid in pids if alive(pid)]

    async def test_cancelling_what_is_unknown_or_has_ended_changes_nothing(self) -> None:
        await self.run(self.job("done", "echo"))
        await self.system.cancel("done")
        await self.system.cancel("never heard of")
        await self.run(self.job("later", "echo"))
        assert self.noticed.states("done") == [JobState.RUNNING, JobState.SUCCEEDED]

    async def test_the_wall_time_ends_a_job_with_words(self) -> None:
        job = self.job("long", "hold", walltime_s=self.walltime_s)
        self.pipes(job)
        notice = await self.run(job)
        assert notice.state is JobState.FAILED
        assert "wall time" in (notice.error or "")

    async def test_a_job_that_can_never_run_here_is_refused(self) -> None:
        with pytest.raises(Refused, match="cores"):
            await self.system.submit(self.job("huge", "echo", cores=1_000_000))
        assert await self.system.reconcile(["huge"]) == {}

    async def test_a_job_whose_process_is_killed_is_evicted(self) -> None:
        job = self.job("victim", "hold")
        pipes = self.pipes(job)
        await self.system.submit(job)
        await self.evict("victim", await pipes.hear())
        await self.noticed.until("victim", *ENDED)
        assert self.noticed.states("victim") == [JobState.RUNNING, JobState.EVICTED]

    @pytest.mark.parametrize("params", [{}, {"fail": True}], ids=["succeeded", "failed"])
    async def test_nothing_that_a_job_started_outlives_it(self, params: dict[str, Any]) -> None:
        job = self.job("litter", "litter", params)
        pipes = self.pipes(job)
        await self.system.submit(job)
        pid = await pipes.hear()
        await self.noticed.until("litter", *ENDED)
        assert not alive(pid)

    async def test_reconcile_tells_what_is_known_and_leaves_out_what_is_not(self) -> None:
        await self.run(self.job("ended", "echo", {"n": 1}))
        job = self.job("open", "hold")
        pipes = self.pipes(job)
        await self.system.submit(job)
        await pipes.hear()
        known = await self.system.reconcile(["ended", "open", "unknown"])
        assert {name: notice.state for name, notice in known.items()} == {
            "ended": JobState.SUCCEEDED,
            "open": JobState.RUNNING,
        }
        assert json.loads(known["ended"].result or b"")["got"] == {"n": 1}
        pipes.release()

    async def test_after_a_restart_an_ended_job_is_known_and_not_run_again(self) -> None:
        job = self.job("kept", "echo", {"n": 2})
        await self.run(job)
        await self.restart()
        known = await self.system.reconcile(["kept", "unknown"])
        assert list(known) == ["kept"]
        assert json.loads(known["kept"].result or b"")["got"] == {"n": 2}
        await self.system.submit(job)
        await self.run(self.job("later", "echo"))
        assert JobState.RUNNING not in self.noticed.states("kept")

    async def test_fifty_jobs_at_once_all_end_well(self) -> None:
        jobs = [self.job(f"many/{number}", "echo", {"n": number}) for number in range(50)]
        await asyncio.gather(*(self.system.submit(job) for job in jobs))
        for number, job in enumerate(jobs):
            notice = await self.noticed.until(job.name)
            assert json.loads(notice.result or b"")["got"] == {"n": number}
            assert self.noticed.states(job.name) == [JobState.RUNNING, JobState.SUCCEEDED]

    async def test_five_megabytes_go_in_and_come_out(self) -> None:
        size = 5_000_000
        notice = await self.run(self.job("large", "large", {"bytes": size, "payload": "y" * size}))
        answer = json.loads(notice.result or b"{}")
        assert (len(answer["text"]), answer["got"]) == (size, size)

    async def test_what_a_job_prints_is_in_its_log(self) -> None:
        job = self.job("talk", "talk", {"n": 7})
        await self.run(job)
        assert "zwölf Böhsen {'n': 7}" in Path(job.log).read_text()

    async def test_what_a_job_writes_is_in_its_scratch_folder(self) -> None:
        job = self.job("write", "write")
        await self.run(job)
        assert Path(job.folder, "scratch", "out put.txt").read_text() == "42"


def alive(pid: int) -> bool:
    """Tell whether a process of this id is there and has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
