"""Routes of the page: a shell for each of its addresses, and the static files."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from penstock import __version__
from penstock.server.page.assets import Assets, read

STATIC = "/static"
FOR_EVER = "public, max-age=31536000, immutable"


class Entry(Struct, frozen=True):
    """An entry of the page's navigation."""

    path: str
    title: str


ENTRIES = (
    Entry("/", "Overview"),
    Entry("/runs", "Runs"),
    Entry("/functions", "Functions"),
    Entry("/dead-letters", "Dead letters"),
    Entry("/explain", "Explain"),
    Entry("/jobs", "Jobs"),
)
DETAILS = ("/runs/{id}", "/dead-letters/{id}")
"""Addresses of one thing; the shell is the same."""


def routes(user: str = "") -> Sequence[BaseRoute]:
    """Return the page's routes, to be put behind those of the API and behind its door.

    The page holds no secret and no data: what it shows it asks of the API, with the visitor's cookie.

    Args:
        user: Whose installation it is, as the page says; default: the user of this process.
    """
    assets = read()
    shell = _shell(assets, user or _login())

    async def page(_request: Request) -> Response:
        return Response(shell, media_type="text/html")

    async def static(request: Request) -> Response:
        return _static(assets, request.path_params["digest"], request.path_params["name"])

    paths = (*(entry.path for entry in ENTRIES), *DETAILS)
    return [
        *(Route(path, page, methods=["GET"]) for path in paths),
        Route(f"{STATIC}/{{digest}}/{{name:path}}", static, methods=["GET"]),
    ]


def _shell(assets: Assets, user: str) -> bytes:
    """Return the HTML that every address of the page gives; it does not depend on the request."""
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    text = environment.get_template("shell.html").render(
        static=f"{STATIC}/{assets.digest}",
        modules=assets.modules,
        entries=ENTRIES,
        user=user,
        host=socket.gethostname().partition(".")[0],
        version=__version__,
    )
    return text.encode()


def _static(assets: Assets, digest: str, name: str) -> Response:
    asset = assets.files.get(name)
    if asset is None or digest != assets.digest:
        # Another version of the page asks: it has to be loaded anew.
        raise HTTPException(404, f"there is no file {name[:80]!r} of this version of the page; reload it")
    return Response(asset.body, media_type=asset.media, headers={"Cache-Control": FOR_EVER})


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
