"""A real XRootD tells the program that ships, which tells the source: odd names, moves, a full queue."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest
from tests.servers.plugin import Servers
from tests.servers.xrootd import CALL_S, Xrootd
from tests.sources.test_xrootd_notify import Reading

from penstock.core.event import file_record, path_of

pytestmark = pytest.mark.anyio

ODD = [
    b"/odd/a  b.txt",
    "/odd/scan_über.h5".encode(),
    b"/odd/\xff\xfe.dat",
    b"/odd/line\nend.txt",
    b"/odd/per%20cent%41.dat",
    b"/odd/" + b"d" * 200,
]


class Silent(Xrootd):
    """A server with a short queue, whose program never reads."""

    name = "xrootd-silent"
    small, big = 10, 2

    @property
    def sink(self) -> str:
        return "|/usr/bin/sleep 20"

    def flood(self, path: str, times: int) -> None:
        """Change a file's mode again and again, by one client."""
        lines = f"chmod {path} rwxr-xr-x\n" * times
        command = ["xrdfs", self.address]
        subprocess.run(command, input=lines.encode(), capture_output=True, timeout=CALL_S, check=True)


async def until(reading: Reading, *wanted: bytes) -> list[tuple[str, bytes]]:
    """Follow until these paths were told of, and return what was told, by type and path."""
    found: list[tuple[str, bytes]] = []
    while not set(wanted) <= {path for _, path in found}:
        for event in await anext(reading.stream):
            found.append((event.type.removeprefix("penstock.file."), path_of(event.subject or "")))
    return found


async def test_what_happens_to_files_is_told(xrootd: Xrootd) -> None:
    reading = Reading(xrootd.spool)
    await asyncio.to_thread(xrootd.put, "/plain/upload.tmp")
    await asyncio.to_thread(xrootd.do, "mv", "/plain/upload.tmp", "/plain/final name.h5")
    await asyncio.to_thread(xrootd.do, "rm", "/plain/final name.h5")
    await asyncio.to_thread(xrootd.put, "/plain/end")
    told = await until(reading, b"/plain/end")
    assert told == [
        ("created", b"/plain/upload.tmp"),
        ("moved", b"/plain/upload.tmp"),
        ("created", b"/plain/final name.h5"),
        ("deleted", b"/plain/final name.h5"),
        ("created", b"/plain/end"),
    ]
    assert (reading.letters, reading.losses) == ([], [])
    await reading.end()


async def test_odd_names_come_as_they_are(xrootd: Xrootd) -> None:
    reading = Reading(xrootd.spool)
    for path in ODD:
        await asyncio.to_thread(xrootd.put, path)
    told = await until(reading, *ODD)
    assert [path for kind, path in told if kind == "created" and path.startswith(b"/odd/")] == ODD
    assert all((xrootd.data / os.fsdecode(path[1:])).exists() for path in ODD)
    assert reading.letters == []
    await reading.end()


async def test_a_client_is_known_by_name(xrootd: Xrootd) -> None:
    reading = Reading(xrootd.spool)
    await asyncio.to_thread(xrootd.put, "/who/a")
    while True:
        events = [event for event in await anext(reading.stream) if event.subject == "/who/a"]
        if events:
            break
    record = file_record(events[0])
    assert record.client is not None
    assert record.client["protocol"] == "xroot"
    await reading.end()


async def test_nobody_reading_for_a_while_loses_nothing(xrootd: Xrootd) -> None:
    for number in range(10):
        await asyncio.to_thread(xrootd.put, f"/slow/{number}")
    reading = Reading(xrootd.spool)
    told = await until(reading, *(b"/slow/%d" % number for number in range(10)))
    assert [path for kind, path in told if path.startswith(b"/slow/")] == [b"/slow/%d" % n for n in range(10)]
    await reading.end()


async def test_a_full_queue_is_seen_in_the_server_s_log_and_told_as_a_loss(
    servers: Servers, tmp_path: Path
) -> None:
    server = await asyncio.to_thread(servers.start, Silent)
    (tmp_path / "spool").mkdir()
    reading = Reading(tmp_path / "spool", server_log=str(server.log))
    waiting = asyncio.create_task(reading.until(reading.losses))
    await reading.source.ready()
    path = "/" + "/".join(["p" * 200] * 4)
    await asyncio.to_thread(server.put, path)
    for _ in range(10):
        await asyncio.to_thread(server.flood, path, 50)
        if reading.losses:
            break
    await waiting
    assert "event notification not sent" in reading.losses[0].reason
    assert reading.losses[0].folder == b"/"
    await reading.end()
    await asyncio.to_thread(server.kill)
