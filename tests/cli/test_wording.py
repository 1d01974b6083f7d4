"""How values read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
import pytest

from penstock.cli import wording
from penstock.cli.params import JSON, MOMENT


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_times_are_local_and_name_the_day_unless_it_is_today() -> None:
    assert wording.moment("2026-07-01T12:00:00.5Z") == "2026-07-01 14:00:00"
    now = datetime.now(UTC)
    assert wording.moment(now.isoformat()) == now.astimezone().strftime("%H:%M:%S")
    assert wording.moment("as the storage said") == "as the storage said"
    assert wording.moment(None) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (0.9999, "1.0 s"),
        (59.9, "59.9 s"),
        (59.99, "1 min 0 s"),
        (125, "2 min 5 s"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


def test_long_durations_and_spans() -> None:
    assert wording.duration(3 * 3600 + 600) == "3 h 10 min"
    assert wording.duration(3 * 86400) == "3 days"
    assert wording.span("2026-11-21T09:00:00Z", "2026-11-21T09:00:01.5Z") == "1.5 s"
    assert wording.span("2026-11-21T09:00:00Z", None) == ""


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1 << 20, "1.0 MiB"), (5 << 30, "5.0 GiB"), (5 << 40, "5120.0 GiB")],
)
def test_sizes(size: int, words: str) -> None:
    assert wording.size(size) == words


def test_states_have_a_symbol_beside_their_colour() -> None:
    symbols = {
        name: wording.state(name)[0].split()[0] for name in ("succeeded", "failed", "running", "cancelled")
    }
    assert len(set(symbols.values())) == 4
    assert wording.state("something new")[0] == "· something new"


def test_names_cannot_disturb_a_terminal() -> None:
    assert wording.path("/d/a%0Ab%1B%5B31m.h5") == "/d/a\\nb\\x1b[31m.h5"
    assert wording.path("/d/%FF.h5") == "/d/\ufffd.h5"
    assert wording.printable(os.fsdecode(b"\xff")) == "\\udcff"


def test_ids_are_shortened_to_their_digest() -> None:
    assert wording.short("local:0123456789abcdef") == "0123456789"


def test_ages_and_times_are_moments() -> None:
    now = time.time_ns()
    day = MOMENT.convert("1d", None, None)
    assert abs(now - day - 86_400_000_000_000) < 60_000_000_000
    whole = MOMENT.convert("2026-11-21T09:00:00Z", None, None)
    assert datetime.fromtimestamp(whole / 1e9, UTC) == datetime(2026, 11, 21, 9, tzinfo=UTC)
    local = MOMENT.convert("2026-11-21 09:00", None, None)
    offset = datetime(2026, 11, 21, 9).astimezone().utcoffset() or timedelta()
    assert whole - local == int(offset.total_seconds() * 1e9)


@pytest.mark.parametrize("text", ["3", "soon", "10 parsecs", "2026-13-01"])
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="2h"):
        MOMENT.convert(text, None, None)


@pytest.mark.parametrize("text", ["{a: 1}", "[1]", "@absent.json"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        JSON.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ValueError: no\n  a.py:3 in f", "ValueError: no"),
        (
            "sh ended with exit code 3; it printed last:\n  no beam\nbye",
            "sh ended with exit code 3; it printed last: no beam",
        ),
        ("", ""),
    ],
)
def test_the_headline_of_an_error_says_something(text: str, words: str) -> None:
    assert wording.headline(text) == words
