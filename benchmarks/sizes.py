"""How much is measured: three sizes, and each number can be set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Everything that takes time.

    Attributes:
        blocks: Blocks of floors and product that take turns; medians are over these.
        fast: Files in a block of W1 at 200 a second.
        slow: Files in a block of W1 at 2 a second.
        graphs: Files in a block of W2 and W3.
        graph_rate: Files a second in W2 and W3.
        burst: Files in the burst that is compared with the floor.
        large_burst: Files in the large burst.
        idle_s: How long W5 counts processor time, in seconds.
        trace_s: How long W5 counts system calls, in seconds.
        triggers: How many W5 deploys.
        appends: Events that are appended for each batch size.
        rows: Rows of state in a commit.
        kills: How often the kill test kills.
        acts: What the kill test does to files between two kills.
        filters: How many filters W4 goes up to.
        neighbours: Files in a block before, and beside, hostile functions.
        backtest: Events of the log that a back-test looks at.
        reconcile: Files of a tree that is compared with the ledger.
        billing: Billing records in a block of the ingest.
        routed: Filters that they are routed with.
        killing_s: How long the site's kill test kills and stops, in seconds.
        seed: Of everything that is drawn at random.
    """

    blocks: int = 5
    fast: int = 600
    slow: int = 12
    graphs: int = 100
    graph_rate: int = 20
    burst: int = 1000
    large_burst: int = 10_000
    idle_s: int = 120
    trace_s: int = 30
    triggers: int = 100
    appends: int = 2000
    rows: int = 1000
    kills: int = 200
    acts: int = 60
    filters: int = 1_000_000
    neighbours: int = 500
    backtest: int = 1_000_000
    reconcile: int = 100_000
    billing: int = 40_000
    routed: int = 10_000
    killing_s: int = 600
    seed: int = 1

    def with_numbers(self, settings: Sequence[str]) -> Sizes:
        """Return sizes with some changed, given as ``name=number``.

        Raises:
            ValueError: There is no such size, or the number is none.
        """
        names = {field.name for field in fields(self)}
        changes = {}
        for setting in settings:
            name, _, number = setting.partition("=")
            if name not in names or not number.isdigit():
                raise ValueError(
                    f"{setting!r} is no size; known are {', '.join(sorted(names))}, each =NUMBER"
                )
            changes[name] = int(number)
        return replace(self, **changes)


DEFAULT = Sizes()
QUICK = Sizes(
    blocks=2, fast=50, slow=2, graphs=10, burst=200, large_burst=400, idle_s=5, trace_s=3, triggers=10,
    appends=200, rows=100, kills=4, acts=30, filters=1000, neighbours=50, backtest=20_000, reconcile=5000,
    billing=4000, routed=1000,
)  # fmt: skip
FULL = Sizes(fast=2000, slow=450, graphs=500)
"""At 2 files a second a p99 of 2,000 samples takes about an hour."""
