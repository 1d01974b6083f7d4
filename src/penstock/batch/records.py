"""What the local queue remembers of its jobs on disk, so that a name makes one job across restarts.

::

    queue's folder/
      lock           held by the one queue that uses the folder
      live/NAME      -> job's folder   taken, not ended
      ended/NAME     -> job's folder   ended
    job's folder/
      job.json       which job it is, and how it ended
      payload.json   what its wrapper reads
      result.json    what its wrapper wrote

A name is taken by making its link, which the file system does for one caller only. Who removes a
job's folder thereby forgets the job: the link leads nowhere and is swept at the next start. Nothing
here is synced: after a power cut there is no process to recognise, and ``result.json`` is synced by
the wrapper.

All functions block for the disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import msgspec
from msgspec import Struct

from penstock.core.errors import Conflict, Unavailable
from penstock.core.job import Job, JobState

LINK_BYTES_MAX = 200
"""Longer names are linked by their digest; file names end at 255 bytes."""


class JobRecord(Struct, frozen=True, kw_only=True):
    """A job as remembered; the fields are those of ``JobNotice``, the result lies beside."""

    name: str
    folder: str
    state: JobState = JobState.QUEUED
    error: str | None = None
    exit_code: int | None = None


class Records:
    """The records of one queue.

    Args:
        folder: The queue's own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._live = folder / "live"
        self._ended = folder / "ended"
        self._lock: int | None = None

    def open(self) -> None:
        """Take the folder for this queue.

        Raises:
            Unavailable: Another queue has it.
        """
        for folder in (self._live, self._ended):
            folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            message = f"{self._folder} is used by another queue; stop that engine, or set another folder"
            raise Unavailable(message) from None
        self._lock = lock
        self._sweep()

    def close(self) -> None:
        """Let another queue have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def add(self, job: Job) -> JobRecord | None:
        """Take the job's name and write what its wrapper needs; return its record if it has ended before.

        Raises:
            Conflict: The folder belongs to a job of another name.
        """
        known = self.ended(job.name)
        if known is not None:
            return known
        self._prepare(job)
        with suppress(FileExistsError):
            os.symlink(job.folder, self._live / _link(job.name))
        return None

    def end(self, record: JobRecord) -> None:
        """Remember that a job has ended, and how."""
        _write(Path(record.folder, "job.json"), msgspec.json.encode(record))
        link = _link(record.name)
        with suppress(FileNotFoundError):
            os.rename(self._live / link, self._ended / link)

    def ended(self, name: str) -> JobRecord | None:
        """Return the record of an ended job."""
        return _read(self._ended / _link(name))

    def live(self) -> Iterator[JobRecord]:
        """Yield the jobs that had not ended when the last queue was left."""
        for link in sorted(self._live.iterdir()):
            record = _read(link)
            if record is None:
                link.unlink()
            else:
                yield record

    def forget(self, record: JobRecord) -> None:
        """Give the name of a lost job free again."""
        (self._live / _link(record.name)).unlink(missing_ok=True)

    def _prepare(self, job: Job) -> None:
        folder = Path(job.folder)
        folder.mkdir(parents=True, exist_ok=True)
        Path(job.log).parent.mkdir(parents=True, exist_ok=True)
        owner = _read(folder)
        if owner is not None and owner.name != job.name:
            raise Conflict(
                f"job {job.name}: its folder {folder} belongs to job {owner.name}; give it its own"
            )
        # What a lost try of this job left behind must not be taken for this one's.
        (folder / "result.json").unlink(missing_ok=True)
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        _write(folder / "payload.json", job.payload)
        _write(folder / "job.json", msgspec.json.encode(JobRecord(name=job.name, folder=job.folder)))

    def _sweep(self) -> None:
        for link in self._ended.iterdir():
            if not link.exists():
                link.unlink()


def _link(name: str) -> str:
    quoted = quote(name, safe="")
    if quoted.startswith("."):
        quoted = "%2E" + quoted[1:]
    return quoted if len(quoted) <= LINK_BYTES_MAX else f"sha256-{sha256(name.encode()).hexdigest()}"


def _read(folder: Path) -> JobRecord | None:
    try:
        return msgspec.json.decode((folder / "job.json").read_bytes(), type=JobRecord)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None  # cut off by a power failure, or removed: then there is no such job


def _write(path: Path, data: bytes) -> None:
    own = path.with_name(f".{path.name}.new")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
    own.rename(path)
