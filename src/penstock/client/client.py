"""Asks a running Penstock, in the nouns of its API."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.client.asking import JSON, located
from penstock.client.definitions import Definitions
from penstock.client.letters import Letters
from penstock.client.runs import Runs
from penstock.core.errors import PenstockError

BATCH = "application/cloudevents-batch+json"


class Client(Definitions, Runs, Letters):
    """A running Penstock.

    Every method raises ``Unavailable`` if it is not running, and otherwise what the server says is wrong, of
    its class in ``penstock.core.errors``. Answers are dicts with the members that the OpenAPI document names.

    Args:
        home: One folder for everything; default ``PENSTOCK_HOME``, else the XDG folders.
    """

    def is_running(self) -> bool:
        """Whether somebody answers."""
        try:
            self._get("/health")
        except PenstockError:
            return False
        return True

    def stop(self) -> None:
        """Begin to stop the installation."""
        self._post("/stop")

    def backup(self, folder: str | os.PathLike[str]) -> JSON:
        """Copy log and state into a new folder."""
        return dict(self._post("/backup", {"folder": os.path.abspath(folder)}))

    def coverage(self, storage: str = "") -> JSON:
        """Return up to when everything in each tree was told, and who was heard of."""
        return dict(self._get("/coverage", {"storage": storage} if storage else None))

    def reconcile(self, storage: str, folder: str = "", *, dry_run: bool = False) -> JSON:
        """Have a folder compared with what is known of it; done when ``coverage`` proves it for later."""
        body = {"storage": storage, "folder": folder, "dry_run": dry_run}
        return dict(self._post("/reconcile", body))

    def page(self) -> str:
        """Return an address that opens the page once."""
        return str(self._post("/visits")["url"])

    def renew_token(self) -> None:
        """Draw another token; open pages, and programs that hold the former one, are shut out."""
        self._post("/token")

    def events(self, limit: int = 100, **query: Any) -> list[JSON]:
        """Return events, newest first.

        Args:
            limit: Most events.
            **query: ``since`` and ``until`` (offset or RFC 3339 time), ``filter`` (CESQL or JSON).
        """
        return list(self._pages("/events", "events", "until", limit, query))

    def event(self, offset: int) -> JSON:
        """Return one event and what became of it."""
        return dict(self._get(f"/events/{offset}"))

    def send(self, events: Sequence[Mapping[str, Any]]) -> list[JSON]:
        """Send CloudEvents; return, once all are on disk, which were new."""
        body = json.dumps(list(events)).encode()
        return list(self._transport.ask("POST", "/events", None, body, BATCH))

    def explain(self, path: str | os.PathLike[str], *, everything: bool = False) -> JSON:
        """Return why something ran, or did not, on a file; ``everything`` tells of all events about it."""
        query: JSON = {"path": located(path)} | ({"all": True} if everything else {})
        return dict(self._get("/explain", query))
