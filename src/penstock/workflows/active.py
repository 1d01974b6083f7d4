"""A run in memory, with what its steps need to be called."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Raw

from penstock.core.event import Event
from penstock.core.run import Run, map_elements
from penstock.core.workflow import Step, Workflow

LARGE_ITEMS = 1000


class Opening(NamedTuple):
    """What the parameters of all calls of a run begin with (see ``workflows.calls``).

    Attributes:
        event: The members ``event`` and ``read``, as JSON behind an opening brace.
        read: The place of the event's file, as JSON; empty if it is about none.
        started: When the run began, RFC 3339.
    """

    event: bytes
    read: bytes
    started: str


class Active:
    """A run that has not ended.

    Attributes:
        run: Changed by ``core.run.advance`` alone.
        workflow: The version it pinned.
        event: What started it.
        params: What a person gave at a manual start, as JSON.
        outputs: Published paths, by step.
        facts: Told since the last snapshot.
        opening: Of the parameters of its calls, once one was made.
    """

    __slots__ = ("_items", "event", "facts", "opening", "outputs", "params", "run", "steps", "workflow")

    def __init__(self, run: Run, workflow: Workflow, event: Event, params: Raw | None = None) -> None:
        self.run = run
        self.workflow = workflow
        self.event = event
        self.params = params
        self.facts = 0
        self.opening: Opening | None = None
        self.outputs: dict[str, tuple[str, ...]] = {}
        self.steps: dict[str, Step] = {step.name: step for step in workflow.steps}
        self._items: dict[str, list[Raw]] = {}

    @property
    def is_large(self) -> bool:
        """Whether a snapshot costs so much that it is not written at every commit."""
        return any(
            state.items is not None and len(state.items.states) > LARGE_ITEMS
            for state in self.run.steps.values()
        )

    def item(self, step: Step, place: int) -> Raw:
        """Return the element of the list that ``step`` maps over, as JSON."""
        if step.name not in self._items:
            self._items[step.name] = map_elements(self.workflow, self.run, step.name)
        return self._items[step.name][place]

    def forget_items(self, step: str) -> None:
        """Let go of a map's list once the map has ended."""
        self._items.pop(step, None)

    def add_outputs(self, step: str, outputs: tuple[str, ...]) -> None:
        """Note what an attempt published."""
        if outputs:
            self.outputs[step] = self.outputs.get(step, ()) + outputs
