"""Writes HDF5 files of other layouts, with known contents; a script that needs h5py, not a test.

``python make_odd.py FOLDER`` writes:

============== ===================================================================================
plain.h5       no NeXus at all: a stack of images somewhere, with the largest count as "no pixel"
rings.nxs      NXmx names: y counted from the upper edge, metres, I(q) = 1000 · exp(-q² · 50²/3) + 5
curve.hdf5     a q and an I without any group attributes
empty.h5       HDF5 with nothing in it
words.h5       HDF5 with text only
============== ===================================================================================
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np

ROWS, COLUMNS, ROW, COLUMN = 620, 540, 400.25, 250.75
DISTANCE_M, PIXEL_M, WAVELENGTH = 2.0, 172e-6, 1.0


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    chance = np.random.default_rng(1)
    with h5py.File(folder / "plain.h5", "w") as file:
        stack = chance.poisson(20, (5, 60, 80)).astype("u2")
        stack[:, 10, :] = 65535
        file["some/where/frames"] = stack
    with h5py.File(folder / "rings.nxs", "w") as file:
        rings(file, chance)
    with h5py.File(folder / "curve.hdf5", "w") as file:
        file["run1/q"] = np.linspace(0.01, 0.3, 50)
        file["run1/I"] = np.linspace(10, 1, 50)
    with h5py.File(folder / "empty.h5", "w"):
        pass
    with h5py.File(folder / "words.h5", "w") as file:
        file["note"] = "nothing but text"


def rings(file: h5py.File, chance: np.random.Generator) -> None:
    y, x = np.indices((ROWS, COLUMNS))
    radius = np.hypot(y - ROW, x - COLUMN)
    angle = np.arctan(radius * PIXEL_M / DISTANCE_M)
    q = 4 * np.pi / WAVELENGTH * np.sin(angle / 2)
    counts = chance.poisson((1000 * np.exp(-(q**2) * 50**2 / 3) + 5) * np.cos(angle) ** 3).astype("u4")
    counts[300:310] = 2**32 - 1
    file.attrs["default"] = "entry"
    entry = file.create_group("entry")
    entry.attrs["NX_class"] = "NXentry"
    data = entry.create_group("data")
    data.attrs.update({"NX_class": "NXdata", "signal": "data"})
    data["data"] = counts
    detector = entry.create_group("instrument/detector")
    for name, value, unit in (
        ("detector_distance", DISTANCE_M, "m"),
        ("x_pixel_size", PIXEL_M * 1e6, "um"),
        ("beam_center_x", COLUMN, "pixel"),
        ("beam_center_y", ROW, "pixel"),
    ):
        detector[name] = value
        detector[name].attrs["units"] = unit
    entry["instrument/beam/incident_wavelength"] = WAVELENGTH
    entry["instrument/beam/incident_wavelength"].attrs["units"] = "angstrom"


main(Path(sys.argv[1]))
