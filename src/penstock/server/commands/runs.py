"""Starting, cancelling and repeating runs."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from msgspec import Raw

from penstock.core import lifecycle
from penstock.core.errors import Conflict, NotFound
from penstock.core.event import Event, encode
from penstock.core.lifecycle import CancelRequest, DeadLetterClose, RunRequest
from penstock.core.rerun import rerun
from penstock.core.rows import RunRow
from penstock.core.run import Phase
from penstock.core.snapshot import restore
from penstock.server.commands.wishes import RunWish, StartWish, Who, given
from penstock.server.front import Front
from penstock.server.letters import OPEN

GENERATIONS_MAX = 10_000


class Runs:
    """Runs, as people ask for them.

    Args:
        front: Knows runs, and puts wishes on the log.
    """

    def __init__(self, front: Front) -> None:
        self._front = front

    async def start(self, wish: StartWish) -> Any:
        """Start a run by hand."""
        workflow = (await self._front.registry()).workflow(wish.tenant, wish.workflow)
        nonce = uuid4().hex
        event = given(wish.event) or Event(
            id=nonce, source="/manual", type="penstock.manual", subject=workflow.name
        )
        return await self.request(wish, workflow.reference, "", event, 0, params=wish.params, nonce=nonce)

    async def request(
        self,
        who: Who,
        workflow: str,
        trigger: str,
        event: Event,
        generation: int,
        *,
        params: Raw = Raw(b"{}"),  # noqa: B008 - Raw does not change
        rerun_of: str = "",
        from_step: str = "",
        nonce: str = "",
    ) -> Any:
        """Ask for a run through the log and return its id."""
        request = RunRequest(
            tenant=who.tenant,
            principal=who.principal,
            workflow=workflow,
            event=Raw(encode(event)),
            trigger=trigger,
            generation=generation,
            params=params,
            rerun_of=rerun_of,
            from_step=from_step,
        )
        asked = await self._front.record(
            lifecycle.RUN_REQUESTED,
            request,
            event.subject or event.id,
            nonce=nonce,
            key=event.partitionkey or event.id,
        )
        return {"run": lifecycle.run_id(who.tenant, trigger or asked.id, event, generation)}

    async def cancel(self, wish: RunWish) -> Any:
        """Cancel a run."""
        row = await self.find(wish)
        if row.ended_ns:
            raise Conflict(f"run {row.id} has ended already ({row.phase})")
        request = CancelRequest(run=row.id, reason=wish.reason, principal=wish.principal)
        await self._front.record(lifecycle.RUN_CANCEL_REQUESTED, request, row.id, run=row.id)
        return {"run": row.id}

    async def rerun(self, wish: RunWish) -> Any:
        """Run it again: from what failed, from a step, or whole with the trigger's present version."""
        row = await self.find(wish)
        if not row.ended_ns:
            raise Conflict(f"run {row.id} has not ended; cancel it first (`penstock runs cancel {row.id}`)")
        old = restore(row.snapshot)
        if old.phase is Phase.SUCCEEDED and not (wish.from_step or wish.whole):
            raise Conflict(
                f"run {row.id} succeeded, so there is no failure to go on from; begin at a step "
                f"(`penstock runs rerun {row.id} --from STEP`), or run all of it again (`--whole`)"
            )
        event, params = await self._front.event_of(row)
        registry = await self._front.registry()
        trigger = registry.triggers.get(row.trigger)
        workflow = trigger.workflow if trigger is not None and wish.whole else old.workflow
        generation = await self._next_generation(row, event, old.generation)
        if not wish.whole:  # refused here, with words for who asks, and not behind the log
            steps = frozenset({wish.from_step}) if wish.from_step else None
            rerun(registry.workflow(row.tenant, workflow), old, row.id, generation, steps)
        again = await self.request(
            wish,
            workflow,
            row.trigger,
            event,
            generation,
            params=params or Raw(b"{}"),
            rerun_of="" if wish.whole else row.id,
            from_step=wish.from_step,
        )
        await self.close_letter(wish, row.id, "replayed")
        return again

    async def find(self, wish: RunWish) -> RunRow:
        """Return a run's row as it stands now.

        Raises:
            NotFound: There is none.
        """
        row = await self._front.run(wish.run)
        if row is None or row.tenant != wish.tenant:
            raise NotFound(f"there is no run {wish.run!r}; `penstock runs` lists them")
        return row

    async def _next_generation(self, row: RunRow, event: Event, last: int) -> int:
        for generation in range(last + 1, GENERATIONS_MAX):
            run_id = lifecycle.run_id(row.tenant, row.trigger, event, generation)
            if await self._front.run(run_id) is None:
                return generation
        raise Conflict(f"run {row.id} was repeated {GENERATIONS_MAX} times; something is wrong")

    async def close_letter(self, who: Who, letter: str, state: str) -> None:
        """Close a dead letter, if it is open."""
        row = await self._front.letter(letter)
        if row is not None and row.state == OPEN:
            close = DeadLetterClose(tenant=who.tenant, principal=who.principal, id=letter, state=state)
            await self._front.record(lifecycle.DEAD_LETTER_CLOSED, close, letter, key=row.id)
