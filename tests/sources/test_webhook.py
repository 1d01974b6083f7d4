"""What is posted becomes events, or dead letters; strangers are refused."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.core.errors import Unauthenticated
from penstock.core.ports import SourceContext
from penstock.core.rows import DeadLetter
from penstock.sources.s3_webhook import S3Webhook
from penstock.sources.webhook import Webhook
from penstock.testing.ledger import MemoryLedger

SECRET = "0123456789abcdef"
HEADERS: Mapping[str, str] = {"authorization": f"Bearer {SECRET}"}
S3 = Path(__file__).parents[1] / "data" / "sources" / "s3"


class Told:
    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.context = SourceContext(name="hook", ledger=MemoryLedger(), dead_letter=self.letters.append)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def secret(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "secret").write_text(SECRET + "\n")
    return {"file": str(tmp_path / "secret")}


def opened(kind: Any, told: Told, **settings: Any) -> Any:
    return kind.open(msgspec.convert(settings, kind.Settings), told.context)


def test_a_body_becomes_events(told: Told, secret: dict[str, str]) -> None:
    hook = opened(Webhook, told, storage="cloud", secret=secret, mapping={"path": "p"})
    (event,) = hook.receive(HEADERS, b'{"p":"/a"}')
    assert event.subject == "/a"
    assert hook.receive(HEADERS, b'{"p":"/a"}')[0].id == event.id
    assert hook.receive(HEADERS, b"") == []


def test_strangers_are_refused_before_anything_is_read(told: Told, secret: dict[str, str]) -> None:
    hook = opened(Webhook, told, storage="cloud", secret=secret, mapping={"path": "p"})
    for headers in ({}, {"authorization": "Bearer no"}):
        with pytest.raises(Unauthenticated):
            hook.receive(headers, b"garbage")
    assert told.letters == []


def test_a_signature_over_the_body_lets_in(told: Told, secret: dict[str, str]) -> None:
    hook = opened(
        Webhook, told, storage="cloud", secret=secret, mapping={"path": "p"}, signature_header="X-Signature"
    )
    body = b'{"p":"/a"}'
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert len(hook.receive({"x-signature": signature}, body)) == 1
    with pytest.raises(Unauthenticated):
        hook.receive({"x-signature": signature}, body + b" ")


def test_what_cannot_be_read_is_a_dead_letter_and_acknowledged(told: Told, secret: dict[str, str]) -> None:
    hook = opened(Webhook, told, storage="cloud", secret=secret, mapping={"path": "p"})
    for body in (b"garbage", b'{"p":1}', b'{"p":1}'):
        assert list(hook.receive(HEADERS, body)) == []
    assert [letter.body for letter in told.letters] == [b"garbage", b'{"p":1}', b'{"p":1}']
    assert told.letters[1].id == told.letters[2].id != told.letters[0].id
    assert "source 'hook'" in told.letters[0].reason


def test_minio_posts_with_its_token_and_probes_without_body(told: Told, secret: dict[str, str]) -> None:
    hook = opened(S3Webhook, told, storage="objects", secret=secret)
    lines = (S3 / "minio.jsonl").read_bytes().splitlines()
    assert [len(hook.receive(HEADERS, line)) for line in lines] == [1, 1, 1, 1, 1]
    assert list(hook.receive(HEADERS, b"")) == []
    assert told.letters == []


def test_one_bad_record_of_a_message_leaves_the_others(told: Told, secret: dict[str, str]) -> None:
    hook = opened(S3Webhook, told, storage="objects", secret=secret)
    good = (S3 / "aws.jsonl").read_bytes().splitlines()[1]
    mixed = good.replace(b'{"Records":[', b'{"Records":[{"eventName":7},')
    assert len(hook.receive(HEADERS, mixed)) == 2
    assert len(told.letters) == 1


@pytest.mark.anyio
async def test_its_stream_is_silent_until_it_is_closed(told: Told, secret: dict[str, str]) -> None:
    hook = opened(S3Webhook, told, storage="objects", secret=secret)
    following = asyncio.create_task(anext(aiter(hook.events()), None))
    await asyncio.sleep(0)
    assert not following.done()
    await hook.close()
    assert await following is None
