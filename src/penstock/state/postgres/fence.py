"""Who owns a partition. Each owner raises its epoch; whoever commits under an older one is refused.

A commit updates the partition's row first and holds it until its end, so that a new owner waits for the
commit that is under way, or ends it where its process does not go on (it was stopped, its host is gone).
"""

from __future__ import annotations

from time import time_ns

from msgspec import Struct
from psycopg.errors import LockNotAvailable

from penstock.core.errors import Fenced, Unavailable
from penstock.state.postgres.session import Session

WAIT_MS = 2000
"""How long a new owner waits for a commit of the old one, in milliseconds; then it ends its connection."""
TRIES = 5
_TAKE = """INSERT INTO partitions AS p (partition, epoch, owner, since_ns, commits, backend)
    VALUES (%s, 1, %s, %s, 0, pg_backend_pid()) ON CONFLICT (partition) DO UPDATE SET epoch = p.epoch + 1,
    owner = excluded.owner, since_ns = excluded.since_ns, backend = excluded.backend
    RETURNING epoch, commits"""
_END_OLD = """SELECT pg_terminate_backend(a.pid)
    FROM partitions p JOIN pg_stat_activity a ON a.pid = p.backend
    WHERE p.partition = %s AND a.datname = current_database() AND a.application_name LIKE 'penstock %%'"""
_COUNT = """UPDATE partitions SET commits = commits + 1, backend = pg_backend_pid()
    WHERE partition = %s AND epoch = %s RETURNING commits"""


class Ownership(Struct, frozen=True):
    """What a new owner holds: its epoch, and how many commits there were before it."""

    epoch: int
    commits: int


class Owner(Struct, frozen=True):
    """Who owns a partition, for people and for those who wait for changes."""

    partition: int
    epoch: int
    owner: str
    since_ns: int
    commits: int


def take_over(session: Session, partition: int, owner: str) -> Ownership:
    """Make ``owner`` the owner of a partition, and everybody else not. Blocks.

    Args:
        session: Outside of transactions.
        partition: From 0; negative ones are for processes that fold no partition.
        owner: Words for people: host and process.

    Raises:
        Unavailable: The old owner's transaction cannot be ended.
    """
    for _ in range(TRIES):
        try:
            with session.transaction():
                session.execute(f"SET LOCAL lock_timeout = {WAIT_MS}")
                row = session.execute(_TAKE, (partition, owner, time_ns())).fetchone()
                assert row is not None
                return Ownership(*row)
        except LockNotAvailable:
            session.execute(_END_OLD, (partition,))
    raise Unavailable(
        f"partition {partition} is held by a transaction of its old owner that cannot be ended; "
        "see pg_stat_activity"
    )


def owners(session: Session) -> list[Owner]:
    """Return who owns each partition. Blocks."""
    found = session.execute("SELECT partition, epoch, owner, since_ns, commits FROM partitions ORDER BY 1")
    return [Owner(*row) for row in found]


def pass_fence(session: Session, partition: int, epoch: int) -> int:
    """Hold the fence until the transaction ends, and return the number of this commit. Blocks.

    Raises:
        Fenced: Somebody else owns the partition.
    """
    row = session.execute(_COUNT, (partition, epoch), prepare=True).fetchone()
    if row is not None:
        return int(row[0])
    found = {owner.partition: owner for owner in owners(session)}.get(partition)
    by = f"{found.owner} took it over as epoch {found.epoch}" if found else "it is not there any more"
    raise Fenced(f"partition {partition} is no longer ours (epoch {epoch}): {by}. Nothing was written")
