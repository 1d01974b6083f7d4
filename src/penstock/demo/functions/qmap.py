# ruff: noqa: T201 - what a function prints is its log
"""Small-angle scattering on a grid of Qx and Qy, beside the facility's own curve of the same run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from answers import Found, new_curve, new_series, quantity, verdict
from rings import RESAMPLES, SECTORS, bootstrap, by_cell

REFERENCES_MAX = 200


def q_map(file: Any, found: Found, path: Path) -> dict[str, Any]:
    """Return I(q) of a map over Qx and Qy, beside the facility's own curve if it is at hand."""
    signal = found["signal"]
    values, qx, qy = (file[signal[name]][()].astype(float) for name in ("path", "qx", "qy"))
    sigma = file[signal["errors"]][()].astype(float) if "errors" in signal else np.sqrt(np.abs(values))
    good = np.isfinite(values) & ~((values == 0) & (sigma == 0))
    q = np.hypot(qx, qy)
    reference = find_reference(path, str(found["fields"].get("Run", {}).get("value", "")))
    edges = _edges_of(reference["q"]) if reference else np.geomspace(q[good & (q > 0)].min(), q.max(), 80)
    ring, turn = np.digitize(q[good], edges) - 1, np.arctan2(qy[good], qx[good]) / (2 * np.pi) + 0.5
    counts, sums = by_cell(ring, turn, values[good], len(edges) - 1)
    number = counts.sum(axis=1)
    full = number >= 4
    centre = reference["q"][full] if reference else np.sqrt(edges[1:] * edges[:-1])[full]
    mean, error = bootstrap(counts[full], sums[full])
    curve = new_curve("Scattering curve", ("q", "1/Å", "log"), ("I", signal["unit"] or "arbitrary", "log"))
    curve["series"].append(new_series("azimuthal mean", "points", centre, mean, error))
    checks, numbers = [_isotropy(values, good, q, qx, qy)], []
    if reference is None:
        words = "No curve of the facility for this run is at hand (looked into the folder 'reference')."
        checks.append(verdict("the facility's own curve", "notice", words))
    else:
        curve["series"].append(new_series("the facility's own", "line", reference["q"], reference["i"]))
        # Beyond the map's nearer edge a ring is cut; below 60 points it is coarser than the curve.
        whole = (number[full] >= 60) & (centre < min(np.abs(qx).max(), np.abs(qy).max()))
        ratio = mean[whole] / reference["i"][full][whole]
        checks.append(_reference_check(ratio, reference["name"]))
        numbers.append(quantity("Median ratio to the facility's curve", float(np.median(ratio)), ""))
    return {
        "curve": curve,
        "summary": f"I(q) from {centre[0]:.4f} to {centre[-1]:.3f} 1/Å, {len(centre)} points.",
        "checks": checks,
        "numbers": numbers,
        "method": "Mean of the map's points on rings of q"
        + (" as wide as the facility's" if reference else "")
        + f"; standard errors from {RESAMPLES} bootstrap samples of {SECTORS} azimuthal sectors.",
    }


def _edges_of(q: Any) -> Any:
    between = np.sqrt(q[1:] * q[:-1])
    return np.concatenate(([q[0] ** 2 / between[0]], between, [q[-1] ** 2 / between[-1]]))


def _isotropy(values: Any, good: Any, q: Any, qx: Any, qy: Any) -> Found:
    """Say whether a mean around the circle hides something: the ratio of the brighter to the darker half."""
    middle = good & (q > 0.1 * q.max()) & (q < 0.7 * q.max())
    sector = ((np.arctan2(qy, qx) / np.pi * 6) % 6).astype(int)
    means = np.array([values[middle & (sector == each)].mean() for each in range(6)])
    ratio = float(means.max() / means.min()) if means.min() > 0 else math.inf
    words = f"Opposite sectors taken together, the brightest is {ratio:.1f} times the darkest"
    if ratio > 1.5:
        return verdict("isotropy", "notice", f"{words}: the pattern is anisotropic, which the curve hides.")
    return verdict("isotropy", "pass", f"{words}: the azimuthal mean is a fair summary.")


def find_reference(path: Path, run: str) -> Found | None:
    """Return the facility's own curve of a run, from a folder ``reference`` beside the data or above it."""
    for folder in (path.parent / "reference", path.parent.parent / "reference"):
        for candidate in sorted(folder.glob("*.h5"))[:REFERENCES_MAX] if run and folder.is_dir() else ():
            curve = _read_reference(candidate, run)
            if curve is not None:
                return {"name": candidate.name, **curve}
    return None


def _read_reference(path: Path, run: str) -> Found | None:
    try:
        with h5py.File(path, "r") as file:
            for entry in file.values():
                if (
                    "run" not in entry
                    or np.ravel(entry["run"][()])[0].decode() != run
                    or "sasdata/Q" not in entry
                ):
                    continue
                q, intensity = (entry[f"sasdata/{name}"][()].astype(float) for name in ("Q", "I"))
                if q.ndim == 1 and q.shape == intensity.shape:
                    return {"q": q, "i": intensity}
    except OSError as error:
        print(f"cannot read the reference {path}: {error}")
    return None


def _reference_check(ratio: Any, name: str) -> Found:
    low, median, high = np.percentile(ratio, (16, 50, 84))
    words = (
        f"Median ratio to the facility's own curve ({name}): {median:.3f}, "
        f"two thirds between {low:.3f} and {high:.3f}, over {len(ratio)} complete rings."
    )
    return verdict("the facility's own curve", "pass" if abs(median - 1) < 0.05 else "fail", words)
