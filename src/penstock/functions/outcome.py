"""How a test of a function or workflow on one file went."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Output:
    """A file that a call wrote.

    Attributes:
        name: As the function called it.
        file: Where it lies now.
        published: Where it would be published; undecodable bytes as surrogates.
    """

    name: str
    file: Path
    published: str


@dataclass(frozen=True, kw_only=True)
class Called:
    """How one call ended.

    Attributes:
        step: Of the workflow.
        item: In a map, from 0; else -1.
        function: That was called.
        seconds: It took, the start of its process included.
        result: Its answer; None if it failed.
        error: What went wrong; None if nothing did.
        outputs: What it wrote.
    """

    step: str
    item: int
    function: str
    seconds: float
    result: JSON | None
    error: str | None
    outputs: tuple[Output, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a test ended.

    Attributes:
        workflow: That was run.
        phases: How each step ended, in the workflow's order.
        calls: In the order in which they were made.
        error: Why the run failed; None if it succeeded.
    """

    workflow: str
    phases: dict[str, str]
    calls: tuple[Called, ...]
    error: str | None

    @property
    def result(self) -> JSON | None:
        """Answer of the last call that succeeded."""
        return next((each.result for each in reversed(self.calls) if each.result is not None), None)
