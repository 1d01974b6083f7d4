"""Events: what is accepted, what is refused, and that ids mean what they say."""

import pytest
from msgspec import Raw

from penstock.core.errors import Invalid
from penstock.core.event import Event, content_id, decode, encode, json_data, path_of, subject_of
from penstock.core.lifecycle import CancelRequest, request_event


def test_extension_attributes_survive() -> None:
    raw = b'{"specversion":"1.0","id":"a","source":"s","type":"t","beamline":"p11","data":{"x":1}}'
    event = decode(raw)
    assert event.extensions == {"beamline": "p11"}
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b"{", "JSON"),
        (b'{"specversion":"1.0","id":"a","source":"s"}', "type"),
        (b'{"specversion":"0.3","id":"a","source":"s","type":"t"}', "specversion"),
        (b'{"specversion":"1.0","id":"","source":"s","type":"t"}', "id"),
        (b'{"specversion":"1.0","id":"a","source":"s","type":"t","time":"today"}', "time"),
        (b'{"specversion":"1.0","id":"a","source":"s","type":"t","Bad":"x"}', "Bad"),
        (b'{"specversion":"1.0","id":"a","source":"s","type":"t","data":{},"data_base64":""}', "data_base64"),
        (b"[" * 100_000, "JSON"),
    ],
)
def test_what_is_no_event_is_refused_and_the_fault_named(raw: bytes, named: str) -> None:
    with pytest.raises(Invalid, match=named):
        decode(raw)


def test_the_borders_of_an_ids_parts_count() -> None:
    assert content_id("s", b"/a", "1") != content_id("s", b"/a1", "")


@pytest.mark.parametrize("path", [b"/a b/\xc3\xbc", b"/new\nline", b"/not-utf8-\xff", b"/100%"])
def test_a_subject_stands_for_exactly_one_path(path: bytes) -> None:
    assert path_of(subject_of(path)) == path
    assert subject_of(path).isprintable()


def test_data_stay_as_they_were() -> None:
    event = Event(id="a", source="s", type="t", data=json_data({"x": 1.50}))
    data = decode(encode(event)).data
    assert isinstance(data, Raw)
    assert bytes(data) == b'{"x":1.5}'


def test_a_wish_about_nothing_in_particular_can_be_read_again() -> None:
    wish = request_event(
        "penstock.definition.deployed", CancelRequest(run="r", reason="", principal="p"), "n", ""
    )
    assert decode(encode(wish)) == wish
