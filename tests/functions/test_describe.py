"""What a user's file defines, and what is said when it cannot be imported."""

import os
import select
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Invalid
from penstock.functions.description import Description, describe


def described(folder: Path, text: str, **options: Any) -> Description:
    file = folder / "scan.py"
    file.write_text(text)
    return describe(file, sys.executable, **options)


def refused(folder: Path, text: str, **options: Any) -> str:
    with pytest.raises(Invalid) as refusal:
        described(folder, text, **options)
    return str(refusal.value)


def test_decorated_functions_and_workflows_are_found(tmp_path: Path) -> None:
    document = described(
        tmp_path,
        """
from penstock import Retry, batch, function, workflow

@function(on="*.nxs", memory="2GiB", retry=Retry(attempts=3), batch=batch(cores=2))
def take_it(call):
    '''Take it.

    More.'''

alias = take_it
w = workflow("w", on={"suffix": {"subject": "x"}})
first = w.step(take_it)
w.step("other@2", after=first, name="second")
""",
    ).document
    (function,) = document["functions"]
    assert (function["attribute"], function["line"], function["summary"], function["arguments"]) == (
        "take_it",
        4,
        "Take it.",
        "",
    )
    options = function["options"]
    assert (options["name"], options["memory"]) == ("take-it", "2GiB")
    assert (options["retry"]["attempts"], options["batch"]["cores"]) == (3, 2)
    (flow,) = document["workflows"]
    assert flow["line"] == 11
    assert [(step["name"], step["function"], step["after"]) for step in flow["steps"]] == [
        ("take-it", "take-it", []),
        ("second", "other@2", ["take-it"]),
    ]


def test_workflows_without_a_name_of_their_own_are_found(tmp_path: Path) -> None:
    document = described(
        tmp_path,
        """
from penstock import function, workflow

@function
def work(call):
    pass

for kind in ("a", "b"):
    each = workflow(kind, on=f"*.{kind}")
    each.step(work)
workflow("c", on="*.c").step(work)
""",
    ).document
    assert [(each["options"]["name"], each["line"]) for each in document["workflows"]] == [
        ("b", 9),
        ("a", 9),
        ("c", 11),
    ]


def test_what_the_file_prints_is_kept_apart_and_passed_on(tmp_path: Path) -> None:
    lines: list[str] = []
    text = "import sys\nfrom penstock import function\nprint('{}')\nprint('err', file=sys.stderr)\n"
    description = described(tmp_path, text + "@function\ndef f(call): ...\n", on_line=lines.append)
    assert sorted(lines) == ["err", "{}"]
    assert description.printed == "{}\nerr\n"
    assert len(description.document["functions"]) == 1


def test_an_environment_without_penstock_has_the_sdk(tmp_path: Path) -> None:
    import venv

    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    file = tmp_path / "scan.py"
    file.write_text("from penstock.sdk import function\n@function\ndef f(call): ...\n")
    document = describe(file, str(tmp_path / "venv" / "bin" / "python")).document
    assert document["functions"][0]["options"]["name"] == "f"


def test_neighbours_that_are_imported_are_told(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "deep.py").write_text("")
    (tmp_path / "helper.py").write_text("import pack.deep")
    (tmp_path / "unused.py").write_text("")
    document = described(tmp_path, "import helper, json\ndef main(params): ...\n").document
    assert document["modules"] == ["helper.py", "pack/__init__.py", "pack/deep.py"]
    assert [each["attribute"] for each in document["plain"]] == ["main"]
    assert not list(tmp_path.rglob("__pycache__"))


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("def f(:\n  pass", ["scan.py:1: invalid syntax", "def f(:", "      ^"]),
        ("\nimport numpi_absent.linalg", ["scan.py:2: No module named 'numpi_absent'", '["numpi_absent"]']),
        ("\n\n1 / 0", ["scan.py:3: raised while it was imported: ZeroDivisionError"]),
        ("import sys\nsys.exit(3)", ["scan.py:2: raised while it was imported: SystemExit: 3"]),
        (
            "import os\nprint('bye')\nos._exit(3)",
            ["scan.py: importing it ended its process with exit code 3"],
        ),
        (
            "from penstock import function\n@function(memroy=1)\ndef f(call): ...",
            ["scan.py:2: unknown option 'memroy'; did you mean 'memory'?"],
        ),
        (
            "from penstock import workflow\nw = workflow('w')\nw.step('f', afer='x')",
            ["scan.py:3: unknown option 'afer'; did you mean 'after'?"],
        ),
        ("def helper():\n  raise ValueError('x')\n\nhelper()", ["scan.py:2: raised", "ValueError: x"]),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_with_place_and_remedy(
    tmp_path: Path, text: str, messages: list[str]
) -> None:
    said = refused(tmp_path, text)
    for message in messages:
        assert message in said


def test_a_module_whose_package_is_called_otherwise_is_told_its_package(tmp_path: Path) -> None:
    (tmp_path / "absent.py").write_text("raise ModuleNotFoundError('no', name='cv2')")
    assert "opencv-python-headless" in refused(tmp_path, "import absent")


def test_a_broken_neighbour_is_named(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def f(:")
    assert "helper.py:1: invalid syntax" in refused(tmp_path, "import helper")


def test_an_import_that_does_not_end_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    text = (
        "import subprocess\n"
        f"child = subprocess.Popen(['sleep', '1000'])\nopen({str(marker)!r}, 'w').write(str(child.pid))\n"
        "while True: print('x' * 1000)\n"
    )
    assert "longer than 0.5 s" in refused(tmp_path, text, timeout_s=0.5)
    assert has_ended(int(marker.read_text()))


def has_ended(process: int) -> bool:
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 20)[0])
    finally:
        os.close(descriptor)


def test_functions_that_cannot_take_the_call_are_marked(tmp_path: Path) -> None:
    text = """
from penstock import function
@function
def none(): ...
@function
def two(a, b): ...
@function
def stream(call): yield 1
@function
def option(call, *, x=1): ...
@function
async def later(call): ...
"""
    functions = described(tmp_path, text).document["functions"]
    said = {each["attribute"]: each["arguments"] for each in functions}
    assert "must take one argument" in said["none"]
    assert "must take one argument" in said["two"]
    assert "generator" in said["stream"]
    assert said["option"] == said["later"] == ""


def test_options_that_are_no_json_are_marked(tmp_path: Path) -> None:
    text = (
        "from pathlib import Path\nfrom penstock import function\n@function(outputs=Path('x'))\ndef f(c): ..."
    )
    (function,) = described(tmp_path, text).document["functions"]
    assert function["options"]["outputs"] == {"not JSON": "PosixPath"}


def test_a_file_called_like_a_module_of_python_is_imported_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "json.py"
    file.write_text("def main(params): ...")
    assert describe(file, sys.executable).document["plain"][0]["attribute"] == "main"


def test_files_named_in_the_block_are_told(tmp_path: Path) -> None:
    text = "# /// script\n# [tool.penstock]\n# include = ['t/*.csv']\n# ///\ndef main(params): ..."
    assert described(tmp_path, text).document["include"] == ["t/*.csv"]
