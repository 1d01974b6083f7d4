"""Sources that are called, in an installation that is killed: what was acknowledged is kept, once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from penstock.testing.installation import Installation
from tests.servers.server import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SECRET = "0123456789abcdef"
HEADERS = {"authorization": f"Bearer {SECRET}"}
SOURCES = """
[receive]
port = {port}

[[sources]]
kind = "webhook"
name = "hook"
storage = "cloud"
secret = {{ file = "{secret}" }}
mapping = {{ path = "p", version = "v" }}
"""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    (tmp_path / "secret").write_text(SECRET)
    made = Installation(tmp_path / "home")
    with made.places.config.open("a") as config:
        config.write(SOURCES.format(secret=tmp_path / "secret", port=free_port()))
    made.start()
    yield made
    made.kill()


async def post(installation: Installation, body: bytes) -> Any:
    return await installation.ask("receive", source="hook", headers=HEADERS, body=body)


def letters(installation: Installation) -> list[str]:
    (file,) = installation.places.state.rglob("state.db")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        return [row[0] for row in database.execute("SELECT reason FROM dead_letters")]


async def test_what_was_acknowledged_survives_a_kill_and_is_taken_once(installation: Installation) -> None:
    (first,) = await post(installation, b'{"p":"/a","v":"1"}')
    assert first["new"]
    installation.kill()
    installation.start()
    (again,) = await post(installation, b'{"p":"/a","v":"1"}')
    assert again == {"id": first["id"], "new": False}
    (other,) = await post(installation, b'{"p":"/a","v":"2"}')
    assert other["new"]


async def test_a_dead_letter_survives_a_kill_right_behind_the_answer(installation: Installation) -> None:
    assert await post(installation, b"garbage") == []
    installation.kill()
    (reason,) = letters(installation)
    assert "source 'hook': not a JSON document" in reason
