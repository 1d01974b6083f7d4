"""What a job left behind: its ``result.json``, read back."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from penstock.core.errors import JobFailed, NotFound
from penstock.core.job import JobState

EVICTING = frozenset({-1, -2, -9, -15})
"""Exit codes of a process that somebody or the kernel ended: SIGHUP, SIGINT, SIGKILL, SIGTERM."""
RESULT_BYTES_MAX = 128 << 20
"""Of a ``result.json``: the longest answer that the wrapper takes, and as much again for names of files."""


class JobResult(Struct, frozen=True, kw_only=True):
    """How a job ended, in its wrapper's words.

    Attributes:
        result: The JSON object it answered, or None if it failed.
        error: What went wrong, for people; None if it succeeded.
        retryable: Whether the same job may succeed later (a lost process: yes; a limit: no).
        exit_code: Of the function's process; negative is a signal.
        started_ns: POSIX time at which the wrapper started.
        ended_ns: POSIX time at which nothing of the function ran any more.
        files: Names of the files in ``scratch``, relative, sorted; bytes that are not UTF-8 as
            ``os.fsdecode`` gives them.
    """

    result: Raw | None = None
    error: str | None = None
    retryable: bool = True
    exit_code: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    files: tuple[str, ...] = ()

    @property
    def state(self) -> JobState:
        """The job's last state as far as the wrapper can know it."""
        if self.error is None:
            return JobState.SUCCEEDED
        return JobState.EVICTED if self.exit_code in EVICTING else JobState.FAILED


def read_result(folder: Path | str) -> JobResult:
    """Return the result in a job's folder. Reads one file, which may be as long as an answer may be.

    Raises:
        NotFound: There is none: the job has not ended, or was ended from outside.
        JobFailed: What is there was not written by the wrapper.
    """
    path = Path(folder) / "result.json"
    try:
        if (size := path.stat().st_size) > RESULT_BYTES_MAX:
            raise JobFailed(
                f"{path} has {size} bytes, more than {RESULT_BYTES_MAX}; write data to output files"
            )
        written = msgspec.json.decode(path.read_bytes(), type=_Written)
    except FileNotFoundError:
        raise NotFound(f"{path}: the job left no result") from None
    except msgspec.DecodeError as error:
        raise JobFailed(f"{path} was not written by the job's wrapper: {error}") from error
    fields = msgspec.structs.asdict(written)
    nothing = bytes(written.result) == b"null"
    return JobResult(
        **fields | {"result": None if nothing else written.result, "files": tuple(map(_name, written.files))}
    )


class _RawPath(Struct):
    path_raw: str


class _Written(Struct, kw_only=True):
    result: Raw
    error: str | None
    retryable: bool
    exit_code: int
    started_ns: int
    ended_ns: int
    files: list[str | _RawPath]


def _name(written: str | _RawPath) -> str:
    return written if isinstance(written, str) else os.fsdecode(b64decode(written.path_raw))
