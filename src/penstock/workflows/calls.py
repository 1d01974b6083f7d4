"""The self-sufficient event that a step receives: nothing else is needed to do its work."""

from __future__ import annotations

from functools import lru_cache

import msgspec
from msgspec import Raw, Struct

from penstock.core.event import encode, path_members, path_of, rfc3339
from penstock.core.function import Function
from penstock.core.run import Call, Run
from penstock.core.workflow import Step
from penstock.workflows.active import Active, Opening

LOCAL = "file://localhost"
OPENING_BYTES_MAX = 16 << 10
"""Longest encoded event that is kept with its run until that ends."""
FIXED_MAX = 1_000
"""Steps of which the members that never change are kept."""
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


def params_of(
    active: Active, step: Step, call: Call, function: Function, key: str, path: bytes | None
) -> bytes:
    """Return the self-sufficient event of one call, as a JSON object.

    It is joined from pieces: what all calls of a run have in common is encoded once, for this stands
    between a step's end and the next one's start.

    Args:
        active: The run.
        step: What is called.
        call: Which attempt, and which item of a map.
        function: Of the step, at its pinned version.
        key: ``run/step/item/attempt``.
        path: Local path of the event's file; None if it is about none.
    """
    opening = active.opening or _opening(active, path)
    pieces: list[bytes | Raw] = [
        opening.event,
        _inputs(active, step, opening),
        _fixed(step.outputs or function.outputs, function.reference),
        b',"run":',
        _encode(_run_info(active.run, call, key, opening.started)),
    ]
    results = _results(active.run, step)
    if results:
        pieces += (b',"results":', _encode(results))
    if call.item >= 0:
        pieces += (b',"item":', active.item(step, call.item))
    if active.params is not None:
        pieces += (b',"params":', active.params)
    pieces.append(b"}")
    return b"".join(pieces)


def _opening(active: Active, path: bytes | None) -> Opening:
    event, place = encode(active.event), b""
    members = b'{"event":' + event
    if path is not None:
        place = _encode(_place(path))
        members += b',"read":' + place
    opening = Opening(members, place, rfc3339(active.run.started_ns / 1e9))
    if len(members) <= OPENING_BYTES_MAX:
        active.opening = opening
    return opening


def _inputs(active: Active, step: Step, opening: Opening) -> bytes:
    places = [opening.read] if opening.read else []
    if active.outputs:
        for before in step.after:
            places += [_encode(_output_place(output)) for output in active.outputs.get(before, ())]
    return b',"inputs":[%b]' % b",".join(places) if places else b""


@lru_cache(maxsize=FIXED_MAX)
def _fixed(publish: str, function: str) -> bytes:
    """Return the members that are the same in every call of a step."""
    place = _encode(Place("", LOCAL, publish=publish))
    return b',"write":%b,"exec":%b' % (place, _encode({"function": function}))


def _run_info(run: Run, call: Call, key: str, started: str) -> RunInfo:
    return RunInfo(
        id=run.id,
        step=call.step,
        attempt=call.attempt,
        idempotency_key=key.rsplit("/", 1)[0],
        tenant=run.tenant,
        workflow=run.workflow,
        generation=run.generation,
        item=call.item if call.item >= 0 else None,
        started=started,
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
