"""dCache's billing records: what each of the samples means, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from penstock.core.errors import Invalid
from penstock.core.event import Event, content_id, decode, encode, file_record
from penstock.core.identity import version_gone_id
from penstock.sources.dcache.billing import Billing, PathUnknown
from penstock.sources.dcache.paths import KnownPaths
from penstock.sources.dcache.principals import owner_of

SAMPLES = Path(__file__).parent.parent / "data" / "dcache" / "billing"
RAW = "/pnfs/example.org/p11/2026/data/11019999/raw"
NFS_FOLDER = "00003C5E8A2B14D94F6D8B7A6C5D4E3F2A1B"
SCAN = f"{RAW}/Probe Nr 7/scan_über_001.h5"


def lines(name: str) -> list[bytes]:
    """Return the records of one sample file."""
    return (SAMPLES / f"{name}.jsonl").read_bytes().splitlines()


def billing(**known: str) -> Billing:
    """Return a normaliser that knows where some pnfsids are."""
    paths = KnownPaths(100)
    for pnfsid, path in known.items():
        paths.learn(pnfsid, path)
    return Billing("dcache-main", paths)


def told(name: str, number: int) -> Event | None:
    """Return the event of a sample's line, counted from 1."""
    return billing().event(lines(name)[number - 1])


@pytest.mark.parametrize(
    ("name", "number", "kind", "path"),
    [
        ("upload", 1, "created", SCAN),
        ("upload", 2, None, ""),
        ("upload", 3, "created", f"{RAW}/кристалл 42/кадр_0001.cbf"),
        ("upload", 4, None, ""),
        ("upload", 5, "created", f"{RAW}/done.flag"),
        ("upload", 6, None, ""),
        ("upload", 7, "created", f"{RAW}/srm/run_0001.root"),
        ("download", 1, "read", SCAN),
        ("download", 2, None, ""),
        ("download", 3, "read", SCAN),
        ("p2p", 1, None, ""),
        ("tpc", 1, "created", f"{RAW}/replica/data file.root"),
        ("tpc", 2, None, ""),
        ("delete", 1, "deleted", f"{RAW}/кристалл 42/кадр_0001.cbf"),
        ("delete", 2, "deleted", f"{RAW}/done.flag"),
        ("delete", 4, None, ""),
        ("store", 1, "flushed", SCAN),
        ("store", 2, "transfer-failed", f"{RAW}/done.flag"),
        ("failed", 1, "transfer-failed", f"{RAW}/broken/partial.h5"),
        ("failed", 2, "transfer-failed", f"{RAW}/broken/partial.h5"),
        ("failed", 3, "transfer-failed", f"{RAW}/broken/partial.h5"),
        ("failed", 4, "transfer-failed", SCAN),
        ("hit-warning", 1, None, ""),
        ("hit-warning", 2, None, ""),
    ],
)
def test_each_sample_means_what_the_table_says(name: str, number: int, kind: str | None, path: str) -> None:
    event = told(name, number)
    if kind is None:
        assert event is None
        return
    assert event is not None
    assert event.type == f"penstock.file.{kind}"
    assert file_record(event).path == path


def test_an_upload_is_told_whole() -> None:
    raw = lines("upload")[0]
    event = billing().event(raw)
    assert event is not None
    record = file_record(event)
    assert event.source == "/storages/dcache-main"
    assert event.subject is not None
    assert event.subject.endswith("/Probe%20Nr%207/scan_%C3%BCber_001.h5")
    assert event.partitionkey == event.subject.rpartition("/")[0]
    assert event.time == "2026-10-14T09:20:03.412+02:00"
    assert record.size == 4294967296
    assert record.version == "0000A1B2C3D4E5F60718293A4B5C6D7E8F90"
    assert record.generation is None
    assert record.owner == {"subject": "jmueller", "uid": 1042, "gids": [2042, 3001]}
    assert record.client == {"address": "192.0.2.17", "protocol": "https"}
    assert event.id == content_id("dcache-main", SCAN.encode(), record.version)
    assert decode(encode(event)) == event


def test_the_record_is_kept_byte_for_byte() -> None:
    class Data(msgspec.Struct):
        origin: Raw

    for name in ("upload", "download", "delete", "failed", "store", "tpc"):
        for raw in lines(name):
            event = billing(**{NFS_FOLDER: "/x"}).event(raw)
            if event is not None:
                assert isinstance(event.data, Raw)
                assert bytes(msgspec.json.decode(event.data, type=Data).origin) == raw


def test_a_failure_is_one_event_whether_pool_or_door_tells_of_it() -> None:
    transfer, request, other = told("failed", 1), told("failed", 2), told("failed", 3)
    assert transfer
    assert request
    assert other
    assert transfer.id == request.id != other.id


def test_the_end_of_a_file_is_named_by_its_version() -> None:
    event = told("delete", 2)
    assert event is not None
    path = f"{RAW}/done.flag".encode()
    assert event.id == version_gone_id("dcache-main", path, "0000000000000000000000000000000E0E0E")


