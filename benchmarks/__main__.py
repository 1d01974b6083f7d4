"""``./dev bench [NAME…]``: measures Penstock against floors; docs/explanation/benchmarks.md says how."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from benchmarks import (
    backtesting,
    burst,
    elsewhere,
    fresh,
    graphs,
    idle,
    ingest,
    kills,
    latency,
    reconciling,
    site_kill,
    site_latency,
    storing,
)
from benchmarks.progress import Progress
from benchmarks.rows import Benchmark, Failed, Row
from benchmarks.sizes import DEFAULT, FULL, QUICK, Sizes

BENCHMARKS: dict[str, tuple[Benchmark, str]] = {
    "w1": (latency.run, "from a file's close to the first line of its function; 4 minutes"),
    "w2": (graphs.chain, "a chain of five; 2 minutes"),
    "w3": (graphs.fork, "a fork of 20 with join; 2 minutes"),
    "burst": (burst.run, "1,000 and 10,000 files at once; 1 minute"),
    "w4": (elsewhere.routing, "routing with up to a million filters; 10 minutes"),
    "w5": (idle.run, "idle for two minutes; 3 minutes"),
    "w6": (fresh.run, "from nothing to the first run; 1 minute"),
    "kill": (kills.run, "200 kills over 10,000 file versions; 5 minutes"),
    "neighbours": (elsewhere.neighbours, "a function beside seven kinds of hostile ones; 8 minutes"),
    "append": (storing.run, "log and state alone; 1 minute"),
    "backtest": (backtesting.run, "a trigger against a million events of the past; 3 minutes"),
    "reconcile": (reconciling.run, "a tree of 100,000 files after an outage; 1 minute"),
    "ingest": (ingest.run, "dCache's billing records through Kafka to decisions in PostgreSQL; 3 minutes"),
    "site-latency": (site_latency.run, "from a record in Kafka to the first line of its function; 2 minutes"),
    "site-kill": (site_kill.run, "a site whose every part is killed and stopped; 11 minutes"),
    "pool": (elsewhere.pool, "the warm pool alone; 1 minute"),
}
VERDICTS = {True: "yes", False: "NO", None: "-"}


def main() -> int:
    """Measure what is asked for and return an exit code: 1 if something failed or misses its target."""
    chosen = _arguments()
    sizes = QUICK if chosen.quick else FULL if chosen.full else DEFAULT
    try:
        sizes = sizes.with_numbers(chosen.size)
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    missed = 0
    print(_machine(), file=sys.stderr)
    if not chosen.json:
        print(_line(["", "value", "unit", "floor", "ratio", "spread", "target", "holds"]))
    for name in chosen.names or BENCHMARKS:
        missed += _measure(name, sizes, as_json=chosen.json)
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    known = "\n".join(f"  {name:11}{what}" for name, (_, what) in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description=f"Measure Penstock against floors. Without names: everything.\n\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*BENCHMARKS, []], help="what to measure")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="see whether it works; the figures mean little")
    parser.add_argument("--full", action="store_true", help="as many samples as a p99 needs at 2 files/s")
    parser.add_argument("--size", action="append", default=[], metavar="NAME=NUMBER", help="see sizes.py")
    return parser.parse_args()


def _measure(name: str, sizes: Sizes, *, as_json: bool) -> int:
    """Print a benchmark's rows and return how many of them miss their target."""
    progress, missed = Progress(name), 0
    try:
        for row in BENCHMARKS[name][0](sizes, progress.tick):
            progress.clear()
            print(json.dumps(row) if as_json else _text(row), flush=True)
            missed += row["holds"] is False
    except Failed as failure:
        progress.clear()
        print(f"{name} failed: {failure}", file=sys.stderr)
        return 1
    progress.clear()
    return missed


def _machine() -> str:
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    system = os.uname()
    return f"{os.cpu_count()} cores, Linux {system.release}, Python {sys.version.split()[0]}, load {load}"


def _text(row: Row) -> str:
    spread = row.get("spread")
    cells = [
        row["name"],
        _number(row["value"]),
        row["unit"],
        _number(row["floor"]),
        _number(row["ratio"]),
        f"{spread[0]:.2f}..{spread[1]:.2f}" if spread else "",
        _number(row["target"]),
        VERDICTS[row["holds"]],
    ]
    return _line(cells) + (f"  {row['note']}" if row.get("note") else "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    first, value, unit, *rest = cells
    return f"{first:26} {value:>9} {unit:12}" + "".join(
        f"{cell:>{w}}" for cell, w in zip(rest, WIDTHS, strict=True)
    )


WIDTHS = (9, 8, 13, 8, 7)

if __name__ == "__main__":
    sys.exit(main())
