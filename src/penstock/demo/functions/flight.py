"""Neutron time of flight in direct geometry: incident energy and the spectrum of energy transfer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from answers import Found, new_curve, new_series, quantity, verdict
from rings import RESAMPLES, SEED

MEV_PER_SPEED_SQUARED = 5.2270376e-6
"""Half a neutron's mass: kinetic energy in meV of a speed of 1 m/s."""


def time_of_flight(file: Any, found: Found, _path: Path) -> dict[str, Any]:
    """Return the spectrum of energy transfer of a direct-geometry spectrometer."""
    signal, flight = found["signal"], found["flight"]
    chance = np.random.default_rng(SEED)
    monitors = [
        _monitor_peaks(file, monitor, chance) for monitor in (flight["monitors"][0], flight["monitors"][-1])
    ]
    length = monitors[1]["distance_m"] - monitors[0]["distance_m"]
    speeds = length / ((monitors[1]["peaks_us"] - monitors[0]["peaks_us"]) * 1e-6)
    energies = MEV_PER_SPEED_SQUARED * speeds**2
    speed, energy, energy_error = float(speeds[0]), float(energies[0]), float(energies[1:].std())
    at_sample_us = float(monitors[0]["peaks_us"][0]) - monitors[0]["distance_m"] / speed * 1e6
    counts = file[signal["path"]][()].astype(float)
    edges_us = _edges_us(file[signal["time_of_flight"]][()].astype(float), counts.shape[1])
    distances = _distances(file, found, len(counts))
    transfers = [_transfer(edges_us - at_sample_us, distance, energy) for distance in distances]
    last = min(0.95 * energy, *(np.nanmax(transfer) for transfer in transfers))
    grid = np.arange(math.ceil(-0.3 * energy), math.floor(last) + 0.5, 1.0)
    spectra = np.array([_spectrum(counts, transfers, grid, energy)])
    spectra = np.concatenate((spectra, _resampled(counts, transfers, grid, energy, chance)))
    spectra /= monitors[0]["counts"] * np.count_nonzero(counts.any(axis=1)) / 1e6
    centres = (grid[1:] + grid[:-1]) / 2
    lines = np.array([_elastic(centres, spectrum) for spectrum in spectra])
    position, width = lines[0]
    curve = new_curve(
        "Spectrum of energy transfer",
        ("energy transfer", "meV", "linear"),
        ("weighted counts", "per meV, detector and 10⁶ in the monitor", "log"),
    )
    curve["series"].append(
        new_series("all detectors", "points", centres, spectra[0], spectra[1:].std(axis=0))
    )
    title = next((check for check in found["checks"] if check["check"] == "energy in the title"), None)
    words = f"The elastic line stands at {position:+.2f} meV, {width:.1f} meV wide at half its height."
    checks = [verdict("elastic line", "pass" if abs(position) < 0.25 * width else "notice", words)]
    dead = len(counts) - int(np.count_nonzero(counts.any(axis=1)))
    words = f"{dead} of {len(counts)} detectors counted nothing" + (" and are left out." if dead else ".")
    checks.append(verdict("detectors", "notice" if dead else "pass", words))
    return {
        "curve": curve,
        "summary": f"Incident energy {energy:.2f} ± {energy_error:.2f} meV from the monitors' peaks"
        + (", not what the title says." if title and title["verdict"] == "notice" else "."),
        "checks": checks,
        "numbers": [
            quantity("Incident energy", energy, "meV", energy_error),
            quantity("Incident speed", speed, "m/s", float(speeds[1:].std())),
            quantity("Neutrons reach the sample at", at_sample_us, "µs"),
            quantity("Elastic line", float(position), "meV", float(lines[1:, 0].std())),
            quantity("Width of the elastic line", float(width), "meV", float(lines[1:, 1].std())),
        ],
        "method": "A peak stands at the centroid of what exceeds 80 % of its maximum. Counts are shared out "
        "over bins of 1 meV and weighted by initial over final wave number; detector efficiency and "
        f"background are not corrected. Errors are of counting, from {len(spectra) - 1} Poisson resamples.",
    }


def _monitor_peaks(file: Any, monitor: Found, chance: Any) -> Found:
    """Return the time of a monitor's peak, first as measured, then for Poisson resamples of its counts."""
    counts = file[f"{monitor['path']}/data"][()].astype(float)
    edges = _edges_us(file[f"{monitor['path']}/time_of_flight"][()].astype(float), len(counts))
    centres = (edges[1:] + edges[:-1]) / 2
    near = counts >= 0.8 * counts.max()
    drawn = np.vstack((counts[near], chance.poisson(counts[near], size=(RESAMPLES, int(near.sum())))))
    peaks = drawn @ centres[near] / drawn.sum(axis=1)
    return {"distance_m": monitor["distance_m"], "peaks_us": peaks, "counts": counts.sum()}


def _edges_us(times: Any, channels: int) -> Any:
    """Return the bounds of time channels, which some files give and others only imply by centres."""
    if len(times) == channels + 1:
        return times
    between = (times[1:] + times[:-1]) / 2
    return np.concatenate(([2 * times[0] - between[0]], between, [2 * times[-1] - between[-1]]))


def _distances(file: Any, found: Found, detectors: int) -> Any:
    """Return each detector's distance from the sample, in metres."""
    place = found["fields"].get("Sample to detector")
    if place is None:
        raise ValueError("the file gives no distance from sample to detector; energy transfer needs it")
    values = np.ravel(file[place["from"]][()]).astype(float)
    values *= found["geometry"].get("distance_m", 1.0) / float(np.mean(values))
    return values if len(values) == detectors else np.full(detectors, values.mean())


def _transfer(after_us: Any, distance_m: float, energy: float) -> Any:
    """Return the energy transfer for times since the neutrons reached the sample; NaN before that."""
    speed = np.divide(distance_m * 1e6, after_us, out=np.full(after_us.shape, np.nan), where=after_us > 0)
    return energy - MEV_PER_SPEED_SQUARED * speed**2


def _spectrum(counts: Any, transfers: list[Any], grid: Any, energy: float) -> Any:
    """Share each channel's counts over the energy bins it overlaps, and sum the detectors."""
    summed = np.zeros(len(grid))
    for row, transfer in zip(counts, transfers, strict=True):
        usable = np.isfinite(transfer)
        cumulated = np.concatenate(([0.0], np.cumsum(row)))[usable]
        summed += np.interp(grid, transfer[usable], cumulated)
    centres = (grid[1:] + grid[:-1]) / 2
    return np.diff(summed) / np.diff(grid) * np.sqrt(energy / (energy - centres))


def _resampled(counts: Any, transfers: list[Any], grid: Any, energy: float, chance: Any) -> Any:
    return np.array(
        [_spectrum(chance.poisson(counts), transfers, grid, energy) for _ in range(RESAMPLES // 5)]
    )


def _elastic(centres: Any, spectrum: Any) -> tuple[float, float]:
    """Return place and full width at half height of the strongest line."""
    top = int(np.argmax(spectrum))
    half = spectrum[top] / 2
    low, high = top, top
    while low > 0 and spectrum[low] > half:
        low -= 1
    while high < len(spectrum) - 1 and spectrum[high] > half:
        high += 1
    left = np.interp(half, spectrum[low : low + 2], centres[low : low + 2])
    right = np.interp(-half, -spectrum[high - 1 : high + 1], centres[high - 1 : high + 1])
    return float((left + right) / 2), float(right - left)
