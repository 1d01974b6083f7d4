"""Tables at any width: nothing is wider than the line, no word is broken, names keep their ends."""

from __future__ import annotations

import pytest
from rich.text import Text

from penstock.cli.layout import Fit, Part, table_lines
from penstock.cli.wording import shortened

PATH = "/data/experiment-of-november/proposal-20260004321/raw/scan_0000001.dat"
REASON = "the detector geometry file does not name a beam centre for this run of the instrument"


def drawn(width: int, *, reason: str = REASON) -> list[str]:
    parts = [
        Part("STATE", Fit.WHOLE, [Text("failed"), Text("succeeded")]),
        Part("FILE", Fit.MIDDLE, [Text(PATH), Text("/a")]),
        Part("EMPTY", Fit.WORDS, [Text(), Text()]),
        Part("REASON", Fit.WORDS, [Text(reason), Text()]),
    ]
    return [line.plain for line in table_lines(parts, width)]


@pytest.mark.parametrize("width", range(53, 240, 13))
def test_no_line_is_too_wide_and_no_word_is_broken(width: int) -> None:
    lines = drawn(width)
    assert max(map(len, lines)) <= width
    assert set(REASON.split()) <= set(" ".join(lines).split())
    assert lines[1].split()[1].endswith("scan_0000001.dat")


def test_where_there_is_room_a_row_is_a_line_and_every_column_is_there() -> None:
    heading, *rows = drawn(300)
    assert heading.split() == ["STATE", "FILE", "EMPTY", "REASON"]
    assert len(rows) == 2
    assert PATH in rows[0]
    assert rows[0].endswith(REASON)


def test_where_there_is_little_sentences_go_below_their_rows() -> None:
    heading, first, below, *_ = drawn(60)
    assert heading.split() == ["STATE", "FILE"]
    assert first.startswith("failed     /data/")
    assert below.startswith(" " * 11 + "the detector")


def test_very_long_sentences_end_after_some_lines() -> None:
    lines = drawn(60, reason="word " * 200)
    assert len(lines) == 1 + 2 + 3
    assert lines[-2].endswith("…")


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("/data/raw/scan.h5", 17, "/data/raw/scan.h5"),
        ("/data/raw/2026/scan.h5", 20, "/data/…/2026/scan.h5"),
        ("/data/raw/scan.h5", 13, "…/scan.h5"),
        ("reconstruct-volume@12", 12, "rec…olume@12"),
        ("/data/a-very-long-name.h5", 10, "…name.h5"),
        ("文書文書文書文書", 9, "…文書文書"),
        ("abc", 2, "…"),
    ],
)
def test_names_and_paths_lose_their_middle(text: str, width: int, short: str) -> None:
    assert shortened(text, width) == short
