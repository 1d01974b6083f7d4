"""What options may be given as: JSON, moments, ages."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click

_UNITS_S = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object, or ``@FILE`` with one in it."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Return the object."""
        if isinstance(value, dict):
            return value
        try:
            text = Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value
            read = json.loads(text)
        except OSError as error:
            self.fail(f"{value[1:]} cannot be read: {error.strerror}", param, ctx)
        except ValueError as error:
            self.fail(f"{value!r} is no JSON: {error}. Write for example '{{\"x\": 1}}'", param, ctx)
        if not isinstance(read, dict):
            self.fail(f"{value!r}: a JSON object was expected, such as '{{\"x\": 1}}'", param, ctx)
        return read


class Moment(click.ParamType[int]):
    """A moment: an age such as ``10min``, ``2h``, ``3d``, or a date and time; in POSIX nanoseconds."""

    name = "WHEN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the moment; a date without zone is local time."""
        if isinstance(value, int):
            return value
        if value == "now":
            return time.time_ns()
        age = _AGE.fullmatch(value)
        if age is not None and age[2] in _UNITS_S:
            return time.time_ns() - int(float(age[1]) * _UNITS_S[age[2]] * 1e9)
        try:
            return int(datetime.fromisoformat(value).astimezone().timestamp() * 1e9)
        except ValueError:
            self.fail(
                f"{value!r} is no moment; write an age such as 10min, 2h or 3d, "
                "or a time such as '2026-11-21 14:30'",
                param,
                ctx,
            )


JSON = JsonObject()
MOMENT = Moment()
