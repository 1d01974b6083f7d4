"""A batch system in memory, for tests of whatever submits jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from penstock.core.errors import JobFailed, Refused, Unavailable
from penstock.core.job import ENDED, Job, JobNotice, JobState
from penstock.core.ports import JobSink

Play = Callable[[Job], Awaitable[bytes]]
"""What a job does: returns its answer, or raises ``JobFailed``."""


class Farm:
    """What outlives a ``FakeBatch``: all jobs by name, and the last notice of each."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.notices: dict[str, JobNotice] = {}


class FakeBatch:
    """``core.ports.BatchSystem`` without processes.

    Jobs start at once while cores are free, and in the order of their submission. Without ``play``
    a job runs until the test says how it ends: ``succeed``, ``fail`` or ``evict``.

    Args:
        noticed: Gets each notice.
        play: What jobs do.
        cores: There are.
        farm: Of an earlier ``FakeBatch``, as after a restart.
    """

    def __init__(
        self, noticed: JobSink, *, play: Play | None = None, cores: int = 4, farm: Farm | None = None
    ) -> None:
        self.farm = farm or Farm()
        self._noticed = noticed
        self._play = play
        self._cores = cores
        self._free = cores
        self._waiting: list[str] = []
        self._playing: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    async def submit(self, job: Job) -> str:
        """Queue the job; its name is its id."""
        if self._closed:
            raise Unavailable(f"job {job.name}: the fake is closed")
        if not 0 < job.cores <= self._cores:
            raise Refused(f"job {job.name}: asks for cores={job.cores}; the fake has 1 to {self._cores}")
        if job.name not in self.farm.jobs:
            self.farm.jobs[job.name] = job
            self.farm.notices[job.name] = JobNotice(name=job.name, state=JobState.QUEUED)
            self._waiting.append(job.name)
            self._admit()
        return job.name

    async def cancel(self, name: str) -> None:
        """End the job if it has not ended."""
        self._end(name, JobNotice(name=name, state=JobState.CANCELLED, error="cancelled"))

    async def reconcile(self, names: Sequence[str]) -> dict[str, JobNotice]:
        """Return the last notice of each job that is known."""
        return {name: self.farm.notices[name] for name in names if name in self.farm.notices}

    async def close(self) -> None:
        """Stop all jobs without a notice; the next fake on this farm does not know them."""
        self._closed = True
        for name in self._open():
            task = self._playing.pop(name, None)
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
            del self.farm.jobs[name], self.farm.notices[name]

    def succeed(self, name: str, result: bytes = b"{}") -> None:
        """Let a running job end with this answer."""
        self._end(name, JobNotice(name=name, state=JobState.SUCCEEDED, result=result, exit_code=0))

    def fail(self, name: str, error: str) -> None:
        """Let a running job fail."""
        self._end(name, JobNotice(name=name, state=JobState.FAILED, error=error, exit_code=1))

    def evict(self, name: str) -> None:
        """Take a running job's place away."""
        self._end(name, JobNotice(name=name, state=JobState.EVICTED, error="evicted", exit_code=-9))

    def _open(self) -> list[str]:
        return [name for name, notice in self.farm.notices.items() if notice.state not in ENDED]

    def _admit(self) -> None:
        while self._waiting and self.farm.jobs[self._waiting[0]].cores <= self._free:
            name = self._waiting.pop(0)
            self._free -= self.farm.jobs[name].cores
            self._tell(JobNotice(name=name, state=JobState.RUNNING))
            if self._play is not None:
                self._playing[name] = asyncio.create_task(self._run(name, self._play))

    async def _run(self, name: str, play: Play) -> None:
        job = self.farm.jobs[name]
        try:
            result = await asyncio.wait_for(play(job), job.walltime_s)
        except JobFailed as error:
            self.fail(name, str(error))
        except TimeoutError:
            self.fail(name, f"ran longer than its wall time of {job.walltime_s:g} s")
        else:
            self.succeed(name, result)

    def _end(self, name: str, notice: JobNotice) -> None:
        known = self.farm.notices.get(name)
        if known is None or known.state in ENDED:
            return
        task = self._playing.pop(name, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        if name in self._waiting:
            self._waiting.remove(name)
        else:
            self._free += self.farm.jobs[name].cores
        self._tell(notice)
        self._admit()

    def _tell(self, notice: JobNotice) -> None:
        self.farm.notices[notice.name] = notice
        self._noticed(notice)
