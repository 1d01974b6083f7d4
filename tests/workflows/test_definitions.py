"""From a described Python file to definitions."""

from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Invalid
from penstock.core.event import Event
from penstock.core.filter import View, compile_filter, parse
from penstock.core.template import DEFAULT
from penstock.workflows.definitions import read
from penstock.workflows.deployment import Deployment, pin

JSON = dict[str, Any]


def function(name: str, **options: Any) -> JSON:
    return {
        "attribute": name,
        "line": 3,
        "summary": "",
        "arguments": "",
        "options": {"name": name, **options},
    }


def workflow(name: str, *steps: JSON, **options: Any) -> JSON:
    return {"line": 9, "options": {"name": name, **options}, "steps": list(steps)}


def deployed(folder: Path, **parts: Any) -> Deployment:
    file = folder / "scan.py"
    file.write_text("")
    document = {"functions": [], "workflows": [], "plain": [], "modules": [], **parts}
    return read(file, "local", "me", lambda _: document)


def test_a_function_with_a_trigger_is_a_workflow_of_one_step(tmp_path: Path) -> None:
    deployment = deployed(tmp_path, functions=[function("summarise", on="*.nxs", retry={"attempts": 2})])
    (one,), (flow,), (trigger,) = deployment.functions, deployment.workflows, deployment.triggers
    assert (one.name, one.entry, one.outputs, one.version) == (
        "local/summarise",
        "scan.py:summarise",
        DEFAULT,
        0,
    )
    assert [(step.name, step.function, step.retry.attempts) for step in flow.steps] == [
        ("summarise", "local/summarise", 2)
    ]
    assert (trigger.name, trigger.workflow, trigger.principal) == ("local/summarise", "local/summarise", "me")
    assert trigger.filter == {
        "all": [
            {
                "any": [
                    {"exact": {"type": "penstock.file.created"}},
                    {"exact": {"type": "penstock.file.updated"}},
                ]
            },
            {"glob": {"path": "*.nxs"}},
        ]
    }
    assert deployment.files == {"local/summarise": ("scan.py",)}


def test_a_list_of_globs_wants_what_any_of_them_fits(tmp_path: Path) -> None:
    options = [
        function("a", on=["*.nxs", "raw/**/*.h5"]),
        function("b", on=["*.nxs"]),
        function("c", on="*.nxs"),
    ]
    several, one, plain = deployed(tmp_path, functions=options).triggers
    wants = compile_filter(parse(several.filter))
    kinds = {"/d/a.nxs": True, "/d/raw/x/b.h5": True, "/d/b.h5": False}
    assert {path: wants(View(_created(path))) for path in kinds} == kinds
    assert one.filter == plain.filter


def _created(path: str) -> Event:
    return Event(id="1", source="/s", type="penstock.file.created", subject=path)


def test_a_filter_is_taken_as_it_is(tmp_path: Path) -> None:
    given = {"suffix": {"subject": ".h5"}}
    (trigger,) = deployed(tmp_path, functions=[function("a", on=given)]).triggers
    assert trigger.filter == given


def test_a_function_used_as_a_step_gets_no_workflow_of_its_own(tmp_path: Path) -> None:
    deployment = deployed(
        tmp_path,
        functions=[function("a", batch={"cores": 4}), function("b")],
        workflows=[workflow("w", {"name": "x", "function": "a"}, on="*.h5")],
    )
    assert [flow.name for flow in deployment.workflows] == ["local/w", "local/b"]
    assert [trigger.name for trigger in deployment.triggers] == ["local/w"]
    step = deployment.workflows[0].steps[0]
    assert step.batch is not None
    assert step.batch.cores == 4


def test_a_bare_main_is_called_like_its_file(tmp_path: Path) -> None:
    plain = [{"attribute": "main", "line": 1, "summary": "", "arguments": ""}]
    deployment = deployed(tmp_path, plain=plain)
    assert [each.name for each in deployment.functions] == ["local/scan"]
    assert deployment.triggers == ()


def test_a_file_without_definitions_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="@function"):
        deployed(tmp_path, plain=[{"attribute": "f", "line": 1, "summary": "", "arguments": ""}])


def test_every_fault_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        deployed(
            tmp_path,
            functions=[
                function("reduce", memory="12XB", timeout_s=float("inf")),
                {**function("b"), "arguments": "must take one argument, the call"},
                {**function("c"), "attribute": None},
                function("d", outputs={"not JSON": "PosixPath"}),
                function("b"),
                function("Big"),
            ],
        )
    text = str(refused.value)
    assert "scan.py:3: function 'reduce': memory '12XB' is no size" in text
    assert "function 'reduce': timeout_s is inf" in text
    assert "scan.py:3: function 'b': must take one argument" in text
    assert "function 'c': is not at the top level" in text
    assert "function 'd': outputs is a PosixPath; expected a text" in text
    assert "function 'b': the name is taken by the function at scan.py:3" in text
    assert "function name 'Big'" in text


@pytest.mark.parametrize("name", ["absent.py", "scan.txt"])
def test_a_file_that_is_none_or_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "scan.txt").write_text("")
    with pytest.raises(Invalid, match=name):
        read(tmp_path / name, "local", "me", lambda _: {})


def test_pinning_gives_versions_to_every_reference(tmp_path: Path) -> None:
    steps = [{"name": "x", "function": "a"}, {"name": "y", "function": "old@2"}]
    deployment = deployed(tmp_path, functions=[function("a")], workflows=[workflow("w", *steps, on="*")])
    pinned = pin(deployment, {"local/a": 5, "local/old": 3}, {"local/w": 7})
    assert pinned.functions[0].version == 5
    assert [step.function for step in pinned.workflows[0].steps] == ["local/a@5", "local/old@2"]
    assert pinned.triggers[0].workflow == "local/w@7"


def test_a_reference_to_what_is_not_deployed_is_refused(tmp_path: Path) -> None:
    steps = [{"name": "x", "function": "absent"}, {"name": "y", "function": "old@4"}]
    deployment = deployed(tmp_path, workflows=[workflow("w", *steps)])
    with pytest.raises(Invalid) as refused:
        pin(deployment, {"local/old": 3}, {"local/w": 1})
    assert len(refused.value.faults) == 2
