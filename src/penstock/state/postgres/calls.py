"""Questions between the processes of a site, carried by NOTIFY: asked to all, answered by whoever can.

Nothing is kept: a question that nobody hears is not answered, and who asks says so. An idle process sleeps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Raw, Struct
from psycopg import sql

from penstock.core.errors import Invalid, PenstockError, Unavailable
from penstock.state.postgres.session import Session, connect, translating
from penstock.state.postgres.settings import PostgresSettings

logger = logging.getLogger("penstock.calls")
SAID_BYTES_MAX = 7900
"""A notice of PostgreSQL holds 8,000 bytes."""
TASKS_MAX = 100
"""Most questions that are answered at once; more are left to others."""


class Said(Struct, omit_defaults=True):
    """A question, or a part of an answer.

    Attributes:
        call: Names the question.
        by: Who says it.
        do: What is asked; empty in answers.
        what: What goes with it, or the answer.
    """

    call: str
    by: str
    do: str = ""
    what: Raw = Raw(b"null")


Answers = Callable[[Raw], AsyncIterator[Any]]
"""Yields the parts of an answer; nothing where the question is for others."""


class Calls:
    """Asks and answers for one process.

    Args:
        settings: The database.
        name: Of this process.
        answers: By what is asked.
    """

    def __init__(self, settings: PostgresSettings, name: str, answers: Mapping[str, Answers]) -> None:
        self._settings = settings
        self._channel = f"{settings.schema}_calls"
        self._name = name
        self._answers = answers
        self._asked: dict[str, asyncio.Queue[Said]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listens = asyncio.Event()

    async def keep(self) -> None:
        """Listen for ever; run it as a task."""
        while True:
            try:
                await self._listen()
            except Unavailable as error:
                self._listens.clear()
                logger.warning("%s", error)
                await asyncio.sleep(error.retry_after_s)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        session = await loop.run_in_executor(None, self._open)
        came = asyncio.Event()
        place = session.fileno()
        loop.add_reader(place, came.set)
        try:
            with translating(self._settings):
                self._listens.set()
                while True:
                    session.pgconn.consume_input()
                    while notice := session.pgconn.notifies():
                        self._heard(msgspec.json.decode(notice.extra, type=Said))
                    await came.wait()
                    came.clear()
        finally:
            loop.remove_reader(place)
            session.close()

    def _open(self) -> Session:
        session = connect(self._settings, "calls")
        with translating(self._settings):
            session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        return session

    def _heard(self, said: Said) -> None:
        if not said.do:
            if said.call in self._asked:
                self._asked[said.call].put_nowait(said)
        elif said.do in self._answers and len(self._tasks) < TASKS_MAX:
            task = asyncio.get_running_loop().create_task(self._answer(said), name=f"answer {said.do}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, said: Said) -> None:
        try:
            async for part in self._answers[said.do](said.what):
                await self._say(Said(said.call, self._name, "", Raw(msgspec.json.encode(part))))
        except PenstockError as error:
            logger.warning("%s cannot be answered: %s", said.do, error)

    async def _say(self, said: Said) -> None:
        text = msgspec.json.encode(said).decode()
        if len(text.encode()) > SAID_BYTES_MAX:
            raise Invalid(f"{len(text)} bytes are too many to be told between processes")
        await asyncio.get_running_loop().run_in_executor(None, self._notify, text)

    def _notify(self, text: str) -> None:
        with connect(self._settings, "calls") as session, translating(self._settings):
            session.execute("SELECT pg_notify(%s, %s)", (self._channel, text))

    async def ask(self, do: str, what: Any, silence_s: float) -> AsyncIterator[Said]:
        """Yield the parts of all answers, until nobody has said anything for ``silence_s`` seconds.

        Raises:
            Unavailable: The database is away.
        """
        await self._listens.wait()
        call = uuid4().hex
        heard: asyncio.Queue[Said] = asyncio.Queue()
        self._asked[call] = heard
        try:
            await self._say(Said(call, self._name, do, Raw(msgspec.json.encode(what))))
            while True:
                try:
                    said = await asyncio.wait_for(heard.get(), silence_s)
                except TimeoutError:
                    return
                yield said
        finally:
            del self._asked[call]
