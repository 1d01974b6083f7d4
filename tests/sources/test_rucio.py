"""Rucio's messages become events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import Invalid
from penstock.core.event import Event, decode, encode, file_record
from penstock.sources.rucio import Messages

SAMPLES = (
    (Path(__file__).parents[1] / "data" / "sources" / "rucio" / "messages.jsonl").read_bytes().splitlines()
)


def one(raw: bytes) -> Event:
    (event,) = Messages("rucio").events(raw)
    return event


def changed(sample: int, payload: dict[str, Any] | None = None, **members: Any) -> bytes:
    message = json.loads(SAMPLES[sample])
    message["payload"] |= payload or {}
    return json.dumps(message | members).encode()


def test_each_sample_means_what_the_table_says() -> None:
    kinds = [one(raw).type.removeprefix("penstock.") for raw in SAMPLES]
    assert kinds == [
        "rucio.transfer-queued",
        "rucio.transfer-submitted",
        "file.created",
        "file.transfer-failed",
        "file.staged",
        "file.deleted",
        "rucio.deletion-not-found",
        "rucio.deletion-failed",
        "rucio.create_dts",
        "rucio.create_cnt",
        "rucio.register_cnt",
        "rucio.close",
        "rucio.open",
        "rucio.rule_progress",
        "rucio.rule_ok",
        "rucio.datasetlock_ok",
        "rucio.detach",
        "rucio.erase_cnt",
        "rucio.erase",
        "rucio.lost",
        "rucio.incomplete",
    ]


def test_a_transfer_that_is_done_is_a_new_file_at_its_destination() -> None:
    event = one(SAMPLES[2])
    record = file_record(event)
    assert record.path == "/DESY-P11-TAPE/p11.raw/scan_über_001.h5"
    assert (record.size, record.checksum) == (4294967296, {"adler32": "3c1a0d2e"})
    assert record.origin == json.loads(SAMPLES[2])


def test_a_data_identifier_s_event_has_members_in_one_spelling() -> None:
    event = one(SAMPLES[0])
    data = json.loads(bytes(event.data))  # type: ignore[arg-type]
    assert data["dst_rse"] == "DESY-P11-TAPE"
    assert data["origin"]["payload"]["dst-rse"] == "DESY-P11-TAPE"
    assert one(SAMPLES[11]).subject == "/p11.raw/11019999.run0001"


def test_times_are_utc_and_events_survive_the_log() -> None:
    for raw in SAMPLES:
        event = one(raw)
        assert event.time is not None
        assert event.time.endswith("Z")
        assert decode(encode(event)) == event


def test_a_message_delivered_twice_has_one_id_and_another_attempt_another() -> None:
    for number, raw in enumerate(SAMPLES):
        shuffled = json.loads(raw)
        shuffled["payload"] = dict(reversed(shuffled["payload"].items()))
        assert one(json.dumps(shuffled).encode()).id == one(raw).id
        assert one(changed(number, created_at="2027-01-01 00:00:00.000001")).id != one(raw).id
    assert len({one(raw).id for raw in SAMPLES}) == len(SAMPLES)


def test_a_type_that_is_not_known_yet_is_told_as_it_is() -> None:
    assert one(changed(14, event_type="NEW_IDEA")).type == "penstock.rucio.new_idea"
    nameless = json.dumps({"event_type": "news", "payload": {}, "created_at": "2026-10-14 07:21:00"}).encode()
    assert one(nameless).subject is None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not a message"),
        (b"{}", "not a message"),
        (b"[" * 100_000, "not a message"),
        (b'{"event_type":"a b","payload":{}}', "event_type"),
        (b'{"event_type":"transfer-done","payload":{}}', "dst-rse"),
        (changed(2, {"name": None}), "'name'"),
        (changed(2, created_at="soon"), "created_at"),
        (SAMPLES[2].replace(b"scan", b"\xff"), "not a message"),
    ],
)
def test_what_cannot_be_read_is_named(raw: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        one(raw)