@pytest.mark.parametrize(
    ("name", "number", "pnfsid", "parent"),
    [
        ("restore", 1, "0000A1B2C3D4E5F60718293A4B5C6D7E8F90", None),
        ("restore", 2, "0000CAFE0000BABE0000CAFE0000BABE0000", None),
        (
            "delete",
            3,
            "0000D00D0000D00D0000D00D0000D00D0000",
            ("00003C5E8A2B14D94F6D8B7A6C5D4E3F2A1B", "tmp file.dat"),
        ),
    ],
)
def test_a_path_that_is_not_told_is_asked_for(
    name: str, number: int, pnfsid: str, parent: tuple[str, str] | None
) -> None:
    with pytest.raises(PathUnknown) as raised:
        told(name, number)
    assert (raised.value.pnfsid, raised.value.parent) == (pnfsid, parent)
    known = {pnfsid: "/known/file"} if parent is None else {parent[0]: "/known"}
    event = billing(**known).event(lines(name)[number - 1])
    assert event is not None
    assert file_record(event).path == ("/known/file" if parent is None else "/known/tmp file.dat")


def test_where_a_file_was_written_is_remembered_for_later_records() -> None:
    reader = billing()
    reader.event(lines("upload")[0])
    event = reader.event(lines("restore")[0])
    assert event is not None
    assert (event.type, file_record(event).path) == ("penstock.file.staged", SCAN)


def test_only_so_many_paths_are_remembered() -> None:
    paths = KnownPaths(2)
    for pnfsid in "ABC":
        paths.learn(pnfsid, f"/{pnfsid}")
    assert [paths.find(pnfsid) for pnfsid in "ABC"] == [None, "/B", "/C"]


def test_a_request_that_failed_before_it_was_about_a_file_is_no_event() -> None:
    document = json.loads(lines("failed")[3])
    del document["pnfsid"]
    lost = {**document, "billingPath": "Unknown", "transferPath": "Unknown"}
    assert billing().event(json.dumps(lost).encode()) is None
    assert billing().event(json.dumps(document).encode()) is not None


def test_both_publishers_copies_of_a_record_are_one_event() -> None:
    for name in ("upload", "download", "failed", "store"):
        document = json.loads(lines(name)[0])
        twin = {key: document[key] for key in sorted(document)}
        twin["queuingTime"] = 5
        one, other = (billing().event(json.dumps(each).encode()) for each in (document, twin))
        assert one
        assert other
        assert one.id == other.id


def test_a_second_read_is_a_second_event() -> None:
    one, other = told("download", 1), told("download", 3)
    assert one
    assert other
    assert one.id != other.id


@pytest.mark.parametrize(
    "time", ["2026-10-14T09:20:03+02:00", "2026-10-14T09:20:03.4Z", "2026-10-14T09:20:03.41Z"]
)
def test_fractions_of_seconds_come_in_any_length(time: str) -> None:
    event = billing().event(json.dumps({**json.loads(lines("upload")[0]), "date": time}).encode())
    assert event is not None
    assert event.time == time
    assert decode(encode(event)).time == time


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"msgType": "gossip"}, "msgType is 'gossip'; expected transfer"),
        ({"isWrite": "maybe"}, "isWrite is 'maybe'; expected read or write"),
        ({"date": "yesterday"}, "yesterday"),
        ({"status": {"code": "0"}}, "status.code"),
        ({"pnfsid": None}, "'pnfsid' is missing"),
        ({"subject": "me"}, "'subject' is no list"),
        ({"transferPath": "\ud800"}, "not a billing record"),
    ],
)
def test_what_is_no_billing_record_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    document = {**json.loads(lines("upload")[0]), **change}
    with pytest.raises(Invalid) as raised:
        billing().event(json.dumps(document).encode())
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\xfe", b"[]", b"{}", b"nonsense", b"[" * 100_000, b'{"msgType":"transfer']
)
def test_garbage_is_refused(raw: bytes) -> None:
    with pytest.raises(Invalid, match="not a billing record of dCache"):
        billing().event(raw)


def test_text_that_is_not_utf8_is_refused_also_in_members_nobody_reads() -> None:
    raw = lines("upload")[0].replace(b'"localEndpoint":"198', b'"localEndpoint":"\xff198')
    with pytest.raises(Invalid):
        billing().event(raw)


def test_a_record_in_several_lines_becomes_an_event_in_one() -> None:
    event = billing().event(msgspec.json.format(lines("upload")[0], indent=2))
    assert event is not None
    assert b"\n" not in encode(event)


@given(
    st.binary(max_size=300)
    | st.sampled_from(lines("upload")).flatmap(
        lambda raw: st.tuples(st.integers(0, len(raw) - 1), st.binary(min_size=1, max_size=3)).map(
            lambda cut: raw[: cut[0]] + cut[1] + raw[cut[0] + len(cut[1]) :]
        )
    )
)
def test_damaged_records_are_refused_or_read_and_never_raise_anything_else(raw: bytes) -> None:
    try:
        event = billing().event(raw)
    except Invalid:
        return
    if event is not None:
        assert decode(encode(event)).id == event.id


def test_names_of_people_may_hold_brackets() -> None:
    subject = ["UidPrincipal[7]", "UserNamePrincipal[a[b]@c]", "GidPrincipal[5]", "GidPrincipal[9,primary]"]
    assert owner_of(json.dumps(subject).encode()) == {"subject": "a[b]@c", "uid": 7, "gids": [9, 5]}


def test_a_certificate_names_its_owner() -> None:
    subject = ["/C=DE/O=GermanGrid/CN=Jo Doe [x]", "Origin[192.0.2.1]"]
    assert owner_of(json.dumps(subject).encode()) == {"subject": "/C=DE/O=GermanGrid/CN=Jo Doe [x]"}
