"""What lies in an HDF5 file: data sets, single values, units, and which data set is the signal."""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np
from answers import verdict

OBJECTS_MAX = 20_000


def walk(file: Any) -> dict[str, Any]:
    """Return the data sets of a file by path, links followed once each, at most ``OBJECTS_MAX``."""
    index: dict[str, Any] = {}

    def visit(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset):
            index["/" + name] = item
        return True if len(index) >= OBJECTS_MAX else None

    file.visititems(visit)
    return index


def lookup(index: dict[str, Any], endings: tuple[str, ...]) -> dict[str, Any] | None:
    """Return value, unit and place of the first data set with such a path that says something."""
    for ending in endings:
        for path, dataset in index.items():
            if path.lower().replace("_", "").endswith(ending):
                value = single(dataset)
                if value is not None:
                    return {"value": value, "unit": unit_of(dataset), "from": path}
    return None


def single(dataset: Any) -> Any:
    """Return the one value of a data set as text or number; None for arrays, NaN and empty text."""
    if dataset.size is None or dataset.size < 1 or dataset.dtype.names:
        return None
    if dataset.size > 1:
        return _constant(dataset)
    value = np.asarray(dataset[()]).reshape(-1)[0]
    if isinstance(value, bytes | str):
        return text(value).strip() or None
    if not np.isreal(value) or not math.isfinite(value):
        return None
    return value.item()


def _constant(dataset: Any) -> float | None:
    """Return the mean of a short array that is one value but for 1 %, as distances of pixels are."""
    if dataset.size > 10_000 or not np.issubdtype(dataset.dtype, np.floating):
        return None
    values = dataset[()]
    mean = float(np.mean(values))
    return round(mean, 6) if math.isfinite(mean) and np.ptp(values) <= 0.01 * abs(mean) else None


def unit_of(dataset: Any) -> str:
    """Return the unit, from the attribute or (as EPICS areaDetector writes it) the description's end."""
    unit = text(dataset.attrs.get("units", dataset.attrs.get("unit", ""))).strip()
    if not unit:
        tail = text(dataset.attrs.get("NDAttrDescription", "")).rpartition(",")[2].strip()
        unit = tail if len(tail) <= 7 else ""
    return {"A": "Å", "1/A": "1/Å", "angstrom": "Å", "degC": "°C", "degree": "°", "degrees": "°"}.get(
        unit, unit
    )


def text(value: Any) -> str:
    """Return an attribute or value as text, whichever way HDF5 stores it."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else ""
    return (
        value.decode("utf-8", "replace")
        if isinstance(value, bytes)
        else str(value if value is not None else "")
    )


def brief(dataset: Any) -> dict[str, Any]:
    """Return path, shape, type, unit and compression of a data set."""
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(number) for number in range(plist.get_nfilters())]
    names = [text(name).split(";")[0] or f"filter {code}" for code, _, _, name in filters]
    return {
        "path": dataset.name,
        "shape": list(dataset.shape or ()),
        "type": str(dataset.dtype),
        "unit": unit_of(dataset),
        "compression": " + ".join(names),
    }


def find_signal(file: Any, index: dict[str, Any]) -> tuple[str | None, list[dict[str, Any]]]:
    """Return the path of the main data set: the signal of an NXdata group, else the largest array."""
    checks: list[dict[str, Any]] = []
    best: tuple[Any, ...] = ()
    for path, dataset in [*index.items(), *_linked(file, checks)]:
        if not np.issubdtype(dataset.dtype, np.number) or not dataset.size or dataset.size < 2:
            continue
        group = dataset.parent.attrs
        marked = text(group.get("NX_class")) in {"NXdata", "NXdetector"} and (
            text(group.get("signal")) == dataset.name.rpartition("/")[2] or "signal" in dataset.attrs
        )
        rank = (marked, min(dataset.ndim, 2), dataset.size)
        if not best or rank > best[:3]:
            best = (*rank, path)
            index.setdefault(path, dataset)
    return (best[3] if best else None), checks


def _linked(file: Any, checks: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Return data sets behind external links in NXdata groups; a link that leads nowhere becomes a check."""
    found: list[tuple[str, Any]] = []

    def visit(name: str, group: Any) -> None:
        if not isinstance(group, h5py.Group) or text(group.attrs.get("NX_class")) != "NXdata":
            return
        for member in group:
            link = group.get(member, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                try:
                    found.append((f"/{name}/{member}", group[member]))
                except (KeyError, OSError):
                    words = f"{name}/{member} is in another file, {link.filename}, which is not here."
                    checks.append(verdict("linked files", "notice", words))

    file.visititems(visit)
    return [pair for pair in found if isinstance(pair[1], h5py.Dataset)]


def sisters(index: dict[str, Any], signal: str) -> dict[str, str]:
    """Return the data sets beside the signal that belong to it: errors, axes, mask."""
    folder = signal.rpartition("/")[0]
    beside = {path.rpartition("/")[2].lower(): path for path in index if path.rpartition("/")[0] == folder}
    wanted = {
        "errors": ("idev", "errors", "error", "data_errors", "uncertainties"),
        "qx": ("qx",),
        "qy": ("qy",),
        "q": ("q",),
        "time_of_flight": ("time_of_flight", "tof"),
        "polar_angle": ("polar_angle",),
    }
    found = {role: beside[name] for role, names in wanted.items() for name in names if name in beside}
    shape = index[signal].shape[-2:]
    endings = ("/pixel_mask", "/mask", "/pixelmask")
    masks = [path for path in index if path.lower().endswith(endings) and index[path].shape[-2:] == shape]
    found |= {"mask": masks[0]} if masks else {}
    axes = [
        path
        for name, path in beside.items()
        if path != signal and index[path].shape == index[signal].shape[-1:]
    ]
    return {"axis": axes[0], **found} if axes and len(shape) == 1 else found
