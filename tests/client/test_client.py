"""The client's nouns, against an API that answers from a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.client import Client
from penstock.core.errors import FunctionFailed, NotFound, Refused
from tests.client.fake_api import FakeApi, serving

ABSENT = (404, {"type": "urn:penstock:problem:not-found", "status": 404, "detail": "no run"})


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApi]:
    with serving(tmp_path) as api:
        yield api


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def run(phase: str, result: Any = None) -> Any:
    ended = "2026-11-21T09:00:01Z" if phase != "running" else None
    attempt = [{"attempt": 1}]
    step = {"name": "s", "result": result, "attempts": attempt, "attempt": 1, "items": None}
    return {"run": {"id": "r1", "phase": phase, "ended": ended, "error": "why"}, "steps": [step]}


def test_lists_go_on_over_pages_up_to_the_limit(api: FakeApi, client: Client) -> None:
    api.set("GET /runs?limit=3", {"runs": [{"id": "a"}, {"id": "b"}], "next": "m"})
    api.set("GET /runs?before=m&limit=1", {"runs": [{"id": "c"}], "next": "n"})
    assert [each["id"] for each in client.runs(3)] == ["a", "b", "c"]


def test_a_page_without_hits_is_not_the_end(api: FakeApi, client: Client) -> None:
    api.set("GET /events", {"events": [], "next": 50_000}, {"events": [{"offset": 1}], "next": None})
    assert client.events(10) == [{"offset": 1}]


def test_names_with_slashes_are_one_part_of_the_path(api: FakeApi, client: Client) -> None:
    api.set("PATCH /triggers/local%2Fscan", {"name": "local/scan"})
    client.change_trigger("local/scan", paused=True)
    assert api.asked[-1][1] == {"catch_up": True, "workflow": "", "paused": True}


def test_a_call_waits_for_its_run_and_returns_the_answer(api: FakeApi, client: Client) -> None:
    api.set("GET /workflows/double", [{"reference": "local/double@1"}, {"reference": "local/double@2"}])
    api.set("POST /runs", (201, {"run": "r1"}))
    api.set("GET /status", {"log_end": 5})
    api.set("GET /runs/r1", ABSENT, run("running"), run("running"), run("succeeded", {"n": 4}))
    api.set("GET /events/stream", (200, [b": here\n\n", b'data: {"offset": 6}\n\n']))
    assert client.call("double", {"n": 2}) == {"n": 4}
    assert ("POST /runs", {"workflow": "local/double@2", "params": {"n": 2}}) in api.asked
    (stream,) = [what for what, _ in api.asked if "stream" in what]
    assert "since=5" in stream
    assert "subject" in stream


def test_a_failed_call_raises_with_its_reason(api: FakeApi, client: Client) -> None:
    api.set("GET /workflows/f", [{"reference": "local/f@1"}])
    api.set("POST /runs", (201, {"run": "r1"}))
    api.set("GET /status", {"log_end": 5})
    api.set("GET /runs/r1", run("failed"))
    with pytest.raises(FunctionFailed, match="why"):
        client.call("f")


def test_logs_of_a_run_are_followed_step_by_step(api: FakeApi, client: Client) -> None:
    first = run("running")
    second = run("succeeded")
    second["steps"].append({"name": "t", "attempts": [{}], "attempt": 2, "items": None, "result": None})
    api.set("GET /status", {"log_end": 5})
    api.set("GET /runs/r1", first, second)
    end = b'event: end\ndata: {"phase": "succeeded"}\n\n'
    api.set(
        "GET /runs/r1/logs?step=s&follow=true&attempt=1", (200, [b'event: log\ndata: {"text":"a"}\n\n', end])
    )
    api.set("GET /runs/r1/logs?step=t&attempt=2", b"b")
    assert list(client.follow_logs("r1")) == [{"step": "s", "text": "a"}, {"step": "t", "text": "b"}]


def test_a_problem_in_a_stream_is_raised(api: FakeApi, client: Client) -> None:
    told = {"type": "urn:penstock:problem:not-found", "status": 404, "detail": "removed"}
    api.set("GET /events/stream", (200, [b"event: problem\ndata: " + json.dumps(told).encode() + b"\n\n"]))
    with pytest.raises(NotFound, match="removed"):
        next(client.follow())


def test_events_are_sent_as_one_batch(api: FakeApi, client: Client) -> None:
    api.set("POST /events", [{"id": "e", "new": True}])
    assert client.send([{"id": "e"}]) == [{"id": "e", "new": True}]
    assert api.asked[-1][1] == [{"id": "e"}]


def test_deploying_a_faulty_file_raises_what_the_command_says(
    api: FakeApi, client: Client, tmp_path: Path
) -> None:
    api.set("GET /status", {"log_end": 0})
    (tmp_path / "f.py").write_text("def (")
    with pytest.raises(Refused, match=r"^f\.py:1"):
        client.deploy(tmp_path / "f.py")
