"""``penstock test``: a function or workflow on one file, here and now, without server or sandbox.

The run is decided by the same state machine as in the server; calls come one after another, each in
a new process of the function's own interpreter. Only the time limit is held. A failed call is not
tried again, and nothing is published: it is told where each output would go.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from penstock.core import event as events
from penstock.core import template
from penstock.core.errors import Invalid
from penstock.core.facts import Call, Command, Phase, Start, StepFailed, Succeeded
from penstock.core.function import Function
from penstock.core.run import advance, map_elements
from penstock.core.run_state import Run
from penstock.core.workflow import Step, Workflow
from penstock.functions.child import Lines, ignore
from penstock.functions.fresh import call
from penstock.functions.local_event import ENDPOINT, event_for, place_of
from penstock.functions.local_outputs import outputs_of
from penstock.functions.outcome import Called, Outcome, Output

JSON = dict[str, Any]


def select(functions: Sequence[Function], workflows: Sequence[Workflow], name: str | None = None) -> Workflow:
    """Return what to test: the named function or workflow of a file, or its only workflow.

    Raises:
        Invalid: There is none of this name, or several and no name was given; the names are listed.
    """
    by_name = {_short(each.name): each for each in workflows}
    steps = {_short(each.name): _single(each) for each in functions}
    if name is not None:
        found = by_name.get(name) or steps.get(name)
    else:
        found = next(iter(by_name.values())) if len(by_name) == 1 else None
    if found is None:
        known = ", ".join(sorted({**steps, **by_name}))
        said = f"there is no {name!r} in the file" if name is not None else "the file defines several"
        raise Invalid(f"{said}; name the function or workflow to test: {known}")
    return found


def try_out(
    functions: Sequence[Function],
    workflow: Workflow,
    file: Path,
    *,
    root: Path | None = None,
    keep: Path | None = None,
    params: JSON | None = None,
    on_line: Lines = ignore,
) -> Outcome:
    """Run ``workflow`` on ``file`` and return how it went. Blocks until it has ended.

    Args:
        functions: With ``code`` and ``python``; all that the workflow's steps name.
        workflow: What to run; see ``select``.
        file: The input.
        root: Of the storage, for where outputs would go; default: the input's folder.
        keep: Empty or new folder for the outputs; default: a temporary one that is removed.
        params: What a person would give at a manual start.
        on_line: Gets what the calls print, line by line.

    Raises:
        Invalid: The input is no file, ``keep`` is not empty, or a step's function is not in ``functions``.
    """
    if not file.is_file():
        raise Invalid(f"{file}: no such file; expected an input for the function")
    with _folder(keep) as folder:
        return _Test(
            {each.name: each for each in functions}, workflow, file, folder, root, params, on_line
        ).run()


class _Test:
    """One run of a workflow, its calls made one after another."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        workflow: Workflow,
        file: Path,
        folder: Path,
        root: Path | None,
        params: JSON | None,
        on_line: Lines,
    ) -> None:
        self._functions = functions
        self._workflow = workflow
        self._input = os.fsencode(file.absolute())
        self._folder = folder
        self._root = os.fsencode((root or file.parent).absolute())
        self._params = params
        self._on_line = on_line
        self._steps = {step.name: step for step in workflow.steps}
        self._event = event_for(file)
        self._run = self._new_run()
        self._calls: list[Called] = []
        self._items: dict[str, list[Raw]] = {}

    def run(self) -> Outcome:
        self._refuse_foreign_functions()
        commands: deque[Command] = deque(advance(self._workflow, self._run, Start()))
        while commands:
            next_command = commands.popleft()
            if isinstance(next_command, Call):
                commands += advance(self._workflow, self._run, self._fact(next_command))
        return Outcome(
            workflow=self._workflow.name,
            phases={name: str(step.phase) for name, step in self._run.steps.items()},
            calls=tuple(self._calls),
            error=None if self._run.phase is Phase.SUCCEEDED else self._run.error or "it failed",
        )

    def _new_run(self) -> Run:
        return Run(
            id=events.digest(b"test", self._event.id.encode()),
            tenant=self._workflow.tenant,
            principal="",
            workflow=self._workflow.reference,
            trigger="",
            event_id=self._event.id,
            offset=0,
            subject=self._event.subject or "",
            started_ns=time.time_ns(),
        )

    def _refuse_foreign_functions(self) -> None:
        faults = tuple(
            f"step {step.name!r} calls {step.function!r}, which is not in the file"
            for step in self._workflow.steps
            if step.function.partition("@")[0] not in self._functions
        )
        if faults:
            raise Invalid(
                f"workflow {self._workflow.name!r} cannot be tested here; test its functions one by one:",
                faults,
            )

    def _fact(self, command: Call) -> Succeeded | StepFailed:
        called = self._called(command)
        self._calls.append(called)
        step, attempt, item = command.step, command.attempt, command.item
        if called.error is not None:
            return StepFailed(step, attempt, called.error, retryable=False, item=item)
        return Succeeded(step, attempt, Raw(json.dumps(called.result).encode()), item)

    def _called(self, command: Call) -> Called:
        step = self._steps[command.step]
        function = self._functions[step.function.partition("@")[0]]
        folder = self._folder / step.name / (str(command.item) if command.item >= 0 else "")
        folder.mkdir(parents=True)
        began = time.monotonic()
        result, error = call(function, self._call_params(step, command, function, folder), self._on_line)
        outputs: tuple[Output, ...] = ()
        if error is None:
            try:
                outputs = tuple(self._outputs(step, function, folder))
            except Invalid as refused:
                result, error = None, str(refused)
        return Called(
            step=step.name,
            item=command.item,
            function=function.name,
            seconds=time.monotonic() - began,
            result=result,
            error=error,
            outputs=outputs,
        )

    def _outputs(self, step: Step, function: Function, folder: Path) -> Iterator[Output]:
        return outputs_of(
            folder,
            step.outputs or function.outputs,
            [each for call in self._calls for each in call.outputs],
            subject=self._input,
            root=self._root,
            function=function.name,
            run=self._run.id,
        )

    def _call_params(self, step: Step, command: Call, function: Function, folder: Path) -> JSON:
        read = {"endpoint": ENDPOINT, **events.path_members(self._input)}
        before = [each for each in self._calls if each.step in step.after]
        inputs = [read, *(place_of(output.file) for each in before for output in each.outputs)]
        # The list that a map goes over comes item by item.
        listed = step.each.split(".", 1)[0]
        ended = {name: self._run.steps[name].result for name in step.after if name != listed}
        params: JSON = {
            "event": json.loads(events.encode(self._event)),
            "read": read,
            "inputs": inputs,
            "write": {
                "endpoint": ENDPOINT,
                "path": f"{folder}/",
                "publish": step.outputs or function.outputs or template.DEFAULT,
            },
            "exec": {"function": function.reference},
            "run": self._run_members(step, command),
            "results": {
                name: msgspec.json.decode(answer) for name, answer in ended.items() if answer is not None
            },
        }
        if command.item >= 0:
            params["item"] = msgspec.json.decode(self._item(command))
        if self._params is not None:
            params["params"] = self._params
        return params

    def _run_members(self, step: Step, command: Call) -> JSON:
        members: JSON = {
            "id": self._run.id,
            "step": step.name,
            "attempt": command.attempt,
            "idempotency_key": f"{self._run.id}/{step.name}/{command.item}",
            "tenant": self._run.tenant,
            "workflow": self._workflow.reference,
        }
        return members | ({"item": command.item} if command.item >= 0 else {})

    def _item(self, command: Call) -> Raw:
        if command.step not in self._items:
            self._items[command.step] = map_elements(self._workflow, self._run, command.step)
        return self._items[command.step][command.item]


def _single(function: Function) -> Workflow:
    step = Step(name=_short(function.name), function=function.name)
    return Workflow(tenant=function.tenant, name=function.name, version=0, steps=(step,))


def _short(name: str) -> str:
    return name.rsplit("/", 1)[-1]


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="penstock-test-") as folder:
            yield Path(folder)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise Invalid(f"{keep}: expected a new or empty folder for the outputs")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.absolute()
