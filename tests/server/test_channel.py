"""The engine's door: bad frames, large ones, clients that leave, and a second engine."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.core.errors import Broken, Conflict, Invalid, NotFound, Unavailable
from penstock.server.channel import FRAME_BYTES_MAX, Channel, ChannelClient

pytestmark = pytest.mark.anyio


class Door:
    """A channel whose handler does what its request is called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held = asyncio.Event()
        self.entered = asyncio.Event()
        self.channel = Channel(path, self.handle)

    async def handle(self, do: str, with_: msgspec.Raw) -> Any:
        if do == "hold":
            self.entered.set()
            await self.held.wait()
        elif do == "refuse":
            raise Invalid("two faults:", ("one", "two"))
        elif do == "miss":
            raise NotFound("there is no such thing")
        elif do == "bug":
            raise ZeroDivisionError("oh")
        return {"did": do}

    async def client(self, ended: Any = None) -> ChannelClient:
        client = ChannelClient(self.path, ended)
        await client.open()
        return client


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    door = Door(tmp_path / "run" / "engine.sock")
    await door.channel.open()
    yield door
    await door.channel.close()


async def raw(door: Door, sent: bytes) -> bytes:
    """Send bytes and return all that comes until the engine hangs up."""
    reader, writer = await asyncio.open_unix_connection(str(door.path))
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    return answer


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


async def test_only_the_owner_may_enter(door: Door) -> None:
    assert stat.S_IMODE(os.stat(door.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(door.path.parent).st_mode) == 0o700


@pytest.mark.parametrize(
    "sent", [framed(b"{"), framed(b"\xff\0"), framed(b"[]"), framed(b'{"id":"x"}'), framed(b"")]
)
async def test_garbage_ends_its_connection_and_no_other(door: Door, sent: bytes) -> None:
    client = await door.client()
    assert await raw(door, sent) == b""
    assert await client.ask("work") == {"did": "work"}
    await client.close()


async def test_a_frame_too_large_is_refused_in_words_before_it_is_read(door: Door) -> None:
    answer = await raw(door, (FRAME_BYTES_MAX + 1).to_bytes(4, "little"))
    assert b"is too large; at most" in answer
    client = await door.client()
    assert await client.ask("work") == {"did": "work"}
    await client.close()


async def test_a_client_that_leaves_in_the_middle_disturbs_nobody(door: Door) -> None:
    leaving, staying = await door.client(), await door.client()
    asked = asyncio.create_task(leaving.ask("hold"))
    await door.entered.wait()
    await leaving.close()
    with pytest.raises(Unavailable, match="went away"):
        await asked
    _, half = await asyncio.open_unix_connection(str(door.path))
    half.write(b"\xff\0")
    half.close()
    door.held.set()
    assert await staying.ask("work") == {"did": "work"}
    await staying.close()


async def test_requests_of_one_client_run_side_by_side(door: Door) -> None:
    client = await door.client()
    slow = asyncio.create_task(client.ask("hold"))
    await door.entered.wait()
    assert await client.ask("work") == {"did": "work"}
    door.held.set()
    assert await slow == {"did": "hold"}
    await client.close()


async def test_errors_arrive_as_what_they_were(door: Door) -> None:
    client = await door.client()
    with pytest.raises(Invalid) as invalid:
        await client.ask("refuse")
    assert invalid.value.faults == ("one", "two")
    with pytest.raises(NotFound, match="no such thing"):
        await client.ask("miss")
    with pytest.raises(Broken, match="bug: ZeroDivisionError: oh"):
        await client.ask("bug")
    await client.close()


async def test_a_second_engine_is_refused_and_does_not_take_the_first_one_s_door(door: Door) -> None:
    second = Door(door.path)
    with pytest.raises(Conflict, match="already running here"):
        await second.channel.open()
    await second.channel.close()
    client = await door.client()
    assert await client.ask("work") == {"did": "work"}
    await client.close()


async def test_a_socket_that_a_killed_engine_left_is_replaced(tmp_path: Path) -> None:
    left = Door(tmp_path / "engine.sock")
    await left.channel.open()
    assert left.channel._server is not None
    left.channel._server.close()  # the file stays, as after a kill
    assert left.path.exists()
    door = Door(left.path)
    await door.channel.open()
    client = await door.client()
    assert await client.ask("work") == {"did": "work"}
    await client.close()
    await door.channel.close()
    assert not door.path.exists()


async def test_where_no_engine_is_the_client_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="penstock serve"):
        await ChannelClient(tmp_path / "engine.sock").open()
