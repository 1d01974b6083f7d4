"""Batch jobs made of calls, and what they left behind read back."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

import msgspec

from penstock.batch.command import job_argv
from penstock.batch.result import read_result
from penstock.core.errors import JobFailed, NotFound
from penstock.core.function import Function
from penstock.core.job import ENDED, Job, JobNotice, JobState
from penstock.core.policy import LOCAL_TENANT
from penstock.core.workflow import Batch, Step
from penstock.functions import scratch, supervise

PACKAGE = Path(__file__).resolve().parent.parent
CONFINE = "penstock.functions.confine"
WATCH = "penstock.functions.supervise"


class Jobs:
    """Makes jobs in folders below ``folder`` and completes their notices.

    Args:
        folder: Each job gets a folder of its own in it.
        logs: Folder for what jobs print.
        read: Folders that functions may read.
        told: Called with completed notices.
        durable: Returns once everything that was told so far is on disk.
        collected: Returns the names of a job's files that were taken before a crash, to be published.
    """

    def __init__(
        self,
        folder: Path,
        logs: Path,
        read: Sequence[str],
        told: Callable[[JobNotice], None],
        durable: Callable[[], Awaitable[None]],
        collected: Callable[[str], frozenset[str]] = lambda _: frozenset(),
    ) -> None:
        self._folder = folder
        self._logs = logs
        self._read = list(read)
        self._told = told
        self._durable = durable
        self._collected = collected
        self._file_bytes: dict[str, int] = {}
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)

    def make(self, function: Function, step: Step, name: str, params: bytes) -> Job:
        """Return the job for one call; ``name`` is the call's key."""
        wanted = step.batch or Batch()
        self._file_bytes[name] = function.limits.file_bytes
        plan = {
            "read": [*self._read, function.code, str(PACKAGE)],
            "write": [],
            "memory_bytes": wanted.memory_bytes,
            "processes": function.limits.processes,
            "file_bytes": function.limits.file_bytes,
            "log_bytes": function.limits.log_bytes,
            "network": function.limits.network,
            "watch": WATCH,
        }
        return Job(
            name=name,
            tenant=function.tenant or LOCAL_TENANT,
            argv=job_argv(function, PACKAGE, confine=(CONFINE, plan)),
            payload=params,
            folder=str(self._folder / _safe(name)),
            log=str(self._log(name)),
            cores=wanted.cores,
            memory_bytes=wanted.memory_bytes,
            walltime_s=wanted.walltime_s,
        )

    def noticed(self, notice: JobNotice) -> None:
        """Complete a notice with what the job left, and pass it on."""
        self._told(self._complete(notice) if notice.state in ENDED else notice)

    def _complete(self, notice: JobNotice) -> JobNotice:
        folder, log = self._folder / _safe(notice.name), self._log(notice.name)
        size = log.stat().st_size if log.exists() else 0
        notice = msgspec.structs.replace(notice, scratch=str(folder / "scratch"), log=f"{log}:0:{size}")
        try:
            left = read_result(folder)
        except (NotFound, JobFailed) as error:
            if notice.state is JobState.SUCCEEDED:
                return msgspec.structs.replace(notice, state=JobState.FAILED, error=str(error))
            return msgspec.structs.replace(notice, retryable=notice.state is JobState.EVICTED)
        files = set(left.files) - self._collected(notice.name) if left.files else set()
        if files and (fault := _fault(notice.scratch, files) or self._excess(notice)):
            return msgspec.structs.replace(
                notice, state=JobState.FAILED, error=fault, result=None, retryable=False
            )
        return msgspec.structs.replace(
            notice,
            result=bytes(left.result) if left.result is not None else notice.result,
            error=notice.error or left.error,
            retryable=left.retryable,
            files=left.files or None,
            started_ns=left.started_ns,
            ended_ns=left.ended_ns,
        )

    def _excess(self, notice: JobNotice) -> str:
        """Say if a job wrote more than its function may; empty if not."""
        most = self._file_bytes.get(notice.name)
        written, _ = supervise.usage(notice.scratch, scratch.FILES_MOST)
        if most is None or written <= most:
            return ""
        return f"it wrote {written} bytes, its limit file_bytes is {most}; raise the function's disk"

    def _log(self, name: str) -> Path:
        return job_log(self._logs, name)

    async def ended(self, name: str) -> None:
        """Remove a job's folder, once its outcome is on disk: until then a restart reads it there."""
        self._file_bytes.pop(name, None)
        await self._durable()
        folder = self._folder / _safe(name)
        await asyncio.get_running_loop().run_in_executor(None, shutil.rmtree, folder, True)


def sweep_jobs(folder: Path, wanted: Collection[str]) -> None:
    """Remove the folders of jobs that nobody waits for: a crash came before they were removed. Blocks."""
    names = {_safe(name) for name in wanted}
    for left in folder.iterdir() if folder.exists() else ():
        if left.name not in names:
            shutil.rmtree(left, ignore_errors=True)


def job_log(logs: Path, name: str) -> Path:
    """Return the file that receives what a job prints."""
    return logs / f"job-{_safe(name)}.log"


def _fault(folder: str, files: Collection[str]) -> str:
    """Say what is wrong with the files that a job says it wrote; empty if they are plain and all there.

    A job could have written the list itself, on a farm that does not confine it.
    """
    try:
        there = scratch.safe_listing(folder)
    except (scratch.Unsafe, OSError) as error:
        return f"its outputs cannot be taken: {error}"
    strange = sorted(set(files) - set(there))
    return f"it says that it wrote {strange[0]!r}, which is not among its outputs" if strange else ""


def _safe(name: str) -> str:
    return name.replace(os.sep, ".")
