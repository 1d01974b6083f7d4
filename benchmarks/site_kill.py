"""The kill test of a site, long: SIGKILL and SIGSTOP of any process, broker and database included.

Files are written, rewritten, renamed and deleted meanwhile. A short form of it is a test of its own,
``tests/site/test_kill.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from tests.servers.server import Missing
from tests.site.killing import Campaign

from benchmarks.ground import ground
from benchmarks.rows import Failed, Row, Tick, row
from benchmarks.sizes import Sizes


def run(sizes: Sizes, tick: Tick) -> Iterator[Row]:
    """Yield the rows of the site's kill test."""
    with ground() as place:
        campaign = Campaign(place, sizes.seed)
        tick(f"{sizes.killing_s} s of faults, and what follows")
        try:
            account = asyncio.run(campaign.run(sizes.killing_s))
        except Missing as error:
            raise Failed(str(error)) from error
        finally:
            campaign.close()
    faults = sum(campaign.done.values())
    yield row("site_kill.faults", faults, "faults", seed=sizes.seed, done=dict(campaign.done))
    yield row("site_kill.versions", account.versions, "file versions", written=campaign.writer.count)
    for name, cases in (("lost", account.lost), ("doubled", account.doubled), ("failed", account.failed)):
        yield row(f"site_kill.{name}", len(cases), name, target=0, holds=not cases, cases=cases[:3])
