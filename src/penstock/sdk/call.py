"""The self-sufficient event that a function receives, with helpers to read and write files."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from typing import IO, Any


class Call(dict[str, Any]):
    """One call's JSON object: ``event``, ``read``, ``write``, ``exec``, ``run``, ``results``, ``item``.

    ========== ==================================================================
    event      the CloudEvent that started the run
    read       the first input: ``path``, ``endpoint``
    inputs     all inputs, in the same shape
    write      ``path`` (this attempt's own folder), ``publish`` (the template), ``endpoint``
    exec       ``function``: what is called, with its version
    run        ``id``, ``step``, ``attempt``, ``item``, ``idempotency_key``
    results    answers of the steps before this one, by name
    item       the element of the list, in a map
    params     what a person gave at a manual start
    ========== ==================================================================
    """

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvent that started the run."""
        return dict(self["event"])

    @property
    def data(self) -> dict[str, Any]:
        """The event's normalised file record: ``path``, ``size``, ``checksum`` …"""
        return dict(self["event"].get("data") or {})

    @property
    def input(self) -> Path:
        """Local path of the first input.

        Raises:
            LookupError: The run was started without a file.
        """
        if "read" not in self:
            raise LookupError(
                "this run has no input file, and the function asks for one; start it on a file "
                "('penstock runs start NAME --file PATH'), or look at 'params' and 'event' only"
            )
        return _local(self["read"])

    @property
    def inputs(self) -> list[Path]:
        """Local paths of all inputs: the event's file, then the outputs of earlier steps."""
        return [_local(place) for place in self.get("inputs") or ()] or [self.input]

    @property
    def results(self) -> dict[str, Any]:
        """Answers of the steps before this one, by step name."""
        return dict(self.get("results") or {})

    @property
    def item(self) -> Any:
        """The element of the list that this call is for, in a map; else None."""
        return self.get("item")

    @property
    def idempotency_key(self) -> str:
        """Equal for every attempt of this step: hand it to outside systems that can ignore repeats."""
        return str(self["run"]["idempotency_key"])

    def open(self, mode: str = "rb", **options: Any) -> IO[Any]:
        """Open the first input for reading."""
        return open(self.input, mode, **options)

    def output(self, name: str) -> Path:
        """Return the path to write the output called ``name`` to.

        It becomes visible, whole and at once, when the function has returned, at the place that
        the function's ``outputs`` template gives for ``name``. Nothing appears if it fails.

        Raises:
            ValueError: The name would lead out of the output folder.
        """
        folder = _local(self["write"])
        path = Path(os.path.normpath(folder / name))
        if folder not in path.parents:
            raise ValueError(f"output name {name!r} leads out of the output folder; use a relative name")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _local(place: dict[str, str]) -> Path:
    if "path_raw" in place:
        return Path(os.fsdecode(b64decode(place["path_raw"])))
    return Path(place["path"])
