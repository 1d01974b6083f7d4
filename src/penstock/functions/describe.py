"""Imports a user's file in the function's own environment and writes what it defines as JSON.

Standard library only. Run as ``python -I bootstrap.py describe FILE ANSWER``; the answer goes to a
file of its own, so that nothing the user's file prints can be mistaken for it::

    {"functions": [{"attribute", "line", "summary", "arguments", "options": {…}}],
     "workflows": [{"line", "options": {…}, "steps": [{…}]}],
     "plain": [{"attribute", "line", "summary", "arguments"}],
     "modules": [names of the neighbouring files that were imported],
     "fault": null or {"file", "line", "message"}}

``options`` are the fields of ``FunctionDefinition`` and ``WorkflowDefinition`` that were given; a
step's ``function`` is a name, and ``attribute`` the module's name for it (null: not at the top level).
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from penstock.functions.bootstrap import PACKAGE, load
from penstock.sdk.define import FunctionDefinition, StepDefinition, WorkflowDefinition

JSON = dict[str, Any]
_UNEXPECTED = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
_MODULES = {"yaml": "pyyaml", "PIL": "pillow", "cv2": "opencv-python-headless", "skimage": "scikit-image"}
_PACKAGES = {**_MODULES, "sklearn": "scikit-learn", "bs4": "beautifulsoup4", "dateutil": "python-dateutil"}
"""Modules of the sciences whose package is called otherwise."""


def main(file: str, answer: str) -> None:
    """Describe ``file`` into the file ``answer``, and end the process whatever it left running."""
    document = described(Path(file).resolve())
    Path(answer).write_text(json.dumps(document, default=_no_json))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def described(file: Path) -> JSON:
    """Return the description of ``file``; a file that cannot be imported has a ``fault``."""
    made: list[tuple[WorkflowDefinition, int]] = []
    try:
        with _noting_workflows(file, made):
            module = load(file)
    except SyntaxError as error:
        return _fault(error.filename or str(file), error.lineno, _syntax(error))
    # Whatever importing a user's file raises is the answer, not our failure.
    except BaseException as error:
        return _raised(file, error)
    return _Reader(file, module, made).document()


@contextmanager
def _noting_workflows(file: Path, made: list[tuple[WorkflowDefinition, int]]) -> Iterator[None]:
    """Note each workflow that ``file`` makes, with its line: one made in a loop has no name of its own."""
    original = WorkflowDefinition.__init__

    def noting(self: WorkflowDefinition, **options: Any) -> None:
        original(self, **options)
        frame = inspect.currentframe()
        while frame is not None and frame.f_code.co_filename != str(file):
            frame = frame.f_back
        if frame is not None:
            made.append((self, frame.f_lineno))

    WorkflowDefinition.__init__ = noting  # type: ignore[method-assign]
    try:
        yield
    finally:
        WorkflowDefinition.__init__ = original  # type: ignore[method-assign]


class _Reader:
    """Finds definitions in an imported module."""

    def __init__(self, file: Path, module: ModuleType, made: list[tuple[WorkflowDefinition, int]]) -> None:
        self._file = file
        self._made = {id(value): line for value, line in made}
        self._workflows = [value for value, _ in made]
        self._names = {id(value): name for name, value in reversed(vars(module).items())}
        self._values = list({id(value): value for value in vars(module).values()}.values())
        self._lines = _assignments(file)

    def document(self) -> JSON:
        named = [value for value in self._values if isinstance(value, WorkflowDefinition)]
        workflows = _unique([*named, *self._workflows])
        used = [step.function for each in workflows for step in each.steps if callable(step.function)]
        decorated = [value for value in self._values if _definition(value) is not None]
        return {
            "functions": [self._function(value) for value in _unique([*decorated, *used])],
            "workflows": [self._workflow(value) for value in workflows],
            "plain": [self._callable(value) for value in self._values if self._is_plain(value)],
            "modules": _neighbours(self._file),
            "fault": None,
        }

    def _is_plain(self, value: Any) -> bool:
        return (
            inspect.isfunction(value)
            and _definition(value) is None
            and Path(value.__code__.co_filename) == self._file
        )

    def _callable(self, value: Any) -> JSON:
        code = getattr(inspect.unwrap(value), "__code__", None)
        return {
            "attribute": self._names.get(id(value)),
            "line": code.co_firstlineno if code is not None else None,
            "summary": ((inspect.getdoc(value) or "").splitlines() or [""])[0],
            "arguments": _takes_one_argument(value),
        }

    def _function(self, value: Any) -> JSON:
        definition = _definition(value)
        options = {"name": value.__name__.replace("_", "-").strip("-")}
        if definition is not None:
            options = _given(definition)
        return {**self._callable(value), "options": options}

    def _workflow(self, value: WorkflowDefinition) -> JSON:
        steps = value.steps
        options = _given(dataclasses.replace(value, steps=[]))
        del options["steps"]
        line = self._lines.get(self._names.get(id(value), ""), self._made.get(id(value)))
        return {"line": line, "options": options, "steps": [self._step(step) for step in steps]}

    def _step(self, step: StepDefinition) -> JSON:
        target = step.function
        options = _given(dataclasses.replace(step, function=""))
        if isinstance(target, str):
            return {**options, "function": target}
        definition = _definition(target)
        name = definition.name if definition is not None else getattr(target, "__name__", repr(target))
        return {**options, "function": name.replace("_", "-").strip("-") if definition is None else name}


def _definition(value: Any) -> FunctionDefinition | None:
    found = getattr(value, "__penstock__", None) if callable(value) else None
    return found if isinstance(found, FunctionDefinition) else None


def _unique(values: list[Any]) -> list[Any]:
    return list({id(value): value for value in values}.values())


def _given(definition: Any) -> JSON:
    fields = {field.name: getattr(definition, field.name) for field in dataclasses.fields(definition)}
    return {
        name: _given(value) if dataclasses.is_dataclass(value) else value
        for name, value in fields.items()
        if value is not None
    }


def _takes_one_argument(value: Any) -> str:
    """Return ``""``, or why ``value`` cannot be called with the call alone."""
    if inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
        return "is a generator ('yield'); return a dict instead"
    try:
        inspect.signature(value).bind({})
    except TypeError as error:
        return f"must take one argument, the call ({error}); write 'def {value.__name__}(call):'"
    except ValueError:
        return ""
    return ""


def _assignments(file: Path) -> dict[str, int]:
    body = ast.parse(file.read_bytes()).body
    return {
        target.id: node.lineno
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _neighbours(file: Path) -> list[str]:
    """Return the imported files in the user's folder, seen from it: the deployed copy needs them too."""
    folder, environment = file.parent, Path(sys.prefix).resolve()
    found = {
        Path(path).resolve()
        for module in list(sys.modules.values())
        if isinstance(path := getattr(module, "__file__", None), str)
    }
    return sorted(
        str(path.relative_to(folder))
        for path in found
        if path.is_relative_to(folder) and not path.is_relative_to(environment) and not _ours(path, file)
    )


