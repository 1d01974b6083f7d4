"""Commits as they happen, by LISTEN, for processes that show the state; an idle one sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from msgspec import Struct
from psycopg import sql

from penstock.state.postgres.session import Session, connect, translating
from penstock.state.postgres.settings import PostgresSettings

_STANDING = """SELECT p.partition, p.commits, coalesce(max(c."offset"), -1)
    FROM partitions p LEFT JOIN cursors c ON c.shard = p.partition AND c.reader = 'pump'
    GROUP BY p.partition, p.commits ORDER BY p.partition"""


class Change(Struct, frozen=True):
    """A shard has committed.

    Attributes:
        partition: The shard's.
        commit: How many commits there were; it rises by one with each.
        offset: How far the partition is folded; -1 where that is not known.
    """

    partition: int
    commit: int
    offset: int


async def changes(settings: PostgresSettings) -> AsyncGenerator[Sequence[Change], None]:
    """Yield commits, those of one moment together; first where each partition stands now.

    What is read after the first batch came is at least as new as it, and whatever is committed later is told:
    so nothing is missed, whenever it is begun. It never ends by itself; cancel it.

    Raises:
        Unavailable: The database is away; begin anew after ``retry_after_s``.
    """
    loop = asyncio.get_running_loop()
    session = await loop.run_in_executor(None, _listening, settings)
    came = asyncio.Event()
    place = session.fileno()
    loop.add_reader(place, came.set)
    try:
        with translating(settings):
            yield await loop.run_in_executor(None, _standing, session)
            while True:
                if told := _told(session):
                    yield told
                await came.wait()
                came.clear()
    finally:
        loop.remove_reader(place)
        session.close()


def _listening(settings: PostgresSettings) -> Session:
    session = connect(settings, "changes", default_transaction_read_only="on")
    with translating(settings):
        session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(settings.channel)))
    return session


def _standing(session: Session) -> Sequence[Change]:
    return [Change(*row) for row in session.execute(_STANDING)]


def _told(session: Session) -> list[Change]:
    """Return what has arrived, without waiting.

    Raises:
        psycopg.OperationalError: The connection is lost.
    """
    session.pgconn.consume_input()
    found = []
    while notice := session.pgconn.notifies():
        partition, commit, offset = notice.extra.decode().split(":")
        found.append(Change(int(partition), int(commit), int(offset)))
    return found
