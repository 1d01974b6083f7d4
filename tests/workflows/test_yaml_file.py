"""YAML definitions: what is read, what is refused with its line, and that the schema says the same."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from penstock.core.errors import Invalid
from penstock.core.function import Function, Kind
from penstock.core.template import VARIABLES
from penstock.core.workflow import Join
from penstock.schemas import definitions
from penstock.workflows.definitions import read
from penstock.workflows.deployment import Deployment

SCHEMA = json.loads(definitions())
PYTHON = {
    "functions": [
        {
            "attribute": "reduce",
            "line": 1,
            "summary": "Reduce.",
            "arguments": "",
            "options": {"name": "reduce", "on": "*.h5", "memory": "2GiB", "timeout_s": 5},
        }
    ],
    "plain": [{"attribute": "plain", "line": 9, "summary": "", "arguments": ""}],
    "workflows": [],
    "modules": ["helper.py"],
}


def deployed(folder: Path, text: str) -> Deployment:
    (folder / "reduce.py").write_text("")
    (folder / "preview.sh").write_text("")
    file = folder / "scan.yaml"
    file.write_text(text)
    return read(file, "local", "me", lambda _: PYTHON)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(Invalid) as refusal:
        deployed(folder, text)
    return str(refusal.value)


def test_commands_python_workflows_and_triggers_are_read(tmp_path: Path) -> None:
    deployment = deployed(
        tmp_path,
        """
functions:
  preview: {command: [sh, ./preview.sh], on: "*.png", memory: 512MiB, include: ["tables/*.csv"]}
  reduce: {python: "reduce.py:reduce", memory: 4GiB, retry: {attempts: 3}, batch: {cores: 2}}
workflows:
  scan:
    on: "raw/**/*.h5"
    depth_max: 3
    steps:
      page: {function: local/page@2, after: [reduce, plot], join: ended, outputs: "{root}/{name}"}
      plot: {function: reduce, after: reduce, retry: {attempts: 1}, each: reduce.frames}
      reduce: {}
triggers:
  night: {on: {prefix: {subject: /night}}, workflow: scan}
