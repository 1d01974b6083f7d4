"""Small-angle scattering from the detector: I(q) with the geometry of the file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from answers import Found, new_curve, new_series, quantity
from centre import find_centre
from frames import read_image
from rings import RESAMPLES, SECTORS, bootstrap, by_cell, ring_edges
from shadow import behind_beam_stop, find_shadow, hot, shadow_check


def scattering(file: Any, found: Found, _path: Path) -> dict[str, Any]:
    """Return I(q) of a detector image by azimuthal mean."""
    image, good = read_image(file, found["signal"])
    if not image[good].any():
        raise ValueError("every unmasked pixel is 0; are the frames in another file that is not here?")
    geometry = found["geometry"]
    row, column, checks = find_centre(image, good, geometry)
    rows, columns = image.shape
    radius = np.hypot(np.arange(rows, dtype=np.float32)[:, None] - np.float32(row),
                      np.arange(columns, dtype=np.float32)[None, :] - np.float32(column))  # fmt: skip
    shade = find_shadow(image, good, radius)
    bright = hot(image, good & ~shade, radius)
    good = good & ~shade & ~bright
    edges = ring_edges(behind_beam_stop(image, good, radius), float(radius[good].max()))
    counts, sums = _cells(image, good, radius, edges, row, column)
    full = (counts.sum(axis=1) >= 30) & ((counts > 0).sum(axis=1) >= 3)
    edges_low, edges_high, counts, sums = edges[:-1][full], edges[1:][full], counts[full], sums[full]
    angle = np.arctan((edges_low + edges_high) / 2 * geometry["pixel_m"] / geometry["distance_m"])
    q = 4 * np.pi / geometry["wavelength_angstrom"] * np.sin(angle / 2)
    # A flat detector's pixel covers less solid angle the further out it is: by the cosine cubed.
    intensity, error = (values / np.cos(angle) ** 3 for values in bootstrap(counts, sums))
    checks += [shadow_check(shade, bright, good)]
    q_min, q_max = float(q[0]), float(q[-1])
    curve = new_curve("Scattering curve", ("q", "1/Å", "log"), ("I", "counts per pixel", "log"))
    curve["series"].append(new_series("azimuthal mean", "points", q, intensity, error))
    return {
        "curve": curve,
        "summary": f"I(q) from {q_min:.4f} to {q_max:.3f} 1/Å: {len(q)} points, {int(good.sum()):,} pixels.",
        "checks": checks,
        "numbers": [
            quantity("Beam centre, column", column, "pixels, the first is 0"),
            quantity("Beam centre, row", row, "pixels, the uppermost is 0"),
            quantity("Smallest q", q_min, "1/Å"),
            quantity("Largest q", q_max, "1/Å"),
            quantity("Longest period seen", 2 * math.pi / q_min / 10, "nm"),
        ],
        "method": "Azimuthal mean on rings at least one pixel wide, corrected for solid angle, not for "
        f"polarisation or background; standard errors from {RESAMPLES} bootstrap samples of {SECTORS} "
        "azimuthal sectors.",
    }


def _cells(image: Any, good: Any, radius: Any, edges: Any, row: float, column: float) -> tuple[Any, Any]:
    """Return number of pixels and sum of counts by ring and azimuthal sector."""
    ys, xs = np.nonzero(good)
    ring = np.digitize(radius[ys, xs], edges) - 1
    turn = np.arctan2(ys - row, xs - column) / (2 * np.pi) + 0.5
    return by_cell(ring, turn, image[ys, xs], len(edges) - 1)
