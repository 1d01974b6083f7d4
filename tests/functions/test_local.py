"""Trying a function or workflow out on one file, without a server."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Invalid
from penstock.core.event import decode, encode, file_record
from penstock.core.function import Function, Kind, Limits
from penstock.core.workflow import Join, Step, Workflow
from penstock.functions.local import select, try_out
from penstock.functions.local_event import event_for
from penstock.functions.outcome import Outcome

CODE = """
import os, sys, time

def show(call):
    print("seen", call.input.name)
    call.output("deep/x.txt").write_text(call.open("r").read().upper())
    inputs = [str(path) for path in call.inputs]
    return {"event": call.event["type"], "inputs": inputs, "params": call.get("params")}

def fail(call):
    call.output("lost.txt").write_text("x")
    raise ValueError("no beam")

def numbers(call): return {"list": [1, 2, 3]}
def double(call):
    call.output(f"{call.item}.txt").write_text("")
    return {"twice": 2 * call.item}
def total(call):
    return {"sum": sum(each["twice"] for each in call.results["double"]), "files": len(call.inputs)}
def sleep(call): time.sleep(1000)
def leave(call): os._exit(3)
def link(call): call.output("l").symlink_to("/etc/passwd")
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "f.py").write_text(CODE)
    (folder / "raw.txt").write_text("data")
    return folder


def python(code: Path, name: str, **options: Any) -> Function:
    return Function(
        tenant="local", name=f"local/{name}", version=0, code=str(code), entry=f"f.py:{name}", **options
    )


def run(code: Path, *functions: Function, steps: tuple[Step, ...] = (), **options: Any) -> Outcome:
    workflow = select(functions, (), functions[0].name.rpartition("/")[2])
    if steps:
        workflow = Workflow(tenant="local", name="local/w", version=0, steps=steps)
    return try_out(functions, workflow, code / "raw.txt", **options)


def test_a_function_gets_the_self_sufficient_event_and_its_outputs_are_told(
    code: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    outcome = run(code, python(code, "show"), keep=tmp_path / "kept", params={"a": 1}, on_line=lines.append)
    assert lines == ["seen raw.txt"]
    assert outcome.error is None
    assert outcome.result == {
        "event": "penstock.file.created",
        "inputs": [str(code / "raw.txt")],
        "params": {"a": 1},
    }
    (output,) = outcome.calls[0].outputs
    assert output.published == str(code / "derived" / "raw.deep" / "x.txt")
    assert output.file.read_text() == "DATA"
    assert not (code / "derived").exists()


def test_steps_run_in_their_order_with_maps_and_results(code: Path) -> None:
    functions = [python(code, name) for name in ("numbers", "double", "total")]
    outcome = run(
        code,
        *functions,
        steps=(
            Step(name="numbers", function="local/numbers"),
            Step(name="double", function="local/double", after=("numbers",), each="numbers.list"),
            Step(name="total", function="local/total@7", after=("double",)),
        ),
    )
    assert outcome.error is None
    assert [(each.step, each.item) for each in outcome.calls] == [
        ("numbers", -1),
        ("double", 0),
        ("double", 1),
        ("double", 2),
        ("total", -1),
    ]
    assert outcome.result == {"sum": 12, "files": 4}


def test_a_failure_names_the_line_and_skips_what_depends_on_it(code: Path) -> None:
    outcome = run(
        code,
        python(code, "fail", outputs="{root}/{name}"),
        python(code, "show"),
        steps=(
            Step(name="fail", function="local/fail"),
            Step(name="after", function="local/show", after=("fail",)),
            Step(name="anyway", function="local/show", after=("fail",), join=Join.ENDED),
        ),
    )
    assert outcome.phases == {"fail": "failed", "after": "skipped", "anyway": "succeeded"}
    assert outcome.error is not None
    assert "no beam" in outcome.error
    assert "f.py:12 in fail" in str(outcome.calls[0].error)
    assert outcome.calls[0].outputs == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sleep", "timeout_s = 0.5"),
        ("leave", "exit code 3"),
        ("link", "is a link"),
        ("absent", "has no function 'absent'"),
    ],
)
def test_what_goes_wrong_is_said(code: Path, name: str, message: str) -> None:
    limits = Limits(timeout_s=0.5 if name == "sleep" else 60.0)
    outcome = run(code, python(code, name, limits=limits))
    assert message in str(outcome.calls[0].error)


def test_outputs_that_would_meet_at_one_place_are_refused(code: Path) -> None:
    (code / "f.py").write_text("def two(call):\n    for n in 'ab': call.output(n).write_text('')\n")
    outcome = run(code, python(code, "two", outputs="{parent}/derived/{stem}"))
    assert "would both be published" in str(outcome.calls[0].error)


def test_a_command_is_called_with_json_and_answers_with_its_last_line(code: Path) -> None:
    (code / "c.sh").write_text(
        'cat >"$PENSTOCK_OUTPUT_DIR/params.json"\necho log\necho note >&2\n'
        'echo "{\\"in\\": \\"$PENSTOCK_INPUT\\"}"\n'
    )
    lines: list[str] = []
    function = Function(
        tenant="local", name="local/c", version=0, kind=Kind.COMMAND, code=str(code), command=("sh", "./c.sh")
    )
    outcome = run(code, function, keep=code / "kept", on_line=lines.append)
    assert outcome.result == {"in": str(code / "raw.txt")}
    assert {"log", "note"} <= set(lines)
    given = json.loads(outcome.calls[0].outputs[0].file.read_bytes())
    assert given["exec"] == {"function": "local/c@0"}


def test_a_command_that_is_not_there_or_fails_is_said(code: Path) -> None:
    for command, message in (("no-such-program", "cannot be started"), ("false", "exit code 1")):
        function = Function(
            tenant="local", name="local/c", version=0, kind=Kind.COMMAND, code=str(code), command=(command,)
        )
        assert message in str(run(code, function).calls[0].error)


def test_the_event_is_a_valid_one_with_the_files_record(code: Path) -> None:
    event = decode(encode(event_for(code / "raw.txt")))
    record = file_record(event)
    assert (record.path, record.size, record.generation) == (str(code / "raw.txt"), 4, 1)


def test_bad_requests_are_refused(code: Path) -> None:
    functions = [python(code, "show"), python(code, "fail")]
    with pytest.raises(Invalid, match="fail, show"):
        select(functions, (), "shwo")
    with pytest.raises(Invalid, match="several"):
        select(functions, [Workflow(tenant="local", name=f"local/{n}", version=0, steps=()) for n in "ab"])
    with pytest.raises(Invalid, match="no such file"):
        try_out(functions, select(functions, (), "show"), code / "absent")
    with pytest.raises(Invalid, match="new or empty folder"):
        run(code, functions[0], keep=code)
    with pytest.raises(Invalid, match="not in the file"):
        run(code, functions[0], steps=(Step(name="x", function="local/other"),))