def _ours(path: Path, file: Path) -> bool:
    return path == file or path.is_relative_to(PACKAGE) or "site-packages" in path.parts


def _syntax(error: SyntaxError) -> str:
    text = (error.text or "").rstrip("\n")
    caret = " " * max((error.offset or 1) - 1, 0) + "^"
    return f"{error.msg}\n    {text}\n    {caret}" if text else str(error.msg)


def _raised(file: Path, error: BaseException) -> JSON:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    line = frames[-1].lineno if frames else None
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _fault(str(file), line, _missing(error.name))
    unexpected = _UNEXPECTED.match(str(error)) if isinstance(error, TypeError) else None
    if unexpected is not None and unexpected[1].endswith("Definition"):
        return _fault(str(file), line, _unknown_option(unexpected[1], unexpected[2]))
    shown = "".join(traceback.format_exception_only(error)).strip()
    return _fault(str(file), line, f"raised while it was imported: {shown}")


def _missing(module: str) -> str:
    package = _PACKAGES.get(module.partition(".")[0], module.partition(".")[0])
    return (
        f"No module named '{module}' in the function's environment. If it comes from a package, name it at "
        f'the top of the file:\n    # /// script\n    # dependencies = ["{package}"]\n    # ///\n'
        "  If it is a file of yours, put it beside this one."
    )


def _unknown_option(kind: str, option: str) -> str:
    kinds = {cls.__name__: cls for cls in (FunctionDefinition, StepDefinition, WorkflowDefinition)}
    known = [field.name for field in dataclasses.fields(kinds[kind])]
    near = difflib.get_close_matches(option, known, n=1)
    return f"unknown option '{option}'; " + (
        f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}"
    )


def _fault(file: str, line: int | None, message: str) -> JSON:
    place = {"file": Path(file).name, "line": line, "message": message}
    return {"functions": [], "workflows": [], "plain": [], "modules": [], "fault": place}


def _no_json(value: Any) -> JSON:
    return {"not JSON": type(value).__name__}
