"""How a local job ended: result, exit code and what we decided make one notice. Blocks for the disk."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass

from penstock.batch.records import JobRecord, Records
from penstock.batch.result import EVICTING, JobResult, read_result
from penstock.batch.tree import end_marked
from penstock.core.errors import JobFailed, NotFound, PenstockError
from penstock.core.job import Job, JobNotice, JobState


@dataclass(frozen=True)
class Ending:
    """What is known when a job's process has ended, or will never start.

    Attributes:
        job: Which.
        returncode: Of its wrapper; None if it never started.
        verdict: The state and words of whoever ended it on our side.
        told: Whether somebody will hear of it. If nobody will, only a result counts as an end.
    """

    job: Job
    returncode: int | None
    verdict: tuple[JobState, str] | None
    told: bool

    def conclude(self, records: Records) -> JobNotice:
        """End what is left of the job, remember how it ended, and return that as a notice."""
        try:
            record = self._record()
        except PenstockError as error:
            record = self._as(JobState.FAILED, str(error))
        if self.told or record.state is JobState.SUCCEEDED:
            # A disk that cannot take it does not change how the job ended; it was the notice's backup.
            with suppress(OSError):
                records.end(record)
        return notice_of(record)

    def _record(self) -> JobRecord:
        result = self._result()
        if result is None and self.returncode is not None:
            end_marked({self.job.folder})  # its wrapper did not come to it
        if result is not None and (self.verdict is None or self.returncode == 0):
            return self._as(result.state, result.error, result.exit_code)
        if self.verdict is not None:
            return self._as(*self.verdict)
        return self._without_result(self.returncode or 0)

    def _result(self) -> JobResult | None:
        try:
            return None if self.returncode is None else read_result(self.job.folder)
        except NotFound:
            return None

    def _without_result(self, code: int) -> JobRecord:
        # A shell and our wrapper say 128 + N for signal N.
        code = 128 - code if code > 128 and 128 - code in EVICTING else code
        if code == 0:
            return self._as(JobState.SUCCEEDED)
        if code in EVICTING:
            name = signal.Signals(-code).name
            return self._as(
                JobState.EVICTED, f"was ended from outside by {name} (out of memory, or a person?)"
            )
        words = f"crashed with signal {-code}" if code < 0 else f"ended with exit code {code}"
        return self._as(JobState.FAILED, f"{words} and left no result; its log is {self.job.log}", code)

    def _as(self, state: JobState, error: str | None = None, exit_code: int | None = None) -> JobRecord:
        code = self.returncode if exit_code is None else exit_code
        return JobRecord(name=self.job.name, folder=self.job.folder, state=state, error=error, exit_code=code)


def notice_of(record: JobRecord) -> JobNotice:
    """Return the notice of a job that has ended, with its answer read from its folder."""
    answer = None
    if record.state is JobState.SUCCEEDED:
        with suppress(NotFound, JobFailed):
            result = read_result(record.folder).result
            answer = None if result is None else bytes(result)
    return JobNotice(
        name=record.name, state=record.state, result=answer, error=record.error, exit_code=record.exit_code
    )


def recover(records: Records) -> None:
    """Open the records and clear up after the last queue: end survivors, keep results, forget the lost.

    Raises:
        Unavailable: Another queue uses the folder.
    """
    records.open()
    left = list(records.live())
    if left:
        end_marked({record.folder for record in left})
    for record in left:
        try:
            result = read_result(record.folder)
        except (NotFound, JobFailed):
            records.forget(record)
        else:
            records.end(
                JobRecord(
                    name=record.name,
                    folder=record.folder,
                    state=result.state,
                    error=result.error,
                    exit_code=result.exit_code,
                )
            )
