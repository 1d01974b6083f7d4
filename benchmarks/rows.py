"""What a benchmark tells: a row for each figure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.sizes import Sizes

Row = dict[str, Any]
Tick = Callable[[str], None]
Benchmark = Callable[[Sizes, Tick], Iterator[Row]]
"""Yields rows as soon as they are known; tells the second argument what it is about to do."""


class Failed(Exception):
    """The product did something wrong, so that its speed is of no interest."""


def row(
    name: str,
    value: float | None,
    unit: str,
    *,
    floor: float | None = None,
    ratio: float | None = None,
    target: float | None = None,
    holds: bool | None = None,
    **more: Any,
) -> Row:
    """Return a row, rounded.

    Args:
        name: Of the figure; the benchmark's name comes first.
        value: What was measured, in ``unit``.
        unit: ``ms``, ``functions/s`` ...
        floor: What the floor needs, in the same unit.
        ratio: Value over floor; the median of the blocks where there are blocks.
        target: What the ratio (or, without a floor, the value) has to keep to.
        holds: Whether it does; None where it cannot be judged, and then ``note`` says why.
        **more: Further members: spread, blocks, samples, note ...
    """
    known = {"value": value, "unit": unit, "floor": floor, "ratio": ratio, "target": target, "holds": holds}
    load = round(os.getloadavg()[0], 2)
    return {"name": name, **{key: rounded(each) for key, each in (known | more).items()}, "load": load}


def rounded(value: Any) -> Any:
    """Return a number with four digits that count; lists likewise, other things as they are."""
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
