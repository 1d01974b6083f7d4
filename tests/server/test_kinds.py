"""Sources named by settings: found, checked whole, opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from msgspec import Struct

from penstock.core.errors import Invalid, Refused
from penstock.core.event import Event
from penstock.core.ports import Loss, SourceContext
from penstock.server import kinds
from penstock.server.kinds import loss_letter, open_sources
from penstock.server.settings import Settings, check
from penstock.testing.ledger import MemoryLedger


class TideSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    storage: str
    height_m: float = 1.0


class Tide:
    """A source from somebody else's package."""

    Settings = TideSettings

    def __init__(self, settings: TideSettings, context: SourceContext) -> None:
        self.settings, self.name = settings, context.name

    @classmethod
    def open(cls, settings: TideSettings, context: SourceContext) -> Tide:
        if settings.height_m < 0:
            raise Refused("the sea is below itself")
        return cls(settings, context)

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        yield ()

    async def ready(self) -> None: ...

    async def listing(self) -> AsyncIterator[Sequence[Event]]:
        yield ()

    async def close(self) -> None: ...


class Called(Tide):
    def receive(self, headers: Mapping[str, str], body: bytes) -> Sequence[Event]:
        return ()


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    here = f"{__name__}:"
    points = [
        EntryPoint(name, here + target, kinds.GROUP)
        for name, target in (("tide", "Tide"), ("called", "Called"), ("folder", "Tide"))
    ]
    points.append(EntryPoint("sea-kafka", "no_such_package_of_ours:Sea", kinds.GROUP))

    def found(*, group: str, name: str | None = None) -> list[EntryPoint]:
        return [point for point in points if point.group == group and name in (None, point.name)]

    def load(point: EntryPoint) -> Any:
        if point.name == "sea-kafka":
            raise ImportError("No module named 'no_such_package_of_ours'")
        return {"Tide": Tide, "Called": Called}[point.value.removeprefix(here)]

    monkeypatch.setattr(kinds, "entry_points", found)
    monkeypatch.setattr(EntryPoint, "load", load)


def settings(*sources: Any, **more: Any) -> Settings:
    return check({"sources": list(sources), **more}, "penstock.toml")


def test_each_source_gets_its_kind_s_own_settings() -> None:
    (entry,) = settings({"kind": "tide", "name": "pier", "storage": "sea", "height_m": 2}).sources
    assert entry.settings == TideSettings(storage="sea", height_m=2.0)


def test_all_faults_are_told_at_once_each_with_its_place() -> None:
    with pytest.raises(Invalid) as caught:
        settings(
            {"kind": "tide", "name": "a"},
            {"kind": "tied", "name": "b", "storage": "sea"},
            {"kind": "tide", "name": "c", "storage": "sea", "hight_m": 1},
            {"kind": "tide", "name": "d", "storage": "sea"},
            {"kind": "tide", "name": "d", "storage": "sea"},
            {"kind": "sea-kafka", "name": "e"},
            {"kind": "tide", "name": "f", "storage": "disk"},
            {"kind": "folder", "name": "g"},
            "h",
            {"kind": "tide"},
            storages=[{"name": "disk", "folder": "/disk"}],
            colour="blue",
        )
    faults = caught.value.faults
    wanted = {
        "sources[0]": "missing required field `storage`",
        "sources[1]": "no kind of source 'tied'",
        "sources[2]": "unknown setting 'hight_m'; known are storage, height_m",
        "sources[4]": "'d' is taken",
        "sources[5]": "pip install 'penstock[kafka]'",
        "sources[6]": "storage 'disk' is a folder's",
        "sources[7]": "no kind of source 'folder'",
        "sources[8]": "[[sources]]",
        "sources[9]": "'kind' and a 'name'",
        "unknown setting 'colour'": "known are",
    }
    for place, words in wanted.items():
        assert any(place in fault and words in fault for fault in faults), (place, faults)
    assert len(faults) == len(wanted)


def test_a_source_that_waits_to_be_called_needs_a_door() -> None:
    with pytest.raises(Invalid, match=r"set the port under \[receive\]"):
        settings({"kind": "called", "name": "hook", "storage": "sea"})
    assert settings({"kind": "called", "name": "hook", "storage": "sea"}, receive={"port": 8721}).sources


def test_certificate_and_key_go_together() -> None:
    with pytest.raises(Invalid, match="'certificate' and 'key' go together"):
        settings(receive={"port": 8721, "key": "/etc/key.pem"})


def test_one_source_that_cannot_work_leaves_the_others_alone() -> None:
    configured = settings(
        {"kind": "tide", "name": "low", "storage": "sea", "height_m": -1},
        {"kind": "tide", "name": "high", "storage": "sea"},
    ).sources
    refused: dict[str, str] = {}

    def context(name: str) -> SourceContext:
        return SourceContext(name=name, ledger=MemoryLedger(), dead_letter=lambda _letter: None)

    (opened,) = open_sources(configured, context, refused)
    assert opened.name == "high"
    assert refused == {"low": "the sea is below itself"}


def test_a_loss_is_told_to_people_once_however_often_it_is_noticed() -> None:
    first, again = (
        loss_letter("pier", Loss(storage="sea", folder=b"/north \xff", reason="a storm", at_ns=at))
        for at in (1, 2)
    )
    assert first.id == again.id
    assert first.id != loss_letter("pier", Loss(storage="sea", reason="a storm", at_ns=1)).id
    assert first.subject == "/north%20%FF"
    assert "source 'pier': events of /north \ufffd in 'sea' may be missing: a storm" in first.reason
