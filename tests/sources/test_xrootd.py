"""XRootD's notices become events."""

from __future__ import annotations

import pytest

from penstock.core.errors import Invalid
from penstock.core.event import Event, decode, encode, file_record, path_of
from penstock.sources.xrootd import Line, Notices, folder_of, whole

T = b"alice.1:26@host"


def line(text: bytes, place: bytes = b"f:0") -> Line:
    return Line(place, 1_791_962_403_000_000_000, text)


def events(text: bytes, known: tuple[bytes, ...] = ()) -> tuple[Event, ...]:
    return Notices("door", known.__contains__).events(line(text))


def told(text: bytes, known: tuple[bytes, ...] = ()) -> list[tuple[str, bytes]]:
    return [
        (event.type.removeprefix("penstock.file."), path_of(event.subject or ""))
        for event in events(text, known)
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"penstock1 closew " + T + b" /a b//", [("created", b"/a b")]),
        (b"penstock1 closew " + T + b" /odd\xff\n name//", [("created", b"/odd\xff\n name")]),
        (b"penstock1 trunc " + T + b" /a//", [("updated", b"/a")]),
        (b"penstock1 mkdir " + T + b" /a///", []),
        (T + b" closew /a  b ", [("created", b"/a  b ")]),
        (T + b" create 644 /a", []),
        (T + b" chmod 644 /a", [("attributes-changed", b"/a")]),
        (T + b" chmod 644 644 /a", [("attributes-changed", b"/a")]),
        (T + b" rm /a", [("deleted", b"/a")]),
        (T + b" closer /a", [("read", b"/a")]),
        (T + b" mv /a/tmp.1 /a/b", [("moved", b"/a/tmp.1"), ("created", b"/a/b")]),
        (T + b" mv /dir/ /dir2/", [("moved", b"/dir"), ("created", b"/dir2")]),
        (T + b" mv /a b /c d", [("moved", b"/a b"), ("created", b"/c d")]),
    ],
)
def test_each_notice_means_what_the_table_says(text: bytes, wanted: list[tuple[str, bytes]]) -> None:
    if text.startswith(T + b" chmod 644 644"):
        with pytest.raises(Invalid, match="absolute path"):
            told(text)
        return
    assert told(text) == wanted


def test_a_move_that_can_be_read_in_two_ways_is_read_as_what_is_known() -> None:
    text = T + b" mv /a /b /c"
    with pytest.raises(Invalid, match="2 ways"):
        told(text)
    assert told(text, (b"/a",)) == [("moved", b"/a"), ("created", b"/b /c")]
    assert told(text, (b"/a /b",)) == [("moved", b"/a /b"), ("created", b"/c")]


def test_an_event_knows_who_did_it_and_when_it_was_noticed() -> None:
    (event,) = events(b"penstock1 closew " + T + b" /a//")
    record = file_record(event)
    assert event.time == "2026-10-14T07:20:03.000000Z"
    assert record.owner == {"subject": "alice"}
    assert record.client == {"address": "host", "protocol": "xroot"}
    assert decode(encode(event)) == event


def test_equal_notices_at_two_places_are_two_events_and_at_one_are_one() -> None:
    read = Notices("door")
    text = b"penstock1 closew " + T + b" /a//"
    first, again, later = (read.events(line(text, place))[0].id for place in (b"f:0", b"f:0", b"f:50"))
    assert first == again != later


def test_a_path_with_a_line_end_is_put_together_again() -> None:
    ours = b"penstock1 closew " + T
    parts = [ours + b" /a", b"b//", T + b" rm /c", ours + b" /cut", T + b" rm /d"]
    found = [each.text for each in whole(line(part, b"%d" % n) for n, part in enumerate(parts))]
    assert found == [parts[0] + b"\n" + parts[1], *parts[2:]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no notice"),
        (b"hello world", "no notice"),
        (b"penstock1 closew " + T + b" /a/cut", "was cut"),
        (T + b" trunc 100", "notifymsg trunc"),
        (T + b" dance /a", "'dance'"),
        (T + b" closew relative", "absolute path"),
        (T + b" mv /only", "0 ways"),
    ],
)
def test_what_cannot_be_read_is_named(text: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        events(text)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        (T + b" mv /x/y/a /x/y/b /x/z", b"/x"),
        (T + b" mv /a /b /c", b"/"),
        (b"penstock1 closew " + T + b" /x/y/cut", b"/x/y"),
        (b"garbage", b"/"),
    ],
)
def test_a_faulty_notice_concerns_a_folder(text: bytes, folder: bytes) -> None:
    assert folder_of(text) == folder
