"""The folders in which attempts' files wait to be moved into place: in the storage, for our eyes alone."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Collection

from penstock.core.errors import Unavailable
from penstock.storage.beneath import Folders, enter
from penstock.storage.place import Place

logger = logging.getLogger("penstock.publish")
PRIVATE = ".penstock"
"""Folder in a storage's root that holds attempts; sources leave it out."""
ATTEMPTS = PRIVATE.encode() + b"/attempts"
MODE = 0o700


def attempt_name(key: str) -> bytes:
    """Return the name of an attempt's folder."""
    return key.replace("/", "-").encode()


def attempt_folder(key: str, root: bytes) -> bytes:
    """Return where an attempt's files wait."""
    return os.path.join(root, ATTEMPTS, attempt_name(key))


def name_in(source: bytes) -> bytes:
    """Return the name of the attempt's folder that a waiting file lies in."""
    return source.rpartition(b"/" + ATTEMPTS + b"/")[2].partition(b"/")[0]


def attempts_of(top: int, place: Place) -> Folders:
    """Return the folders of attempts, made when they are missing; a link among them is refused."""
    return Folders(top, place.path, MODE)


def drop(place: Place, key: str) -> None:
    """Remove an attempt's files, as far as there are any (blocking)."""
    try:
        with place.opened() as top:
            attempts = enter(top, ATTEMPTS, place.path)
            try:
                shutil.rmtree(attempt_name(key), ignore_errors=True, dir_fd=attempts)
            finally:
                os.close(attempts)
    except (Unavailable, OSError):
        return  # what is left goes at the next start


def sweep(place: Place, kept: Collection[bytes], is_ours: Callable[[str], bool]) -> int:
    """Remove attempts' folders of our runs, but those of these names; return how many (blocking)."""
    shown = os.path.join(place.path, ATTEMPTS)
    try:
        with place.opened() as top:
            attempts = enter(top, ATTEMPTS, shown)
            try:
                left = set(os.listdir(attempts)).difference(map(os.fsdecode, kept))
                names = [name for name in left if is_ours(name.partition("-")[0])]
                for name in names:
                    shutil.rmtree(os.fsencode(name), ignore_errors=True, dir_fd=attempts)
                return len(names)
            finally:
                os.close(attempts)
    except FileNotFoundError:
        return 0
    except (Unavailable, OSError) as error:
        logger.warning("%s is not cleaned: %s", os.fsdecode(shown), error)
        return 0


def remove_empty(folders: Folders, folder: bytes) -> None:
    """Remove an attempt's folder and those in it that are above ``folder``, as far as they are empty."""
    while os.path.basename(folder) != b"attempts":
        above, _, name = folder.rpartition(b"/")
        try:
            os.rmdir(name, dir_fd=folders.open(above))
        except OSError:
            return
        folder = above
