"""Any JSON becomes events, by expressions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.core.errors import Invalid
from penstock.core.event import Event, content_id, decode, encode, file_record
from penstock.sources.mapping import EVENTS_MAX, Mapping, MappingSettings

DATA = Path(__file__).parents[1] / "data" / "sources" / "other"
NODE = "OCP\\Files\\Events\\Node\\Node"
NEXTCLOUD = {
    "path": "event.node.path || event.target.path",
    "type": "event.class",
    "types": {
        NODE + "CreatedEvent": "file.created",
        NODE + "WrittenEvent": "file.updated",
        NODE + "RenamedEvent": "file.created",
        NODE + "DeletedEvent": "file.deleted",
        NODE + "TouchedEvent": "",
    },
    "moved_from": "event.source.path",
    "time": "time",
    "owner": "user.uid",
}


def mapping(**settings: Any) -> Mapping:
    return Mapping("store", msgspec.convert(settings, MappingSettings))


def one(value: Any, place: tuple[bytes, ...] = (), **settings: Any) -> Event:
    (event,) = mapping(**settings).events(json.dumps(value).encode(), place)
    return event


def test_nextcloud_s_webhooks_become_events_about_files() -> None:
    read = mapping(**NEXTCLOUD)
    events = [
        event
        for raw in (DATA / "nextcloud-webhooks.jsonl").read_bytes().splitlines()
        for event in read.events(raw)
    ]
    assert [event.type for event in events] == [
        "penstock.file.created",
        "penstock.file.updated",
        "penstock.file.created",
        "penstock.file.deleted",
    ]
    record = file_record(events[0])
    assert record.path == "/jmueller/files/Probe Nr 7/notes_ü.txt"
    assert record.owner == {"subject": "jmueller"}
    assert record.origin["event"]["node"]["id"] == 437
    assert events[0].time == "2026-10-14T07:20:03Z"
    assert file_record(events[2]).moved_from == "/jmueller/files/a.txt"
    for event in events:
        assert decode(encode(event)) == event


def test_fts_s_states_are_events_about_transfers() -> None:
    line = (DATA / "fts3-activemq.jsonl").read_bytes().splitlines()[1]
    read = mapping(
        type="join('.', ['org.fts', lower(file_state)])",
        subject="path_of(dst_url)",
        time="timestamp",
        id="[file_id, file_state]",
    )
    (event,) = read.events(line)
    assert (event.type, event.subject) == ("org.fts.finished", "/p11/raw/scan_001.h5")
    assert event.time == "2026-10-14T07:21:55Z"
    assert json.loads(bytes(event.data))["job_id"].startswith("0a1b")  # type: ignore[arg-type]


def test_one_record_may_hold_many_items() -> None:
    events = mapping(each="files", path="p", when="ok").events(
        b'{"files":[{"p":"/a","ok":true},{"p":"/b","ok":false},{"p":"/a","ok":true}]}'
    )
    assert [event.subject for event in events] == ["/a", "/a"]
    assert events[0].id != events[1].id
    assert mapping(each="files", path="p").events(b"{}") == []


def test_an_id_is_what_the_mapping_says_else_the_item_and_its_place() -> None:
    first = one({"p": "/a", "n": 1, "noise": 1}, path="p", id="n")
    again = one({"p": "/a", "n": 1, "noise": 2}, path="p", id="n")
    assert first.id == again.id
    here = one({"p": "/a"}, (b"topic", b"0", b"1"), path="p")
    there = one({"p": "/a"}, (b"topic", b"0", b"2"), path="p")
    assert here.id != there.id
    assert here.id == one({"p": "/a"}, (b"topic", b"0", b"1"), path="p").id


def test_a_version_names_the_content() -> None:
    assert one({"p": "/a", "v": 7}, path="p", version="v").id == content_id("store", b"/a", "7")


def test_types_that_mean_nothing_are_passed_over_and_unknown_ones_are_faults() -> None:
    settings = {"path": "p", "type": "t", "types": {"new": "file.created", "seen": ""}}
    assert mapping(**settings).events(b'{"p":"/a","t":"seen"}') == []
    with pytest.raises(Invalid, match="'other', which 'types' does not name"):
        mapping(**settings).events(b'{"p":"/a","t":"other"}')


@pytest.mark.parametrize(
    ("value", "settings", "words"),
    [
        ({}, {"path": "p"}, "mapping.path finds None"),
        ({"p": "a"}, {"path": "p"}, "absolute path"),
        ({"p": 1}, {"path": "p.q"}, "mapping.path finds None"),
        ({"p": "/a", "s": "x"}, {"path": "p", "size": "s"}, "mapping.size"),
        ({"p": "/a", "s": -1}, {"path": "p", "size": "s"}, "mapping.size"),
        ({"p": "/a", "t": "now"}, {"path": "p", "time": "t"}, "mapping.time"),
        ({"p": "/a", "t": 1e300}, {"path": "p", "time": "t"}, "mapping.time"),
        ({"p": "/a", "o": [1]}, {"path": "p", "owner": "o"}, "mapping.owner"),
        ({"p": "/a", "c": {"md5": 1}}, {"path": "p", "checksum": "c"}, "mapping.checksum"),
        ({"t": "No Type!"}, {"type": "t"}, "small letters"),
        ({}, {"type": "t"}, "finds nothing"),
        ({"l": 1}, {"path": "p", "each": "l"}, "expected a list"),
        ({"p": 5}, {"path": "unquote(p)"}, "does not fit"),
        ({"l": [0] * (EVENTS_MAX + 1)}, {"path": "p", "each": "l"}, "at most"),
        ({"p": "/a", "x": "y" * 600_000}, {"path": "p"}, "bytes"),
    ],
)
def test_what_does_not_fit_is_named(value: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        mapping(**settings).events(json.dumps(value).encode())


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_said(raw: bytes) -> None:
    with pytest.raises(Invalid, match="not a JSON document"):
        mapping(path="p").events(raw)


def test_all_faults_of_a_mapping_are_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        mapping(path="a[", size="b)", data="x", types={"a": "UPPER"})
    text = str(caught.value)
    for words in ("mapping.path", "mapping.size", "'types'", "'data'", "UPPER"):
        assert words in text
    with pytest.raises(Invalid, match="neither 'path' nor 'type'"):
        mapping()


@pytest.mark.parametrize(
    "expression",
    [
        " | ".join(["[@,@][]"] * 40),
        "[a] | " + " | ".join(["[@[*],@[*]][]"] * 40),
        "[a,a] | join('', @)",
    ],
)
def test_an_expression_that_works_too_long_is_stopped(expression: str) -> None:
    value = json.dumps({"a": "x" * 60_000, "path": "/a"}).encode()
    with pytest.raises(Invalid, match=r"makes more than|takes more than"):
        mapping(path="path", size=expression).events(value)


@pytest.mark.parametrize("expression", ["(" * 3000, "(" * 1900, "a" * 2001, "[*]" * 600])
def test_an_expression_that_is_too_long_or_too_deep_is_refused(expression: str) -> None:
    with pytest.raises(Invalid):
        mapping(path=expression).events(b'{"a":1}')
