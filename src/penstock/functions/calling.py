"""One call of a user's Python function: find it, call it, check its answer, explain its faults.

Standard library only, Python 3.9 or later: it runs in the function's own environment.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.functions import bootstrap
from penstock.sdk.call import Call

ERROR_CHARACTERS_MAX = 4000
FRAMES_MAX = 8


class Fault(Exception):
    """Why there is no answer, in words for the function's author.

    Attributes:
        retryable: Whether the same call may succeed later.
        evicted: Whether it was ended from outside, not by what it did.
    """

    def __init__(self, message: str, retryable: bool = False, evicted: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.evicted = evicted


def find(code: str, entry: str) -> Callable[[Call], Any]:
    """Import ``file.py:attribute`` from the folder ``code`` and return the function.

    Raises:
        Fault: The file cannot be imported, or has no such function; the message says where and what to do.
    """
    name, _, attribute = entry.rpartition(":")
    file = Path(code) / name
    if not file.is_file():
        raise Fault(f"{file} is missing; deploy the function again")
    try:
        module = bootstrap.load(file)
    except BaseException as error:  # SystemExit too: a script without a main guard
        traceback.print_exc()
        raise Fault(f"cannot import {name}: {explain(error, code)}{_remedy(error)}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        have = [n for n, v in vars(module).items() if hasattr(v, "__penstock__")]
        raise Fault(f"{name} has no function {attribute!r}; it has {', '.join(have) or 'none'}")
    return function  # type: ignore[no-any-return]


def invoke(function: Callable[[Call], Any], params: dict[str, Any], code: str) -> bytes:
    """Call ``function`` and return its answer as the bytes of a JSON object. None counts as ``{}``.

    Raises:
        Fault: It raised, or answered what is no JSON object.
    """
    try:
        answer = function(Call(params))
        if inspect.iscoroutine(answer):
            import asyncio  # half of a zygote's start, and few functions are coroutines

            answer = asyncio.run(answer)
    except MemoryError as error:
        raise Fault(f"out of memory: {explain(error, code)}\nraise the function's limit memory") from error
    except BaseException as error:  # whatever it raises ends the call, not the worker
        traceback.print_exc()
        raise Fault(explain(error, code), retryable=True) from error
    return encode(answer)


def encode(answer: object) -> bytes:
    """Return the answer as JSON.

    Raises:
        Fault: It is no JSON object; the message names the member that is not JSON.
    """
    if answer is None:
        return b"{}"
    if not isinstance(answer, dict):
        raise Fault(f"it answered {_what(answer)}; answer a dict, or None")
    try:
        return _ENCODER.encode(answer).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Fault(_first_fault(answer, "answer") or f"its answer is not JSON: {error}") from error


def explain(error: BaseException, code: str) -> str:
    """Return what was raised and the frames of the user's own files that led there, innermost last."""
    lines = "".join(traceback.format_exception_only(type(error), error)).strip()
    inside = os.path.join(os.path.realpath(code), "")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(inside)]
    places = [f"  {f.filename[len(inside) :]}:{f.lineno} in {f.name}: {f.line}" for f in frames[-FRAMES_MAX:]]
    return "\n".join([lines[:ERROR_CHARACTERS_MAX] + _permit(error), *places])[: 2 * ERROR_CHARACTERS_MAX]


def _permit(error: BaseException) -> str:
    # What is refused for a file names the file; what is refused for the network names nothing.
    refused = isinstance(error, OSError) and error.filename is None and "[Errno 13]" in str(error)
    return " (functions have no network unless they say network=True)" if refused else ""


def _remedy(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return (
            f"\nadd {package!r} (or the package that has it) to the file's dependencies and deploy it again"
        )
    return "\ncorrect it and deploy it again"


def _plain(value: object) -> object:
    # A NumPy scalar is what a scientist's sum() gives; it says itself what plain number it is.
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        return value.item()  # type: ignore[attr-defined]
    raise TypeError(f"{_what(value)} is not JSON")


_ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _first_fault(value: object, place: str, depth: int = 0) -> str | None:
    """Return which member of ``value`` is not JSON, or None if each by itself is."""
    if depth > 100:
        return f"its {place} is nested too deeply, or contains itself"
    if isinstance(value, dict):
        members = ((f"{place}[{key!r}]", member) for key, member in value.items())
        odd = next((key for key in value if not isinstance(key, (str, int, float, type(None)))), None)
        if odd is not None:
            return f"its {place} has the key {odd!r}; keys must be text"
        return next((f for where, m in members if (f := _first_fault(m, where, depth + 1))), None)
    if isinstance(value, (list, tuple)):
        items = ((f"{place}[{i}]", member) for i, member in enumerate(value))
        return next((f for where, m in items if (f := _first_fault(m, where, depth + 1))), None)
    try:
        _ENCODER.encode(value).encode()
    except UnicodeEncodeError:
        return f"its {place} is text that is not valid Unicode: {ascii(value)[:100]}; answer ascii(…) of it"
    except ValueError:
        return f"its {place} is {value}, which JSON cannot say; answer None instead"
    except TypeError:
        return f"its {place} is {_what(value)}, which is not JSON; answer numbers, text, lists and dicts"
    return None


def _what(value: object) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"a {name} ({ascii(value)[:60]})"


def flush() -> None:
    """Write out what was printed, whatever the function did to the streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError) as error:
            # Closed by the function, or the disk is full: not this call's answer's fault.
            del error
