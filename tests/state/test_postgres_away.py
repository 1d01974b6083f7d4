"""The database goes away and comes back: nothing is lost, nothing is doubled, nobody helps."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from tests.servers.plugin import started
from tests.servers.postgres import Postgres
from tests.state.link import Link

from penstock.core.errors import ConnectionLost, PenstockError, Unavailable
from penstock.core.rows import CursorRow, DeadLetter, PositionRow, Seen
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState
from penstock.testing.proxy import Proxy
from penstock.testing.state_suite import file_row

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server that may be killed."""
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    started(server)
    yield server
    server.kill()


@pytest.fixture
def state(own: Postgres, anyio_backend: object) -> Iterator[PostgresState]:
    state = PostgresState(msgspec.structs.replace(own.fresh(), patience_s=1.0), 0)
    yield state
    state.close()


async def test_a_killed_database_keeps_the_rows_staged_and_the_next_commit_takes_them(
    own: Postgres, state: PostgresState
) -> None:
    state.put(CursorRow("pump", 0, 1))
    await state.commit()
    own.kill()
    state.put(CursorRow("pump", 0, 2))
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"PostgreSQL database .*Nothing is lost; it goes on by itself"):
            await state.commit()
    assert state.dirty
    with pytest.raises(Unavailable):
        await state.prefetch({Seen: [("s", "e")]})
    with pytest.raises(Unavailable):
        state.get(Seen, "s", "e")
    assert state.get(CursorRow, "pump", 0) == CursorRow("pump", 0, 2)
    own.start()
    await state.commit()
    assert state.select(CursorRow) == [CursorRow("pump", 0, 2)]


async def test_a_database_that_stands_still_is_given_up_and_taken_up_again(
    own: Postgres, state: PostgresState
) -> None:
    state.put(CursorRow("pump", 0, 1))
    await state.commit()
    own.pause()
    try:
        state.put(CursorRow("pump", 0, 2))
        with pytest.raises(ConnectionLost, match="no answer within 1 s"):
            await state.commit()
    finally:
        own.resume()
    await state.commit()
    assert state.select(CursorRow) == [CursorRow("pump", 0, 2)]


async def test_a_commit_whose_answer_was_lost_is_known_to_have_happened(own: Postgres) -> None:
    link = Link(own.port)
    direct = own.fresh()
    linked = msgspec.structs.replace(direct, host="127.0.0.1", port=link.port, tls="disable")
    state, other = PostgresState(linked, 0), PostgresState(direct, 1)
    letter = DeadLetter(id="l", tenant="", kind="", subject="", reason="", body=b"")
    state.put(letter, CursorRow("pump", 0, 1))
    link.lose_answer_to = b"COMMIT"
    with pytest.raises(ConnectionLost):
        await state.commit()
    assert link.lost.is_set()
    assert state.dirty
    other.put(msgspec.structs.replace(letter, state="dropped"))  # meanwhile, by another shard
    await other.commit()
    state.put(CursorRow("pump", 0, 2))
    await state.commit()
    assert state.get(CursorRow, "pump", 0) == CursorRow("pump", 0, 2)
    found = other.get(DeadLetter, "l")
    assert found is not None
    assert found.state == "dropped", "what was written once is not written again over a later row"
    state.close()
    other.close()
    link.close()


@pytest.mark.slow
async def test_a_link_cut_again_and_again_loses_and_doubles_nothing(own: Postgres) -> None:
    with Proxy(("127.0.0.1", own.port)) as proxy:
        state = PostgresState(through(proxy, own), 0)
        for number in range(40):
            state.put(Seen("s", f"{number:03}", number), CursorRow("pump", 0, number))
            if number % 3 == 0:
                asyncio.get_running_loop().call_later(0.0005 * (number % 7), proxy.cut)
            while state.dirty:
                with suppress(Unavailable):
                    await state.commit()
        assert [row.offset for row in state.select(Seen)] == list(range(40))
        assert state.get(CursorRow, "pump", 0) == CursorRow("pump", 0, 39)
        state.close()


async def test_a_network_that_stalls_is_given_up_and_taken_up_again(own: Postgres) -> None:
    with Proxy(("127.0.0.1", own.port)) as proxy:
        state = PostgresState(through(proxy, own), 0)
        state.put(CursorRow("pump", 0, 1))
        proxy.stall()
        with pytest.raises(ConnectionLost, match=r"no answer within 0\.5 s"):
            await state.commit()
        proxy.resume()
        await state.commit()
        assert state.select(CursorRow) == [CursorRow("pump", 0, 1)]
        state.close()


def through(proxy: Proxy, server: Postgres) -> PostgresSettings:
    """Return how a fresh schema is reached through a proxy."""
    settings = msgspec.structs.replace(server.fresh(), host="127.0.0.1", port=proxy.port, tls="disable")
    return msgspec.structs.replace(settings, patience_s=0.5)


@pytest.mark.slow
async def test_a_full_disk_holds_commits_back_until_there_is_room(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root only")
    place = Path(tempfile.mkdtemp())  # where the server's user finds its way
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m,mode=777", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    server = Small(tmp_path / "postgres")
    server.parent = place
    try:
        started(server)
        state = PostgresState(server.fresh(), 0)
        state.put(CursorRow("pump", 0, 1))
        await state.commit()
        ballast = place / "ballast"
        fill(ballast)
        rows = [file_row(os.urandom(1000)) for _ in range(3000)]
        state.put(*rows, PositionRow("s", "p", "1"))
        with pytest.raises(PenstockError) as caught:
            await state.commit()
        assert isinstance(caught.value, Unavailable), caught.value
        assert state.dirty
        ballast.unlink()
        for _ in range(100):
            try:
                await state.commit()
                break
            except Unavailable:
                if server.process is not None and server.process.poll() is not None:
                    server.kill()
                    server.start()
        assert not state.dirty
        assert state.get(PositionRow, "s", "p") == PositionRow("s", "p", "1")
        state.close()
    finally:
        server.kill()
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()


class Small(Postgres):
    """A server that keeps little beside its data."""

    def settings(self) -> dict[str, str]:
        return {"max_wal_size": "32MB", "min_wal_size": "32MB", "wal_recycle": "off"}


def fill(place: Path) -> None:
    """Write until there is no room."""
    with suppress(OSError), place.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
