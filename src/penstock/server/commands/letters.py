"""What is done with dead letters."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from penstock.core.errors import Invalid, NotFound
from penstock.core.event import Event, decode
from penstock.core.rows import DeadLetter, DeadLetterKind, Outcome
from penstock.server.commands.runs import Runs
from penstock.server.commands.wishes import LetterWish, RunWish, given
from penstock.server.front import Front


class DeadLetters:
    """Dead letters, replayed and dropped.

    Args:
        front: Knows letters, and takes events in.
        runs: Repeats runs.
    """

    def __init__(self, front: Front, runs: Runs) -> None:
        self._front = front
        self._runs = runs

    async def replay(self, wish: LetterWish) -> Any:
        """Try again what a dead letter holds, with its event as it was or as a person has edited it."""
        letter = await self._letter(wish)
        edited = _edited(wish, letter)
        if letter.run and edited is None:
            again: Any = await self._runs.rerun(RunWish(wish.tenant, wish.principal, letter.run))
        elif letter.run:
            row = await self._runs.find(RunWish(wish.tenant, wish.principal, letter.run))
            assert edited is not None
            fresh = replace(edited, id=uuid4().hex, cause=letter.run)
            again = await self._runs.request(wish, row.workflow, row.trigger, fresh, 0)
        elif letter.kind == DeadLetterKind.LOOP:
            refused = decode(letter.body)
            again = await self._despite_the_loop(wish, refused, edited or refused)
        else:
            again = await self._front.take([edited or decode(letter.body)])
        await self._runs.close_letter(wish, letter.id, "replayed")
        return again

    async def _despite_the_loop(self, wish: LetterWish, refused: Event, event: Event) -> list[Any]:
        """A person wants the runs that the limit of depth has refused."""
        decided = await self._front.decisions(refused.id)
        registry = await self._front.registry()
        triggers = [
            registry.triggers.get(row.trigger)
            for row in decided
            if row.outcome == Outcome.LOOP and row.source in (refused.source, "")
        ]
        return [
            await self._runs.request(wish, trigger.workflow, trigger.id, event, 1)
            for trigger in triggers
            if trigger is not None
        ]

    async def drop(self, wish: LetterWish) -> Any:
        """Close a dead letter without doing anything."""
        letter = await self._letter(wish)
        await self._runs.close_letter(wish, letter.id, "dropped")
        return {"id": letter.id}

    async def _letter(self, wish: LetterWish) -> DeadLetter:
        letter = await self._front.letter(wish.id)
        if letter is None or letter.tenant != wish.tenant:
            raise NotFound(f"there is no dead letter {wish.id!r}; `penstock dead-letters` lists them")
        return letter


def _edited(wish: LetterWish, letter: DeadLetter) -> Event | None:
    """Return the event that a person gave; what it leaves out of the chain of causes is kept.

    Raises:
        Invalid: It is no event.
    """
    event = given(wish.event)
    if event is None:
        return None
    try:
        before = decode(letter.body)
    except Invalid:
        return event
    depth = max(event.depth or 0, before.depth or 0) or None
    return replace(event, cause=event.cause or before.cause, depth=depth)
