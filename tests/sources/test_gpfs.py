"""Records of a GPFS watch folder, quirks included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Invalid
from penstock.core.event import Event, decode, encode, file_record
from penstock.sources.gpfs import WatchEnded, WatchFolder

DATA = Path(__file__).parents[1] / "data" / "sources" / "gpfs-watch-folder"
SAMPLES = (DATA / "events.jsonl").read_bytes().splitlines()
FILE = "/gpfs/petra3/p11/2026/data/11019999/raw/Probe Nr 7/scan_über_001.h5"


def records(*changes: dict[str, Any], sample: int = 4) -> list[bytes]:
    return [json.dumps(json.loads(SAMPLES[sample]) | change).encode() for change in changes]


def one(raw: bytes) -> Event:
    (event,) = WatchFolder("gpfs0").events(raw)
    return event


def test_each_sample_means_what_the_table_says() -> None:
    watch = WatchFolder("gpfs0")
    said = []
    for raw in SAMPLES[:11]:
        said += [
            (event.type.removeprefix("penstock."), file_record(event).path) for event in watch.events(raw)
        ]
    kinds = [kind for kind, _ in said]
    assert kinds == [
        "file.created",
        "file.read",
        "file.attributes-changed",
        "file.moved",
        "file.created",
        "file.deleted",
    ]
    assert said[0][1] == FILE
    assert all(path.startswith("/gpfs/") for _, path in said)


def test_the_last_samples_say_that_the_watch_has_ended() -> None:
    for raw in SAMPLES[11:]:
        with pytest.raises(WatchEnded, match="mmwatch all status"):
            WatchFolder("gpfs0").events(raw)


def test_a_closed_file_keeps_size_times_owner_and_its_native_record() -> None:
    event = one(SAMPLES[4])
    record = file_record(event)
    assert (record.inode, record.owner) == (1048578, {"uid": 1042, "gids": [2042]})
    assert record.size == int(json.loads(SAMPLES[4])["fileSize"])
    assert record.origin == json.loads(SAMPLES[4])
    assert event.time is not None
    assert event.time.endswith("+02:00")
    assert decode(encode(event)) == event
    assert event.partitionkey == event.subject[: event.subject.rfind("/")] if event.subject else False


@pytest.mark.parametrize(
    "change",
    [
        {"fileSize": 7, "inode": 3, "ownerUserId": 1},
        {"fileSize": "7", "inode": "3", "ownerUserId": "1"},
    ],
)
def test_numbers_may_be_texts(change: dict[str, Any]) -> None:
    record = file_record(one(records(change)[0]))
    assert (record.size, record.inode, record.owner) == (7, 3, {"uid": 1, "gids": [2042]})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2025-07-28_16:53:11.869+0100", "2025-07-28T16:53:11.869000+01:00"),
        ("2025-07-28T16:53:11.869+01:00", "2025-07-28T16:53:11.869000+01:00"),
        ("2025-07-28 15:53:11Z", "2025-07-28T15:53:11Z"),
        (1791962403, "2026-10-14T07:20:03Z"),
    ],
)
def test_times_come_with_underscore_or_t_with_or_without_colon(text: Any, wanted: str) -> None:
    assert one(records({"eventTime": text})[0]).time == wanted


def test_a_move_is_joined_by_its_cookie_across_partitions() -> None:
    left, came = SAMPLES[7], SAMPLES[8]
    watch = WatchFolder("gpfs0")
    watch.events(left)
    (event,) = watch.events(came)
    assert file_record(event).moved_from == json.loads(left)["path"]
    (alone,) = WatchFolder("gpfs0").events(came)
    assert file_record(alone).moved_from is None
    assert alone.id == event.id


def test_equal_cookies_of_two_nodes_are_two_moves() -> None:
    watch = WatchFolder("gpfs0")
    watch.events(SAMPLES[7])
    (event,) = watch.events(records({"nodeName": "node99"}, sample=8)[0])
    assert file_record(event).moved_from is None


def test_a_record_delivered_twice_has_one_id_and_another_write_another() -> None:
    again = json.dumps(dict(reversed(json.loads(SAMPLES[4]).items()))).encode()
    later = records({"eventTime": "2026-10-14_10:00:00.000+0200"})[0]
    assert one(SAMPLES[4]).id == one(again).id != one(later).id


def test_a_folder_moved_in_is_a_loss_as_its_files_are_not_told() -> None:
    watch = WatchFolder("gpfs0")
    assert watch.events(records({"event": "IN_MOVED_TO IN_ISDIR", "path": "/gpfs/new"})[0]) == ()
    (moved,) = watch.moved
    assert moved.path == b"/gpfs/new"


def test_several_names_in_one_record_are_all_told() -> None:
    events = WatchFolder("gpfs0").events(records({"event": "IN_CLOSE_WRITE  IN_ATTRIB"})[0])
    assert [event.type for event in events] == ["penstock.file.created", "penstock.file.attributes-changed"]


def test_the_audit_log_s_close_after_writing_is_new_content() -> None:
    raw = (DATA / "audit-log.jsonl").read_bytes().strip()
    assert one(raw).type == "penstock.file.created"
    read = json.dumps(json.loads(raw) | {"bytesWritten": "0"}).encode()
    assert one(read).type == "penstock.file.read"
    renamed = json.dumps(json.loads(raw) | {"event": "RENAME", "oldPath": "/gpfs/old"}).encode()
    old, new = WatchFolder("gpfs0").events(renamed)
    assert (old.subject, file_record(new).moved_from) == ("/gpfs/old", "/gpfs/old")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not a record"),
        (b"{", "not a record"),
        (b"[" * 100_000, "not a record"),
        (b'{"event":"IN_OPEN","path":"/a"}', "WF_JSON"),
        (records({"path": "relative"})[0], "absolute path"),
        (records({"event": "IN_NEWS"})[0], "IN_NEWS"),
        (records({"event": " "})[0], "expected names"),
        (records({"fileSize": "many"})[0], "fileSize"),
        (records({"eventTime": "yesterday"})[0], "eventTime"),
        (SAMPLES[4].replace(b"scan", b"\xff\xfe"), "not a record"),
    ],
)
def test_what_cannot_be_read_is_named(raw: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        WatchFolder("gpfs0").events(raw)
