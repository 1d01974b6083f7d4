"""A run as bytes and back: JSON with the version of its form in front (``{"v":1,...}``).

Stored bytes are never rewritten; a later form gets the next number, and ``restore`` keeps reading
the old ones. ``tests/core/golden`` has one file per form.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from penstock.core.errors import Invalid
from penstock.core.run_state import Run, StepRun

VERSION = 1
"""The form that ``snapshot`` writes."""


class _Version(Struct):
    v: int


class _StoredStep(StepRun):
    # msgspec reads no ``Raw | None``; and an answer of null is not the same as no answer.
    result: Raw | UnsetType = UNSET  # type: ignore[assignment]


class _StoredRun(Run):
    steps: dict[str, _StoredStep] = {}  # type: ignore[assignment]  # noqa: RUF012 - msgspec copies it


_encoder = msgspec.json.Encoder()
_version = msgspec.json.Decoder(_Version)
_run = msgspec.json.Decoder(_StoredRun)


def snapshot(run: Run) -> bytes:
    """Return ``run`` as one line of JSON; equal runs give equal bytes."""
    return b'{"v":%d,%b' % (VERSION, _encoder.encode(run)[1:])


def restore(raw: bytes) -> Run:
    """Return the run that ``snapshot`` wrote.

    Raises:
        Invalid: It is no snapshot, or one of a form that this version of Penstock does not know.
    """
    try:
        version = _version.decode(raw).v
        if version != VERSION:
            raise Invalid(
                f"the snapshot of a run has form {version}, this version of Penstock reads form {VERSION}: "
                "install the version that wrote it, or a newer one"
            )
        stored = _run.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"not the snapshot of a run: {error}") from error
    members = {name: getattr(stored, name) for name in Run.__struct_fields__}
    return Run(**{**members, "steps": {name: _step(step) for name, step in stored.steps.items()}})


def _step(stored: _StoredStep) -> StepRun:
    members = {name: getattr(stored, name) for name in StepRun.__struct_fields__}
    return StepRun(**{**members, "result": None if isinstance(stored.result, UnsetType) else stored.result})
