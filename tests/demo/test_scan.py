"""The demo's functions on real scans, and on files of other layouts, in their own environment.

The numbers and their tolerances:

=============================== =================== =============================================
what                            expected            because
=============================== =================== =============================================
Eiger: row of the beam          3053.35 ± 0.01      3262 - 208.648: from below, the first is 1
Eiger: column of the beam       1435.97 ± 0.01      1436.97, the first is 1
Eiger: counts at q > 0.3 1/Å    3.0 ± 0.2           read off the picture
LRMECS: incident energy         129.62 ± 0.1 meV    peaks at 1427.5, 2177.0 µs, 3.7324 m apart
LRMECS: elastic line            0 ± 2 meV           a fifth of its width of 9.9 meV
SANS2D: ratio to the facility's 1.006 ± 0.005       their own reduction of the same run
=============================== =================== =============================================
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from penstock.demo.data import fetch
from penstock.demo.workspace import FUNCTIONS, lay

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
EIGER, LRMECS = "S2p5min_00070_00001.h5", "chopper.nxs"
SANS = "33837rear_2D_1.75_16.5_NXcanSAS_v3.h5"
Results = dict[str, Any]
Run = Callable[..., None]


@pytest.fixture(scope="module")
def run() -> Run:
    """``run(script, *arguments)``: a script in the environment that ``scan.py`` asks for."""
    uv = Path(sys.executable).with_name("uv")
    wanted = re.search(r"# dependencies = (\[.*\])", (FUNCTIONS / "scan.py").read_text())
    assert wanted is not None
    packages: list[str] = [f"--with={package}" for package in json.loads(wanted[1])]
    source = str(FUNCTIONS.parents[2])

    def call(script: Path, *arguments: str | Path) -> None:
        command = [str(uv), "run", "--quiet", "--no-project", "--python", sys.executable, *packages]
        command += ["python", str(script), *(str(argument) for argument in arguments)]
        environment = {**os.environ, "PYTHONPATH": source}
        subprocess.run(command, check=True, env=environment)

    return call


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """Folder with a folder of results for each real scan, and for one cut in half."""
    top = tmp_path_factory.mktemp("scans")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "penstock" / "demo"
    files = fetch(cache, None, print)
    workspace = lay(top, files)
    for file in files:
        (workspace.raw / file.name).write_bytes(file.path.read_bytes())
    content = (workspace.raw / EIGER).read_bytes()
    (workspace.raw / "half.h5").write_bytes(content[: len(content) // 2])
    raw = [workspace.raw / name for name in (EIGER, LRMECS, SANS, "half.h5")]
    run(HERE / "steps.py", FUNCTIONS, top / "out", *raw)
    return top / "out"


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """Folder with a folder of results for each file of another layout."""
    top = tmp_path_factory.mktemp("others")
    run(HERE / "make_odd.py", top / "raw")
    run(HERE / "steps.py", FUNCTIONS, top / "out", *sorted((top / "raw").iterdir()))
    return top / "out"


def results(folder: Path, name: str) -> Results:
    answer: Results = json.loads((folder / name / "answers.json").read_text())
    return answer


def number(answer: Results, name: str) -> float:
    return next(float(each["value"]) for each in answer["reduce"]["numbers"] if each["name"] == name)


def verdicts(answer: Results) -> dict[str, str]:
    checks = [*answer["metadata"]["checks"], *answer["reduce"]["checks"]]
    return {check["check"]: check["verdict"] for check in checks}


def points(folder: Path, name: str) -> list[tuple[float, float, float]]:
    with (folder / name / "curve.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    first = [row for row in rows if row[0] == rows[0][0]]
    return [(float(x), float(y), float(error or 0)) for _, x, y, error in first]


def test_the_beam_of_the_eiger_image_counts_from_the_lower_edge(scans: Path) -> None:
    answer = results(scans, EIGER)
    assert answer["metadata"]["kind"] == "scattering"
    assert number(answer, "Beam centre, row") == pytest.approx(3053.352, abs=0.01)
    assert number(answer, "Beam centre, column") == pytest.approx(1435.97, abs=0.01)
    assert verdicts(answer)["beam y"] == verdicts(answer)["beam centre"] == "pass"


def test_the_eiger_curve_falls_smoothly_to_the_background(scans: Path) -> None:
    curve = points(scans, EIGER)
    assert 0.004 < curve[0][0] < 0.006
    falling = [y for q, y, _ in curve if q < 0.03]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > 1000
    assert mean(y for q, y, _ in curve if q > 0.3) == pytest.approx(3.0, abs=0.2)


def test_gaps_of_the_eiger_are_masked_and_said_so(scans: Path) -> None:
    answer = results(scans, EIGER)
    # 664,597 of 3262 × 3108 pixels hold 2³² - 1.
    assert answer["preview"]["masked_fraction"] == pytest.approx(664_597 / (3262 * 3108), rel=1e-6)
    assert answer["metadata"]["signal"]["compression"] == "bitshuffle"


def test_the_title_of_the_chopper_run_is_caught_out_by_the_monitors(scans: Path) -> None:
    answer = results(scans, LRMECS)
    assert answer["metadata"]["flight"]["incident_mev"] == pytest.approx(129.62, abs=0.1)
    assert number(answer, "Incident energy") == pytest.approx(129.62, abs=0.1)
    assert verdicts(answer)["energy in the title"] == "notice"
    assert verdicts(answer)["nominal energy"] == "pass"
    words = [check["words"] for check in answer["metadata"]["checks"]]
    assert "The title says 120 meV; the monitor peaks give 129.6 meV." in words


def test_the_elastic_line_is_where_no_energy_is_transferred(scans: Path) -> None:
    assert number(results(scans, LRMECS), "Elastic line") == pytest.approx(0, abs=2)
    assert number(results(scans, LRMECS), "Width of the elastic line") == pytest.approx(9.9, abs=0.5)


def test_the_azimuthal_mean_agrees_with_the_facilitys_own_curve(scans: Path) -> None:
    answer = results(scans, SANS)
    assert number(answer, "Median ratio to the facility's curve") == pytest.approx(1.006, abs=0.005)
    assert verdicts(answer)["the facility's own curve"] == "pass"


def test_half_a_file_fails_at_once_with_the_plain_reason(scans: Path) -> None:
    answer = results(scans, "half.h5")
    assert answer == {
        "failed": "the file is truncated: its superblock says 4,880,044 bytes, it has 2,440,022; "
        "copy or write it again, whole"
    }


@pytest.mark.parametrize("name", [EIGER, LRMECS, SANS])
def test_each_scan_has_a_page_of_its_own(scans: Path, name: str) -> None:
    html = (scans / name / "index.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in html
    assert "<svg" in html
    assert results(scans, name)["metadata"]["sha256"] in html


def test_known_rings_come_back_as_the_curve_they_were_made_of(others: Path) -> None:
    answer = results(others, "rings.nxs")
    assert number(answer, "Beam centre, row") == pytest.approx(400.25)
    curve = points(others, "rings.nxs")
    for q, y, error in curve:
        assert y == pytest.approx(1000 * 2.718281828 ** (-(q**2) * 50**2 / 3) + 5, abs=5 * error + 0.02 * y)


def test_arrays_without_geometry_are_still_looked_at(others: Path) -> None:
    answer = results(others, "plain.h5")
    assert (answer["metadata"]["format"], answer["metadata"]["kind"]) == ("HDF5", "image")
    assert answer["preview"]["masked_fraction"] == pytest.approx(1 / 60)
    assert number(answer, "Mean") == pytest.approx(20, abs=0.5)


def test_a_curve_is_passed_on_over_its_axis(others: Path) -> None:
    answer = results(others, "curve.hdf5")
    assert answer["metadata"]["kind"] == "curve"
    assert answer["preview"]["picture"] is None
    assert points(others, "curve.hdf5")[0] == (0.01, 10.0, 0.0)


@pytest.mark.parametrize("name", ["empty.h5", "words.h5"])
def test_a_file_without_numbers_gets_a_page_that_says_so(others: Path, name: str) -> None:
    assert results(others, name)["metadata"]["kind"] == "nothing"
    assert "no numeric array" in (others / name / "index.html").read_text(encoding="utf-8")
