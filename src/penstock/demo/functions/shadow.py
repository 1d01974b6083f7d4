"""Pixels that say nothing of the sample: shadows of a beam stop or a tube, and far too bright ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from answers import Found, verdict


def find_shadow(image: Any, good: Any, radius: Any) -> Any:
    """Return the pixels in the shadow of something: beam stop, its arm, a flight tube's edge.

    Blocks of 4 × 4 and of 16 × 16 pixels are compared with the median of their ring; what is below
    70 % of it by more than five standard deviations is shadow, with the blocks around it.
    """
    shadow = np.zeros(image.shape, bool)
    for block in (4, 16):
        number = _blocks(good, block)
        mean = _blocks(np.where(good, image, 0), block) / np.maximum(number, 1)
        distance = _blocks(radius, block) / block**2
        ring = np.digitize(distance, np.geomspace(8, float(radius.max()), 80))
        median = np.ones(ring.max() + 1)
        for each in np.unique(ring):
            members = mean[(ring == each) & (number > 0)]
            median[each] = np.median(members) if members.size else 1.0
        level = median[ring]
        dark = (mean < 0.7 * level) & ((level - mean) * np.sqrt(number) > 5 * np.sqrt(level)) & (number > 0)
        dark = _widen(dark)
        grown = np.repeat(np.repeat(dark, block, axis=0), block, axis=1)
        shadow |= grown[: image.shape[0], : image.shape[1]]
    return shadow & good


def _blocks(values: Any, block: int) -> Any:
    rows, columns = values.shape
    padded = np.pad(values, ((0, -rows % block), (0, -columns % block)), mode="edge")
    return padded.reshape(padded.shape[0] // block, block, -1, block).sum(axis=(1, 3), dtype=np.float64)


def _widen(dark: Any) -> Any:
    wide = dark.copy()
    wide[1:] |= dark[:-1]
    wide[:-1] |= dark[1:]
    wide[:, 1:] |= dark[:, :-1]
    wide[:, :-1] |= dark[:, 1:]
    return wide


def hot(image: Any, good: Any, radius: Any) -> Any:
    """Return single pixels far above their ring: hot ones, stray reflections, cosmic rays."""
    ring = radius[good].astype(np.int32)
    number, total = np.bincount(ring), np.bincount(ring, image[good])
    mean = (total / np.maximum(number, 1)).astype(np.float32)
    level = mean[np.minimum(radius.astype(np.int32), len(mean) - 1)]
    return good & (image > 3 * level + 8 * np.sqrt(level) + 8)


def behind_beam_stop(image: Any, good: Any, radius: Any) -> float:
    """Return a radius safely outside the brightest ring if the middle is dark, else 1 pixel."""
    near = good & (radius < 100)
    ring = radius[near].astype(int)
    number, total = np.bincount(ring, minlength=100), np.bincount(ring, image[near], minlength=100)
    profile = np.where(number > 8, total / np.maximum(number, 1), 0)
    peak = int(np.argmax(profile))
    return peak * 1.25 + 1 if peak > 3 else 1.0


def shadow_check(shade: Any, bright: Any, good: Any) -> Found:
    """Say how much was left out."""
    share = shade.sum() / max(1, shade.sum() + bright.sum() + good.sum())
    words = f"{share:.1%} of the pixels lie in a shadow and {int(bright.sum())} are far too bright: left out."
    return verdict("shadows", "notice" if share > 0.01 else "pass", words)
