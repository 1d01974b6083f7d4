"""Notifications of S3 storages, each flavour with its quirks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Invalid
from penstock.core.event import Event, content_id, decode, encode, file_record
from penstock.sources.s3 import Keys, Notifications

DATA = Path(__file__).parents[1] / "data" / "sources" / "s3"
AWS, MINIO, CEPH = ((DATA / f"{name}.jsonl").read_bytes().splitlines() for name in ("aws", "minio", "ceph"))


def events(*messages: bytes, keys: Keys = Keys.AUTO, buckets: frozenset[str] = frozenset()) -> list[Event]:
    read = Notifications("objects", keys, buckets)
    return [event for raw in messages for record in read.records(raw) for event in read.events(record)]


def kinds(*messages: bytes) -> list[str]:
    return [event.type.removeprefix("penstock.file.") for event in events(*messages)]


def message(name: str, source: str = "aws:s3", **members: Any) -> bytes:
    record = json.loads(AWS[0])["Records"][0]
    record["eventName"], record["eventSource"] = name, source
    record["s3"]["object"] |= members
    return json.dumps({"Records": [record]}).encode()


def test_each_sample_means_what_the_table_says() -> None:
    assert kinds(*AWS) == ["created", "created", "created", "deleted", "deleted", "staged"]
    assert kinds(*MINIO) == ["created", "created", "read", "deleted", "staged"]
    assert kinds(*CEPH) == ["created", "created", "deleted", "deleted", "created"]


def test_keys_are_decoded_as_their_storage_writes_them() -> None:
    assert file_record(events(AWS[0])[0]).path == "/p11-raw/raw/Probe Nr 7/scan_über_001.h5"
    assert file_record(events(AWS[1])[1]).path == "/p11-raw/raw/copy+of#1.cbf"
    assert file_record(events(MINIO[0])[0]).path == "/p11-raw/raw/Probe Nr 7/scan_über_001.h5"
    odd = message("ObjectCreated:Put", "ceph:s3", key="a+b%20c")
    assert file_record(events(odd)[0]).path == "/p11-raw/a+b%20c"
    assert file_record(events(odd, keys=Keys.ESCAPED)[0]).path == "/p11-raw/a b c"


def test_a_key_that_is_no_text_keeps_its_bytes() -> None:
    (event,) = events(message("ObjectCreated:Put", key="a%FF"))
    assert event.subject == "/p11-raw/a%FF"
    assert file_record(event).path_raw is not None


def test_a_version_id_names_the_content_whoever_tells_of_it() -> None:
    (event,) = events(AWS[0])
    version = "096fKKXTRTtl3on89fVO.nfljtsv6qko"
    assert file_record(event).version == version
    path = "/p11-raw/raw/Probe Nr 7/scan_über_001.h5".encode()
    assert event.id == content_id("objects", path, version)


def test_without_a_version_id_etag_and_sequencer_name_the_content() -> None:
    (event,) = events(CEPH[0])
    assert file_record(event).version == "d41d8cd98f00b204e9800998ecf8427e-F7E6D75DC742D108"
    (marker,) = events(AWS[3])
    assert file_record(marker).version is None


def test_records_of_one_request_are_told_apart() -> None:
    told = events(AWS[1])
    assert len({event.id for event in told}) == 2
    gone = json.loads(AWS[2])["Records"][0]
    two = [gone, json.loads(json.dumps(gone).replace("done.flag", "other.flag"))]
    assert len({event.id for event in events(json.dumps({"Records": two}).encode())}) == 2


def test_a_message_delivered_twice_has_the_same_ids() -> None:
    for raw in (*AWS, *MINIO, *CEPH):
        again = json.dumps(json.loads(raw), indent=1).encode()
        assert [event.id for event in events(raw)] == [event.id for event in events(again)]


def test_size_may_be_text_and_removed_objects_have_none() -> None:
    assert file_record(events(CEPH[1])[0]).size == 734003200
    assert file_record(events(CEPH[2])[0]).size is None


@pytest.mark.parametrize("name", ["PutTagging", "DeleteTagging", "PutRetention", "PutLegalHold"])
def test_tags_and_holds_are_no_new_data_though_minio_calls_them_created(name: str) -> None:
    assert kinds(message(f"s3:ObjectCreated:{name}", "minio:s3")) == ["attributes-changed"]


def test_ceph_s_post_that_only_begins_an_upload_is_silent() -> None:
    begun = message("ObjectCreated:Post", "ceph:s3", eTag="", size=0)
    assert kinds(begun) == []
    assert kinds(message("ObjectCreated:Post", "ceph:s3")) == ["created"]


def test_records_of_one_key_are_told_in_the_order_of_their_sequencers() -> None:
    record = json.loads(AWS[0])["Records"][0]

    def numbered(key: str, sequencer: str) -> dict[str, Any]:
        fresh = json.loads(json.dumps(record))
        fresh["s3"]["object"] |= {"key": key, "sequencer": sequencer, "versionId": sequencer}
        return dict(fresh)

    mixed = [numbered("a", "100"), numbered("b", "F"), numbered("a", "0FF"), numbered("a", "ff1")]
    told = events(json.dumps({"Records": mixed}).encode())
    found = [(file_record(event).path[-1], file_record(event).version) for event in told]
    assert found == [("a", "0FF"), ("b", "F"), ("a", "100"), ("a", "ff1")]


def test_a_probe_without_body_and_the_test_message_say_nothing() -> None:
    assert events(b"", b" \n", AWS[5]) == []


def test_only_the_buckets_asked_for_are_told_of() -> None:
    assert events(AWS[0], buckets=frozenset({"other"})) == []
    assert len(events(AWS[0], buckets=frozenset({"p11-raw"}))) == 1


def test_an_event_survives_the_log() -> None:
    for event in events(*AWS, *MINIO, *CEPH):
        assert decode(encode(event)) == event
        assert file_record(event).origin["s3"]["bucket"]["name"] == "p11-raw"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{", "not a message"),
        (b"[]", "not a message"),
        (b"{}", "'Records' is missing"),
        (b'{"Records":[{}]}', "not a record"),
        (b'{"Records":[1]}', "not a record"),
        (message("ObjectInvented:New"), "ObjectInvented"),
        (message("ObjectCreated:Put", key=""), "is empty"),
        (message("ObjectCreated:Put", size="big"), "'size'"),
        (AWS[0].replace(b'"2.1"', b'"3.0"'), "eventVersion"),
        (AWS[0].replace(b"AIDA", b"\xff"), "not a"),
    ],
)
def test_what_cannot_be_read_is_named(raw: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        events(raw)


def test_an_unknown_minor_version_is_accepted() -> None:
    assert kinds(AWS[0].replace(b'"2.1"', b'"2.99"')) == ["created"]
