"""The process: it sleeps when nothing happens, outlives the engine's absence, and ends with its parent."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.server.api.served import Served

from penstock.server.api.process import PLACES
from penstock.server.serve import places_text


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[Served, subprocess.Popen[bytes]]]:
    """An API process without an engine."""
    served = Served(tmp_path / "with:colon")
    environment = {**os.environ, "PENSTOCK_PORT": "0", PLACES: places_text(served.places)}
    command = [sys.executable, "-m", "penstock.server.api"]
    with open(tmp_path / "api.log", "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log, env=environment)
    served.address()
    yield served, process
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()
    assert "Traceback" not in (tmp_path / "api.log").read_text()


def test_without_an_engine_it_says_so_and_takes_it_up_when_it_comes(
    alone: tuple[Served, subprocess.Popen[bytes]],
) -> None:
    served, _ = alone
    assert served.get("status")["engine"] is None
    for method, path in (("GET", "health"), ("GET", "runs"), ("GET", "events"), ("POST", "stop")):
        answer = served.ask_api(method, path, {} if method == "POST" else None)
        assert answer.status == 503, path
        assert int(answer.headers["retry-after"]) >= 1
    with served.stream("live") as live:
        messages = live.messages()
        assert next(messages)["engine"] is False
        served.start()
        assert next(messages)["engine"] is True
        assert served.get("health") == {"ok": True}
        assert served.stop() == 0, served.said()
        assert next(messages)["engine"] is False
    assert served.ask_api("GET", "health").status == 503


def test_it_ends_when_its_parent_closes_the_pipe_though_streams_are_open(
    alone: tuple[Served, subprocess.Popen[bytes]],
) -> None:
    served, process = alone
    with served.stream("live") as live:
        next(live.messages())
        assert process.stdin is not None
        process.stdin.close()
        assert list(live.messages()) == []
        assert process.wait(timeout=20) == 0
    assert not (served.places.runtime / "api.json").exists()


def test_it_ends_when_the_engine_is_killed(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.start(api=True)
    pid = int(served.address()["pid"])
    watch = os.pidfd_open(pid)
    served.kill()
    assert select.select([watch], [], [], 20)[0], "the API outlives its engine"
    os.close(watch)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_it_makes_no_system_call_while_nothing_happens(
    served: Served, program: Callable[[str, str], str], tmp_path: Path
) -> None:
    strace = program("strace", "strace")
    with served.stream("live") as live, served.stream("events/stream") as events:
        next(live.messages())
        assert events.response.status == 200
        time.sleep(35)  # idle connections of other tests are closed once, after 30 s
        pid = str(served.address()["pid"])
        trace = tmp_path / "trace"
        with subprocess.Popen(
            [strace, "-f", "-p", pid, "-o", str(trace)], stderr=subprocess.DEVNULL
        ) as tracer:
            time.sleep(20)
            tracer.terminate()
    lines = [line for line in trace.read_text().splitlines() if "detached" not in line]
    waits = [line for line in lines if "epoll" in line or "futex" in line]
    assert lines == waits
    assert len(waits) <= 8, "threads that wait, each once"
