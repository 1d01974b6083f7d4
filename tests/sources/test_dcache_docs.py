"""The page on dCache is true: its settings are taken, and every setting has its place."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from msgspec import Struct

from penstock.server.kinds import entries
from penstock.sources.dcache.billing_topic import DCacheKafkaSettings
from penstock.sources.dcache.settings import DCacheSseSettings, FrontendSettings
from penstock.sources.kafka import KafkaSourceSettings

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "dcache.md").read_text()


def test_the_settings_shown_are_taken_as_they_stand() -> None:
    shown = tomllib.loads(PAGE.split("```toml\n")[1].split("```")[0])
    faults: list[str] = []
    taken = entries(shown["sources"], frozenset(), faults)
    assert faults == []
    billing, events = (entry.settings for entry in taken)
    assert isinstance(billing, DCacheKafkaSettings)
    assert isinstance(events, DCacheSseSettings)
    assert billing.storage == events.storage


@pytest.mark.parametrize("settings", [DCacheSseSettings, DCacheKafkaSettings, FrontendSettings])
def test_every_setting_has_its_place(settings: type[Struct]) -> None:
    own = set(settings.__struct_fields__) - (
        set(KafkaSourceSettings.__struct_fields__) - {"topics"} if settings is DCacheKafkaSettings else set()
    )
    assert not [name for name in own if f"`{name}`" not in PAGE]


def test_a_namespace_to_ask_is_taken_from_a_table() -> None:
    table = {
        "kind": "dcache-kafka", "name": "b", "storage": "d", "servers": "k:9092",
        "namespace": {"frontend": "https://h:3880", "token": {"env": "T"}},
    }  # fmt: skip
    faults: list[str] = []
    (entry,) = entries([table], frozenset(), faults)
    assert isinstance(entry.settings.namespace, FrontendSettings)
    broken = {**table, "namespace": {"frontend": "h", "token": {"env": "T"}}}
    assert entries([broken], frozenset(), faults) == ()
    assert "expected an address such as https://HOST:3880" in faults[0]
