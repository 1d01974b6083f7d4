"""The page and its plot, without any of the sciences' packages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from penstock.sdk import Call

CURVE = {
    "title": "Curve",
    "x": {"name": "q", "unit": "1/Å", "scale": "log"},
    "y": {"name": "I", "unit": "1/cm", "scale": "log"},
    "series": [
        {
            "name": "mean",
            "style": "points",
            "x": [0.01, 0.1, 1.0],
            "y": [100.0, 10.0, 1.0],
            "error": [20.0, 2.0, 2.0],
        },
        {"name": "theirs", "style": "line", "x": [0.01, 1.0], "y": [90.0, 0.9]},
    ],
}
MADE_BY = {"function": "demo/reduce@2", "attempt": 2}


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """A call of ``page`` after the other steps, with a title that is out for trouble."""
    (tmp_path / "scan.h5").write_bytes(b"12345")
    (tmp_path / "curve.json").write_text(json.dumps(CURVE))
    (tmp_path / "preview.png").write_bytes(b"\x89PNG")
    (tmp_path / "out").mkdir()
    metadata = {
        "file": "scan.h5",
        "bytes": 5,
        "sha256": "ab12",
        "format": "NeXus",
        "definition": "NXsas",
        "kind_words": "an image",
        "datasets_total": 3,
        "fields": {"Title": {"value": "<script>alert(1)</script>", "unit": "", "from": "/entry/title"}},
        "signal": {"path": "/entry/data", "shape": [2, 3], "type": "uint32", "compression": ""},
        "checks": [{"check": "whole", "verdict": "pass", "words": "Whole."}],
        "software": {"Python": "3"},
        "made_by": MADE_BY,
    }
    reduced = {
        "curve": "curve.json",
        "summary": "Three points.",
        "method": "None.",
        "numbers": [{"name": "Energy", "value": 129.6206, "unit": "meV", "error": 0.0086}],
        "checks": [{"check": "energy", "verdict": "notice", "words": "The title says 120 meV."}],
        "made_by": MADE_BY,
    }
    preview = {"picture": "preview.png", "words": "Counts.", "made_by": MADE_BY}
    places = [{"path": str(tmp_path / name)} for name in ("scan.h5", "preview.png", "curve.json")]
    return Call(
        event={"id": "e", "time": "2026-11-21T09:00:00Z"},
        read=places[0],
        inputs=places,
        write={"path": str(tmp_path / "out")},
        exec={"function": "demo/page@1"},
        run={"id": "r-1", "step": "page", "attempt": 1},
        results={"metadata": metadata, "preview": preview, "reduce": reduced},
    )


class _Outline(HTMLParser):
    """Collects what must be escaped, named or absent."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def html(call: Call, tmp_path: Path, neighbour: Callable[[str], ModuleType]) -> str:
    """The page of that call."""
    answer = neighbour("page").page(call)
    assert answer["checks"] == {"pass": 2, "notice": 1, "fail": 0}
    return (tmp_path / "out" / "index.html").read_text(encoding="utf-8")


def test_text_from_the_file_is_never_markup(html: str) -> None:
    assert not _Outline(html).all("script")
    assert "&lt;script&gt;alert(1)" in html


def test_the_page_asks_nothing_of_the_outside(html: str) -> None:
    outline = _Outline(html)
    links = [str(each[name]) for _, each in outline.tags for name in ("src", "href") if name in each]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "url(" not in html
    assert "@import" not in html


def test_pictures_have_words_and_tables_have_headers(html: str) -> None:
    outline = _Outline(html)
    assert all(len(image["alt"] or "") > 10 for image in outline.all("img"))
    assert all(len(drawing["aria-label"] or "") > 10 for drawing in outline.all("svg"))
    assert all("scope" in header for header in outline.all("th"))
    assert "prefers-color-scheme: dark" in html


def test_the_page_tells_where_it_comes_from(html: str) -> None:
    for words in ("scan.h5", "ab12", "r-1", "demo/page@1", "demo/reduce@2</code> (attempt 2)"):
        assert words in html
    assert "129.621 ± 0.009 meV" in html


def test_a_file_rewritten_meanwhile_makes_the_page_say_so(
    call: Call, tmp_path: Path, neighbour: Callable[[str], ModuleType]
) -> None:
    (tmp_path / "scan.h5").write_bytes(b"123456789")
    neighbour("page").page(call)
    assert "The file had 5 bytes and has 9 now" in (tmp_path / "out" / "index.html").read_text(
        encoding="utf-8"
    )


def test_decades_are_equally_far_apart(neighbour: Callable[[str], ModuleType]) -> None:
    axis = neighbour("plot").Axis([0.01, 1000.0], "log", 0.0, 500.0)
    places = [axis.place(10.0**power) for power in range(-2, 4)]
    steps = [after - before for before, after in pairwise(places)]
    assert steps == pytest.approx([steps[0]] * 5)
    assert [label for _, label in axis.ticks() if label] == ["0.01", "0.1", "1", "10", "100", "1000"]


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (-40.0, 120.0, ["−40", "−20", "0", "20", "40", "60", "80", "100", "120"]),
        (0.0, 0.03, ["0.000", "0.005", "0.010", "0.015", "0.020", "0.025", "0.030"]),
    ],
)
def test_linear_ticks_are_round(
    low: float, high: float, labels: list[str], neighbour: Callable[[str], ModuleType]
) -> None:
    axis = neighbour("plot").Axis([low, high], "linear", 0.0, 500.0)
    assert [label for _, label in axis.ticks()] == labels


def test_an_error_bar_that_reaches_below_zero_ends_at_the_axis(
    neighbour: Callable[[str], ModuleType],
) -> None:
    plot = neighbour("plot")
    bars = re.search(r'class="bars s0" d="([^"]*)"', plot.plot(CURVE))
    assert bars is not None
    ends = [float(end) for end in re.findall(r"V([\d.]+)", bars[1])]
    assert len(ends) == 3
    assert max(ends) == plot.HEIGHT - plot.BOTTOM


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [-1.0, -2.0], [5e8, 6e8]])
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_any_finite_values_can_be_drawn(
    values: list[float], scale: str, neighbour: Callable[[str], ModuleType]
) -> None:
    axis: dict[str, Any] = {"name": "v", "unit": "", "scale": scale}
    series = [{"name": "s", "style": "points", "x": values, "y": values}]
    assert "nan" not in neighbour("plot").plot({"title": "", "x": axis, "y": axis, "series": series})
