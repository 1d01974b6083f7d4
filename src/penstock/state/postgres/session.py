"""One connection to PostgreSQL: bounded waits, and errors in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import OperationalError
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout

from penstock.core.errors import Broken, ConnectionLost, PenstockError, Throttled, Timeout, Unavailable
from penstock.state.postgres.settings import PostgresSettings, parameters

T = TypeVar("T")
AGAIN_S = 2.0
"""Wait before something is tried again, in seconds."""
AT_ONCE_S = 0.05
"""The same after a collision with another transaction."""
_INTERVAL_S = 3600.0
"""Without signals to look for there is nothing to wake up for during a wait."""


class Session(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which no exchange takes longer than ``patience_s``, in seconds."""

    patience_s: float = 20.0

    def wait(self, gen: PQGen[T], interval: float = _INTERVAL_S, timeout: float | None = None) -> T:
        """Carry out an exchange; see ``psycopg.Connection.wait``. Blocks."""
        limit = self.patience_s if timeout is None else timeout
        try:
            return super().wait(gen, interval=interval, timeout=limit)
        except _WaitTimeout:
            if timeout is not None:
                raise
            self.pgconn.finish()  # half an exchange cannot be gone on with
            raise OperationalError(f"no answer within {self.patience_s:g} s") from None


def connect(settings: PostgresSettings, name: str, **options: str) -> Session:
    """Return a new connection, outside of transactions. Blocks.

    Args:
        settings: Where to.
        name: Shown to the operator in ``pg_stat_activity``.
        options: Server settings of the session, such as ``statement_timeout``.

    Raises:
        Invalid: A secret is not where the settings say.
        Unavailable: The database is away, or does not let us in.
    """
    given = parameters(settings)
    for key, value in options.items():
        given["options"] += f" -c {key}={value}"
    with translating(settings):
        session = Session.connect(autocommit=True, application_name=f"penstock {name}"[:63], **given)
    session.patience_s = settings.patience_s
    return session


@contextmanager
def translating(settings: PostgresSettings) -> Iterator[None]:
    """Stop foreign errors at the room's border."""
    try:
        yield
    except PenstockError:
        raise
    except Exception as error:
        original = getattr(error, "orig", None) or error
        raise translated(original, settings.place) from error


_BY_CLASS: dict[str, tuple[type[Unavailable], str, float]] = {
    "25006": (Unavailable, "takes no writes (a standby?)", AGAIN_S),
    "40": (Unavailable, "had a collision with another transaction", AT_ONCE_S),
    "42501": (Unavailable, "does not let us do this; the user must own the schema", 5.0),
    "53100": (Unavailable, "has no room left on its disk", 5.0),
    "53": (Throttled, "is at one of its limits", AGAIN_S),
    "55P03": (Unavailable, "holds this row for another transaction", AT_ONCE_S),
    "57014": (Timeout, "was too slow for this; ask for less", AGAIN_S),
    "57": (ConnectionLost, "is stopping or starting", AGAIN_S),
    "58": (Unavailable, "has trouble with its disk", 5.0),
}
"""SQLSTATE, or its beginning, to what we say; the longest that fits."""

_PASSING = ("starting up", "shutting down", "recovery", "terminating", "too many", "remaining connection")
"""Refusals of a connection (which have no SQLSTATE) that pass by themselves."""


def translated(error: Exception, place: str) -> PenstockError:
    """Return our error for one of psycopg's."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    state = getattr(error, "sqlstate", None) or ""
    for length in (5, 2):
        if state[:length] in _BY_CLASS:
            kind, words, again_s = _BY_CLASS[state[:length]]
            return kind(f"{place} {words}: {text}. Nothing is lost; it goes on by itself", again_s)
    if "FATAL:" in text and not any(words in text for words in _PASSING):
        return Unavailable(f"{place} does not let us in; its operator has to put that right: {text}", 5.0)
    if isinstance(error, OperationalError | psycopg.InterfaceError) and not state:
        return ConnectionLost(
            f"{place} cannot be reached: {text}. Nothing is lost; it goes on by itself", AGAIN_S
        )
    return Broken(f"{place} refuses what we ask: {type(error).__name__}: {text}")
