"""Settings of the folder source."""

from __future__ import annotations

from msgspec import Struct

from penstock.sources.ignore import HIDDEN_AND_TEMPORARY


class FolderSettings(Struct, frozen=True, kw_only=True):
    """A watched folder.

    Attributes:
        folder: The folder whose files raise events, with all its subfolders.
        name: Name of the storage; part of every event's id and source.
        ignore: Names (or, with ``/``, paths below the folder) that raise no events; default: hidden
            and temporary ones.
        existing: Whether files that are there at the very first start raise events, too.
        accept_filesystems: Types of network file systems, such as ``nfs4``, that are accepted because
            no other machine writes there.
        settle_s: Seconds for which a file found by listing must not have changed, where the kernel
            does not let us know whether somebody writes to it (another user's file).
        step_files: Files compared in one go by a listing, between two looks at new notices.
        inline_files: Files of a new folder that are looked at at once, the rest in the background.
        notice_bytes_max: Notices read and not yet worked on, in bytes; more wait in the kernel.
        waiting_files_max: Files remembered as created and not yet closed.
    """

    folder: str
    name: str = "local"
    ignore: tuple[str, ...] = HIDDEN_AND_TEMPORARY
    existing: bool = False
    accept_filesystems: tuple[str, ...] = ()
    settle_s: float = 2.0
    step_files: int = 256
    inline_files: int = 256
    notice_bytes_max: int = 1 << 18
    waiting_files_max: int = 100_000
