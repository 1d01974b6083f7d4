"""The simulated frontend replays the sample streams byte for byte, over HTTP."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from penstock.testing.dcache.channels import Channel
from penstock.testing.dcache.frontend import Frontend, Login

pytestmark = pytest.mark.anyio
SAMPLES = Path(__file__).parent.parent / "data" / "dcache" / "inotify"
HOST = "https://dcache.example.org:3880"
ROOT = "/pnfs/example.org"
RAW = "/p11/2026/data/11019999/raw"
CHANNEL = "qT3vWm0Xc2yF8s1LbDkR5g"
TICK = "2748b2a8-10f4-4c4b-ac73-8351f5107822"
COOKIES = ("0r6/JbKH+oZ0D2ETnzGMQA", "hY8m2mB0QW9nT1c4dJ3xQw")
RAW_ID = base64.b64decode("AAChssPU5fYHGCk6S1xtfo+Q").hex().upper()
FILE_ID = base64.b64decode("AAA/+y6cEapVQOK20ZB8M1Xd").hex().upper()
AUTHORISED = {"Authorization": "Bearer token"}


def names() -> Iterator[str]:
    """pnfsids: folders of the scene first, ``raw`` the seventh, then a file that is watched itself."""
    others = (f"0000{number:032X}" for number in itertools.count(1))
    yield from itertools.islice(others, 6)
    yield RAW_ID
    yield FILE_ID
    yield from others


@asynccontextmanager
async def scene() -> AsyncIterator[tuple[Frontend, aiohttp.ClientSession]]:
    frontend = Frontend(
        root=ROOT, base_url=HOST, channel_ids=iter([CHANNEL, TICK]), pnfsids=names(), cookies=iter(COOKIES)
    )
    frontend.namespace.make_folder(ROOT + RAW, parents=True)
    async with frontend, aiohttp.ClientSession(frontend.address, headers=AUTHORISED) as session:
        yield frontend, session


async def opened(session: aiohttp.ClientSession) -> Channel | None:
    async with session.post("/api/v1/events/channels") as answer:
        assert answer.status == 201
    return None


async def listen(session: aiohttp.ClientSession, last: str | None = None) -> aiohttp.ClientResponse:
    headers = {"Accept": "text/event-stream"} | ({} if last is None else {"Last-Event-ID": last})
    answer = await session.get(f"/api/v1/events/channels/{CHANNEL}", headers=headers)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    return answer


async def subscribe(session: aiohttp.ClientSession, path: str) -> None:
    url = f"/api/v1/events/channels/{CHANNEL}/subscriptions/inotify"
    async with session.post(url, json={"path": path}) as answer:
        assert answer.status == 201


async def body(frontend: Frontend, answer: aiohttp.ClientResponse) -> bytes:
    """End the stream and return all of it."""
    frontend.channels[CHANNEL].close()
    return await answer.read()


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.sse").read_bytes()


async def test_a_folder_that_is_watched() -> None:
    async with scene() as (frontend, session):
        tree = frontend.namespace
        tree.upload(f"{ROOT}{RAW}/кадр_0001.cbf.tmp")
        tree.upload(f"{ROOT}{RAW}/done.flag")
        await opened(session)
        answer = await listen(session)
        await subscribe(session, RAW)
        tree.make_folder(f"{ROOT}{RAW}/2026-10-14")
        scan = f"{ROOT}{RAW}/scan_über 001.h5"
        tree.upload(scan, b"data", modifies=2, attributes=2)
        tree.read(scan)
        tree.move(f"{ROOT}{RAW}/кадр_0001.cbf.tmp", f"{ROOT}{RAW}/кадр_0001.cbf")
        tree.arrive(f"{ROOT}{RAW}/run_0001.root")
        tree.list(f"{ROOT}{RAW}/2026-10-14")
        tree.remove(f"{ROOT}{RAW}/done.flag")
        tree.remove(f"{ROOT}{RAW}/2026-10-14")
        channel = frontend.channels[CHANNEL]
        channel.overflow(RAW_ID)
        async with session.post(
            f"/api/v1/events/channels/{CHANNEL}/subscriptions/metronome", json={"delay": 1}
        ) as made:
            url = made.headers["Location"]
        channel.tick(url)
        async with session.delete(url.removeprefix(HOST)) as gone:
            assert gone.status == 204
        assert await body(frontend, answer) == sample("session")


async def test_a_file_that_is_watched_and_deleted() -> None:
    async with scene() as (frontend, session):
        tree = frontend.namespace
        tree.upload(f"{ROOT}{RAW}/a")
        await opened(session)
        answer = await listen(session)
        await subscribe(session, f"{RAW}/a")
        tree.touch(f"{ROOT}{RAW}/a")
        tree.move(f"{ROOT}{RAW}/a", f"{ROOT}{RAW}/b")
        tree.read(f"{ROOT}{RAW}/b")
        tree.remove(f"{ROOT}{RAW}/b")
        assert await body(frontend, answer) == sample("file-watch-deleted")


async def test_a_client_that_comes_back_gets_what_it_missed() -> None:
    async with scene() as (frontend, session):
        await opened(session)
        first = await listen(session)
        await subscribe(session, RAW)
        frontend.namespace.make_folder(f"{ROOT}{RAW}/2026-10-14")
        frontend.namespace.upload(f"{ROOT}{RAW}/scan_über 001.h5", b"data", modifies=2, attributes=2)
        first.close()
        answer = await listen(session, "4")
        assert await body(frontend, answer) == sample("reconnect-replay-after-4")


async def test_an_id_that_is_too_old_is_a_loss() -> None:
    async with scene() as (frontend, session):
        await opened(session)
        first = await listen(session)
        await subscribe(session, RAW)
        first.close()
        frontend.channels[CHANNEL].next_id = 20_000
        answer = await listen(session, "7")
        entry = frontend.namespace.upload(f"{ROOT}{RAW}/late.h5", 1, modifies=0, attributes=0)
        assert entry.size == 1
        frames = (await body(frontend, answer)).split(b"\n\n")
        close = frames[3].replace(b"id: 20002", b"id: 20000")
        assert frames[0] + b"\n\n" + close + b"\n\n" == sample("reconnect-event-loss")


async def test_a_second_client_takes_the_channel_over() -> None:
    async with scene() as (frontend, session):
        await opened(session)
        answer = await listen(session)
        async with session.post(
            f"/api/v1/events/channels/{CHANNEL}/subscriptions/inotify",
            json={"path": RAW, "flags": ["IN_CREATE"]},
        ) as made:
            assert made.status == 201
        frontend.channels[CHANNEL].next_id = 31
        frontend.namespace.begin_upload(f"{ROOT}{RAW}/a.h5")
        (await listen(session, "31")).close()
        _, _, rest = (await answer.read()).partition(b"\n\n")
        assert rest == sample("competing-client")


async def test_a_frontend_that_stops_says_so() -> None:
    async with scene() as (frontend, session):
        await opened(session)
        answer = await listen(session)
        async with session.post(
            f"/api/v1/events/channels/{CHANNEL}/subscriptions/inotify",
            json={"path": RAW, "flags": ["IN_CREATE"]},
        ):
            frontend.channels[CHANNEL].next_id = 40
        frontend.namespace.begin_upload(f"{ROOT}{RAW}/b.h5")
        await frontend.stop()
        _, _, rest = (await answer.read()).partition(b"\n\n")
        assert rest == sample("shutdown")


async def test_the_calls_of_the_samples_are_answered_as_there() -> None:
    exchanges = [json.loads(line) for line in (SAMPLES / "rest-exchanges.jsonl").read_text().splitlines()]
    async with scene() as (_, session):
        stream = None
        for exchange in exchanges:
            asked, expected = exchange["request"], exchange["response"]
            headers = {key: each for key, each in asked.get("headers", {}).items() if key != "Authorization"}
            answer = await session.request(
                asked["method"], asked["path"], headers=headers, json=asked.get("body"), allow_redirects=False
            )
            assert answer.status == expected["status"], exchange["n"]
            location = expected.get("headers", {}).get("Location")
            assert answer.headers.get("Location") == location
            if headers.get("Accept") == "text/event-stream":
                stream = answer
                continue
            assert_same(await answer.read(), expected["body"])
        assert stream is not None


def assert_same(got: bytes, wanted: Any) -> None:
    if wanted is None:
        assert got == b""
        return
    said = json.loads(got)
    if isinstance(wanted, dict) and "<text>" in str(wanted.get("detail")):
        wanted = {**wanted, "detail": said["detail"]}
        assert said["detail"].startswith("Not found: Problem with path: ")
    assert said == wanted


async def test_anonymous_calls_and_others_channels_are_refused() -> None:
    async with scene() as (frontend, session):
        await opened(session)
        for token, status in (("nobody", 401), ("admin-token", 403)):
            async with session.get(
                f"/api/v1/events/channels/{CHANNEL}", headers={"Authorization": f"Bearer {token}"}
            ) as answer:
                assert answer.status == status
        assert frontend.calls[0] == "POST /api/v1/events/channels"


async def test_only_so_many_channels_are_given_to_a_user() -> None:
    frontend = Frontend(logins={"token": Login(7)})
    async with frontend, aiohttp.ClientSession(frontend.address, headers=AUTHORISED) as session:
        for number in range(129):
            async with session.post("/api/v1/events/channels") as answer:
                assert answer.status == (201 if number < 128 else 429)
