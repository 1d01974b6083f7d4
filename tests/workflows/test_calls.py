"""What a step is handed: spliced from pieces, and yet the one JSON object that it should be."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from penstock.core.event import FILE_CREATED, Event, encode
from penstock.core.function import Function
from penstock.core.run import Call, Phase, Run, StepRun
from penstock.core.workflow import Step, Workflow
from penstock.workflows.active import Active
from penstock.workflows.calls import OPENING_BYTES_MAX, params_of

FUNCTION = Function(tenant="local", name="me/f", version=3, outputs="{folder}/{name}")
FIRST = Step(name="first", function="me/f@3")
SECOND = Step(name="second", function="me/f@3", after=("first",), outputs="out/{name}")


def active(event: Event, params: Raw | None = None, generation: int = 0) -> Active:
    run = Run(
        id="r1", tenant="local", principal="me", workflow="me/w@1", trigger="t", event_id=event.id, offset=0,
        subject=event.subject or "", generation=generation, started_ns=1_700_000_000_000_000_000,
    )  # fmt: skip
    run.steps = {
        "first": StepRun(phase=Phase.SUCCEEDED, attempt=1, result=Raw(b'{"n":1}')),
        "second": StepRun(),
    }
    return Active(run, Workflow(tenant="local", name="me/w", version=1, steps=(FIRST, SECOND)), event, params)


def told(a: Active, step: Step, call: Call, path: bytes | None) -> object:
    return json.loads(params_of(a, step, call, FUNCTION, f"r1/{step.name}/{call.item}/{call.attempt}", path))


def test_the_first_step_gets_event_place_and_run() -> None:
    event = Event(id="e", source="/storages/local", type=FILE_CREATED, subject="/data/a")
    assert told(active(event), FIRST, Call("first", 1), b"/data/a") == {
        "event": json.loads(encode(event)),
        "read": {"path": "/data/a", "endpoint": "file://localhost"},
        "inputs": [{"path": "/data/a", "endpoint": "file://localhost"}],
        "write": {"path": "", "endpoint": "file://localhost", "publish": "{folder}/{name}"},
        "exec": {"function": "me/f@3"},
        "run": {
            "id": "r1",
            "step": "first",
            "attempt": 1,
            "idempotency_key": "r1/first/-1",
            "tenant": "local",
            "workflow": "me/w@1",
            "started": "2023-11-14T22:13:20.000000Z",
        },
    }


def test_a_later_step_gets_the_outputs_and_results_of_those_before_it() -> None:
    a = active(Event(id="e", source="/manual", type="t"), Raw(b'{"x":2}'), generation=4)
    a.add_outputs("first", ("/data/a.out", "file:///data/%FF"))
    params = told(a, SECOND, Call("second", 2), None)
    assert isinstance(params, dict)
    assert "read" not in params
    assert [place["path"] for place in params["inputs"]] == ["/data/a.out", "/data/�"]
    assert params["inputs"][1]["path_raw"] == "L2RhdGEv/w=="
    assert params["write"]["publish"] == "out/{name}"
    assert params["results"] == {"first": {"n": 1}}
    assert params["params"] == {"x": 2}
    assert (params["run"]["attempt"], params["run"]["generation"]) == (2, 4)


@given(st.text(), st.binary(min_size=1, max_size=30), st.text(max_size=30))
def test_odd_texts_and_paths_make_no_odd_json(text: str, path: bytes, name: str) -> None:
    event = Event(id=text or "e", source="/s", type="t", extensions={"more": name})
    a = active(event)
    for _ in range(2):  # the second one finds the pieces
        params = told(a, FIRST, Call("first", 1), b"/" + path)
        assert isinstance(params, dict)
        assert params["event"] == json.loads(encode(event))
        assert params["read"] == params["inputs"][0]


def test_a_large_event_is_not_held_twice_as_long_as_its_run_lasts() -> None:
    a = active(Event(id="e", source="/s", type="t", data=Raw(b'"%b"' % (b"x" * OPENING_BYTES_MAX))))
    told(a, FIRST, Call("first", 1), None)
    assert a.opening is None
    b = active(Event(id="e", source="/s", type="t"))
    told(b, FIRST, Call("first", 1), None)
    assert b.opening is not None
