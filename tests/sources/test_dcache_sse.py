"""The parts of dCache's event streams: frames, watches, and a frontend that answers oddly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import ConnectionLost, Invalid, Refused, Throttled, Unavailable
from penstock.outside.secret import Secret
from penstock.sources.dcache.frontend import Frontend
from penstock.sources.dcache.inbox import Inbox
from penstock.sources.dcache.settings import FrontendSettings
from penstock.sources.dcache.sse import FRAME_BYTES_MAX, Frame, FrameReader, notice_of, system_of
from penstock.sources.dcache.watches import Watches

SAMPLES = Path(__file__).parent.parent / "data" / "dcache" / "inotify"
STREAMS = {path.stem: path.read_bytes() for path in sorted(SAMPLES.glob("*.sse"))}


def frames(stream: bytes, *cuts: int) -> list[Frame]:
    """Read a stream that comes in pieces."""
    reader, found, begin = FrameReader(), [], 0
    for cut in [*sorted(cuts), len(stream)]:
        found += list(reader.feed(stream[begin:cut]))
        begin = max(begin, cut)
    return found


@pytest.mark.parametrize("name", STREAMS)
def test_every_sample_is_read(name: str) -> None:
    found = frames(STREAMS[name])
    assert len(found) == STREAMS[name].count(b"\n\n")
    for frame in found:
        if frame.kind == "SYSTEM":
            assert frame.id == -1
            assert system_of(frame).type
        elif frame.kind == "inotify":
            assert frame.id >= 0
            assert notice_of(frame).event.mask


@given(st.sampled_from(sorted(STREAMS)), st.lists(st.integers(0, 5000), max_size=20))
def test_pieces_of_any_size_make_the_same_frames(name: str, cuts: list[int]) -> None:
    stream = STREAMS[name]
    assert frames(stream, *(min(cut, len(stream)) for cut in cuts)) == frames(stream)


def test_comments_other_fields_and_windows_line_ends_are_understood() -> None:
    stream = b': hello\r\n\r\nretry: 5\r\nevent: x\r\nid: 7\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
    for cut in range(len(stream)):
        assert frames(stream, cut) == [Frame("x", 7, b'{"a":\n1}')]


def test_an_unfinished_frame_tells_nothing() -> None:
    assert frames(b"event: inotify\nid: 3\ndata: {}\n") == []


def test_a_frame_without_end_is_refused() -> None:
    reader = FrameReader()
    with pytest.raises(Invalid, match=str(FRAME_BYTES_MAX)):
        list(reader.feed(b"data: " + b"x" * FRAME_BYTES_MAX))


@pytest.mark.parametrize("name", ["", "a/b", "..", "."])
def test_names_that_are_no_names_are_refused(name: str) -> None:
    data = b'{"event":{"name":"%s","mask":["IN_CREATE"]},"subscription":"/s"}' % name.encode()
    with pytest.raises(Invalid, match="expected the name of an entry"):
        notice_of(Frame("inotify", 1, data))


def test_a_watch_follows_its_folder() -> None:
    watches = Watches()
    watches.add("/a", "s1")
    watches.add("/a/b", "s2")
    watches.add("/ab", "s3")
    watches.rename("/a", "/z")
    assert [watches.folder(each) for each in ("s1", "s2", "s3")] == ["/z", "/z/b", "/ab"]
    assert "/a" not in watches
    watches.add("/a", "s4")
    watches.remove("s1")
    assert "/z" not in watches
    assert "/a" in watches
    assert len(watches) == 3


@pytest.mark.anyio
async def test_an_inbox_takes_no_more_than_its_limit_until_somebody_takes_out() -> None:
    inbox = Inbox(3)
    for number in range(3):
        await inbox.put([Frame("x", number, b"")])
    fourth = asyncio.create_task(inbox.put([Frame("x", 3, b"")]))
    await asyncio.sleep(0)
    assert not fourth.done()
    assert [item.id for item in await inbox.take(2) if isinstance(item, Frame)] == [0, 1]
    await fourth
    assert [item.id for item in await inbox.take(9) if isinstance(item, Frame)] == [2, 3]


@pytest.mark.anyio
async def test_what_came_before_the_end_is_taken_before_the_end_is_raised() -> None:
    inbox = Inbox(3)
    inbox.push(Frame("x", 0, b""))
    inbox.end(ConnectionLost("gone"))
    assert len(await inbox.take(9)) == 1
    with pytest.raises(ConnectionLost):
        await inbox.take(9)


@asynccontextmanager
async def answering(answer: web.Response | None, tmp_path: Path, **given: float) -> AsyncIterator[Frontend]:
    """A frontend that says the same to everything; None says nothing at all."""

    async def handle(request: web.Request) -> web.Response:
        if answer is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return answer

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    (tmp_path / "token").write_text("secret-token")
    settings = FrontendSettings(
        frontend=f"http://127.0.0.1:{port}",
        token=Secret(file=str(tmp_path / "token")),
        **given,  # type: ignore[arg-type]
    )
    try:
        async with Frontend(settings) as frontend:
            yield frontend
    finally:
        await runner.cleanup()


@pytest.mark.anyio
async def test_an_address_on_another_host_is_refused_with_what_to_set(tmp_path: Path) -> None:
    answer = web.Response(status=201, headers={"Location": "https://other.example.org:3880/api/v1/x"})
    async with answering(answer, tmp_path) as frontend:
        with pytest.raises(Refused, match=r"set 'frontend' to https://other\.example\.org:3880"):
            await frontend.subscribe("/channel", "/a", ())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (web.Response(status=307, headers={"Location": "http://pool/x"}), Refused, "307"),
        (web.Response(status=429, text='{"detail":"Too many channels"}'), Throttled, "no further channel"),
        (web.Response(status=503, text="busy"), Unavailable, "503 busy"),
        (web.Response(status=401), Unavailable, "refuses the token in"),
        (web.Response(status=201), Unavailable, "no Location"),
        (None, ConnectionLost, "cannot be reached"),
    ],
)
async def test_answers_that_are_none_are_said_in_words(
    answer: web.Response | None, error: type[Exception], words: str, tmp_path: Path
) -> None:
    async with answering(answer, tmp_path) as frontend:
        with pytest.raises(error, match=words) as raised:
            await frontend.subscribe("/channel", "/a", ())
        assert "secret-token" not in str(raised.value)


@pytest.mark.anyio
@pytest.mark.parametrize("body", ["", "[]", '{"pnfsId":5}', "<html>"])
async def test_a_namespace_that_talks_nonsense_is_waited_for(body: str, tmp_path: Path) -> None:
    async with answering(web.Response(text=body), tmp_path) as frontend:
        with pytest.raises(Unavailable, match="words we cannot read"):
            await frontend.describe("/a")


@pytest.mark.anyio
@pytest.mark.parametrize("body", ["", "[]", '{"rootDirectory":5}', "<html>"])
async def test_a_login_that_talks_nonsense_is_waited_for(body: str, tmp_path: Path) -> None:
    async with answering(web.Response(text=body), tmp_path) as frontend:
        with pytest.raises(Unavailable, match="words we cannot read"):
            await frontend.root()


@pytest.mark.anyio
async def test_a_frontend_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    settings = FrontendSettings(frontend="http://127.0.0.1:1", token=Secret(file=str(tmp_path / "token")))
    async with Frontend(settings) as frontend:
        with pytest.raises(ConnectionLost, match=r"127\.0\.0\.1:1 cannot be reached"):
            await frontend.root()
