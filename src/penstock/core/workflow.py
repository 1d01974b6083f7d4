"""Workflows: named graphs of steps, and the triggers that start them.

A function deployed on its own is a workflow of one step, so that there is one way to run.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from penstock.core.event import DEPTH_MAX
from penstock.core.retry import Retry

MAP_ITEMS_MAX = 100_000


class Batch(Struct, frozen=True, kw_only=True):
    """What a step that runs on a batch system asks for.

    Attributes:
        system: Name of the batch system in the settings.
        cores: Cores.
        memory_bytes: Memory.
        walltime_s: Longest running time, in seconds.
    """

    system: str = "local"
    cores: int = 1
    memory_bytes: int = 1 << 30
    walltime_s: float = 3600.0


class Join(StrEnum):
    """When a step with several predecessors may start."""

    ALL = "all"
    """When every one succeeded (a skipped one counts as absent, all skipped skips this one too)."""
    ENDED = "ended"
    """When every one ended, however it ended; results of failed ones are absent."""


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node of a workflow.

    Attributes:
        name: Unique in the workflow.
        function: ``namespace/name@version``, pinned when the workflow was deployed.
        after: Names of the steps before it; none means that it starts with the run.
        join: When it may start, seen from its predecessors.
        when: Condition in CESQL over ``event`` attributes and ``step_member`` results; empty means always.
        each: ``step.member`` (or ``step``) whose list it maps over; empty means one call.
        window: Most items in flight at once, for a map.
        tolerate: Failed items at which a map still succeeds; their places hold null.
        retry: How it is tried again.
        batch: Set when it is offloaded.
        outputs: Template of published paths; empty means the function's.
    """

    name: str
    function: str
    after: tuple[str, ...] = ()
    join: Join = Join.ALL
    when: str = ""
    each: str = ""
    window: int = 64
    tolerate: int = 0
    retry: Retry = Retry()
    batch: Batch | None = None
    outputs: str = ""


class Workflow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of a workflow; runs pin it when they start.

    Attributes:
        tenant: Who owns it.
        name: ``namespace/name``.
        version: From 1.
        steps: In an order in which each stands behind its predecessors.
        depth_max: Deepest chain of causes that it starts on.
        own_outputs: Whether outputs of its own runs may start it again.
        summary: For people.
    """

    tenant: str
    name: str
    version: int
    steps: tuple[Step, ...]
    depth_max: int = DEPTH_MAX
    own_outputs: bool = False
    summary: str = ""

    @property
    def reference(self) -> str:
        """``namespace/name@version``."""
        return f"{self.name}@{self.version}"


class Trigger(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A subscription whose sink is a workflow.

    Attributes:
        id: Derived from tenant and name.
        tenant: Who owns it.
        principal: Who deployed it; runs act for them.
        name: ``namespace/name``; the workflow's name unless it has several triggers.
        filter: A CloudEvents Subscriptions filter (see ``core.filter``).
        workflow: ``namespace/name@version`` that it starts.
        paused: Whether it holds its cursor still.
        since: Log offset of the first event it may see.
    """

    id: str
    tenant: str
    principal: str
    name: str
    filter: dict[str, Any]
    workflow: str
    paused: bool = False
    since: int = 0
