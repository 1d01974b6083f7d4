"""Other processes are told of commits, and of nothing else."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import psycopg
import pytest
from tests.servers.postgres import Postgres

from penstock.core.errors import ConnectionLost
from penstock.core.rows import CursorRow
from penstock.state.postgres.changes import Change, changes
from penstock.state.postgres.settings import PostgresSettings
from penstock.state.postgres.state import PostgresState

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(postgres: Postgres) -> PostgresSettings:
    return postgres.fresh()


async def test_each_commit_is_told_once_with_how_far_the_shard_has_come(settings: PostgresSettings) -> None:
    state, other = PostgresState(settings, 3), PostgresState(settings, 4)
    state.put(CursorRow("pump", 0, 5))
    await state.commit()
    async with aclosing(changes(settings)) as told:
        assert await anext(told) == [Change(3, 1, 5), Change(4, 0, -1)]
        state.put(CursorRow("pump", 0, 9))
        await state.commit()
        assert await anext(told) == [Change(3, 2, 9)]
        waiting = asyncio.ensure_future(anext(told))
        await asyncio.sleep(0)
        other.put(CursorRow("else", 0, 1))
        await other.commit()
        assert await waiting == [Change(4, 1, -1)]
    state.close()
    other.close()


async def test_a_lost_connection_ends_the_stream_with_words(settings: PostgresSettings) -> None:
    PostgresState(settings, 0).close()
    async with aclosing(changes(settings)) as told:
        await anext(told)
        with psycopg.connect(
            host=settings.host, port=settings.port, dbname=settings.database, user=settings.user
        ) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'penstock changes'"
            )
        with pytest.raises(ConnectionLost, match="goes on by itself"):
            await anext(told)


async def test_nothing_is_asked_while_nothing_happens(settings: PostgresSettings) -> None:
    state = PostgresState(settings, 0)
    async with aclosing(changes(settings)) as told:
        await anext(told)
        with psycopg.connect(
            host=settings.host, port=settings.port, dbname=settings.database, user=settings.user
        ) as other:
            asked = "SELECT count(*), max(query_start) FROM pg_stat_activity WHERE application_name LIKE %s"
            before = other.execute(asked, ("penstock%",)).fetchone()
            waiting = asyncio.ensure_future(anext(told))
            handles: list[object] = []
            loop = asyncio.get_running_loop()
            real = loop.call_at
            loop.call_at = lambda *given, **more: handles.append(given) or real(*given, **more)  # type: ignore[method-assign, func-returns-value]
            await asyncio.wait([waiting], timeout=0.3)
            loop.call_at = real  # type: ignore[method-assign]
            assert len(handles) == 1, "the timer of this test, and no other"
            assert not waiting.done()
            assert other.execute(asked, ("penstock%",)).fetchone() == before
        state.put(CursorRow("pump", 0, 1))
        await state.commit()
        assert await waiting == [Change(0, 1, 1)]
    state.close()
