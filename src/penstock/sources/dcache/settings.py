"""Settings of dCache's event streams."""

from __future__ import annotations

from urllib.parse import urlsplit

from msgspec import Struct

from penstock.outside.secret import Secret
from penstock.sources.ignore import HIDDEN_AND_TEMPORARY


class FrontendSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a frontend of dCache is reached.

    Attributes:
        frontend: Its address, such as ``https://dcache.example.org:3880``; name one host, no alias of
            several, because event channels live in one.
        token: Where the token or macaroon is kept that says who we are; read at each connection.
        ca: File with the certificates of the authorities that sign the frontend's; default: the system's.
        root: Folder of the namespace that this login sees as ``/``; default: what the frontend says.
        connect_s: Longest time to connect.
        answer_s: Longest time for an answer.
        queries: Most calls under way at once.
    """

    frontend: str
    token: Secret
    ca: str | None = None
    root: str | None = None
    connect_s: float = 10.0
    answer_s: float = 60.0
    queries: int = 16

    def __post_init__(self) -> None:
        """Refuse an address that is none, and a root that is no folder."""
        parts = urlsplit(self.frontend)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.path.strip("/"):
            raise ValueError(f"frontend {self.frontend!r}: expected an address such as https://HOST:3880")
        if self.root is not None and not self.root.startswith("/"):
            raise ValueError(f"root {self.root!r}: expected an absolute path of the namespace")
        if self.queries < 1:
            raise ValueError(f"queries is {self.queries}; expected at least 1")


class DCacheSseSettings(FrontendSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Folders of a dCache that are watched with all their subfolders.

    Attributes:
        storage: Name of the storage; part of every event's id and source.
        folders: The folders, as this login sees them.
        ignore: Names (or, with ``/``, paths below a folder) that raise no events; default: hidden and
            temporary ones.
        existing: Whether files that are there at the very first start raise events, too.
        reads: Whether reading a file raises an event.
        channel_s: How long the frontend keeps our events while we are away, in seconds, at most 86400.
        watches: Most folders watched; a frontend bears about 50000 in all.
        waiting: Notices read and not yet worked on; more wait in the frontend.
        batch: Notices worked on at once.
        page: Entries asked for at once when a folder is listed.
        pair_s: How long the second half of a move is waited for.
        unfinished_s: An empty file without a checksum may be being written to for as long; then it is told.
    """

    storage: str
    folders: tuple[str, ...]
    ignore: tuple[str, ...] = HIDDEN_AND_TEMPORARY
    existing: bool = False
    reads: bool = False
    channel_s: int = 3600
    watches: int = 40_000
    waiting: int = 10_000
    batch: int = 500
    page: int = 1000
    pair_s: float = 2.0
    unfinished_s: float = 3600.0

    def __post_init__(self) -> None:
        """Refuse what can never be watched."""
        super().__post_init__()
        if not self.folders:
            raise ValueError("folders is empty; name at least one folder")
        for folder in self.folders:
            if not folder.startswith("/") or (folder != "/" and folder.endswith("/")):
                raise ValueError(f"folder {folder!r}: expected an absolute path without a slash at its end")
        if not 1 <= self.channel_s <= 86_400:
            raise ValueError(f"channel_s is {self.channel_s}; the frontend takes 1 to 86400 seconds")
