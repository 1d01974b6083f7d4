"""The shapes of what steps hand on: checks, numbers, curves."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

Found = dict[str, Any]


def made_by(call: Any) -> Found:
    """Return which function made this, and in which attempt."""
    return {"function": call["exec"]["function"], "attempt": call["run"]["attempt"]}


def verdict(check: str, verdict: str, words: str) -> Found:
    """Return a check: what was looked at, ``pass``, ``notice`` or ``fail``, and why in a sentence."""
    return {"check": check, "verdict": verdict, "words": words}


def quantity(name: str, value: float, unit: str, error: float | None = None) -> Found:
    """Return a named result with its unit and, where known, its standard error."""
    return {"name": name, "value": value, "unit": unit, "error": error}


def new_curve(title: str, x: tuple[str, str, str], y: tuple[str, str, str]) -> Found:
    """Return a curve without points: its axes are name, unit and ``linear`` or ``log``."""
    axes = {
        name: dict(zip(("name", "unit", "scale"), axis, strict=True)) for name, axis in (("x", x), ("y", y))
    }
    return {"title": title, **axes, "series": []}


def new_series(name: str, style: str, x: Any, y: Any, error: Any = None) -> Found:
    """Return points (or a line) of a curve, without what is not finite."""
    good = np.isfinite(x) & np.isfinite(y)
    series: Found = {"name": name, "style": style, "x": x[good].tolist(), "y": y[good].tolist()}
    if error is not None:
        series["error"] = np.nan_to_num(error[good]).tolist()
    return series


def write_csv(path: Path, curve: Found) -> None:
    """Write every series below the other, with its name in the first column."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        x, y = (f"{axis['name']} [{axis['unit']}]" for axis in (curve["x"], curve["y"]))
        writer.writerow(("series", x, y, "standard error"))
        for series in curve["series"]:
            errors = series.get("error") or [""] * len(series["x"])
            for row in zip(series["x"], series["y"], errors, strict=True):
                writer.writerow((series["name"], *(f"{value:.8g}" if value != "" else "" for value in row)))
