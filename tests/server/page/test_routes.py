from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from penstock.server.page import routes
from penstock.server.page.assets import FOLDER, read
from penstock.server.page.routes import DETAILS, ENTRIES

pytestmark = pytest.mark.anyio


async def get(path: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Ask the page's routes without a server."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    await Starlette(routes=list(routes("ada")))(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:]).decode()


@pytest.mark.parametrize("path", [*(entry.path for entry in ENTRIES), *DETAILS])
async def test_every_address_of_the_page_gives_the_shell(path: str) -> None:
    status, headers, body = await get(path.replace("{id}", "abc"))
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "ada@" in body


async def test_the_shell_holds_nothing_that_the_content_policy_forbids() -> None:
    _, _, body = await get("/")
    assert re.findall(r"<script(?![^>]*\bsrc=)", body) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", body) == []
    assert re.findall(r"(?:src|href)=\"(?![/#])", body) == []


async def test_static_files_may_be_kept_for_ever_under_their_digest() -> None:
    digest = read().digest
    status, headers, body = await get(f"/static/{digest}/views/run.js")
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert body == (FOLDER / "views" / "run.js").read_text()


@pytest.mark.parametrize("name", ["none.js", "../routes.py", "/etc/passwd", "views"])
async def test_nothing_else_is_served(name: str) -> None:
    status, _, _ = await get(f"/static/{read().digest}/{name}")
    assert status == 404


async def test_another_version_of_the_page_gets_no_files_of_this_one() -> None:
    status, _, body = await get("/static/0123456789abcdef/main.js")
    assert (status, "reload" in body) == (404, True)


def test_no_module_can_make_markup_out_of_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
    )
    for path in sorted(FOLDER.rglob("*.js")):
        assert forbidden.findall(path.read_text()) == [], path


def test_modules_import_only_each_other() -> None:
    for path in sorted(FOLDER.rglob("*.js")):
        for name in re.findall(r"from \"([^\"]+)\"", path.read_text()):
            assert name.startswith("."), path
            assert (path.parent / name).resolve().is_file(), (path, name)
