"""A third party's source: the worked example is installed like any package and passes its tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "examples" / "source-package"
TRIES = """
from penstock.server.kinds import known_kinds
from penstock.server.settings import check

source = {"kind": "tides", "name": "pier", "storage": "gauges", "port": 0}
settings = check({"sources": [source]}, "penstock.toml")
print(known_kinds(), settings.sources[0].settings)
"""


def run(*words: str, path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=PACKAGE, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_its_own_tests_pass() -> None:
    options = (
        "-q",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(PACKAGE),
        "-c",
        "pyproject.toml",
    )
    assert "passed" in run("-m", "pytest", *options, "tests", path=PACKAGE / "src")


@pytest.mark.slow
def test_it_is_installed_and_found_by_its_kind(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="the build backend comes with ./dev env")
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index")
    run("-m", "pip", "install", *options, "--target", str(tmp_path), str(PACKAGE), path=Path())
    said = run("-c", TRIES, path=tmp_path)
    assert "'tides'" in said
    assert "TidesSettings(storage='gauges', port=0" in said
