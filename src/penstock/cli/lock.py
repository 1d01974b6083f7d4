"""The lock that an engine holds on its log, as long as its process lives."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from penstock.core.errors import Conflict
from penstock.server.settings import Places


@contextmanager
def held(places: Places) -> Iterator[None]:
    """Hold the log's lock, so that no engine starts meanwhile.

    Raises:
        Conflict: An engine has it.
    """
    path = places.state / "log" / "0" / "lock"
    if not path.exists():
        yield
        return
    with path.open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("Penstock runs; stop it first: `penstock stop`") from None
        yield


def is_held(places: Places) -> bool:
    """Whether an engine has the log's lock."""
    try:
        with held(places):
            return False
    except Conflict:
        return True
