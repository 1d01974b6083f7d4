"""Storages as sources: the folder of each is watched."""

from __future__ import annotations

from functools import partial

from penstock.core.ports import DeadLetterSink, Ledger
from penstock.server.settings import StorageSettings
from penstock.sources.folder import FolderSettings, FolderSource
from penstock.storage.publish import PRIVATE, Publisher


def watch(
    storage: StorageSettings, ledger: Ledger, dead_letter: DeadLetterSink, publisher: Publisher
) -> FolderSource:
    """Return the source that watches a storage's folder; ``publisher`` knows which files are results."""
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
        begun=partial(publisher.watched, storage.name),
    )
