from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.batch.local import LocalQueue
from penstock.batch.records import Records
from penstock.batch.settings import LocalQueueSettings
from penstock.batch.tree import MARK, end_marked
from penstock.batch.wrapper import write_result
from penstock.core.errors import Conflict, Refused, Throttled, Unavailable
from penstock.core.job import Job, JobState
from penstock.testing.batch_suite import Notices, alive

pytestmark = pytest.mark.anyio
Open = Callable[..., LocalQueue]


@pytest.fixture
def noticed() -> Notices:
    return Notices()


@pytest.fixture
async def open_queue(tmp_path: Path, noticed: Notices) -> AsyncIterator[Open]:
    opened: list[LocalQueue] = []

    def open_queue(**settings: Any) -> LocalQueue:
        defaults: dict[str, Any] = {"folder": tmp_path / "queue", "cores": 2, "memory_bytes": 2 << 30}
        opened.append(LocalQueue(LocalQueueSettings(**defaults | settings), noticed))
        return opened[-1]

    yield open_queue
    for queue in opened:
        await queue.close()


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., Job]:
    """A job that runs a shell script, without the wrapper."""

    def shell(name: str, script: str, **wants: Any) -> Job:
        folder = tmp_path / "jobs" / name
        wants = {"argv": ("sh", "-c", script), "folder": str(folder), "log": str(folder / "log"), **wants}
        return Job(name=name, tenant="t", payload=b"{}", **wants)

    return shell


Shell = Callable[..., Job]


async def test_a_program_without_wrapper_is_judged_by_its_exit_code(
    open_queue: Open, noticed: Notices, shell: Shell
) -> None:
    queue = open_queue()
    await queue.submit(shell("good", "echo hello"))
    assert (await noticed.until("good")).state is JobState.SUCCEEDED
    assert Path(shell("good", "").log).read_text() == "hello\n"
    await queue.submit(shell("bad", "exit 3"))
    bad = await noticed.until("bad")
    assert (bad.state, bad.exit_code) == (JobState.FAILED, 3)
    assert "exit code 3" in (bad.error or "")


async def test_a_program_that_cannot_be_started_fails_with_its_name(
    open_queue: Open, noticed: Notices, shell: Shell
) -> None:
    queue = open_queue()
    await queue.submit(shell("gone", "", argv=("/no/such/python", "x")))
    assert "/no/such/python cannot be started" in ((await noticed.until("gone")).error or "")
    await queue.submit(shell("next", "true", cores=2))
    assert (await noticed.until("next")).state is JobState.SUCCEEDED


