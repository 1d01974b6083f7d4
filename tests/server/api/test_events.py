"""Taking events in, listing and streaming them."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from tests.server.api.served import Served, Unix

from penstock.server.api.cloudevents import BATCH, BATCH_BYTES_MAX, EVENTS_MAX, STRUCTURED


def event(id: str, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id, "source": "/tests", "type": "test.plain", **more}


def send(served: Served, body: Any, media: str = STRUCTURED, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return served.ask_api("POST", "events", raw, {"content-type": media, **headers})


def newest(served: Served, text: str) -> Any:
    return served.get(f"events?limit=1&filter={text}")["events"][0]["event"]


@pytest.mark.parametrize("mode", [to_binary, to_structured])
def test_events_of_the_public_sdk_are_understood(served: Served, mode: Any) -> None:
    made = CloudEvent(
        {
            "id": f"sdk-{mode.__name__}",
            "source": "/tests/Grüße",
            "type": "test.sdk",
            "subject": "a b%c",
            "time": datetime(2026, 11, 21, 9, tzinfo=UTC),
            "datacontenttype": "application/json",
            "someextension": "x",
        },
        {"answer": 42},
    )
    message = mode(made, JSONFormat())
    answer = served.ask_api("POST", "events", message.body, dict(message.headers))
    assert answer.status == 200, answer.body
    kept = newest(served, f"id%20%3D%20%27sdk-{mode.__name__}%27")
    assert kept["source"] == "/tests/Grüße"
    assert kept["subject"] == "a b%c"
    assert kept["someextension"] == "x"
    assert kept["data"] == {"answer": 42}


def test_binary_data_that_is_no_json_comes_back_as_it_was(served: Served) -> None:
    headers = {"ce-id": "raw-1", "ce-source": "/tests", "ce-type": "test.raw", "ce-specversion": "1.0"}
    assert send(served, b"\x00\xff", "application/octet-stream", **headers).status == 200
    assert newest(served, "id%3D%27raw-1%27")["data_base64"] == "AP8="


def test_an_event_sent_twice_is_acknowledged_twice_and_kept_once(served: Served) -> None:
    assert send(served, event("twice")).json() == [{"id": "twice", "new": True}]
    assert send(served, event("twice")).json() == [{"id": "twice", "new": False}]
    assert len(served.get("events?filter=id%3D%27twice%27")["events"]) == 1


def test_a_batch_is_taken_whole_or_not_at_all(served: Served) -> None:
    good = [event(f"batch-{number}") for number in range(3)]
    assert [taken["id"] for taken in send(served, good, BATCH).json()] == ["batch-0", "batch-1", "batch-2"]
    answer = send(served, [event("batch-9"), {"id": "x"}], BATCH)
    assert answer.status == 422
    assert answer.json()["faults"][0].startswith("/1: ")
    assert served.get("events?filter=id%3D%27batch-9%27")["events"] == []
    assert send(served, [], BATCH).json() == []


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"{", STRUCTURED, 422),
        (b"", STRUCTURED, 422),
        (b"[" * 100_000, STRUCTURED, 422),
        (b"\xff\xfe", STRUCTURED, 422),
        (b'{"specversion":"0.3","id":"a","source":"/s","type":"t"}', STRUCTURED, 422),
        (b'{"specversion":"1.0","id":"","source":"/s","type":"t"}', STRUCTURED, 422),
        (b'{"specversion":"1.0","id":"a","source":"/penstock","type":"t"}', STRUCTURED, 403),
        (b'{"specversion":"1.0","id":"a","source":"/storages/local","type":"t"}', STRUCTURED, 403),
        (b"{}", BATCH, 422),
        (b"[1]", BATCH, 422),
        (b"<a/>", "application/cloudevents+xml", 415),
        (b"{}", "application/json", 415),
        (b"", "", 415),
    ],
)
def test_what_is_no_event_is_refused_with_words(served: Served, body: bytes, media: str, status: int) -> None:
    answer = send(served, body, media)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_binary_headers_are_checked(served: Served) -> None:
    good = {"ce-id": "h", "ce-source": "/tests", "ce-type": "t", "ce-specversion": "1.0"}
    for name, value in [("ce-depth", "x"), ("ce-id", "%ff"), ("ce-data", "x"), ("ce-time", "now")]:
        answer = send(served, b"{}", "application/json", **{**good, name: value})
        assert answer.status == 422, name
    assert send(served, b"{", "application/json", **good).status == 422


def test_bodies_and_batches_have_limits(served: Served) -> None:
    large = event("large", data="x" * (1 << 20))
    assert send(served, large).status == 413
    with contextlib.closing(Unix(served.address()["socket"])) as connection:
        connection.putrequest("POST", "/api/v1/events")
        connection.putheader("content-type", BATCH)
        connection.putheader("content-length", str(BATCH_BYTES_MAX + (1 << 30)))
        connection.endheaders()
        assert connection.getresponse().status == 413
    many = b"[" + b",".join([b"{}"] * (EVENTS_MAX + 1)) + b"]"
    assert send(served, many, BATCH).status == 413


def test_a_body_without_an_announced_end_is_cut_off_at_the_limit(served: Served) -> None:
    connection = Unix(served.address()["socket"])
    connection.putrequest("POST", "/api/v1/events")
    connection.putheader("content-type", STRUCTURED)
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    for _ in range(40):
        connection.send(chunk)
    connection.send(b"0\r\n\r\n")
    response = connection.getresponse()
    assert response.status == 413
    assert response.getheader("connection") == "close"
    connection.close()


def test_lists_go_on_where_they_stopped(served: Served) -> None:
    assert send(served, [event(f"page-{n}", type="test.page") for n in range(5)], BATCH).status == 200
    query = "events?filter=type%3D%27test.page%27&limit=2"
    first = served.get(query)
    second = served.get(f"{query}&until={first['next']}")
    ids = [entry["event"]["id"] for entry in first["events"] + second["events"]]
    assert ids == ["page-4", "page-3", "page-2", "page-1"]
    oldest = served.get(f"{query}&order=oldest")
    assert [entry["event"]["id"] for entry in oldest["events"]] == ["page-0", "page-1"]
    more = served.get(f"{query}&order=oldest&since={oldest['next']}")
    assert more["events"][0]["event"]["id"] == "page-2"


def test_times_and_filter_documents_choose_events(served: Served) -> None:
    assert send(served, event("dialect", type="test.dialect")).status == 200
    found = served.get("events?filter=%7B%22exact%22%3A%7B%22type%22%3A%22test.dialect%22%7D%7D")["events"]
    at = found[0]["appended"]
    assert served.get(f"events?since={at}&order=oldest&limit=1")["events"][0]["offset"] <= found[0]["offset"]
    assert served.get("events?since=2100-01-01T00:00:00Z")["events"] == []
    shown = served.get(f"events/{found[0]['offset']}")
    assert shown["event"]["id"] == "dialect"
    assert shown["decisions"] == []


@pytest.mark.parametrize(
    "path",
    [
        "events?limit=0",
        "events?limit=x",
        "events?limit=1&limit=2",
        "events?colour=red",
        "events?since=yesterday",
        "events?since=2026-01-01T00:00:00",
        "events?filter=%7B",
        "events?filter=type%20=%20",
        "events?filter=%7B%22exakt%22%3A%7B%7D%7D",
        "events?order=sideways",
        "events/x",
        "events/-1",
    ],
)
def test_wrong_questions_are_refused_with_words(served: Served, path: str) -> None:
    answer = served.ask_api("GET", path)
    assert answer.status == 422, answer.body
    assert answer.json()["detail"]


def test_an_offset_that_is_not_there_is_not_found(served: Served) -> None:
    assert served.ask_api("GET", "events/999999999").status == 404


def test_a_stream_tells_of_new_events_and_resumes_behind_the_last_one(served: Served) -> None:
    query = "events/stream?filter=type%3D%27test.stream%27"
    with served.stream(query) as stream:
        assert stream.response.getheader("content-type") == "text/event-stream"
        served.take(id="stream-1", type="test.stream", data={"a": [1, 2]})
        frame = next(stream.frames())
        assert json.loads(frame["data"])["event"]["id"] == "stream-1"
    served.take(id="stream-2", type="test.stream")
    with served.stream(query, {"Last-Event-ID": frame["id"]}) as stream:
        assert next(stream.messages())["event"]["id"] == "stream-2"
        served.take(id="stream-3", type="test.stream")
        assert next(stream.messages())["event"]["id"] == "stream-3"


def test_data_with_line_breaks_stays_one_frame(served: Served) -> None:
    with served.stream("events/stream?filter=id%3D%27broken%27") as stream:
        raw = b'{"specversion":"1.0","id":"broken","source":"/tests","type":"t","data":{\n\n"a"\r\n:1}}'
        assert send(served, raw).status == 200
        assert next(stream.messages())["event"]["data"] == {"a": 1}


def test_a_client_that_does_not_read_costs_little_and_misses_nothing(served: Served) -> None:
    pid = served.address()["pid"]
    with served.stream("events/stream?filter=type%3D%27test.heavy%27") as stream:
        before = resident_bytes(pid)
        for number in range(0, 3000, 300):
            batch = [
                event(f"heavy-{n}", type="test.heavy", data="x" * 8000) for n in range(number, number + 300)
            ]
            assert send(served, batch, BATCH).status == 200
        assert resident_bytes(pid) - before < 64 << 20
        ids = [message["event"]["id"] for _, message in zip(range(3000), stream.messages(), strict=False)]
    assert ids == [f"heavy-{number}" for number in range(3000)]


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_streams_that_are_left_are_forgotten(served: Served) -> None:
    streams = [served.stream("events/stream") for _ in range(20)]
    assert served.get("status")["streams"] >= 20
    for stream in streams:
        stream.__exit__()
    deadline = time.monotonic() + 10
    while served.get("status")["streams"] > 0:
        assert time.monotonic() < deadline, "streams stay open"


def test_many_senders_at_once_are_all_acknowledged(served: Served) -> None:
    answers: list[int] = []

    def work(sender: int) -> None:
        for number in range(10):
            answers.append(send(served, event(f"sender-{sender}-{number}")).status)

    threads = [threading.Thread(target=work, args=(sender,)) for sender in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 80
