"""What the condition of a step (``Step.when``) sees: the run, and the answers of the steps before it.

A name is looked up like this; ``docs/reference/conditions.md`` says the same for people.

- ``subject``, ``trigger`` and ``generation`` are the run's.
- Any other name is a step before this one (not only directly), followed by members of its answer,
  joined by ``_``. Letters count as lower case, all but letters and digits as ``_``.
- The longest step name that fits wins, then the member whose whole name fits, then the longest
  member that leads on.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw

from penstock.core.cesql import Lookup

Value = str | int | bool | None
"""What a name stands for; None means that there is nothing of this name."""

RUN_NAMES = frozenset({"subject", "trigger", "generation"})
"""Names that mean the run, whatever steps there are."""

_OTHER = re.compile(r"[^a-z0-9]")


def spelled(name: str) -> str:
    """Return how a step or member is written in a condition: ``Fit.chi-2`` as ``fit_chi_2``."""
    return _OTHER.sub("_", name.lower())


def lookup_in(run_values: dict[str, Value], answers: list[tuple[str, Raw]]) -> Lookup:
    """Return the lookup that a condition is asked with.

    Args:
        run_values: Of ``RUN_NAMES``.
        answers: Of the steps before, each under its spelled name, longest names first.
    """

    def lookup(name: str) -> Value:
        name = name.lower()
        if name in run_values:
            return run_values[name]
        for step, answer in answers:
            if name == step or name.startswith(f"{step}_"):
                return _value(msgspec.json.decode(answer), name[len(step) + 1 :])
        return None

    return lookup


def _value(answer: Any, rest: str) -> Value:
    if not rest:
        return _shown(answer)
    if not isinstance(answer, dict):
        return None
    members = sorted(
        ((spelled(name), value) for name, value in answer.items()), key=lambda pair: -len(pair[0])
    )
    for member, value in members:
        if rest == member:
            return _shown(value)
    for member, value in members:
        if rest.startswith(f"{member}_") and isinstance(value, dict):
            found = _value(value, rest[len(member) + 1 :])
            if found is not None:
                return found
    return None


def _shown(value: Any) -> Value:
    """Return what CESQL can compare: it knows texts, whole numbers and truth only."""
    if isinstance(value, dict | list):
        return len(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else repr(value)
    return value if isinstance(value, str | int | bool) else None
