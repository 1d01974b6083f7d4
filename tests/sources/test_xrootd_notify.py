"""XRootD's notices by way of a folder: written by the program that ships, read by the source."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Unavailable
from penstock.core.event import Event, path_of
from penstock.core.ports import Loss, SourceContext
from penstock.core.rows import DeadLetter
from penstock.sources.xrootd_notify import XrootdNotify, XrootdSettings
from penstock.testing.ledger import MemoryLedger

SPOOLER = Path(__file__).parents[2] / "src/penstock/sources/xrootd_spooler.py"


class Spooler:
    """The program, as XRootD runs it."""

    def __init__(self, folder: Path, *options: str, file_bytes_max: int = 0) -> None:
        self.folder = folder
        limits = ["prlimit", f"--fsize={file_bytes_max}"] if file_bytes_max else []
        self.process = subprocess.Popen(
            [*limits, sys.executable, str(SPOOLER), str(folder), *options],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def say(self, *lines: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(line + b"\n" for line in lines))
        self.process.stdin.flush()

    def close(self, *paths: bytes) -> None:
        self.say(*(b"penstock1 closew a.1:2@h " + path + b"//" for path in paths))

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def kill(self) -> None:
        self.process.kill()
        self.end()


class Reading:
    """A source and what it told."""

    def __init__(self, folder: Path, ledger: MemoryLedger | None = None, **settings: Any) -> None:
        self.letters: list[DeadLetter] = []
        self.losses: list[Loss] = []
        self.ledger = ledger or MemoryLedger()
        context = SourceContext(
            name="door", ledger=self.ledger, dead_letter=self.letters.append, lost=self.losses.append
        )
        known = XrootdSettings(storage="door", spool=str(folder), **settings)
        self.source = XrootdNotify.open(known, context)
        self.stream: AsyncIterator[Sequence[Event]] = self.source.events()

    async def paths(self, count: int) -> list[bytes]:
        found: list[bytes] = []
        while len(found) < count:
            found += [path_of(event.subject or "") for event in await anext(self.stream)]
        return found

    async def until(self, said: list[Any]) -> None:
        """Follow until something is said there."""
        following = asyncio.create_task(anext(self.stream, None))
        while not said:
            await asyncio.sleep(0.001)
        following.cancel()
        await asyncio.wait({following})

    async def end(self) -> None:
        await self.stream.aclose()  # type: ignore[attr-defined]


def kept(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


@pytest.mark.anyio
async def test_lines_come_in_order_as_they_are_written(folder: Path) -> None:
    spooler, reading = Spooler(folder), Reading(folder)
    spooler.close(b"/a", b"/b")
    assert await reading.paths(2) == [b"/a", b"/b"]
    waiting = asyncio.create_task(reading.paths(1))
    await asyncio.sleep(0)
    spooler.close(b"/c")
    assert await waiting == [b"/c"]
    await reading.end()
    spooler.end()
    assert (reading.letters, reading.losses) == ([], [])


@pytest.mark.anyio
async def test_what_was_acknowledged_never_comes_again_and_the_rest_does(folder: Path) -> None:
    spooler = Spooler(folder)
    spooler.close(b"/a")
    spooler.end()
    first = Reading(folder)
    (event,) = await anext(first.stream)
    unacknowledged = first.ledger.copy()
    await first.end()
    second = Reading(folder, unacknowledged)
    (again,) = await anext(second.stream)
    assert again.id == event.id
    waiting = asyncio.create_task(second.paths(1))
    while not second.ledger.others:
        await asyncio.sleep(0)
    more = Spooler(folder)
    more.close(b"/b")
    assert await waiting == [b"/b"]
    await second.end()
    third = Reading(folder, second.ledger)
    waiting = asyncio.create_task(third.paths(2))
    await third.source.ready()
    more.close(b"/c")
    assert await waiting == [b"/b", b"/c"]
    await third.end()
    more.end()


@pytest.mark.anyio
async def test_a_spooler_started_again_is_a_loss_and_lines_before_it_are_kept(folder: Path) -> None:
    first = Spooler(folder)
    first.close(b"/a")
    while b"/a//" not in kept(folder):
        await asyncio.sleep(0.001)
    first.kill()
    second = Spooler(folder)
    second.close(b"/b")
    reading = Reading(folder)
    assert await reading.paths(2) == [b"/a", b"/b"]
    (loss,) = reading.losses
    assert (loss.folder, "started again" in loss.reason) == (b"/", True)
    await reading.end()
    second.end()


@pytest.mark.anyio
async def test_files_that_were_read_are_removed(folder: Path) -> None:
    for name in (b"/a", b"/b", b"/c"):
        spooler = Spooler(folder)
        spooler.close(name)
        spooler.end()
    assert len(list(folder.iterdir())) == 3
    reading = Reading(folder)
    assert await reading.paths(3) == [b"/a", b"/b", b"/c"]
    waiting = asyncio.create_task(anext(reading.stream, None))
    while len(list(folder.iterdir())) > 1:
        await asyncio.sleep(0.001)
    await reading.source.close()
    assert await waiting is None


@pytest.mark.anyio
async def test_a_full_folder_holds_xrootd_back_and_is_told_as_a_loss(folder: Path) -> None:
    spooler = Spooler(folder, "--most", "3000")
    spooler.close(*(b"/0/%0100d" % number for number in range(30)))
    while b"/0/" not in kept(folder):
        await asyncio.sleep(0.001)
    spooler.close(*(b"/1/%0100d" % number for number in range(30)))
    assert spooler.process.stderr is not None
    said = await asyncio.to_thread(spooler.process.stderr.readline)
    assert b"waits: the folder holds 3000 bytes or more" in said
    assert b"/1/" not in kept(folder)
    reading = Reading(folder)
    assert len(set(await reading.paths(60))) == 60
    assert "dropped some" in reading.losses[0].reason
    await reading.end()
    spooler.end()


@pytest.mark.anyio
async def test_a_disk_that_is_full_in_the_middle_of_a_line_tears_and_doubles_nothing(folder: Path) -> None:
    spooler = Spooler(folder, file_bytes_max=4000)  # Writing beyond fails as on a full disk.
    for part in range(6):
        spooler.close(*(b"/%d/%d/%060d" % (part, number, number) for number in range(8)))
        while b"/%d/7/" % part not in kept(folder):
            await asyncio.sleep(0.001)
    assert len(list(folder.iterdir())) > 1
    reading = Reading(folder)
    found = await reading.paths(48)
    assert len(set(found)) == len(found) == 48
    assert reading.letters == []
    assert [loss.reason for loss in reading.losses if "was full" in loss.reason]
    await reading.end()
    spooler.end()


@pytest.mark.anyio
async def test_odd_names_survive(folder: Path) -> None:
    spooler, reading = Spooler(folder), Reading(folder)
    odd = [b"/a\nb", b"/\xff\xfe", b"/a  b ", b"/a\rb", b"/a%20b", b"/ = ! 7", b"/x\npenstock2 y"]
    spooler.close(*odd)
    assert await reading.paths(len(odd)) == odd
    await reading.end()
    spooler.end()
    assert reading.letters == []


@pytest.mark.anyio
async def test_poison_is_a_dead_letter_and_a_loss_of_its_folder(folder: Path) -> None:
    spooler, reading = Spooler(folder), Reading(folder)
    spooler.say(b"hello", b"a.1:2@h mv /x/a /x/b /x/c", b"\x00\xff")
    spooler.close(b"/good")
    assert await reading.paths(1) == [b"/good"]
    bad = [b"hello", b"a.1:2@h mv /x/a /x/b /x/c", b"\x00\xff"]
    assert [letter.body for letter in reading.letters] == bad
    assert [loss.folder for loss in reading.losses] == [b"/", b"/x", b"/"]
    await reading.end()
    spooler.end()


@pytest.mark.anyio
async def test_a_torn_line_at_the_end_of_a_file_is_told_and_reading_goes_on(folder: Path) -> None:
    (folder / "00000000000000000001.notices").write_bytes(b"1 ! start\n2 = penstock1 closew a.1:2@h /a")
    (folder / "00000000000000000002.notices").write_bytes(b"3 ! start\n4 = a.1:2@h closew /b\n")
    reading = Reading(folder)
    assert await reading.paths(1) == [b"/b"]
    assert "not written whole" in reading.letters[0].reason
    await reading.end()


@pytest.mark.anyio
async def test_drops_are_read_from_the_server_s_log_also_when_it_is_replaced(folder: Path) -> None:
    log = folder.parent / "xrootd.log"
    said = b"261121 18:00:00 1 ofs_Notify: Ran out of message objects; closew event notification not sent.\n"
    log.write_bytes(said)
    reading = Reading(folder, server_log=str(log))
    waiting = asyncio.create_task(reading.until(reading.losses))
    await reading.source.ready()
    await asyncio.sleep(0.02)
    assert reading.losses == []  # What was said before the first start is past.
    with log.open("ab") as file:
        file.write(b"other\n" + said)
    await waiting
    assert "dropped notices" in reading.losses[0].reason
    await reading.end()
    log.rename(folder.parent / "xrootd.log.1")
    log.write_bytes(said)
    second = Reading(folder, reading.ledger, server_log=str(log))
    await second.until(second.losses)
    assert len(second.losses) == 1
    await second.end()


@pytest.mark.anyio
async def test_a_fifo_is_read_by_the_same_program(folder: Path) -> None:
    fifo = folder.parent / "notices"
    spooler, reading = Spooler(folder, "--fifo", str(fifo)), Reading(folder)
    while not fifo.exists() or not list(folder.iterdir()):
        await asyncio.sleep(0.001)
    for path in (b"/a", b"/b"):
        with fifo.open("wb") as server:
            server.write(b"a.1:2@h closew " + path + b"\n")
    assert await reading.paths(2) == [b"/a", b"/b"]
    await reading.end()
    spooler.kill()


@pytest.mark.anyio
async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="none"):
        await anext(Reading(tmp_path / "none").stream)
