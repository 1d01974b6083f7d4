"""The self-sufficient event that a step receives: nothing else is needed to do its work."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from penstock.core.event import encode, path_members, path_of, rfc3339
from penstock.core.function import Function
from penstock.core.run import Call, Run
from penstock.core.workflow import Step
from penstock.workflows.active import Active

LOCAL = "file://localhost"
_encode = msgspec.json.Encoder().encode


class Place(Struct, frozen=True, omit_defaults=True):
    """An endpoint and a path on it, as a step receives them."""

    path: str
    endpoint: str = ""
    path_raw: str | None = None
    publish: str | None = None


class RunInfo(Struct, frozen=True, omit_defaults=True):
    """What a step is told about its run."""

    id: str
    step: str
    attempt: int
    idempotency_key: str
    tenant: str
    workflow: str
    generation: int = 0
    item: int | None = None
    started: str = ""


class Params(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The self-sufficient event."""

    event: Raw
    read: Place | None = None
    inputs: list[Place] = []
    write: Place
    exec: dict[str, str]
    run: RunInfo
    results: dict[str, Raw] = {}
    item: Raw | msgspec.UnsetType = msgspec.UNSET
    params: Raw | msgspec.UnsetType = msgspec.UNSET


def params_of(
    active: Active, step: Step, call: Call, function: Function, key: str, path: bytes | None
) -> bytes:
    """Return the self-sufficient event of one call, as JSON.

    Args:
        active: The run.
        step: What is called.
        call: Which attempt, and which item of a map.
        function: Of the step, at its pinned version.
        key: ``run/step/item/attempt``.
        path: Local path of the event's file; None if it is about none.
    """
    run, event = active.run, active.event
    read = _place(path) if path is not None else None
    inputs = [read] if read else []
    for before in step.after:
        inputs += [_output_place(output) for output in active.outputs.get(before, ())]
    return _encode(
        Params(
            event=Raw(encode(event)),
            read=read,
            inputs=inputs,
            write=Place("", LOCAL, publish=step.outputs or function.outputs),
            exec={"function": function.reference},
            run=RunInfo(
                id=run.id,
                step=step.name,
                attempt=call.attempt,
                idempotency_key=key.rsplit("/", 1)[0],
                tenant=run.tenant,
                workflow=run.workflow,
                generation=run.generation,
                item=call.item if call.item >= 0 else None,
                started=rfc3339(run.started_ns / 1e9),
            ),
            results=_results(run, step),
            item=active.item(step, call.item) if call.item >= 0 else msgspec.UNSET,
            params=active.params if active.params is not None else msgspec.UNSET,
        )
    )


def _place(path: bytes) -> Place:
    members = path_members(path)
    return Place(members["path"], LOCAL, members.get("path_raw"))


def _output_place(output: str) -> Place:
    """Return the place of an earlier step's output; see ``Publisher.publish`` for odd names."""
    if output.startswith("file://"):
        return _place(path_of(output.removeprefix("file://")))
    return Place(output, LOCAL)


def _results(run: Run, step: Step) -> dict[str, Raw]:
    skip = step.each.split(".", 1)[0]
    return {
        name: result for name in step.after if name != skip and (result := run.steps[name].result) is not None
    }
