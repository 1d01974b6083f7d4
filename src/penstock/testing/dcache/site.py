"""A whole simulated dCache: what users do shows in the namespace, in event streams and in billing records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.testing.dcache.billing import BillingWriter, Publisher
from penstock.testing.dcache.frontend import Frontend
from penstock.testing.dcache.namespace import Entry, Namespace

DISCONNECTED = (10011, "Client disconnected without closing file")


class SimulatedDCache:
    """Namespace, frontend and billing of one instance.

    Args:
        sink: Receives billing records.
        publishers: Who publishes them; see ``BillingWriter``.
        frontend: Options of ``Frontend``.

    ``async with SimulatedDCache(records.append, root="/pnfs") as dcache`` listens.

    Attributes:
        frontend: Its HTTP service, with its faults.
        billing: Its records, with theirs.
    """

    def __init__(
        self,
        sink: Callable[[bytes], None] = lambda _record: None,
        *,
        publishers: tuple[Publisher, ...] = ("direct",),
        **frontend: Any,
    ) -> None:
        self.frontend = Frontend(**frontend)
        self.billing = BillingWriter(sink, publishers)

    async def __aenter__(self) -> SimulatedDCache:
        await self.frontend.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.frontend.stop()

    @property
    def tree(self) -> Namespace:
        """The namespace; what is done to it directly, billing does not hear of."""
        return self.frontend.namespace

    def make_folder(self, path: str) -> Entry:
        """Make a folder and those above it."""
        return self.tree.make_folder(path, parents=True)

    def write(self, path: str, content: bytes | int = b"") -> Entry:
        """Upload a file; one that is there is replaced."""
        entry = self.tree.upload(path, content)
        self.billing.wrote(entry)
        return entry

    def write_by_srm(self, path: str, content: bytes | int = b"") -> Entry:
        """Upload a file as SRM does: to a temporary path, from which it is moved."""
        entry = self.tree.arrive(path, content)
        self.billing.arrived(entry, f"/upload/7/{entry.pnfsid}/{entry.name}")
        return entry

    def fail(self, path: str) -> Entry:
        """Begin an upload that breaks off."""
        entry = self.tree.begin_upload(path)
        self.billing.wrote(entry, DISCONNECTED)
        self.tree.fail_upload(entry)
        return entry

    def read(self, path: str) -> Entry:
        """Download a file."""
        entry = self.tree.read(path)
        self.billing.read(entry)
        return entry

    def remove(self, path: str) -> Entry:
        """Delete a file through a door."""
        entry = self.tree.remove(path)
        self.billing.removed(entry, path)
        return entry

    def move(self, old: str, new: str) -> Entry:
        """Rename, of which billing says nothing."""
        return self.tree.move(old, new)

    def copy(self, path: str) -> Entry:
        """Copy a replica to another pool."""
        entry = self.tree.touch(path)
        self.billing.copied(entry)
        return entry

    def store(self, path: str) -> Entry:
        """Flush a file to tape."""
        entry = self.tree.touch(path)
        entry.locality = "ONLINE_AND_NEARLINE"
        self.billing.stored(entry)
        return entry

    def restore(self, path: str) -> Entry:
        """Stage a file from tape."""
        entry = self.tree.touch(path)
        entry.locality = "ONLINE_AND_NEARLINE"
        self.billing.restored(entry)
        return entry
