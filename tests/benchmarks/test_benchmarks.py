"""Each benchmark runs with tiny sizes and prints rows that a program can read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMBERS = ("name", "value", "unit", "floor", "ratio", "target", "holds")
TINY = (
    "blocks=1", "fast=5", "slow=1", "graphs=2", "burst=20", "large_burst=30", "idle_s=1", "trace_s=1",
    "triggers=3", "appends=10", "rows=10", "kills=14", "acts=10",
)  # fmt: skip

CLIENTS = {"confluent_kafka", "psycopg"}
"""A floor of a site stands on the client libraries that the product stands on."""


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the suite."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.slow
@pytest.mark.timeout(250)
@pytest.mark.parametrize("name", ["w1", "w2", "w3", "burst", "w5", "append", "kill"])
def test_a_benchmark_prints_rows_that_a_program_can_read(name: str) -> None:
    sizes = [argument for size in TINY for argument in ("--size", size)]
    done = bench(name, "--json", *sizes)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert "failed" not in done.stderr, done.stderr
    assert rows, done.stderr
    for row in rows:
        assert set(MEMBERS) <= set(row)
        assert row["holds"] in (True, False, None)
        assert row["name"].startswith(f"{name}.")


@pytest.mark.parametrize("arguments", [("--size", "blocks"), ("--size", "speed=3")])
def test_an_unknown_size_is_refused_with_the_known_ones(arguments: tuple[str, ...]) -> None:
    done = bench("w1", *arguments)
    assert done.returncode == 2
    assert "known are acts, appends, backtest" in done.stderr


def test_floors_use_the_standard_library_and_clients_alone_and_are_short() -> None:
    for path in (ROOT / "benchmarks" / "floors").glob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) < 80, path
        imported = {
            line.split()[1].split(".")[0]
            for line in text.splitlines()
            if line.startswith(("import ", "from "))
        }
        assert imported <= sys.stdlib_module_names | CLIENTS, path
