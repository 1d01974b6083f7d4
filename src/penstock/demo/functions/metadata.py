# ruff: noqa: T201 - what a function prints is its log
"""What is in an HDF5 or NeXus file: who measured what, how, and which data set is the signal.

It reads names, attributes, single values and monitors, never the image itself, so it takes well under a
second. Later steps get what it found and need not look again.
"""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from answers import verdict
from contents import brief, find_signal, lookup, sisters, text, unit_of, walk
from whole import check_whole, digest

from penstock import function

METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "micron": 1e-6, "microns": 1e-6}
METRES |= {"metre": 1.0, "meter": 1.0, "metres": 1.0, "meters": 1.0, "millimetre": 1e-3, "millimeter": 1e-3}
ANGSTROMS = {"a": 1.0, "å": 1.0, "angstrom": 1.0, "angstroms": 1.0, "nm": 10.0, "m": 1e10}
KILOELECTRONVOLTS = {"ev": 1e-3, "kev": 1.0}
MICROSECONDS = {"microseconds": 1.0, "microsecond": 1.0, "us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}
KEV_ANGSTROM = 12.398419843
MEV_PER_SPEED_SQUARED = 5.2270376e-6
"""Half a neutron's mass: kinetic energy in meV of a speed of 1 m/s."""

FIELDS = {
    # label: endings of data sets' paths, best first; lower case, without underscores
    "Title": ("/title",),
    "Run": ("/runnumber", "/run", "/entryidentifier"),
    "Started": ("/starttime", "/sampletime", "/timestart"),
    "Facility": ("/source/name", "/facilityname"),
    "Instrument": ("/instrument/name", "/sasinstrument/name", "/beamline"),
    "Detector": ("/detectorname", "/detector/description", "/detector/type", "detector/name"),
    "Sample": ("/sample/name", "/samplename", "/sample/description"),
    "Formula": ("/chemicalformula",),
    "Temperature": ("/sample/temperature", "/temperature"),
    "Exposure": ("/exposuretime", "/counttime", "/frametime"),
    "Nominal energy": ("/monochromator/energy", "/energy", "/incidentenergy", "/monoe"),
    "Wavelength": ("/incidentwavelength", "/wavelength"),
    "Sample to detector": ("/sdd", "/detector/distance", "/detectordistance"),
    "Pixel size": ("/pixelsize", "/xpixelsize", "/detpixelsize"),
    "Beam x": ("/beamxpixel", "/beamcenterx", "/beamcentrex"),
    "Beam y": ("/beamypixel", "/beamcentery", "/beamcentrey"),
}


@function(outputs="{root}/derived/{stem}/{name}", timeout_s=60, memory="1GiB")
def metadata(call: Any) -> dict[str, Any]:
    """Say what a NeXus or HDF5 file holds, and check what it says of itself."""
    path: Path = call.input
    check_whole(path)
    with h5py.File(path, "r") as file:
        answer = describe(file)
        listed = [brief(dataset) for dataset in walk(file).values()]
    answer |= {"file": path.name, "bytes": path.stat().st_size, "sha256": digest(path)}
    answer["made_by"] = {"function": call["exec"]["function"], "attempt": call["run"]["attempt"]}
    answer["software"] = {
        "Python": platform.python_version(),
        "h5py": h5py.__version__,
        "HDF5": h5py.version.hdf5_version,
        "hdf5plugin": hdf5plugin.version,
        "NumPy": np.__version__,
    }
    call.output("metadata.json").write_text(
        json.dumps({**answer, "datasets": listed}, indent=2, ensure_ascii=False), encoding="utf-8"
    )
    print(f"{path.name}: {answer['kind']}: {answer['kind_words']}")
    for check in answer["checks"]:
        print(f"  {check['verdict']}: {check['words']}")
    return answer


def describe(file: Any) -> dict[str, Any]:
    """Return all that is known of an open HDF5 file, as JSON values."""
    index = walk(file)
    fields = {label: found for label, endings in FIELDS.items() if (found := lookup(index, endings))}
    signal, missing = find_signal(file, index)
    geometry = find_geometry(fields)
    flight = find_flight(index, signal)
    kind, kind_words = classify(signal, index, geometry, flight)
    checks = [verdict("whole", "pass", "The file is as long as its superblock says."), *missing]
    checks += energy_checks(fields, flight) + wavelength_checks(index)
    is_nexus = any(text(group.attrs.get("NX_class")) == "NXentry" for group in _groups(file))
    return {
        "format": "NeXus" if is_nexus else "HDF5",
        "definition": (lookup(index, ("/definition",)) or {}).get("value", ""),
        "kind": kind,
        "kind_words": kind_words,
        "fields": fields,
        "signal": signal and brief(index[signal]) | sisters(index, signal),
        "geometry": geometry,
        "flight": flight,
        "datasets_total": len(index),
        "checks": checks,
    }


def _groups(file: Any) -> list[Any]:
    members = (file.get(name) for name in file)
    return [file, *(member for member in members if isinstance(member, h5py.Group))]


def find_geometry(fields: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return distance and pixel (m), beam centre (pixels as counted in the file) and wavelength (Å)."""
    distance = _convert(fields.get("Sample to detector"), METRES)
    pixel = _convert(fields.get("Pixel size"), METRES)
    wavelength = _convert(fields.get("Wavelength"), ANGSTROMS)
    energy = _convert(fields.get("Nominal energy"), KILOELECTRONVOLTS)
    if wavelength is None and energy:
        wavelength = KEV_ANGSTROM / energy
    beam = [_beam(fields.get(label), pixel) for label in ("Beam x", "Beam y")]
    values = {"distance_m": distance, "pixel_m": pixel, "wavelength_angstrom": wavelength}
    values |= {"beam_x_px": beam[0], "beam_y_px": beam[1]}
    return {name: value for name, value in values.items() if value is not None}


def _convert(field: dict[str, Any] | None, units: dict[str, float]) -> float | None:
    """Return the value in the table's unit; a value without a known unit is no value."""
    if field is None or not isinstance(field["value"], int | float):
        return None
    factor = units.get(field["unit"].lower())
    return None if factor is None or not field["value"] else float(field["value"]) * factor


def _beam(field: dict[str, Any] | None, pixel: float | None) -> float | None:
    if field is None or not isinstance(field["value"], int | float):
        return None
    metres = _convert(field, METRES)
    return float(field["value"]) if metres is None else pixel and metres / pixel


def classify(
    signal: str | None, index: dict[str, Any], geometry: dict[str, float], flight: dict[str, Any] | None
) -> tuple[str, str]:
    """Return the kind of data, on which the reduction depends, and words for people."""
    if signal is None:
        return "nothing", "no numeric array to work on"
    shape = index[signal].shape
    size = " × ".join(str(length) for length in shape)
    beside = sisters(index, signal)
    if {"qx", "qy"} <= beside.keys() and len(shape) == 2:
        return "q-map", f"small-angle scattering on a grid of Qx and Qy, {size}"
    if flight and len(shape) == 2:
        return "time-of-flight", f"neutron time of flight, {shape[0]} detectors × {shape[1]} time channels"
    if len(shape) >= 2 and len(geometry) == 5:
        return "scattering", f"scattering image with its geometry, {size} pixels"
    if len(shape) >= 2:
        return "image", f"array of {size} without a complete scattering geometry"
    return "curve", f"one-dimensional data, {size} points"


def find_flight(index: dict[str, Any], signal: str | None) -> dict[str, Any] | None:
    """Return monitors and the incident energy their peaks give, for a time-of-flight instrument."""
    if signal is None or "time_of_flight" not in sisters(index, signal):
        return None
    monitors = [
        monitor
        for path, dataset in index.items()
        if text(dataset.parent.attrs.get("NX_class")) == "NXmonitor" and path.endswith("/data")
        if (monitor := _monitor(index, path.rpartition("/")[0]))
    ]
    if len(monitors) < 2:
        return None
    monitors.sort(key=lambda monitor: monitor["distance_m"])
    first, last = monitors[0], monitors[-1]
    seconds = (last["peak_us"] - first["peak_us"]) * 1e-6
    if seconds <= 0:
        return None
    speed = (last["distance_m"] - first["distance_m"]) / seconds
    return {"monitors": monitors, "speed_m_s": speed, "incident_mev": MEV_PER_SPEED_SQUARED * speed**2}


def _monitor(index: dict[str, Any], folder: str) -> dict[str, Any] | None:
    try:
        counts, times, distance = (
            index[f"{folder}/{name}"] for name in ("data", "time_of_flight", "distance")
        )
    except KeyError:
        return None
    microseconds = MICROSECONDS.get(unit_of(times).lower())
    metres = METRES.get(unit_of(distance).lower())
    if microseconds is None or metres is None or counts.ndim != 1 or not np.any(counts[()]):
        return None
    edges = times[()].astype(float) * microseconds
    centres = (edges[1:] + edges[:-1]) / 2 if len(edges) == len(counts) + 1 else edges
    peak = float(centres[np.argmax(counts[()])])
    return {"path": folder, "distance_m": float(np.ravel(distance[()])[0]) * metres, "peak_us": peak}


def energy_checks(fields: dict[str, Any], flight: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Compare the energy in the title, and the nominal one, with what the monitors measured."""
    if flight is None:
        return []
    measured = flight["incident_mev"]
    checks = []
    written = re.search(r"(\d+(?:\.\d+)?)\s*meV", str(fields.get("Title", {}).get("value", "")))
    if written:
        said = float(written[1])
        off = abs(said - measured) > 0.03 * measured
        words = f"The title says {said:g} meV; the monitor peaks give {measured:.1f} meV."
        checks.append(verdict("energy in the title", "notice" if off else "pass", words))
    nominal = fields.get("Nominal energy")
    if nominal and nominal["unit"].lower() == "mev" and isinstance(nominal["value"], int | float):
        off = abs(nominal["value"] - measured) > 0.03 * measured
        words = f"The nominal energy is {nominal['value']:g} meV; the monitor peaks give {measured:.1f} meV."
        checks.append(verdict("nominal energy", "notice" if off else "pass", words))
    return checks


def wavelength_checks(index: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare wavelength and photon energy where a file gives both."""
    wavelength = _convert(lookup(index, FIELDS["Wavelength"]), ANGSTROMS)
    energy = _convert(lookup(index, FIELDS["Nominal energy"]), KILOELECTRONVOLTS)
    if not wavelength or not energy:
        return []
    implied = KEV_ANGSTROM / energy
    words = f"A photon energy of {energy:.4g} keV means {implied:.4f} Å; the file says {wavelength:.4f} Å."
    agrees = abs(implied - wavelength) <= 0.002 * wavelength
    return [verdict("wavelength and energy", "pass" if agrees else "notice", words)]