async def test_killing_the_jobs_first_process_evicts_it_with_all_its_processes(
    open_queue: Open, noticed: Notices, shell: Shell, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    await open_queue().submit(
        shell("victim", f"setsid sh -c 'echo $$ > {pids}; sleep 3600' & echo $$ > {pids}; wait")
    )
    heard = await asyncio.to_thread(lambda: [_one(pids), _one(pids)])
    first = next(pid for pid in heard if os.getsid(pid) == pid and _parent(pid) == os.getpid())
    os.kill(first, signal.SIGKILL)
    notice = await noticed.until("victim", JobState.EVICTED, JobState.FAILED)
    assert notice.state is JobState.EVICTED
    assert not [pid for pid in heard if alive(pid)]


async def test_a_job_that_ignores_the_signal_is_killed_after_the_grace(
    open_queue: Open, noticed: Notices, shell: Shell, tmp_path: Path
) -> None:
    queue = open_queue(kill_grace_s=0.05)
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    await queue.submit(shell("deaf", f"trap '' TERM; echo $$ > {pids}; while :; do sleep 3600; done"))
    pid = await asyncio.to_thread(_one, pids)
    await queue.cancel("deaf")
    assert (await noticed.until("deaf")).state is JobState.CANCELLED
    assert not alive(pid)


async def test_jobs_see_no_variables_of_the_engine_but_those_that_are_named(
    open_queue: Open, noticed: Notices, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    job = shell("env", "env", cores=2)
    await open_queue().submit(job)
    await noticed.until("env")
    log = Path(job.log).read_text()
    assert "s3cret" not in log
    assert "OMP_NUM_THREADS=2\n" in log
    assert f"{MARK}={job.folder}\n" in log


@pytest.mark.parametrize(
    ("wants", "words"),
    [
        ({"cores": 3}, "cores=3"),
        ({"cores": 0}, "cores=0"),
        ({"memory_bytes": 3 << 30}, "memory_bytes"),
        ({"argv": ()}, "needs a name, a program"),
        ({"walltime_s": 0.0}, "walltime_s above 0"),
        ({"folder": "relative"}, "must be absolute"),
    ],
)
async def test_a_job_that_can_never_run_is_refused_with_the_reason(
    open_queue: Open, shell: Shell, wants: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        await open_queue().submit(shell("odd", "true", **wants))


async def test_limits_of_the_queue_itself_are_named(open_queue: Open, shell: Shell) -> None:
    queue = open_queue(queued_max=1, payload_bytes_max=1)
    with pytest.raises(Refused, match="payload_bytes_max is 1"):
        await queue.submit(shell("payload", "true"))
    await queue.close()
    queue = open_queue(queued_max=1)
    await queue.submit(shell("one", "sleep 3600"))
    with pytest.raises(Throttled, match="queued_max"):
        await queue.submit(shell("two", "true"))


async def test_a_folder_belongs_to_one_job(open_queue: Open, noticed: Notices, shell: Shell) -> None:
    queue = open_queue()
    one = shell("one", "true")
    await queue.submit(one)
    await noticed.until("one")
    with pytest.raises(Conflict, match="belongs to job one"):
        await queue.submit(shell("two", "true", folder=one.folder))
    await queue.submit(shell("two", "true"))
    assert (await noticed.until("two")).state is JobState.SUCCEEDED


async def test_a_folder_that_cannot_be_written_is_unavailable_and_can_be_tried_again(
    open_queue: Open, noticed: Notices, shell: Shell, tmp_path: Path
) -> None:
    queue = open_queue()
    (tmp_path / "jobs").write_text("in the way")
    with pytest.raises(Unavailable, match="job late: its folder"):
        await queue.submit(shell("late", "true"))
    (tmp_path / "jobs").unlink()
    await queue.submit(shell("late", "true"))
    assert (await noticed.until("late")).state is JobState.SUCCEEDED


async def test_two_queues_never_use_one_folder(open_queue: Open, noticed: Notices, shell: Shell) -> None:
    first, second = open_queue(), open_queue()
    await first.submit(shell("one", "true"))
    with pytest.raises(Unavailable, match="used by another queue"):
        await second.submit(shell("two", "true"))
    await noticed.until("one")
    await first.close()
    await second.submit(shell("two", "true"))
    assert (await noticed.until("two")).state is JobState.SUCCEEDED


async def test_closing_ends_all_jobs_without_notice_and_the_next_queue_does_not_know_them(
    open_queue: Open, noticed: Notices, shell: Shell, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    queue = open_queue()
    jobs = [shell("running", f"echo $$ > {pids}; sleep 3600", cores=2), shell("queued", "true", cores=2)]
    for job in jobs:
        await queue.submit(job)
    pid = await asyncio.to_thread(_one, pids)
    await queue.close()
    assert not alive(pid)
    assert noticed.states("running") == [JobState.RUNNING]
    assert noticed.states("queued") == []
    with pytest.raises(Unavailable, match="closed"):
        await queue.submit(jobs[1])
    queue = open_queue()
    assert await queue.reconcile(["running", "queued"]) == {}
    await queue.submit(jobs[1])
    assert (await noticed.until("queued")).state is JobState.SUCCEEDED


async def test_a_job_that_ended_while_no_queue_was_there_is_told_once(
    open_queue: Open, noticed: Notices, shell: Shell, tmp_path: Path
) -> None:
    job = shell("over", "exit 1")
    _left_by_a_crash(tmp_path, job)
    report: dict[str, Any] = {
        "error": None,
        "retryable": True,
        "exit_code": 0,
        "started_ns": 1,
        "ended_ns": 2,
        "files": [],
    }
    write_result(job.folder, report, b'{"n":1}')
    queue = open_queue()
    await queue.submit(job)
    await queue.submit(job)
    known = await queue.reconcile(["over"])
    assert noticed.states("over") == [JobState.SUCCEEDED]
    assert json.loads(known["over"].result or b"") == {"n": 1}


async def test_a_survivor_of_a_crash_is_ended_and_its_job_unknown(
    open_queue: Open, shell: Shell, tmp_path: Path
) -> None:
    job = shell("survivor", "true")
    _left_by_a_crash(tmp_path, job)
    environment = {**os.environ, MARK: job.folder}
    with subprocess.Popen(["sleep", "3600"], env=environment, start_new_session=True) as survivor:
        assert await open_queue().reconcile(["survivor"]) == {}
        assert survivor.wait(10) == -signal.SIGKILL


async def test_a_removed_job_folder_is_forgotten_at_the_next_start(
    open_queue: Open, noticed: Notices, shell: Shell, tmp_path: Path
) -> None:
    queue = open_queue()
    job = shell("old", "true")
    await queue.submit(job)
    await noticed.until("old")
    await queue.close()
    for path in Path(job.folder).iterdir():
        path.unlink()
    Path(job.folder).rmdir()
    assert await open_queue().reconcile(["old"]) == {}
    assert not list((tmp_path / "queue" / "ended").iterdir())


@pytest.mark.parametrize("name", ["a/b/-1/1", "ü ß\n", ".", "..", "x" * 300, "%2F"])
async def test_any_name_is_a_name(
    open_queue: Open, noticed: Notices, shell: Shell, name: str, tmp_path: Path
) -> None:
    queue = open_queue()
    await queue.submit(shell(name, "true", folder=str(tmp_path / "own"), log=str(tmp_path / "log")))
    assert (await noticed.until(name)).state is JobState.SUCCEEDED
    assert list(await queue.reconcile([name, "b"])) == [name]


async def test_a_killed_engine_takes_its_jobs_with_it(
    open_queue: Open, noticed: Notices, shell: Shell, tmp_path: Path
) -> None:
    engine = """
import asyncio, pathlib, sys
from penstock.batch.command import job_argv
from penstock.batch.local import LocalQueue
from penstock.batch.settings import LocalQueueSettings
from penstock.core.function import Function
from penstock.core.job import Job
import penstock
async def main(folder):
    queue = LocalQueue(LocalQueueSettings(folder=folder / "queue"), print)
    function = Function(tenant="t", name="t/f", version=1, code=str(folder), entry="f.py:go")
    argv = job_argv(function, pathlib.Path(penstock.__file__).parent)
    job = str(folder / "jobs" / "held")
    await queue.submit(Job(name="held", tenant="t", argv=argv, payload=b"{}", folder=job, log=job + "/log"))
    await asyncio.Event().wait()
asyncio.run(main(pathlib.Path(sys.argv[1])))
"""
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    (tmp_path / "f.py").write_text(
        "import os, time\n"
        "def go(call):\n"
        "    if os.fork() == 0: os.setsid()\n"
        f"    with open({str(pids)!r}, 'w') as said: said.write(f'{{os.getpid()}}\\n')\n"
        "    time.sleep(3600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", engine, str(tmp_path)], stdout=subprocess.DEVNULL
    ) as process:
        heard = await asyncio.to_thread(lambda: [_one(pids), _one(pids)])
        watched = [os.pidfd_open(pid) for pid in heard]
        process.kill()
    for descriptor in watched:
        assert select.select([descriptor], [], [], 20)[0]
        os.close(descriptor)
    queue = open_queue()
    assert await queue.reconcile(["held"]) == {}
    await queue.submit(shell("held", "true"))
    assert (await noticed.until("held")).state is JobState.SUCCEEDED


async def test_an_idle_queue_leaves_nothing_for_the_loop_to_wake_up_for(
    open_queue: Open, noticed: Notices, shell: Shell
) -> None:
    await open_queue().submit(shell("one", "true", walltime_s=1000.0))
    await noticed.until("one")
    await asyncio.sleep(0)
    loop: Any = asyncio.get_running_loop()
    assert not [timer for timer in loop._scheduled if not timer.cancelled()]
    assert not [task for task in asyncio.all_tasks() if "LocalQueue" in repr(task)]


def test_ending_marked_processes_spares_all_others() -> None:
    with (
        subprocess.Popen(["sleep", "3600"], env={**os.environ, MARK: "/a"}, start_new_session=True) as ours,
        subprocess.Popen(
            ["sleep", "3600"], env={**os.environ, MARK: "/a/b"}, start_new_session=True
        ) as other,
    ):
        assert end_marked({"/a"}) == 1
        assert ours.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()
    assert end_marked({"/a"}) == 0


def _left_by_a_crash(tmp_path: Path, job: Job) -> None:
    records = Records(tmp_path / "queue")
    records.open()
    assert records.add(job) is None
    records.close()


def _one(fifo: Path) -> int:
    """Read one line; each writer opens the pipe for itself, and may come before we open it again."""
    descriptor = os.open(fifo, os.O_RDWR)
    try:
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(descriptor, 1)
        return int(line)
    finally:
        # What another writer has written already must not be lost with the pipe.
        _keep.append(descriptor)


_keep: list[int] = []


@pytest.fixture(autouse=True)
def _pipes_are_closed() -> Any:
    yield
    while _keep:
        os.close(_keep.pop())


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
