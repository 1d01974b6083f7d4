"""One image out of a detector's file, and which of its pixels are good."""

from __future__ import annotations

from typing import Any

import numpy as np

FRAMES_MAX = 32
FRAMES_BYTES_MAX = 512 << 20


def read_image(file: Any, signal: dict[str, Any]) -> tuple[Any, Any]:
    """Return the image (of a stack: the mean of some frames) and which pixels are good."""
    dataset = file[signal["path"]]
    frames = int(np.prod(dataset.shape[:-2])) if dataset.ndim > 2 else 1
    most = min(frames, FRAMES_MAX, max(1, FRAMES_BYTES_MAX // (int(np.prod(dataset.shape[-2:])) * 4)))
    numbers = np.unique(np.linspace(0, frames - 1, most).astype(int))
    total, good = np.zeros(dataset.shape[-2:], np.float32), np.ones(dataset.shape[-2:], bool)
    unsigned = dataset.dtype.kind == "u" and dataset.dtype.itemsize >= 2
    for number in numbers:
        frame = dataset[np.unravel_index(number, dataset.shape[:-2])] if dataset.ndim > 2 else dataset[()]
        # Dectris marks gaps between modules with the largest count, defects with the one below.
        good &= frame < np.iinfo(frame.dtype).max - 1 if unsigned else np.isfinite(frame) & (frame >= 0)
        total += np.where(good, frame, 0)
    if "mask" in signal:
        mask = file[signal["mask"]][()]
        good &= (mask[0] if mask.ndim > 2 else mask) == 0
    return total / np.float32(len(numbers)), good
