"""Where the beam hit the detector: what the file says, and what the rings say of that."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from answers import Found, verdict

RADIUS_PX = 300


def find_centre(image: Any, good: Any, geometry: dict[str, float]) -> tuple[float, float, list[Found]]:
    """Return row and column of the beam, counted from 0, and how they were decided.

    Files do not say from which edge y counts, nor whether their first pixel is 0 or 1. The edge
    is decided by the rings: around the true centre the distance explains the intensity. The first
    pixel is decided by the centre of symmetry, where there is one.
    """
    rows = image.shape[0]
    x, y = geometry["beam_x_px"], geometry["beam_y_px"]
    upper, lower = (explained(image, good, row, x) for row in (y, rows - 1 - y))
    below = lower > upper
    edge, others = ("lower", "upper") if below else ("upper", "lower")
    words = (
        f"Beam y counts from the {edge} edge: around that centre the distance explains "
        f"{max(upper, lower):.0%} of the variation, around the one counted from the {others} edge "
        f"{min(upper, lower):.1%}."
    )
    checks = [verdict("beam y", "pass" if max(upper, lower) > 3 * min(upper, lower) else "notice", words)]
    centres = {first: (rows - 1 - (y - first) if below else y - first, x - first) for first in (0.0, 1.0)}
    symmetric = symmetry_centre(image, good, *centres[0.0])
    if symmetric is None:
        return *centres[0.0], checks
    away = {first: math.dist(centre, symmetric) for first, centre in centres.items()}
    first = min(away, key=lambda number: away[number])
    words = (
        f"The rings are symmetric about row {symmetric[0]:.1f}, column {symmetric[1]:.1f}: "
        f"{away[first]:.1f} pixels from the file's centre if its first pixel is number {first:.0f} "
        f"({away[1.0 - first]:.1f} if it is {1 - first:.0f})."
    )
    checks.append(verdict("beam centre", "pass" if away[first] < 1 else "notice", words))
    return *centres[first], checks


def explained(image: Any, good: Any, row: float, column: float) -> float:
    """Return the share of the variance of √counts near a centre that the distance from it explains."""
    part, fine, radius = _around(image, good, row, column, RADIUS_PX)
    near = fine & (radius > 30) & (radius < RADIUS_PX)
    if near.sum() < 1000:
        return 0.0
    values, ring = np.sqrt(part[near].astype(float)), radius[near].astype(int)
    number, total = np.bincount(ring), np.bincount(ring, values)
    means = total / np.maximum(number, 1)
    spread = float(((values - values.mean()) ** 2).sum())
    return float((number * (means - values.mean()) ** 2)[number > 0].sum()) / spread if spread else 0.0


def symmetry_centre(image: Any, good: Any, row: float, column: float) -> tuple[float, float] | None:
    """Return the point about which the image is most nearly its own inversion, to half a pixel.

    It is looked for within 4 pixels. None where the detector ends too near, or counted too little.
    """
    reach = 120
    best: tuple[float, float, float] | None = None
    for twice_row in range(round(2 * row) - 8, round(2 * row) + 9):
        for twice_column in range(round(2 * column) - 8, round(2 * column) + 9):
            ys = np.arange(twice_row // 2 - reach, twice_row // 2 + reach + 1)
            xs = np.arange(twice_column // 2 - reach, twice_column // 2 + 1)
            if min(ys[0], xs[0], twice_row - ys[-1], twice_column - xs[-1]) < 0:
                return None
            if max(ys[-1], twice_row - ys[0]) >= image.shape[0] or twice_column - xs[0] >= image.shape[1]:
                return None
            here, there = np.ix_(ys, xs), np.ix_(twice_row - ys, twice_column - xs)
            distance = np.hypot((ys - twice_row / 2)[:, None], xs - twice_column / 2)
            # The arm of a beam stop runs straight up or down: leave out what is right above and below.
            use = (
                good[here] & good[there] & (distance > 32) & (distance < reach) & (xs < twice_column / 2 - 12)
            )
            a, b = image[here][use], image[there][use]
            if len(a) < 500 or not a.any():
                return None
            misfit = float(np.mean((a - b) ** 2 / np.maximum(a + b, 1)))
            if best is None or misfit < best[0]:
                best = (misfit, twice_row / 2, twice_column / 2)
    return best[1:] if best else None


def _around(image: Any, good: Any, row: float, column: float, reach: int) -> tuple[Any, Any, Any]:
    ys = slice(max(0, int(row) - reach), max(0, int(row) + reach + 1))
    xs = slice(max(0, int(column) - reach), max(0, int(column) + reach + 1))
    part = image[ys, xs]
    distance = np.hypot(
        np.arange(part.shape[0])[:, None] + ys.start - row, np.arange(part.shape[1]) + xs.start - column
    )
    return part, good[ys, xs], distance