""",
    )
    preview, reduce = deployment.functions
    assert (preview.name, preview.kind, preview.command) == (
        "local/preview",
        Kind.COMMAND,
        ("sh", "./preview.sh"),
    )
    assert preview.limits.memory_bytes == 512 << 20
    assert (reduce.entry, reduce.limits.memory_bytes, reduce.limits.timeout_s, reduce.limits.cores) == (
        "reduce.py:reduce",
        4 << 30,
        5.0,
        2,
    )
    assert reduce.summary == "Reduce."
    assert deployment.files == {
        "local/preview": ("preview.sh", "tables/*.csv"),
        "local/reduce": ("reduce.py", "helper.py"),
    }
    scan, single = deployment.workflows
    assert [step.name for step in scan.steps] == ["reduce", "plot", "page"]
    assert [step.retry.attempts for step in scan.steps] == [3, 1, 1]
    assert scan.steps[0].batch == scan.steps[1].batch
    assert scan.steps[2].function == "local/page@2"
    assert scan.steps[2].join is Join.ENDED
    assert single.name == "local/preview"
    assert [(each.name, each.workflow) for each in deployment.triggers] == [
        ("local/scan", "local/scan"),
        ("local/preview", "local/preview"),
        ("local/night", "local/scan"),
    ]


GOOD = [
    "functions: {a: {command: [x]}}",
    "functions: {a: {command: [x], on: '*.h5', timeout_s: 0.5, network: true, concurrency: 2.0}}",
    "functions: {a: {python: 'reduce.py:plain', disk: 10, log: 1.5 GB}}",
    "functions: {a: {command: [x], on: {exact: {type: t}}, outputs: '{root}/{{x}}/{name}'}}",
    "functions: {a: {command: [x], retry: {}, batch: {}, include: []}}",
    "$schema: x\nfunctions: {a-b.c_9: {command: [x], summary: y}}",
    "workflows: {w: {steps: {a: {}, b: {after: a}}}}",
    'workflows: {w: {steps: {a: {}, b: {after: [a], each: a, when: "a_n = 1", window: 1}}}}',
    "triggers: {t: {on: '*', workflow: w@3}}",
    "triggers: {t: {on: ['*.h5', 'raw/**'], workflow: w@3}}",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_the_schema_allows_the_reader_takes(tmp_path: Path, text: str) -> None:
    deployed(tmp_path, text)
    assert jsonschema_rs.is_valid(SCHEMA, _plain(tmp_path))


BAD = [
    ("functions: {}", "'functions'"),
    ("- a", "mapping"),
    (
        "functions: {a: {command: [x]}}\nfunktions: {}",
        "scan.yaml:2: unknown section 'funktions'; did you mean",
    ),
    ("functions: [a]", "scan.yaml:1"),
    ("functions:\n  a: x", "scan.yaml:2: function 'a' is 'x'"),
    ("functions:\n  A: {command: [x]}", "scan.yaml:2: function name 'A'"),
    ("functions:\n  a: {}", "scan.yaml:2: function 'a': expected either 'command"),
    ("functions:\n  a: {command: [x], python: 'reduce.py:plain'}", "expected either 'command"),
    ("functions:\n  a:\n    command: []", "scan.yaml:3: function 'a': command is empty"),
    ("functions:\n  a:\n    command: x y", "command is 'x y'; expected a list"),
    ("functions:\n  a: {command: [x], command_: 1}", "unknown option 'command_'; did you mean 'command'?"),
    (
        "functions:\n  a:\n    command: [x]\n    memory: 12XB",
        "scan.yaml:4: function 'a': memory '12XB' is no size",
    ),
    ("functions:\n  a: {command: [x], memory: true}", "memory is True"),
    ("functions:\n  a: {command: [x], memory: -1}", "memory is -1"),
    ("functions:\n  a: {command: [x], memory: }", "memory is None"),
    ("functions:\n  a: {command: [x], network: yes}", "network is 'yes'; expected true or false"),
    ("functions:\n  a: {command: [x], timeout_s: 0}", "timeout_s is 0; expected a number from"),
    ("functions:\n  a: {command: [x], timeout_s: 1h}", "timeout_s is '1h'"),
    ("functions:\n  a: {command: [x], concurrency: 1.5}", "concurrency is 1.5; expected a whole number"),
    ("functions:\n  a: {command: [x], retry: 3}", "retry is 3; expected a mapping"),
    ("functions:\n  a: {command: [x], retry: {attempts: 0}}", "retry.attempts is 0"),
    (
        "functions:\n  a: {command: [x], batch: {core: 2}}",
        "unknown option batch.'core'; did you mean 'cores'?",
    ),
    ("functions:\n  a: {command: [x], outputs: '{rot}'}", "unknown variable {rot}"),
    ("functions:\n  a: {command: [x], outputs: '{root'}", "unpaired"),
    ("functions:\n  a: {command: [x], on: ''}", "on is ''; expected a glob"),
    ("functions:\n  a: {command: [x], on: {}}", "on is {}"),
    ("functions:\n  a: {command: [x], on: []}", "on is []; expected a glob"),
    ("functions:\n  a: {command: [x], on: [b, '']}", "on is ['b', '']; expected a glob"),
    ("functions:\n  a: {command: [x], summary: 3}", "summary is 3; expected a text"),
    ("functions:\n  a: {command: [x], include: x}", "include is 'x'"),
    ("functions:\n  a: {python: reduce.txt}", "python is 'reduce.txt'; expected 'file.py:name'"),
    ("workflows:\n  w: {}", "workflow 'w': has 0 steps"),
    ("workflows:\n  w: {steps: [a]}", "steps is ['a']; expected a mapping"),
    ("workflows:\n  w: {steps: {a: {join: any}}}", "join is 'any'"),
    ("workflows:\n  w: {steps: {a: {function: a/b/c}}}", "function is 'a/b/c'"),
    ("workflows:\n  w: {own_outputs: 1, steps: {a: {}}}", "own_outputs is 1"),
    ("triggers:\n  t: {on: '*'}", "trigger 't': has no 'workflow'"),
    ("triggers:\n  t: {workflow: w}", "trigger 't': has no 'on'"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_the_schema_forbids_the_reader_refuses_with_the_place(
    tmp_path: Path, text: str, message: str
) -> None:
    assert message in refused(tmp_path, text)
    assert not jsonschema_rs.is_valid(SCHEMA, _plain(tmp_path))


# What relates one part of a file to another, or to the disk, is beyond a schema.
RELATED = [
    ("workflows: {w: {steps: {a: {after: b}}}}", "after names no step 'b'; known are a"),
    ("workflows:\n  w:\n    steps:\n      a: {after: b}\n      b: {after: a}", "go round in a circle"),
    ("workflows: {w: {steps: {a: {after: a}}}}", "go round in a circle: 'a' after 'a'"),
    ("workflows: {w: {steps: {a: {}, b: {each: a.x}}}}", "each takes its list from step 'a'"),
    ("workflows: {w: {steps: {a: {}, b: {after: a, each: c.x}}}}", "each is 'c.x'; expected 'step'"),
    ("workflows: {w: {steps: {a: {}, b: {after: a, when: 'a_x ='}}}}", "step 'b': 'when'"),
    ("workflows: {w: {steps: {a: {function: cern/a}}}}", "only what is in 'local'"),
    ("functions: {a: {python: 'absent.py:f'}}", "there is no file 'absent.py'"),
    ("functions: {a: {python: 'reduce.py:reduced'}}", "did you mean 'reduce'?"),
    ("functions: {a: {command: [x]}}\nworkflows: {a: {steps: {b: {}}}}", "the name is taken by the workflow"),
    ("functions: {a: {command: [x], on: '*'}}\ntriggers: {a: {on: x, workflow: a}}", "the name is taken by"),
    ("functions: {a: {command: [x], on: '*'}}\nworkflows: {w: {steps: {a: {}}}}", "step of workflow 'w'"),
    (
        "functions:\n  a:\n    command: [x]\n    on:\n      all:\n      - exat: {type: t}",
        "scan.yaml:6: function 'a': on/all/0/exat",
    ),
    ("functions:\n  a: {command: [x], on: '[a'}", "scan.yaml:2: function 'a': on/all/1/glob/path"),
    (
        "functions:\n  a:\n    command: [x]\n    retry:\n      attempts: 1000",
        "scan.yaml:5: function 'a': retry.attempts",
    ),
    ("functions: {a: {command: [x], memory: 0B}}", "at least one byte"),
]


@pytest.mark.parametrize(("text", "message"), RELATED)
def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, text)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refusal:
        deployed(
            tmp_path, "functions:\n  a: {command: [x], memory: 1XB}\n  b: {command: [x], log: q, nme: 1}\n"
        )
    assert len(refusal.value.faults) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("functions: {a: [}", "scan.yaml:1: not YAML"),
        ("functions:\n  a: {command: [x]}\n  a: {command: [y]}", "scan.yaml:3: key 'a' stands here twice"),
        ("functions: !!python/object:os.system {}", "mapping"),
        ("functions: {a: {command: !!python/name:os.system x}}", "not YAML"),
        ("? [a]\n: b", "a key must be a text"),
        ("a: &a [*a]", "nested more than"),
        ("{a: " * 500, "nested more than"),
        ("a: 1\n---\nb: 2", "not YAML"),
        ("a: \x00", "not YAML"),
        ("", "expected a mapping"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    assert message in refused(tmp_path, text)


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    assert "aliases followed" in refused(tmp_path, "\n".join(lines))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    assert "1048576" in refused(tmp_path, "#" * (1 << 20 | 1))


def test_every_default_in_the_schema_is_the_readers(tmp_path: Path) -> None:
    (function,) = deployed(tmp_path, "functions: {a: {command: [x]}}").functions
    spelled = SCHEMA["$defs"]["function"]["properties"]
    said = {name: each["default"] for name, each in spelled.items() if "default" in each}
    (explicit,) = deployed(tmp_path, json.dumps({"functions": {"a": {"command": ["x"], **said}}})).functions
    assert isinstance(explicit, Function)
    assert explicit == function


def test_the_reference_page_has_every_option_and_its_example_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "definitions.md").read_text()
    named = {name for each in SCHEMA["$defs"].values() for name in each["properties"]}
    assert not [
        name for name in named if f"`{name}`" not in page and f"{name}=" not in page and name != "steps"
    ]
    assert all(f"`{{{variable}}}`" in page for variable in VARIABLES)
    example = page.split("```yaml\n")[1].split("```")[0].replace("summarise.py:summarise", "reduce.py:plain")
    assert len(deployed(tmp_path, example).triggers) == 2


def _plain(folder: Path) -> Any:
    from penstock.workflows.yaml_tree import parse

    return parse(folder / "scan.yaml").value
