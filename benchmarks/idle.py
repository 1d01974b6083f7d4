"""W5: what an idle installation costs, with triggers, a client of the event stream and the page open."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.ground import ground, memory_bytes, processor_s, tree
from benchmarks.rows import Failed, Row, Tick, row
from benchmarks.sizes import Sizes
from benchmarks.writer import write
from penstock.client import Client
from penstock.testing.installation import Installation

START_S = 30.0
SETTLE_S = 5.0
WARM = 4
"""So many of the functions have run before, and keep their warm workers."""
PROCESSOR_MOST = 0.1
"""Percent of a core."""
CALLS_MOST = 10.0
"""System calls a minute; "a few" in words."""
FUNCTION = """
@function(on="for-{number}-*.raw")
def waits_{number}(call):
    return {{}}
"""
BROWSER = ("chromium", "chromium-browser", "google-chrome")
STREAM = b"GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


def run(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of W5."""
    with ground() as place, _serving(place) as installation, ExitStack() as stack:
        tick("starting")
        _deploy(installation, sizes.triggers)
        stream = stack.enter_context(_stream(installation))
        page = stack.enter_context(_page(installation, place / "browser"))
        write(installation.files, [f"for-{number}-x.raw" for number in range(WARM)])
        time.sleep(SETTLE_S)
        pid = _pid(installation)
        looks: dict[str, Any] = {
            "triggers": sizes.triggers,
            "page": page,
            "stream_clients": 1,
            "processes": len(tree(pid)),
        }
        tick(f"idle for {sizes.idle_s} s")
        yield _processor_row(pid, sizes.idle_s, looks)
        tick(f"system calls for {sizes.trace_s} s")
        yield _calls_row(pid, sizes.trace_s, place / "calls", looks)
        yield row("w5.memory", memory_bytes(pid) / 1e6, "MB", **looks)
        _check_alive(installation, stream)


def _processor_row(pid: int, seconds: int, looks: dict[str, Any]) -> Row:
    before = processor_s(pid)
    time.sleep(seconds)
    share = (processor_s(pid) - before) / seconds * 100
    return row(
        "w5.processor", share, "% of a core", target=PROCESSOR_MOST, holds=share < PROCESSOR_MOST, **looks
    )


def _calls_row(pid: int, seconds: int, report: Path, looks: dict[str, Any]) -> Row:
    """Count system calls of all processes and threads, as strace sees them."""
    if shutil.which("strace") is None:
        return row("w5.system_calls", None, "calls/min", target=CALLS_MOST, note="strace is not installed")
    processes = [argument for each in tree(pid) for argument in ("-p", str(each))]
    command = ["strace", "-f", "-c", "-o", str(report), *processes]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        time.sleep(seconds)
        tracer.send_signal(signal.SIGINT)
    counted: dict[str, int] = {}
    for line in report.read_text().splitlines():
        columns = line.split()
        if len(columns) >= 5 and columns[0].replace(".", "").isdigit() and columns[-1] != "total":
            counted[columns[-1]] = int(columns[3])
    each_minute = sum(counted.values()) / seconds * 60
    return row(
        "w5.system_calls",
        each_minute,
        "calls/min",
        target=CALLS_MOST,
        holds=each_minute <= CALLS_MOST,
        calls=counted,
        **looks,
    )


@contextmanager
def _serving(home: Path) -> Iterator[Installation]:
    """Run a whole installation, API and page included."""
    installation = Installation(home, {"PENSTOCK_PORT": "0"})
    command = [sys.executable, "-m", "penstock.server", "--home", str(home)]
    environment = {**os.environ, **installation.environment}
    with (home / "engine.log").open("ab") as log:
        installation.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        client, deadline = Client(str(home)), time.monotonic() + START_S
        while not client.is_running():
            if time.monotonic() > deadline:
                raise Failed(f"the API did not answer within {START_S:g} s:\n{installation.said()}")
            time.sleep(0.05)
        yield installation
        if installation.stop() != 0:
            raise Failed(f"it did not end well:\n{installation.said()}")
    finally:
        installation.kill()


def _pid(installation: Installation) -> int:
    assert installation.process is not None
    return installation.process.pid


def _deploy(installation: Installation, triggers: int) -> None:
    text = "from penstock import function\n" + "".join(
        FUNCTION.format(number=each) for each in range(triggers)
    )
    file = installation.home / "definitions.py"
    file.write_text(text)
    asyncio.run(installation.deploy(file))


@contextmanager
def _stream(installation: Installation) -> Iterator[socket.socket]:
    """Follow the stream of events."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(installation.places.runtime / "api.sock"))
        client.settimeout(START_S)
        client.sendall(STREAM)
        if b"200" not in client.recv(4096).split(b"\r\n")[0]:
            raise Failed("the stream of events was refused")
        yield client


@contextmanager
def _page(installation: Installation, profile: Path) -> Iterator[bool]:
    """Keep the page open in a browser, if there is one; yield whether it is connected."""
    program = next(filter(None, map(shutil.which, BROWSER)), None)
    if program is None:
        yield False
        return
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    address = Client(str(installation.home)).page()
    command = [program, *options, f"--user-data-dir={profile}", "--remote-debugging-port=0", address]
    quiet = subprocess.DEVNULL
    browser = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield _connected(installation)
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


def _connected(installation: Installation) -> bool:
    """Wait until somebody is connected to the loopback door; False if nobody comes."""
    port = json.loads((installation.places.runtime / "api.json").read_text())["port"]
    here, deadline = f"0100007F:{port:04X}", time.monotonic() + START_S
    while time.monotonic() < deadline:
        lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        if any(local == here and state == "01" for _, local, _, state, *_ in lines):
            return True
        time.sleep(0.2)
    return False


def _check_alive(installation: Installation, stream: socket.socket) -> None:
    """Raise if the installation slept so soundly that it no longer notices a file."""
    stream.setblocking(False)
    try:
        while stream.recv(65536):
            pass
    except BlockingIOError:
        stream.settimeout(START_S)
    write(installation.files, ["awake.raw"])
    if b"awake.raw" not in stream.recv(65536):
        raise Failed("the stream told nothing of a file that was written after the idle time")
