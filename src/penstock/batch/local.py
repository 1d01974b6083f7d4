"""The local queue: batch jobs on this machine, a few at a time.

Each job is one process, the wrapper, which keeps and ends everything below it. Its end is seen on
its pidfd by the event loop; nothing is polled, and an idle queue never wakes up.

If the engine dies, the kernel tells the wrappers, and they end their jobs. What survives even that is
ended when the next queue opens the folder: publication is fenced, so a survivor could only waste
cores. A job that left a result is known to have ended; any other is unknown afterwards.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os.path import isabs
from typing import Any, TypeVar

from penstock.batch.admission import Admission
from penstock.batch.ending import Ending, notice_of, recover
from penstock.batch.process import JobProcess
from penstock.batch.records import JobRecord, Records
from penstock.batch.settings import LocalQueueSettings
from penstock.core.errors import Refused, Throttled, Unavailable
from penstock.core.job import Job, JobNotice, JobState
from penstock.core.ports import JobSink

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Live:
    """A job that has not ended.

    Attributes:
        job: What was submitted.
        recorded: Is done when its name is taken on disk.
        process: Once it runs.
        verdict: Once we decided that it must end: its last state, and why.
    """

    job: Job
    recorded: asyncio.Task[None] = field(init=False)
    process: JobProcess | None = None
    verdict: tuple[JobState, str] | None = None


class LocalQueue:
    """A ``BatchSystem`` on this machine.

    Create and use it in the thread of one event loop: the kernel ends the jobs with that thread.
    Notices of a job come in the order running, ended; the first may come before ``submit`` returns;
    a job that never started only ends. The jobs of a closed queue end without a notice and are
    unknown to the next one.

    Args:
        settings: Limits and the queue's folder.
        noticed: Is called with every notice, from the event loop's thread.
    """

    def __init__(self, settings: LocalQueueSettings, noticed: JobSink) -> None:
        self._settings = settings
        self._noticed = noticed
        self._records = Records(settings.folder)
        self._admission = Admission(
            settings.cores,
            settings.memory_bytes,
            overtakes_max=settings.overtakes_max,
            lookahead_max=settings.lookahead_max,
        )
        self._live: dict[str, _Live] = {}
        self._told: OrderedDict[str, None] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._disk = ThreadPoolExecutor(1, "batch-disk")
        self._opened: asyncio.Task[None] | None = None
        self._closing = False

    async def submit(self, job: Job) -> str:
        """Queue the job and return its id here, which is its name.

        A name that is queued, running or ended makes no second job. If it ended before this queue
        object was made, and this one has not told so yet, its end is noticed once more: whoever
        submits it has not heard.

        Raises:
            Refused: It asks for more than there is, or its folder is another job's.
            Unavailable: The queue is full or closed, its folder is in use, or the disk is full.
        """
        self._check(job)
        await self._open()
        live = self._live.get(job.name)
        if live is None:
            if len(self._live) >= self._settings.queued_max:
                raise Throttled(f"the local queue holds {len(self._live)} jobs, the most it may (queued_max)")
            live = self._live[job.name] = _Live(job)
            live.recorded = self._start(self._take(live))
        await asyncio.shield(live.recorded)
        return job.name

    async def cancel(self, name: str) -> None:
        """End the job if it has not ended; its notice follows. Unknown names are ignored."""
        live = self._live.get(name)
        if live is not None:
            self._end(live, JobState.CANCELLED, "cancelled")

    async def reconcile(self, names: Sequence[str]) -> dict[str, JobNotice]:
        """Return what is known of these jobs; unknown and lost ones are absent.

        Raises:
            Unavailable: The queue's folder is in use by another queue.
        """
        await self._open()
        known = await self._on_disk(self._ended, [name for name in names if name not in self._live])
        for name in known:
            self._remember_told(name)
        for live in (self._live[name] for name in names if name in self._live):
            state = JobState.QUEUED if live.process is None else JobState.RUNNING
            known[live.job.name] = JobNotice(name=live.job.name, state=state)
        return known

    async def close(self) -> None:
        """End all jobs, with all their processes, and let go of the folder."""
        self._closing = True
        for live in list(self._live.values()):
            if live.process is not None:
                self._end(live, JobState.EVICTED, "the queue was closed")
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._live.clear()
        if self._opened is not None:
            await self._on_disk(self._records.close)
            self._opened = None
        self._disk.shutdown()

    def _check(self, job: Job) -> None:
        settings = self._settings
        if self._closing:
            raise Unavailable(f"job {job.name}: the local queue is closed")
        for what, wanted, most in (
            ("cores", job.cores, settings.cores),
            ("memory_bytes", job.memory_bytes, settings.memory_bytes),
        ):
            if not 0 < wanted <= most:
                raise Refused(f"job {job.name}: asks for {what}={wanted}; the local queue gives 1 to {most}")
        if len(job.payload) > settings.payload_bytes_max:
            most = settings.payload_bytes_max
            raise Refused(f"job {job.name}: payload of {len(job.payload)} bytes; payload_bytes_max is {most}")
        if not job.name or not job.argv or not job.walltime_s > 0:
            raise Refused(f"job {job.name!r}: needs a name, a program in argv and a walltime_s above 0")
        if not (isabs(job.folder) and isabs(job.log)):
            raise Refused(f"job {job.name}: folder and log must be absolute, not {job.folder!r}, {job.log!r}")

    async def _take(self, live: _Live) -> None:
        job = live.job
        try:
            ended = await self._on_disk(self._records.add, job)
            told = job.name in self._told
            notice = None if ended is None or told else await self._on_disk(notice_of, ended)
        except OSError as error:
            del self._live[job.name]
            message = f"job {job.name}: its folder {job.folder} cannot be written: {error.strerror}"
            raise Unavailable(message) from error
        except BaseException:
            del self._live[job.name]
            raise
        if ended is not None:
            del self._live[job.name]
            self._tell(notice)
        elif live.verdict is not None:
            self._start(self._finish(live, None))
        else:
            self._admission.wait(job.name, job.cores, job.memory_bytes)
            self._admit()

    def _admit(self) -> None:
        while not self._closing and (name := self._admission.admit()) is not None:
            self._launch(self._live[name])

    def _launch(self, live: _Live) -> None:
        # In the loop's thread and not in the disk's: the kernel ends a job with the thread that started it.
        try:
            live.process = JobProcess(live.job, self._settings)
        except OSError as error:
            words = f"{live.job.argv[0]} cannot be started: {error.strerror}"
            live.verdict = (JobState.FAILED, words)
            self._start(self._finish(live, None))
        else:
            self._noticed(JobNotice(name=live.job.name, state=JobState.RUNNING))
            self._start(self._follow(live, live.process))

    async def _follow(self, live: _Live, process: JobProcess) -> None:
        walltime_s = live.job.walltime_s
        words = f"ran longer than its wall time of {walltime_s:g} s; ask for more with walltime_s"
        timer = asyncio.get_running_loop().call_later(walltime_s, self._end, live, JobState.FAILED, words)
        try:
            returncode = await process.ended()
        finally:
            timer.cancel()
        await self._finish(live, returncode)

    async def _finish(self, live: _Live, returncode: int | None) -> None:
        """Write down how the job ended, give back its share, and tell."""
        ending = Ending(live.job, returncode, live.verdict, told=not self._closing)
        notice = await self._on_disk(ending.conclude, self._records)
        del self._live[live.job.name]
        self._admission.leave(live.job.name)
        try:
            self._tell(notice)
        finally:
            self._admit()

    def _end(self, live: _Live, state: JobState, words: str) -> None:
        """End a live job; the first verdict stands."""
        if live.verdict is not None:
            return
        live.verdict = (state, words)
        if live.process is not None:
            self._start(live.process.end(self._settings.kill_grace_s))
        elif live.recorded.done():
            self._admission.leave(live.job.name)
            self._start(self._finish(live, None))

    def _tell(self, notice: JobNotice | None) -> None:
        if notice is not None and not self._closing:
            self._remember_told(notice.name)
            self._noticed(notice)

    def _remember_told(self, name: str) -> None:
        self._told[name] = None
        if len(self._told) > self._settings.told_max:
            self._told.popitem(last=False)

    def _ended(self, names: Sequence[str]) -> dict[str, JobNotice]:
        records: list[JobRecord | None] = [self._records.ended(name) for name in names]
        return {record.name: notice_of(record) for record in records if record is not None}

    async def _open(self) -> None:
        """Take the folder and clear up after the last queue, once."""
        opened = self._opened
        if opened is None or (opened.done() and opened.exception() is not None):
            opened = self._opened = self._start(self._on_disk(recover, self._records))
        await asyncio.shield(opened)

    async def _on_disk(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *arguments)

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
