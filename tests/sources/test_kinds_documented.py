"""Each kind of source that comes with us can be loaded, and its page names all of its settings."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = {
    "gpfs-kafka": "gpfs.md",
    "kafka": "any-json.md",
    "rucio-stomp": "rucio.md",
    "s3-kafka": "s3.md",
    "s3-webhook": "s3.md",
    "schedule": "schedule.md",
    "webhook": "any-json.md",
    "xrootd-notify": "xrootd.md",
}


@pytest.mark.parametrize("kind", sorted(PAGES))
def test_a_kind_is_there_and_its_settings_are_described(kind: str) -> None:
    (point,) = entry_points(group="penstock.sources", name=kind)
    page = (HOW_TO / PAGES[kind]).read_text()
    assert f'kind = "{kind}"' in page
    for name in point.load().Settings.__struct_fields__:
        assert f"`{name}`" in page, f"{PAGES[kind]}: {name}"
