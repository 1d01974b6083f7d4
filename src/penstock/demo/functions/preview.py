# ruff: noqa: T201 - what a function prints is its log
"""A picture of the signal as one looks at it at the beamline: logarithmic, masked pixels told apart.

It relies on what the step ``metadata`` found, and never reads more than ``FRAMES_MAX`` frames.
"""

from __future__ import annotations

from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the compressions that detectors use
import numpy as np
from answers import made_by
from canvas import Picture, draw

from penstock import function

FRAMES_MAX = 8


@function(outputs="{root}/derived/{stem}/{name}", timeout_s=120, memory="2GiB")
def preview(call: Any) -> dict[str, Any]:
    """Draw the signal on a logarithmic colour scale as ``preview.png``."""
    found = call.results["metadata"]
    if found["kind"] in ("curve", "nothing"):
        words = f"No picture: {found['kind_words']}."
        print(words)
        return {"picture": None, "words": words, "made_by": made_by(call)}
    with h5py.File(call.input, "r") as file:
        picture = read(file, found)
    image, shown = draw(picture)
    image.save(call.output("preview.png"), optimize=True)
    rows, columns = picture.values.shape
    masked = float(np.isnan(picture.values).mean())
    hidden = f"{masked:.1%} masked ({picture.masked})" if masked else "nothing masked"
    words = (
        f"{picture.label}, logarithmic, {columns} × {rows}; {hidden}; "
        f"colours from {_plain(shown[0])} to {_plain(shown[1])}."
    )
    print(words)
    return {
        "picture": "preview.png",
        "words": words,
        "masked_fraction": masked,
        "range": list(shown),
        "made_by": made_by(call),
    }


def _plain(value: float) -> str:
    return f"{value:,.0f}" if 100 <= value < 1e7 else f"{value:.3g}"


def read(file: Any, found: dict[str, Any]) -> Picture:
    """Return the picture of this kind of data."""
    signal = found["signal"]
    dataset = file[signal["path"]]
    values, frames = frame(dataset)
    values[_mask(file, signal, values)] = np.nan
    unit = f" [{signal['unit']}]" if signal["unit"] else ""
    if found["kind"] == "q-map":
        return _q_map(file, signal, values, unit)
    if found["kind"] == "time-of-flight":
        return _time_of_flight(file, signal, values, unit)
    rows, columns = values.shape
    return Picture(
        values=values,
        x=(0, columns),
        y=(0, rows),
        x_label="column [pixels]",
        y_label="row [pixels]",
        label=("Counts in a pixel" if not unit else f"Signal{unit}")
        + (f", mean of {frames} frames" * (frames > 1)),
        masked="gaps between modules and dead pixels",
    )


def frame(dataset: Any) -> tuple[Any, int]:
    """Return one image as floats: the array itself, or the mean of some frames of a stack; and how many."""
    sentinel = _sentinel(dataset.dtype)
    if dataset.ndim == 2:
        picked = [dataset[()]]
    else:
        frames = int(np.prod(dataset.shape[:-2]))
        numbers = np.unique(np.linspace(0, frames - 1, min(frames, FRAMES_MAX)).astype(int))
        picked = [dataset[np.unravel_index(number, dataset.shape[:-2])] for number in numbers]
    floats = []
    for image in picked:
        values = np.asarray(image, dtype=np.float32).copy()
        if sentinel is not None:
            values[image >= sentinel] = np.nan
        floats.append(values)
    return np.mean(floats, axis=0, dtype=np.float32), len(floats)


def _sentinel(dtype: Any) -> int | None:
    """Return the count from which on a pixel is none: Dectris marks gaps 2ⁿ-1 and defects 2ⁿ-2."""
    return int(np.iinfo(dtype).max) - 1 if dtype.kind == "u" and dtype.itemsize >= 2 else None


def _mask(file: Any, signal: dict[str, Any], values: Any) -> Any:
    masked = ~np.isfinite(values) | (values < 0)
    if "mask" in signal:
        mask = file[signal["mask"]][()]
        masked |= (mask[0] if mask.ndim > 2 else mask) != 0
    if "errors" in signal and file[signal["errors"]].shape == values.shape:
        masked |= (values == 0) & (file[signal["errors"]][()] == 0)
    return masked


def _q_map(file: Any, signal: dict[str, Any], values: Any, unit: str) -> Picture:
    """Turn the map so that Qx runs to the right and Qy upwards, whichever way it is stored."""
    qx, qy = file[signal["qx"]][()], file[signal["qy"]][()]
    if np.ptp(qx[0]) < np.ptp(qx[:, 0]):
        values, qx, qy = values.T, qx.T, qy.T
    if qx[0, 0] > qx[0, -1]:
        values = values[:, ::-1]
    if qy[0, 0] < qy[-1, 0]:
        values = values[::-1]
    return Picture(
        values=values,
        x=(float(qx.min()), float(qx.max())),
        y=(float(qy.max()), float(qy.min())),
        x_label="Qx [1/angstrom]",
        y_label="Qy [1/angstrom]",
        label=f"Intensity{unit}",
        masked="no value and no error given",
    )


def _time_of_flight(file: Any, signal: dict[str, Any], values: Any, unit: str) -> Picture:
    """Show detectors, by angle upwards, over the time of flight."""
    times = file[signal["time_of_flight"]]
    angles = file[signal["polar_angle"]][()] if "polar_angle" in signal else np.arange(len(values))
    if angles[0] < angles[-1]:
        values, angles = values[::-1], angles[::-1]
    time_unit = times.attrs.get("units", "")
    values[~values.any(axis=1)] = np.nan
    return Picture(
        values=values,
        x=(float(times[0]), float(times[-1])),
        y=(float(angles[0]), float(angles[-1])),
        x_label=f"time of flight [{time_unit}]",
        y_label="scattering angle [°]" if "polar_angle" in signal else "detector",
        label=f"Neutrons{unit}",
        masked="detectors without any count",
    )
