# ruff: noqa: T201 - what a function prints is its log
"""From the detector to a curve: the heavy step, which runs on the batch system.

What is done depends on the kind of data that the step ``metadata`` found:

============== =====================================================================================
scattering     I(q) by azimuthal mean, beam centre checked by symmetry, shadows masked, errors by bootstrap
q-map          I(q) of a map over Qx and Qy, compared with the facility's own curve of the same run
time-of-flight spectrum of the energy transfer, incident energy from the monitors' peaks
image          how often each value occurs
curve          the curve itself
============== =====================================================================================
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the compressions that detectors use
import numpy as np
from answers import Found, made_by, new_curve, new_series, quantity, verdict, write_csv
from flight import time_of_flight
from frames import read_image
from qmap import q_map
from scattering import scattering

from penstock import Retry, batch, function


@function(
    outputs="{root}/derived/{stem}/{name}",
    timeout_s=600,
    memory="2GiB",
    # A batch worker may be taken away or killed: then it is done again.
    retry=Retry(attempts=3, delay_s=0.5),
    batch=batch(cores=1, memory="2GiB", walltime_s=900),
)
def reduce(call: Any) -> dict[str, Any]:
    """Reduce the signal to a curve: ``curve.csv`` for programs, ``curve.json`` for the page."""
    found = call.results["metadata"]
    kinds = {
        "scattering": scattering,
        "q-map": q_map,
        "time-of-flight": time_of_flight,
        "image": histogram,
        "curve": plain_curve,
    }
    if found["kind"] not in kinds:
        words = f"Nothing to reduce: {found['kind_words']}."
        return {"curve": None, "summary": words, "checks": [], "numbers": [], "made_by": made_by(call)}
    with h5py.File(call.input, "r") as file:
        result = kinds[found["kind"]](file, found, call.input)
    curve = result.pop("curve")
    call.output("curve.json").write_text(json.dumps(curve), encoding="utf-8")
    write_csv(call.output("curve.csv"), curve)
    print(result["summary"])
    for check in result["checks"]:
        print(f"  {check['verdict']}: {check['words']}")
    return {"curve": "curve.json", **result, "made_by": made_by(call)}


def histogram(file: Any, found: Found, _path: Path) -> dict[str, Any]:
    """Return how often each value occurs: what can be said of any array."""
    image, good = read_image(file, found["signal"])
    values = image[good].astype(float)
    if not values.size:
        return plain_curve(file, found, _path)
    number, edges = np.histogram(values, bins=100)
    centres = (edges[1:] + edges[:-1]) / 2
    unit = found["signal"]["unit"] or "as stored"
    curve = new_curve("Distribution of the values", ("value", unit, "linear"), ("pixels", "", "log"))
    curve["series"].append(new_series("pixels", "points", centres, number.astype(float), np.sqrt(number)))
    words = "I(q) needs distance, beam centre, pixel size and wavelength; the file lacks some of them."
    return {
        "curve": curve,
        "summary": f"Values from {values.min():.4g} to {values.max():.4g}, mean {values.mean():.4g}.",
        "checks": [verdict("geometry", "notice", words)],
        "numbers": [
            quantity("Mean", float(values.mean()), unit),
            quantity("Largest", float(values.max()), unit),
        ],
        "method": "Distribution of the unmasked values in 100 bins.",
    }


def plain_curve(file: Any, found: Found, _path: Path) -> dict[str, Any]:
    """Return one-dimensional data as they are, over their axis if there is one."""
    signal = found["signal"]
    values = np.ravel(file[signal["path"]][()]).astype(float)
    place = next((signal[role] for role in ("q", "time_of_flight", "axis") if role in signal), None)
    axis = np.ravel(file[place][()]).astype(float) if place else np.arange(len(values), dtype=float)
    name = place.rpartition("/")[2] if place else "number"
    curve = new_curve(
        "Curve", (name, "", "linear"), (signal["path"].rpartition("/")[2], signal["unit"], "linear")
    )
    curve["series"].append(new_series("as stored", "line", axis[: len(values)], values[: len(axis)]))
    return {
        "curve": curve,
        "summary": f"{len(values)} points as stored.",
        "checks": [],
        "numbers": [],
        "method": "None: the file's own values.",
    }
