"""Means around rings, with errors that see what differs along them."""

from __future__ import annotations

from typing import Any

import numpy as np

SEED = 20_010_209
RESAMPLES = 2000
SECTORS = 36


def ring_edges(first: float, last: float) -> Any:
    """Return radii that bound the rings: 2 % wide, but at least one pixel."""
    edges = [first]
    while edges[-1] < last:
        edges.append(edges[-1] + max(1.0, edges[-1] * 0.02))
    return np.array(edges)


def by_cell(ring: Any, turn: Any, values: Any, rings: int) -> tuple[Any, Any]:
    """Return number and sum of values by ring and sector; ``turn`` is the angle as a share of the circle."""
    inside = (ring >= 0) & (ring < rings)
    cell = ring[inside] * SECTORS + np.minimum((turn[inside] * SECTORS).astype(int), SECTORS - 1)
    number, total = (
        np.bincount(cell, minlength=rings * SECTORS),
        np.bincount(cell, values[inside], rings * SECTORS),
    )
    return number.reshape(rings, SECTORS), total.reshape(rings, SECTORS)


def bootstrap(counts: Any, sums: Any) -> tuple[Any, Any]:
    """Return mean and standard error of each ring, resampling its sectors.

    Unlike counting statistics this also sees what differs around the ring: texture, a tilted
    detector, a centre that is off.
    """
    chance = np.random.default_rng(SEED)
    weights = chance.multinomial(SECTORS, np.full(SECTORS, 1 / SECTORS), size=RESAMPLES).astype(float)
    number = weights @ counts.T
    means = np.divide(weights @ sums.T, number, out=np.full(number.shape, np.nan), where=number > 0)
    return sums.sum(axis=1) / counts.sum(axis=1), np.nanstd(means, axis=0)
