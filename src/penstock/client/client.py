"""Asks a running Penstock."""

from __future__ import annotations

import os
from typing import Any

from penstock.client.transport import Transport, socket_path
from penstock.core.errors import PenstockError

JSON = dict[str, Any]


class Client:
    """A running Penstock.

    Args:
        home: One folder for everything; default ``PENSTOCK_HOME``, else the XDG folders.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        self._transport = Transport(socket_path(home))

    def is_running(self) -> bool:
        """Whether somebody answers."""
        try:
            self._transport.ask("GET", "/health")
        except PenstockError:
            return False
        return True

    def status(self) -> JSON:
        """Return how the installation is."""
        return dict(self._transport.ask("GET", "/status"))

    def stop(self) -> None:
        """Stop the installation."""
        self._transport.ask("POST", "/stop")

    def backup(self, folder: str) -> JSON:
        """Copy log and state into a new folder of the machine that Penstock runs on."""
        return dict(self._transport.ask("POST", "/backup", body={"folder": folder}))
