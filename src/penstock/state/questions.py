"""What a reader of the state may be asked for, beyond a key."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, tuple_


class RunQuery(Struct, frozen=True, kw_only=True):
    """Which runs are wanted; empty means any.

    Attributes:
        tenant: Whose.
        phase: Exactly this one.
        subject: Exactly this one.
        workflow: ``namespace/name``, or with ``@version``.
        trigger: Id of the trigger.
        before: Only runs older than the one with this start (POSIX nanoseconds) and id.
        limit: Most runs.
    """

    tenant: str
    phase: str = ""
    subject: str = ""
    workflow: str = ""
    trigger: str = ""
    before: tuple[int, str] | None = None
    limit: int = 100


class StepCount(Struct, frozen=True):
    """How many attempts of a step are in a phase."""

    step: str
    phase: str
    count: int


def where(c: Any, query: RunQuery) -> ColumnElement[bool]:
    """Return the condition on the columns ``c`` of runs that a query stands for."""
    parts = [c.tenant == query.tenant]
    parts += [
        c[name] == getattr(query, name) for name in ("phase", "subject", "trigger") if getattr(query, name)
    ]
    if "@" in query.workflow:
        parts.append(c.workflow == query.workflow)
    elif query.workflow:
        # Versions begin behind "@"; "A" is the character after it.
        parts += [c.workflow >= f"{query.workflow}@", c.workflow < f"{query.workflow}A"]
    if query.before is not None:
        parts.append(tuple_(c.started_ns, c.id) < tuple_(*query.before))
    return and_(*parts)
