"""Records that earlier versions wrote to the topic are read as what they were."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from penstock.core.event import decode, encode
from penstock.log.kafka_binding import from_message

RECORDS = [
    pytest.param(json.loads(line), id=f"{file.stem}-{number}")
    for file in sorted((Path(__file__).parent / "golden").glob("kafka-records-*.jsonl"))
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
]


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)


@pytest.mark.parametrize("record", RECORDS)
def test_it_is_read_as_what_it_was(record: dict[str, Any]) -> None:
    headers = [(name, _bytes(value)) for name, value in record["headers"]]
    event = from_message(_bytes(record["key"]), _bytes(record["value"]), headers)
    assert event == decode(json.dumps(record["event"], ensure_ascii=False, separators=(",", ":")).encode())
    assert json.loads(encode(event)) == record["event"]


def test_every_form_is_there() -> None:
    assert len(RECORDS) >= 9
