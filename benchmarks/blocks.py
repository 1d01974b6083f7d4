"""From blocks of samples to ratios: the median over the blocks, and what a noisy machine allows to say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.rows import Row, row

SAMPLES_LEAST = 2000
"""So many samples a p99 needs."""
CALM = 5.0
"""A block counts for the p99 if its floor's p99 is less than so many times its p50."""
BLOCKS_LEAST = 5


@dataclass(frozen=True, kw_only=True)
class Block:
    """Samples of floors and product, taken one after the other, in nanoseconds."""

    durable: Sequence[int]
    product: Sequence[int]
    bare: Sequence[int] = field(default=())

    @property
    def calm(self) -> bool:
        """Whether the machine was calm enough for a p99 to be about the program."""
        return percentile(self.durable, 99) < CALM * percentile(self.durable, 50)


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that ``percent`` of the samples do not exceed."""
    ordered = sorted(samples)
    return float(ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)])


def spread(ratios: Sequence[float]) -> list[float]:
    """Return the least and the greatest."""
    return [min(ratios), max(ratios)]


def latency_rows(
    name: str, blocks: Sequence[Block], p50_most: float, p99_most: float | None
) -> Iterator[Row]:
    """Yield the rows of a latency: p50 and p99 against the durable floor, and the bare floor's own.

    Args:
        name: Comes first in the rows' names.
        blocks: What was measured.
        p50_most: Target of the ratio of the p50.
        p99_most: The same of the p99; None if it has no target.
    """
    ratios = [percentile(each.product, 50) / percentile(each.durable, 50) for each in blocks]
    why = _why_unjudged(blocks)
    yield row(
        f"{name}.p50",
        _median(blocks, lambda each: each.product, 50),
        "ms",
        floor=_median(blocks, lambda each: each.durable, 50),
        ratio=median(ratios),
        target=p50_most,
        holds=None if why else median(ratios) <= p50_most,
        spread=spread(ratios),
        blocks=len(blocks),
        samples=sum(len(each.product) for each in blocks),
        **({"note": why} if why else {}),
    )
    yield _p99_row(name, blocks, p99_most)
    if blocks[0].bare:
        bare = _median(blocks, lambda each: each.bare, 50)
        yield row(f"{name}.bare_floor.p50", bare, "ms", p99=_median(blocks, lambda each: each.bare, 99))


def _why_unjudged(blocks: Sequence[Block]) -> str | None:
    """Say why a p50 cannot be judged, if so."""
    if len(blocks) < BLOCKS_LEAST:
        return f"fewer than {BLOCKS_LEAST} blocks"
    calm = sum(each.calm for each in blocks)
    if 2 * calm < len(blocks):
        return f"the machine is too busy: {calm} of {len(blocks)} blocks of the floor are calm"
    return None


def _p99_row(name: str, blocks: Sequence[Block], most: float | None) -> Row:
    calm = [each for each in blocks if each.calm]
    counted = calm or blocks
    value = percentile([sample for each in counted for sample in each.product], 99)
    floor = percentile([sample for each in counted for sample in each.durable], 99)
    ratios = [percentile(each.product, 99) / percentile(each.durable, 99) for each in blocks]
    samples = sum(len(each.product) for each in calm)
    why = None
    if samples < SAMPLES_LEAST:
        why = f"{samples} samples in {len(calm)} calm blocks; a p99 needs {SAMPLES_LEAST}"
    return row(
        f"{name}.p99",
        value / 1e6,
        "ms",
        floor=floor / 1e6,
        ratio=value / floor,
        target=most,
        holds=None if why or most is None else value / floor <= most,
        spread=spread(ratios),
        blocks=len(blocks),
        calm_blocks=len(calm),
        samples=samples,
        every_block=[
            [percentile(each.durable, 99) / 1e6, percentile(each.product, 99) / 1e6] for each in blocks
        ],
        **({"note": why} if why else {}),
    )


def _median(blocks: Sequence[Block], samples: Callable[[Block], Sequence[int]], percent: float) -> float:
    """Return the median over the blocks of a percentile, in milliseconds."""
    return median(percentile(samples(each), percent) for each in blocks) / 1e6
