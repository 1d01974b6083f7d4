"""What the dispatcher needs of the storage: outputs made visible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from penstock.core.event import Event
from penstock.core.ports import Answer, Publication
from penstock.core.rows import Intent
from penstock.workflows.ends import InFlight, step_end

_encode = msgspec.json.Encoder().encode


class Publisher(Protocol):
    """Makes outputs visible; see ``storage.publish``."""

    async def publish(
        self, publication: Publication, wanted: Callable[[], bool] = lambda: True
    ) -> tuple[str, ...]:
        """Return the published paths; while the storage is full or away, wait.

        Raises:
            Superseded: The input changed meanwhile, or it is not ``wanted`` any more; nothing was published.
            Refused: A path belongs to another input or maker, cannot be written, or leads out of the storage.
        """

    async def finish(self, intent: Intent) -> tuple[str, ...]:
        """Do (or do again) an intent's moves and return the published paths."""

    def settle(self, key: str) -> None:
        """Mark the intent as done, once its event is on the log."""

    def discard(self, folder: str, files: tuple[str, ...] | None) -> None:
        """Remove what an attempt wrote and nobody wants."""

    def stale(self, event: Event) -> str | None:
        """Say in words whether the content that the event tells of is no longer there; else None."""

    def input_place(self, event: Event) -> bytes | None:
        """Return the local path of the event's file, or None if it is about no file."""


def publication_of(flight: InFlight, answer: Answer) -> Publication:
    """Return what is to be published of a call that has answered."""
    run = flight.active.run
    return Publication(
        key=answer.key,
        run=run.id,
        tenant=run.tenant,
        workflow=run.workflow,
        function=flight.function.reference,
        template=flight.step.outputs or flight.function.outputs,
        event=flight.active.event,
        offset=run.offset,
        depth=run.depth + 1,
        folder=answer.scratch,
        files=answer.files or (),
        answer=_encode(step_end(flight, answer, ())),
    )
