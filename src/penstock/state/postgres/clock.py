"""The database's clock, beside ours."""

from __future__ import annotations

import time

from penstock.state.postgres.session import Session, connect, translating
from penstock.state.postgres.settings import PostgresSettings


def clock_skew_s(settings: PostgresSettings) -> float:
    """Return by how many seconds our clock is ahead of the database's. Blocks.

    Raises:
        Unavailable: It is away.
    """
    with connect(settings, "clock") as session, translating(settings):
        return skew_s(session)


def skew_s(session: Session) -> float:
    """Return the same on a connection; what its answer may have taken on its way counts for nothing."""
    before = time.time()
    row = session.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    assert row is not None
    theirs: float = row[0]
    return max(before - theirs, 0.0) or min(time.time() - theirs, 0.0)
