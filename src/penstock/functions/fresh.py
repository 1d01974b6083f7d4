"""One call of a function in a process of its own: no pool, no sandbox; the time limit is held."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from penstock.core.function import Function, Kind
from penstock.functions import bootstrap, command
from penstock.functions.child import Ended, Lines, run

JSON = dict[str, Any]


def call(function: Function, params: JSON, on_line: Lines) -> tuple[JSON | None, str | None]:
    """Call ``function`` in a new process and return its answer and None, or None and what went wrong.

    Blocks until it has ended, at most ``function.limits.timeout_s`` seconds.

    Args:
        function: With ``code`` and, for Python, ``python`` (else Penstock's own interpreter).
        params: The self-sufficient event.
        on_line: Gets what it prints, line by line.
    """
    caller = _call_command if function.kind is Kind.COMMAND else _call_python
    try:
        return caller(function, params, on_line)
    except OSError as error:
        return None, f"it cannot be started: {error}; is the program installed and executable?"


def _call_python(function: Function, params: JSON, on_line: Lines) -> tuple[JSON | None, str | None]:
    with tempfile.TemporaryDirectory(prefix="penstock-call-") as folder:
        order, answer = Path(folder) / "order.json", Path(folder) / "answer.json"
        order.write_text(json.dumps({"code": function.code, "entry": function.entry, "params": params}))
        argv = [function.python or sys.executable, "-I", "-B", "-X", "utf8", bootstrap.__file__, "once"]
        ended = run(
            [*argv, str(order), str(answer)],
            timeout_s=function.limits.timeout_s,
            on_line=on_line,
            folder=Path(function.code),
            environment={**os.environ, "PENSTOCK_FUNCTION": function.reference},
        )
        fault = _fault(function, ended)
        if fault is not None or not answer.is_file():
            return None, fault or "its process ended without an answer; did it call os._exit?"
        members = json.loads(answer.read_bytes())
    return members.get("result"), members.get("error")


def _call_command(function: Function, params: JSON, on_line: Lines) -> tuple[JSON | None, str | None]:
    program, *arguments = function.command
    ended = run(
        [os.path.join(function.code, program) if "/" in program else program, *arguments],
        timeout_s=function.limits.timeout_s,
        on_line=on_line,
        stdin=json.dumps(params).encode(),
        folder=Path(function.code),
        environment={**os.environ, **command.variables(params)},
    )
    fault = _fault(function, ended)
    if fault is not None:
        return None, fault
    lines = ended.stdout.strip().splitlines() or [""]
    try:
        answer = msgspec.json.decode(lines[-1])
    except msgspec.DecodeError:
        answer = {}
    return answer if isinstance(answer, dict) else {}, None


def _fault(function: Function, ended: Ended) -> str | None:
    if ended.code is None:
        return (
            f"it took longer than its limit timeout_s = {function.limits.timeout_s:g}; raise it, or use batch"
        )
    if ended.code == 0:
        return None
    how = f"was ended by signal {-ended.code}" if ended.code < 0 else f"ended with exit code {ended.code}"
    last = "\n".join((ended.stderr or ended.stdout).strip().splitlines()[-5:])
    return f"its process {how}" + (f"; it printed last:\n{last}" if last else "")
