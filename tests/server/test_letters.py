"""Dead letters: what newer content settles, and what it must leave to a person."""

from __future__ import annotations

import pytest

from penstock.core.event import FILE_CREATED, Event
from penstock.core.rows import DeadLetter, DeadLetterKind
from penstock.core.run import Phase, Run
from penstock.server.letters import Letters
from penstock.testing.state import MemoryState
from penstock.workflows.rows import dead_letter, run_row

FILE = Event(id="local:2", source="/storages/local", type=FILE_CREATED, subject="/data/a.raw")


def run(name: str, workflow: str = "me/w@1", subject: str = "/data/a.raw", started_ns: int = 1) -> Run:
    """Return a run that failed."""
    return Run(
        id=name,
        tenant="local",
        principal="me",
        workflow=workflow,
        trigger="t",
        event_id="e",
        offset=0,
        subject=subject,
        phase=Phase.FAILED,
        error="broken",
        started_ns=started_ns,
    )


class Bench:
    """Letters in a state in memory."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.letters = Letters(self.state)

    def failed(self, run: Run) -> None:
        self.state.put(run_row(run))
        self.letters.put(dead_letter(run, FILE, 1))

    def open(self) -> list[str]:
        return [letter.id for letter in self.state.select(DeadLetter, state="open")]


def test_newer_content_settles_what_its_workflow_failed_at() -> None:
    bench = Bench()
    bench.failed(run("old"))
    bench.letters.succeeded(run("new", "me/w@2", started_ns=2), FILE)
    assert bench.open() == []


@pytest.mark.parametrize(
    "succeeded",
    [run("other", "me/other@1", started_ns=2), run("before", started_ns=0), run("x", subject="/data/b.raw")],
    ids=["another workflow", "older content", "another file"],
)
def test_a_failure_is_left_open_by(succeeded: Run) -> None:
    bench = Bench()
    bench.failed(run("failed"))
    bench.letters.succeeded(succeeded, FILE)
    assert bench.open() == ["failed"]


@pytest.mark.parametrize("subject", ["", "sensor"])
def test_events_that_are_about_no_file_never_settle_each_other(subject: str) -> None:
    bench = Bench()
    bench.failed(run("first", subject=subject))
    event = Event(id="2", source="/theirs", type="test", subject=subject or None)
    bench.letters.succeeded(run("second", subject=subject, started_ns=2), event)
    assert bench.open() == ["first"]


def test_a_ring_is_left_to_a_person_and_an_unread_notice_is_not() -> None:
    bench = Bench()
    for kind in (DeadLetterKind.LOOP, DeadLetterKind.NOTICE):
        bench.letters.put(
            DeadLetter(id=kind, tenant="local", kind=kind, subject="/data/a.raw", reason="r", body=b"{}")
        )
    bench.letters.succeeded(run("new"), FILE)
    assert bench.open() == ["loop"]


def test_what_was_open_before_a_restart_is_settled_too() -> None:
    bench = Bench()
    bench.failed(run("old"))
    bench.letters = Letters(bench.state)
    bench.letters.load()
    bench.letters.succeeded(run("new", started_ns=2), FILE)
    assert bench.open() == []
