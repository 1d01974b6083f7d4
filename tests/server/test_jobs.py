"""What a job says it wrote is not believed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from penstock.core.job import JobNotice, JobState
from penstock.server.jobs import Jobs


@pytest.mark.parametrize("claimed", ["../../stolen", "link", "absent"])
def test_an_output_that_is_no_plain_file_of_the_job_fails_it(tmp_path: Path, claimed: str) -> None:
    async def durable() -> None:
        """Nothing is kept here."""

    told: list[JobNotice] = []
    jobs = Jobs(tmp_path / "jobs", tmp_path / "logs", (), told.append, durable)
    folder = tmp_path / "jobs" / "run.step.-1.1"
    (folder / "scratch").mkdir(parents=True)
    (tmp_path / "stolen").write_text("a secret")
    if claimed == "link":
        (folder / "scratch" / "link").symlink_to(tmp_path / "stolen")
    said: dict[str, object] = {
        "result": {},
        "error": None,
        "retryable": True,
        "exit_code": 0,
        "started_ns": 1,
        "ended_ns": 2,
    }
    (folder / "result.json").write_bytes(msgspec.json.encode({**said, "files": [claimed]}))
    jobs.noticed(JobNotice(name="run/step/-1/1", state=JobState.SUCCEEDED))
    (notice,) = told
    assert (notice.state, notice.files, notice.result) == (JobState.FAILED, None, None)
    assert notice.error


def test_what_was_taken_before_a_crash_need_not_be_there_any_more(tmp_path: Path) -> None:
    async def durable() -> None:
        """Nothing is kept here."""

    told: list[JobNotice] = []
    jobs = Jobs(
        tmp_path / "jobs", tmp_path / "logs", (), told.append, durable, lambda _: frozenset({"taken"})
    )
    folder = tmp_path / "jobs" / "run.step.-1.1"
    (folder / "scratch").mkdir(parents=True)
    (folder / "scratch" / "left").write_text("x")
    said: dict[str, object] = {
        "result": {},
        "error": None,
        "retryable": True,
        "exit_code": 0,
        "started_ns": 1,
        "ended_ns": 2,
        "files": ["left", "taken"],
    }
    (folder / "result.json").write_bytes(msgspec.json.encode(said))
    jobs.noticed(JobNotice(name="run/step/-1/1", state=JobState.SUCCEEDED))
    assert (told[0].state, told[0].files) == (JobState.SUCCEEDED, ("left", "taken"))
