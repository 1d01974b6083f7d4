"""The process of one local job: started, watched through its pidfd, ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import suppress

from penstock.batch.settings import LocalQueueSettings
from penstock.batch.tree import MARK, end_marked
from penstock.batch.wrapper import MEMORY_VARIABLE, PARENT_VARIABLE
from penstock.core.job import Job


class JobProcess:
    """A started job. Starting blocks for about a millisecond.

    Args:
        job: Whose folder is there.
        settings: Which variables of ours it inherits.

    Raises:
        OSError: The program cannot be started, or the log not be opened.
    """

    def __init__(self, job: Job, settings: LocalQueueSettings) -> None:
        self._folder = job.folder
        log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = subprocess.Popen(
                job.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=job.folder,
                env=_environment(job, settings),
                start_new_session=True,
            )
        finally:
            os.close(log)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._exited = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._pidfd, self._exit)

    @property
    def pid(self) -> int:
        """Of the wrapper."""
        return self._process.pid

    async def ended(self) -> int:
        """Return the exit code once it has ended; negative is a signal."""
        await asyncio.shield(self._exited)
        return self._process.wait()

    async def end(self, grace_s: float) -> None:
        """Have the wrapper end its job, and end it ourselves if it does not.

        The wrapper answers SIGTERM by ending everything below it. One that is stopped is woken for
        it; one that cannot is killed after ``grace_s`` seconds, with all that bear the job's mark.
        """
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGCONT)
        _, late = await asyncio.wait({self._exited}, timeout=grace_s)
        if late:
            await asyncio.to_thread(end_marked, {self._folder})

    def _exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._exited.set_result(None)


def _environment(job: Job, settings: LocalQueueSettings) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in settings.environment if name in os.environ}
    return inherited | {
        MARK: job.folder,
        PARENT_VARIABLE: str(os.getpid()),
        MEMORY_VARIABLE: str(job.memory_bytes),
        "OMP_NUM_THREADS": str(job.cores),
    }
