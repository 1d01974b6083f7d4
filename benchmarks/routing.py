"""W4: from the JSON bytes of distinct events to the names of the filters that want them, on one thread.

``python -m benchmarks.routing --json`` prints one JSON object per row. Each rate is the best of three
rounds over all events, one in a hundred filters being replaced meanwhile; nothing is kept from one
event to the next. Results are compared with a naive loop on a sample.

Time is the thread's own CPU time, so that other programs on the machine do not count; the same in the
Java driver, to whose favour its collector's and compiler's threads do not count either. It runs
for some minutes and needs about 2 GB of memory for Penstock, up to 10 GB for event-ruler.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import routing_population as population
from benchmarks import routing_ruler as ruler
from penstock.core.filter import Filter, View, compile_filter, parse
from penstock.routing import FilterIndex

SIZES = (10, 1000, 100_000, 1_000_000)
COMPARED = (100_000, 1_000_000)
ROUNDS = 3
SAMPLE = 20
NAIVE_CHECKS_MAX = 5_000_000
KIND_EVENTS = 20_000

Row = dict[str, Any]
Report = Callable[[Row], None]
Change = tuple[str, Filter]


def run(report: Report, sizes: Sequence[int] = SIZES, *, with_ruler: bool = True) -> None:
    """Measure all rows of W4 and hand each to ``report`` as soon as it is known."""
    rates: dict[int, float] = {}
    for size in sizes:
        events = population.plain_events(size)
        rates[size], change_us = _plain_rate(size, events)
        _report_plain(report, size, rates)
        report({**_row(f"w4.change.{size}", change_us, None, None), "unit": "us"})
        if with_ruler and size in COMPARED:
            report(_against_ruler(size, rates[size], events))
    for name, documents in population.kinds().items():
        report(_kind_row(name, documents))


def _report_plain(report: Report, size: int, rates: dict[int, float]) -> None:
    last = size == SIZES[-1] and SIZES[0] in rates
    floor = rates[SIZES[0]] if last else None
    report(_row(f"w4.{size}", rates[size], floor, 1 / 3 if last else None))


def _plain_rate(size: int, events: list[bytes]) -> tuple[float, float]:
    """Return events per second, and microseconds per replaced filter."""
    index = FilterIndex()
    filters = {str(number): parse(population.plain_filter(number)) for number in range(size)}
    for name, filter in filters.items():
        index.add(name, filter)
    changes = [(str(number), parse(_changed(number, size))) for number in population.changed_numbers(size)]
    rate = _best_rate(index, events, changes)
    filters.update(changes)
    _compare(index, filters, events)
    return rate, _change_us(index, changes)


def _change_us(index: FilterIndex, changes: Sequence[Change]) -> float:
    begun = time.thread_time()
    for name, filter in changes:
        index.replace(name, filter)
    return (time.thread_time() - begun) / len(changes) * 1e6


def _changed(number: int, size: int) -> population.Document:
    """A changed filter wants what nobody wanted before."""
    return population.plain_filter(number + size)


def _best_rate(index: FilterIndex, events: list[bytes], changes: Sequence[Change] = ()) -> float:
    gc.collect()
    gc.freeze()
    try:
        return max(
            _rate(index, events, changes[len(changes) * turn // ROUNDS : len(changes) * (turn + 1) // ROUNDS])
            for turn in range(ROUNDS)
        )
    finally:
        gc.unfreeze()


def _rate(index: FilterIndex, events: list[bytes], changes: Sequence[Change]) -> float:
    """Return events per second; the changes are made in between, evenly."""
    stretches = max(1, len(changes))
    match, results = index.match_bytes, 0
    begun = time.thread_time()
    for stretch in range(stretches):
        for raw in events[len(events) * stretch // stretches : len(events) * (stretch + 1) // stretches]:
            results += len(match(raw))
        if changes:
            index.replace(*changes[stretch])
    seconds = time.thread_time() - begun
    assert results > 0
    return len(events) / seconds


def _compare(index: FilterIndex, filters: dict[str, Filter], events: list[bytes]) -> None:
    """Raise if the index and a naive loop differ on a sample of the events."""
    sample = max(2, min(SAMPLE, NAIVE_CHECKS_MAX // len(filters)))
    views = [View.of_bytes(raw) for raw in random.Random(population.SEED).sample(events, sample)]
    naive: list[set[str]] = [set() for _ in views]
    for name, filter in filters.items():
        wants = compile_filter(filter)
        for view, names in zip(views, naive, strict=True):
            if wants(view):
                names.add(name)
    for view, names in zip(views, naive, strict=True):
        found = index.match_view(view)
        if set(found) != names or len(found) != len(names):
            raise AssertionError(
                f"{view.subject}: the index found {sorted(found)}, a naive loop {sorted(names)}"
            )


def _against_ruler(size: int, rate: float, events: list[bytes]) -> Row:
    name = f"w4.ruler.{size}"
    rules = ((str(number), _rule(number)) for number in range(size))
    changes = [
        (str(number), _rule(number), _rule(number + size)) for number in population.changed_numbers(size)
    ]
    try:
        floor = ruler.rate(rules, changes, events)
    except ruler.Missing as missing:
        return {**_row(name, rate, None, 1.0), "holds": None, "reason": str(missing)}
    return _row(name, rate, floor, 1.0)


def _rule(number: int) -> str:
    """The plain filter as a rule of event-ruler."""
    return json.dumps(
        {"type": [population.event_type(number)], "subject": [{"prefix": population.prefix(number)}]}
    )


def _kind_row(name: str, documents: Sequence[population.Document]) -> Row:
    events = list(population.random_events(KIND_EVENTS, name))
    filters = {str(number): parse(document) for number, document in enumerate(documents)}
    index = FilterIndex()
    for own_name, filter in filters.items():
        index.add(own_name, filter)
    rate = _best_rate(index, events)
    _compare(index, filters, events)
    return {**_row(f"w4.{name}", rate, None, None), "filters": len(filters)}


def _row(name: str, value: float, floor: float | None, target: float | None) -> Row:
    ratio = None if floor is None else round(value / floor, 3)
    return {
        "name": name,
        "value": round(value) if value >= 100 else round(value, 1),
        "unit": "events/s",
        "floor": None if floor is None else round(floor),
        "ratio": ratio,
        "target": None if target is None else round(target, 3),
        "holds": None if ratio is None or target is None else ratio >= target,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object per row")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="how many filters")
    parser.add_argument(
        "--without-ruler", action="store_true", help="leave the comparison with event-ruler out"
    )
    chosen = parser.parse_args()

    def report(row: Row) -> None:
        text = f"{row['name']:20} {row['value']:>10,} {row['unit']}  holds: {row['holds']}"
        print(json.dumps(row) if chosen.json else text, flush=True)

    run(report, chosen.sizes, with_ruler=not chosen.without_ruler)


if __name__ == "__main__":
    main()
