"""Environments: locked, isolated, made once, without network from a folder of wheels."""

import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from penstock.core.errors import Invalid, Unavailable
from penstock.core.function import Function
from penstock.functions.bundle import make, placed
from penstock.functions.environment import MARKER, Environment, ensure, restore


def wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    """Write a wheel with one module ``name`` that knows its ``VERSION``."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    requirement = f"Requires-Dist: {requires}\n" if requires else ""
    contents = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirement}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents[f"{info}/RECORD"] = "".join(f"{each},,\n" for each in (*contents, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for each, content in contents.items():
            archive.writestr(each, content)


def script(folder: Path, *lines: str) -> Path:
    file = folder / "scan.py"
    file.write_text("\n".join(["# /// script", *(f"# {line}" for line in lines), "# ///", ""]))
    return file


def answer(environment: Environment, code: str) -> str:
    asked = subprocess.run([environment.python, "-I", "-c", code], capture_output=True, text=True)
    return asked.stdout.strip() or asked.stderr.strip().splitlines()[-1]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    folder = tmp_path / "wheels"
    wheel(folder, "grating", "1.0")
    wheel(folder, "grating", "2.0")
    wheel(folder, "beam", "0.3", "grating<2")
    return folder


def test_without_dependencies_it_is_penstocks_own(tmp_path: Path) -> None:
    file = tmp_path / "scan.py"
    file.write_text("import os\n")
    assert ensure(file, tmp_path / "cache") == Environment(python=sys.executable)
    assert ensure(script(tmp_path, 'requires-python = ">=3.11"'), tmp_path / "cache").digest == ""
    assert not (tmp_path / "cache").exists()


def test_dependencies_come_from_the_wheels_and_nothing_else_is_there(tmp_path: Path, wheels: Path) -> None:
    lines: list[str] = []
    file = script(tmp_path, 'dependencies = ["beam"]')
    made = ensure(file, tmp_path / "cache", wheels, lines.append)
    assert answer(made, "import beam, grating; print(beam.VERSION, grating.VERSION)") == "0.3 1.0"
    assert "No module named 'msgspec'" in answer(made, "import msgspec")
    assert "grating==1.0" in made.lock
    assert "--hash=sha256:" in made.lock
    assert any("beam==0.3" in line for line in lines)

    # The same again costs no installation; the stored lock gives the same after the cache is gone.
    lines.clear()
    assert ensure(file, tmp_path / "cache", wheels, lines.append) == made
    assert not any("installing" in line for line in lines)
    wheel(wheels, "beam", "0.4")
    (Path(made.python).parents[1] / MARKER).unlink()
    assert ensure(file, tmp_path / "cache", wheels, lock=made.lock) == made
    assert answer(made, "import beam; print(beam.VERSION)") == "0.3"
    assert ensure(file, tmp_path / "cache", wheels).digest != made.digest


def test_a_deployed_functions_environment_is_restored_from_its_lock(tmp_path: Path, wheels: Path) -> None:
    made = ensure(script(tmp_path, 'dependencies = ["beam"]'), tmp_path / "cache", wheels)
    function = Function(tenant="local", name="local/f", version=1, entry="scan.py:f")
    function = placed(function, make(tmp_path, function, tmp_path, ["scan.py"], made.lock), made.python)
    assert restore(function, tmp_path / "cache", wheels) is function
    shutil.rmtree(tmp_path / "cache")
    wheel(wheels, "beam", "0.4")
    assert restore(function, tmp_path / "cache", wheels) == function
    assert answer(made, "import beam; print(beam.VERSION)") == "0.3"


def test_two_deployments_at_once_make_one_environment(tmp_path: Path, wheels: Path) -> None:
    file = script(tmp_path, 'dependencies = ["grating"]')
    made: list[Environment] = []
    lines: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(ensure(file, tmp_path / "cache", wheels, lines.append)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1]
    assert sum("installing" in line for line in lines) == 1


@pytest.mark.slow
def test_a_wheel_that_was_changed_since_is_refused(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = script(tmp_path, 'dependencies = ["grating==1.0"]')
    lock = ensure(file, tmp_path / "cache", wheels).lock
    with zipfile.ZipFile(wheels / "grating-1.0-py3-none-any.whl", "a") as archive:
        archive.writestr("evil.py", "")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "fresh"))
    with pytest.raises(Invalid, match="Hash mismatch"):
        ensure(file, tmp_path / "other", wheels, lock=lock)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('dependencies = ["beam>=9"]', "lacks a package"),
        ('dependencies = ["absent"]', "pip download -d"),
        ('dependencies = ["??"]', "correct the block"),
        ("dependencies = 3", "list of texts"),
        ("dependencies = [", "scan.py:1: the '# /// script' block is not TOML"),
        ('requires-python = "new"', "expected for example"),
        ('requires-python = ">=99"', "requires Python >=99"),
    ],
)
def test_what_cannot_be_had_is_refused_with_words(
    tmp_path: Path, wheels: Path, line: str, message: str
) -> None:
    with pytest.raises(Invalid) as refused:
        ensure(script(tmp_path, line), tmp_path / "cache", wheels)
    assert message in str(refused.value)
    assert "scan.py" in str(refused.value)


def test_a_folder_of_wheels_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="expected one with wheels"):
        ensure(script(tmp_path, 'dependencies = ["six"]'), tmp_path / "cache", tmp_path / "absent")


def test_without_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    with pytest.raises(Unavailable, match="--wheels"):
        ensure(script(tmp_path, 'dependencies = ["six"]'), tmp_path / "cache")


@pytest.mark.net
def test_dependencies_come_from_the_index(tmp_path: Path) -> None:
    made = ensure(script(tmp_path, 'dependencies = ["six==1.17.0"]'), tmp_path / "cache")
    assert answer(made, "import six; print(six.__version__)") == "1.17.0"


@pytest.mark.net
def test_a_package_that_is_not_in_the_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="six==99"):
        ensure(script(tmp_path, 'dependencies = ["six==99"]'), tmp_path / "cache")
