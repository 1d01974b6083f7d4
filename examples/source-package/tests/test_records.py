import json

import pytest
from penstock_tides.records import Lines

from penstock.core.errors import Invalid
from penstock.core.event import file_record

GOOD = {
    "station": "pier",
    "file": "/2026/a.dat",
    "number": 7,
    "bytes": 12,
    "finished": "2026-11-21T10:00:00Z",
}


def test_a_finished_file_is_new_content() -> None:
    (event,) = Lines("gauges").events(json.dumps(GOOD).encode())
    assert (event.type, event.subject) == ("penstock.file.created", "/2026/a.dat")
    assert (file_record(event).size, file_record(event).version) == (12, "pier-7")


def test_a_line_sent_twice_has_one_id() -> None:
    read = Lines("gauges")
    spaced = json.dumps(GOOD, indent=None, separators=(" , ", " : ")).encode()
    assert read.events(json.dumps(GOOD).encode())[0].id == read.events(spaced)[0].id


@pytest.mark.parametrize(
    "change", [{"file": "a.dat"}, {"bytes": "many"}, {"finished": "soon"}, {"number": None}]
)
def test_what_cannot_be_read_is_said(change: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        Lines("gauges").events(json.dumps(GOOD | change).encode())
