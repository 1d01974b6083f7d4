"""Whatever arrives, normalisers answer with events or ``Invalid``; nothing else stops a source."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from penstock.core.errors import Invalid
from penstock.core.event import Event, decode, encode
from penstock.sources.gpfs import WatchFolder
from penstock.sources.mapping import Mapping, MappingSettings
from penstock.sources.rucio import Messages
from penstock.sources.s3 import Notifications
from penstock.sources.xrootd import Line, Notices

DATA = Path(__file__).parents[1] / "data" / "sources"


def s3(raw: bytes) -> Iterable[Event]:
    read = Notifications("s")
    return [event for record in read.records(raw) for event in read.events(record)]


def mapped(raw: bytes) -> Iterable[Event]:
    names = MappingSettings(path="path", size="size", time="time", version="version", owner="owner", id="id")
    return Mapping("s", names).events(raw)


def xrootd(raw: bytes) -> Iterable[Event]:
    return Notices("s").events(Line(b"f:0", 1, raw))


NORMALISERS: dict[str, tuple[Callable[[bytes], Iterable[Event]], list[bytes]]] = {
    "gpfs": (WatchFolder("s").events, (DATA / "gpfs-watch-folder/events.jsonl").read_bytes().splitlines()),
    "s3": (s3, (DATA / "s3/aws.jsonl").read_bytes().splitlines()),
    "rucio": (Messages("s").events, (DATA / "rucio/messages.jsonl").read_bytes().splitlines()),
    "mapping": (mapped, [b'{"path":"/a","size":1,"time":1,"version":"v","owner":"o","id":1}']),
    "xrootd": (xrootd, [b"penstock1 closew a.1:2@h /a//", b"a.1:2@h mv /a /b", b"a.1:2@h chmod 644 /a"]),
}
JSON: some.SearchStrategy[Any] = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def holds(normalise: Callable[[bytes], Iterable[Event]], raw: bytes) -> None:
    try:
        events = list(normalise(raw))
    except Invalid:
        return
    for event in events:
        assert decode(encode(event)) == event


def members(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(deeper for key, each in inner for deeper in members(each, (*place, key)))]


def with_changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = with_changed(copy[place[0]], place[1:], new)
    return copy


@pytest.mark.parametrize("name", ["gpfs", "s3", "rucio", "mapping"])
@settings(max_examples=150, deadline=None)
@given(data=some.data())
def test_any_member_may_be_anything(name: str, data: some.DataObject) -> None:
    normalise, samples = NORMALISERS[name]
    sample = json.loads(data.draw(some.sampled_from(samples)))
    place = data.draw(some.sampled_from(members(sample)))
    holds(normalise, json.dumps(with_changed(sample, place, data.draw(JSON))).encode())


@pytest.mark.parametrize("name", sorted(NORMALISERS))
@settings(max_examples=100, deadline=None)
@given(data=some.data())
def test_bytes_may_be_any(name: str, data: some.DataObject) -> None:
    normalise, samples = NORMALISERS[name]
    sample = data.draw(some.sampled_from(samples))
    at = data.draw(some.integers(0, len(sample)))
    holds(
        normalise,
        sample[:at] + data.draw(some.binary(max_size=6)) + sample[at + data.draw(some.integers(0, 9)) :],
    )
