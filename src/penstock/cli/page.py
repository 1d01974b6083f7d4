"""Where the web page is, as the running API says in a file that only its user can read."""

from __future__ import annotations

import json
from contextlib import suppress

from penstock.server.settings import Places

NAME = "api.json"


def address(places: Places) -> str:
    """Return the page's address, with the key that opens it; empty if there is none."""
    try:
        told = json.loads((places.runtime / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(told.get("page") or told.get("url") or "")


def forget(places: Places) -> None:
    """Remove what a killed API left, so that an old address is not told again."""
    with suppress(OSError):
        (places.runtime / NAME).unlink()
