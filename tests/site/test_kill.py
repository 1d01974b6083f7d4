"""The promise of a site: whatever is killed or stands still, nothing is lost and nothing happens twice."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.servers.server import Missing
from tests.site.killing import Campaign

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(500)]
SECONDS = 60.0


async def test_whatever_is_killed_or_stopped_each_version_has_its_result_once(tmp_path: Path) -> None:
    seed = int(os.environ.get("PENSTOCK_SEED") or random.randrange(1 << 30))
    print(f"PENSTOCK_SEED={seed} does the same again")
    campaign = Campaign(tmp_path, seed)
    try:
        account = await campaign.run(SECONDS)
    except Missing as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    finally:
        campaign.close()
    assert sum(campaign.done.values()) >= 3
    assert account.versions >= 100
    assert (account.lost, account.doubled, account.failed) == ([], [], []), campaign.done
