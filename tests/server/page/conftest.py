"""One running installation with its page, and one browser, for all tests of the page."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from tests.server.api.served import Served

HERE = Path(__file__).parent
HOSTILE = "<img src=x onerror=window.hurt=1> \u202egnp\n.scan"
"""A file's name that tries everything: markup, a reversed direction, a second line."""
WAIT_MS = 15_000
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An installation in which a scan went well, one failed, and one has a hostile name."""
    installation = Served(tmp_path_factory.mktemp("page"))
    installation.start(api=True)
    asyncio.run(installation.deploy(HERE / "functions.py"))
    installation.address()
    for name, content in (("good.scan", "data"), ("bad.scan", "bad"), (HOSTILE, "data")):
        write(installation, name, content)
        installation.ended_run(path=str(installation.files / name))
    yield installation
    assert installation.stop() == 0, installation.said()
    assert "Traceback" not in installation.said(), installation.said()


def write(installation: Served, name: str, content: str) -> Path:
    """Write a file at once, as a good writer does, and return its path."""
    fresh = installation.files / ".fresh"
    fresh.write_text(content)
    return fresh.rename(installation.files / name)


@pytest.fixture(scope="module")
def browser(program: Callable[[str, str], str], served: Served) -> Iterator[Browser]:
    """Debian's Chromium, which asks nobody for anything by itself; started after what it visits.

    Playwright keeps an event loop in this thread while it is there, beside which no test of other modules
    could have its own; so it is closed with the module.
    """
    path = program("chromium", "chromium")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=[*quiet, *sandbox])
        yield launched
        launched.close()


class Visitor:
    """A person before the page.

    Attributes:
        page: The browser's page, let in already.
        origin: Of the page.
        faults: What the browser complained of; must stay empty.
        foreign: Requests to anybody but Penstock; must stay empty.
    """

    def __init__(self, context: BrowserContext, served: Served) -> None:
        self.page: Page = context.new_page()
        self.origin = f"http://127.0.0.1:{served.port}"
        self.faults: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.goto(served.post("visits", {}, 201)["url"])
        expect(self.page.locator("#line")).to_have_text("live")

    def go(self, path: str) -> Page:
        """Open an address of the page and wait until it is drawn and live."""
        self.page.goto(self.origin + path)
        expect(self.page.locator("#line")).to_have_text("live")
        expect(self.page.locator("h1")).to_be_visible()
        return self.page

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    def _asked(self, address: str) -> None:
        if not address.startswith(self.origin):
            self.foreign.append(address)


@pytest.fixture
def visit(browser: Browser, served: Served) -> Iterator[Callable[..., Visitor]]:
    """``visit(color_scheme="dark", ...)``: a person with a fresh browser, whose complaints fail the test."""
    contexts: list[BrowserContext] = []
    visitors: list[Visitor] = []

    def come(**options: Any) -> Visitor:
        context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        contexts.append(context)
        visitors.append(Visitor(context, served))
        return visitors[-1]

    yield come
    for context in contexts:
        context.close()
    assert [fault for visitor in visitors for fault in visitor.faults] == []
    assert [address for visitor in visitors for address in visitor.foreign] == []
