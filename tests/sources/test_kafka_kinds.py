"""What the kinds on Kafka make of a record; reading itself is tested with a real broker in ``test_kafka``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.core.errors import Invalid
from penstock.core.ports import Loss, SourceContext
from penstock.core.rows import DeadLetter
from penstock.sources.gpfs_kafka import Watched
from penstock.sources.kafka import KafkaRecord
from penstock.sources.s3_kafka import S3Kafka, S3KafkaSettings
from penstock.testing.ledger import MemoryLedger

DATA = Path(__file__).parents[1] / "data" / "sources"


def record(value: bytes | None) -> KafkaRecord:
    return KafkaRecord(topic="t", partition=0, offset=7, timestamp_ms=1, key=None, headers=(), value=value)


class Told:
    """A context that remembers what it was told."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.losses: list[Loss] = []
        self.context = SourceContext(
            name="it", ledger=MemoryLedger(), dead_letter=self.letters.append, lost=self.losses.append
        )


def test_a_gpfs_watch_that_ended_is_a_loss_of_everything() -> None:
    told = Told()
    watched = Watched("gpfs0", told.context)
    lines = (DATA / "gpfs-watch-folder" / "events.jsonl").read_bytes().splitlines()
    assert len(watched.normalise(record(lines[4]))) == 1
    with pytest.raises(Invalid, match="mmwatch"):
        watched.normalise(record(lines[12]))
    assert [(loss.storage, loss.folder) for loss in told.losses] == [("gpfs0", b"/")]


def test_a_gpfs_folder_that_moved_in_is_a_loss_below_it() -> None:
    told = Told()
    line = json.loads((DATA / "gpfs-watch-folder" / "events.jsonl").read_bytes().splitlines()[8])
    moved = json.dumps(line | {"event": "IN_MOVED_TO IN_ISDIR", "path": "/gpfs/in"}).encode()
    assert Watched("gpfs0", told.context).normalise(record(moved)) == ()
    assert [loss.folder for loss in told.losses] == [b"/gpfs/in"]


def test_a_record_without_a_value_is_named() -> None:
    with pytest.raises(Invalid, match="no value"):
        Watched("gpfs0", Told().context).normalise(record(None))


def test_one_bad_record_of_an_s3_message_leaves_the_others() -> None:
    told = Told()
    source = S3Kafka.open(S3KafkaSettings(servers="k:9092", topics=("s3",), storage="objects"), told.context)
    message = json.loads((DATA / "s3" / "aws.jsonl").read_bytes().splitlines()[1])
    message["Records"].insert(1, {"eventName": "ObjectCreated:Put"})
    events = source._normalise(record(json.dumps(message).encode()))
    assert len(events) == 2
    (letter,) = told.letters
    assert "not a record of an S3 storage" in letter.reason
    assert json.loads(letter.body) == {"eventName": "ObjectCreated:Put"}
