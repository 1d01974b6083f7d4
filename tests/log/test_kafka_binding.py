"""CloudEvents as Kafka messages: what is written comes back equal, and other people's libraries agree."""

from __future__ import annotations

from base64 import b64encode

import msgspec
import pytest
from cloudevents.core.bindings import kafka as theirs
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from penstock.core.errors import Invalid
from penstock.core.event import Event, json_data
from penstock.log.kafka_binding import from_message, murmur2, partition_of, to_message

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
names = st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True).filter(
    lambda name: (
        name
        not in {
            *("id", "source", "type", "subject", "time", "data", "dataschema", "datacontenttype", "cause"),
            *("depth", "partitionkey", "specversion", "extensions"),
        }
    )
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | texts, st.lists, max_leaves=5
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    kind = draw(st.sampled_from(["json", "bytes", "none"]))
    maybe = st.none() | texts
    json_types = st.sampled_from([None, "application/json", "application/vnd.x+json; charset=utf-8"])
    byte_types = st.sampled_from([None, "text/plain", "application/octet-stream", "application/json"])
    return Event(
        id=draw(texts),
        source=draw(texts),
        type=draw(texts),
        subject=draw(maybe),
        time=draw(st.sampled_from([None, "2026-11-21T09:00:00.123456Z", "2026-11-21T10:00:00+01:00"])),
        partitionkey=draw(maybe),
        dataschema=draw(maybe),
        cause=draw(maybe),
        depth=draw(st.none() | st.integers(0, 99)),
        extensions=draw(st.dictionaries(names, texts | st.integers(-9, 9) | st.booleans(), max_size=3)),
        datacontenttype=draw(byte_types if kind == "bytes" else json_types),
        data=json_data(draw(json_values)) if kind == "json" else UNSET,
        data_base64=b64encode(draw(st.binary())).decode() if kind == "bytes" else None,
    )


@settings(max_examples=60)
@given(events())
def test_what_is_written_comes_back_equal(event: Event) -> None:
    key, value, headers = to_message(event)
    wire = [(name, each.encode() if isinstance(each, str) else each) for name, each in headers]
    assert from_message(key, value, wire) == event


EVENT = Event(
    id="1",
    source="/s",
    type="t",
    subject="/a",
    time="2026-11-21T09:00:00.500000Z",
    partitionkey="/raw/ä",
    datacontenttype="application/json",
    data=json_data({"n": [1, "ü"]}),
    extensions={"mine": "yours"},
)


def test_their_library_reads_our_binary_messages() -> None:
    key, value, headers = to_message(EVENT)
    wire = {name: each.encode() if isinstance(each, str) else each or b"" for name, each in headers}
    read = theirs.from_binary(theirs.KafkaMessage(wire, key, value or b""), JSONFormat())
    assert (read.get_id(), read.get_source(), read.get_type(), read.get_subject()) == ("1", "/s", "t", "/a")
    assert read.get_extension("mine") == "yours"
    assert read.get_extension("partitionkey") == "/raw/ä"
    assert read.get_data() == {"n": [1, "ü"]}


def test_their_library_reads_our_structured_messages() -> None:
    event = msgspec.structs.replace(EVENT, extensions={"number": 7})
    key, value, headers = to_message(event)
    wire = {name: each.encode() if isinstance(each, str) else each or b"" for name, each in headers}
    assert wire == {"content-type": b"application/cloudevents+json"}
    read = theirs.from_structured(theirs.KafkaMessage(wire, key, value or b""), JSONFormat())
    assert read.get_extension("number") == 7


def _from_theirs(message: theirs.KafkaMessage) -> Event:
    key = message.key.encode() if isinstance(message.key, str) else message.key
    return from_message(key, message.value, list(message.headers.items()))


def test_we_read_both_modes_of_their_library() -> None:
    read = theirs.from_binary(theirs.KafkaMessage(*_parts(EVENT)), JSONFormat())
    for write in (theirs.to_binary, theirs.to_structured):
        again = _from_theirs(write(read, JSONFormat()))
        assert msgspec.json.decode(again.data) == msgspec.json.decode(EVENT.data)  # type: ignore[arg-type]
        assert msgspec.structs.replace(again, data=EVENT.data) == EVENT


def _parts(event: Event) -> tuple[dict[str, bytes], bytes | None, bytes]:
    key, value, headers = to_message(event)
    return (
        {name: each.encode() if isinstance(each, str) else each or b"" for name, each in headers},
        key,
        value or b"",
    )


@pytest.mark.parametrize(
    ("headers", "value", "said"),
    [
        ([], b"{}", "neither the header 'ce_specversion'"),
        ([("ce_specversion", b"0.3")], b"{}", "'ce_specversion' is '0.3'"),
        ([("ce_specversion", b"1.0"), ("ce_id", b"1")], b"", "missing headers ce_source, ce_type"),
        ([("ce_specversion", b"\xff")], b"", "no UTF-8"),
        ([("content-type", b"application/cloudevents+avro")], b"", "avro"),
        ([("content-type", b"application/cloudevents+json")], b"{", "not a CloudEvent"),
        ([("content-type", b"application/cloudevents+json")], None, "not a CloudEvent"),
    ],
)
def test_what_is_no_event_is_said(headers: list[tuple[str, bytes]], value: bytes | None, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        from_message(None, value, headers)


@pytest.mark.parametrize(
    ("more", "value", "said"),
    [
        (("ce_time", b"yesterday"), b"1", "'time'"),
        (("ce_depth", b"-1"), b"1", "'depth'"),
        (("ce_depth", b"9" * 5000), b"1", "'depth'"),
        (("ce_a-b", b"x"), b"1", "'a-b'"),
        (("ce_subject", b""), b"1", "'subject' is empty"),
        (("content-type", b"application/json"), b"{", "no JSON"),
        (("content-type", b"application/json"), b"[" * 100_000, "no JSON"),
    ],
)
def test_faulty_attributes_are_named(more: tuple[str, bytes], value: bytes, said: str) -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t"), more]
    with pytest.raises(Invalid, match=said):
        from_message(None, value, headers)


def test_header_names_of_others_are_read_in_any_case() -> None:
    headers = [("CE_specversion", b"1.0"), ("Ce_Id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t")]
    event = from_message(b"k", b"\x00\xff", [*headers, ("Content-Type", b"application/octet-stream")])
    assert (event.id, event.partitionkey, event.data_base64) == ("1", "k", "AP8=")


@pytest.mark.parametrize(
    ("key", "signed"),
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536)],
)
def test_the_hash_is_the_one_of_javas_clients(key: str, signed: int) -> None:
    assert murmur2(key.encode()) == signed & 0xFFFFFFFF
    assert partition_of(key, 7) == (signed & 0x7FFFFFFF) % 7
