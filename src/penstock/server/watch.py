"""Storages as sources: the folder of each is watched."""

from __future__ import annotations

from penstock.core.ports import CoveredSink, DeadLetterSink, Ledger, Runtime
from penstock.server.settings import StorageSettings
from penstock.sources.folder import FolderSettings, FolderSource
from penstock.storage.publish import PRIVATE, Publisher


def watch(
    storage: StorageSettings,
    ledger: Ledger,
    dead_letter: DeadLetterSink,
    publisher: Publisher,
    runtime: Runtime,
    covered: CoveredSink,
) -> FolderSource:
    """Return the source that watches a storage's folder.

    Args:
        storage: As configured.
        ledger: What is known of its files.
        dead_letter: Told of what cannot be read.
        publisher: Knows which files are results.
        runtime: Its workers are renewed when another disk is mounted there.
        covered: Told of each folder that was compared with the ledger.
    """

    def begun(device: int, inode: int) -> None:
        if publisher.watched(storage.name, device, inode):
            runtime.renew()

    default = FolderSettings(folder=storage.folder)
    settings = FolderSettings(
        folder=storage.folder,
        name=storage.name,
        ignore=(*default.ignore, PRIVATE, *storage.ignore),
        existing=storage.existing,
        accept_filesystems=storage.accept_filesystems,
    )
    return FolderSource(
        settings,
        ledger,
        dead_letter,
        publisher.published,
        moved=publisher.moved,
        begun=begun,
        covered=covered,
    )
