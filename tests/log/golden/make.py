"""Writes golden Kafka records of this version: ``python -m tests.log.golden.make FILE``.

To be run before the form of records changes; what it wrote once is read for ever.
"""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Raw

from penstock.core import lifecycle
from penstock.core.event import Event, encode
from penstock.core.lifecycle import CancelRequest, Deployed, RunRequest, StepEnd
from penstock.log.kafka_binding import to_message


def events() -> Iterator[Event]:
    """Yield one event of each form."""
    file = Event(
        id="dcache-main:8d1c",
        source="/storages/dcache-main",
        type="penstock.file.created",
        subject="/pnfs/example.org/raw/run%2042/frame_%C3%A4.nxs",
        time="2026-11-21T09:00:00.123Z",
        partitionkey="/pnfs/example.org/raw/run%2042",
        datacontenttype="application/json",
        dataschema="https://penstock.dev/schemas/file-record/1",
        data=Raw(
            b'{"storage":"dcache-main","path":"/pnfs/example.org/raw/run 42/frame_\xc3\xa4.nxs","size":7}'
        ),
        cause="r1",
        depth=3,
    )
    yield file
    request = RunRequest(
        tenant="local",
        principal="anna",
        workflow="local/f@1",
        event=Raw(encode(file)),
        trigger="t",
        generation=2,
    )
    yield lifecycle.request_event(lifecycle.RUN_REQUESTED, request, "n1", file.subject or "")
    cancel = CancelRequest(run="r1", reason="enough", principal="anna")
    yield lifecycle.request_event(lifecycle.RUN_CANCEL_REQUESTED, cancel, "n2", "r1")
    end = StepEnd(run="r1", step="s", attempt=2, item=4, result=Raw(b'{"a":1}'), outputs=("/x",), ended_ns=9)
    yield lifecycle.step_event(lifecycle.STEP_SUCCEEDED, end, 4, "r1")
    deployed = Deployed(
        tenant="local", principal="anna", functions=[{"name": "f"}], workflows=[], triggers=[]
    )
    yield lifecycle.request_event(lifecycle.DEPLOYED, deployed, "n3", "f.py")
    yield Event(id="b", source="/outside", type="bytes", datacontenttype="image/png", data_base64="iVBORw==")
    yield Event(id="e", source="/outside", type="extended", extensions={"traceparent": "00-1", "site": "hh"})
    yield Event(id="s", source="/outside", type="structured", extensions={"count": 7, "fine": True})
    yield Event(id="n", source="/outside", type="nothing")


def record(event: Event) -> dict[str, Any]:
    """Return an event's Kafka record, and the event, as JSON."""
    key, value, headers = to_message(event)
    return {
        "key": None if key is None else _text(key),
        "value": None if value is None else _text(value),
        "headers": [
            [name, _text(each.encode() if isinstance(each, str) else each or b"")] for name, each in headers
        ],
        "event": json.loads(encode(event)),
    }


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()


if __name__ == "__main__":
    lines = [json.dumps(record(event), ensure_ascii=False) for event in events()]
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n", encoding="utf-8")
