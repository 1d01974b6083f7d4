"""Errors of the disk in words: what passes by itself, and what a person must repair."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser

from penstock.core.errors import Forbidden, Unavailable

PASSING = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
    }
)
"""Errors that pass when room is made or the disk is back."""


@contextmanager
def about(path: bytes) -> Iterator[None]:
    """Let errors name the whole path."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


@contextmanager
def before_the_promise(root: bytes) -> Iterator[None]:
    """Tell what passes by itself from what a person must repair."""
    try:
        yield
    except OSError as error:
        place = os.fsencode(error.filename2 or error.filename or root).decode("utf-8", "replace")
        why = f"outputs cannot be written to {place}: {error.strerror or error}"
        if error.errno in PASSING:
            raise Unavailable(f"{why}. Nothing is lost; make room and it goes on by itself") from error
        raise Forbidden(
            f"{why}. Let the user that runs Penstock ({getuser()}) write there, or change the template of "
            "the outputs; then run it again (`penstock dead-letters`)"
        ) from error


@contextmanager
def after_the_promise() -> Iterator[None]:
    """Wait for whatever it is: the promise to publish stands."""
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"outputs cannot be moved into place: {error}. Nothing is lost; "
            "repair it and it goes on by itself"
        ) from error
