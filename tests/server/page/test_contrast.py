"""Contrast of the page's colours, computed from its tokens as WCAG 2.2 says (1.4.3, 1.4.11)."""

from __future__ import annotations

import re

import pytest

from penstock.server.page.assets import FOLDER

SHEET = (FOLDER / "penstock.css").read_text()
TEXT, SHAPE = 4.5, 3.0
GROUNDS = ("ground", "panel", "sunk")
STATES = ("good", "busy", "warn", "bad", "stop", "idle")
PAIRS = [
    *((ink, ground, TEXT) for ink in ("ink", "ink-2", "ink-3", "accent") for ground in GROUNDS),
    *((state, f"{state}-soft", TEXT) for state in STATES),
    *((state, ground, TEXT) for state in STATES for ground in GROUNDS),
    *(("ink", f"{state}-soft", TEXT) for state in STATES),
    ("accent", "accent-soft", TEXT),
    ("ink", "accent-soft", TEXT),
    ("ink-2", "accent-soft", TEXT),
    ("ink-2", "bad-soft", TEXT),
    ("on-accent", "accent", TEXT),
    *(("edge", ground, SHAPE) for ground in GROUNDS),
]


def tokens(theme: str) -> dict[str, str]:
    """Return the colours of a theme."""
    block = re.search(
        r":root \{(.*?)\}" if theme == "light" else r"\[data-theme=\"dark\"\] \{(.*?)\}", SHEET, re.S
    )
    assert block is not None
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", block[1]))


def luminance(colour: str) -> float:
    """Return the relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio, from 1 to 21."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_the_formula_gives_the_standard_s_own_example() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_pair_of_colours_is_easy_to_read(theme: str) -> None:
    found = tokens(theme)
    poor = {
        (one, other): round(ratio, 2)
        for one, other, least in PAIRS
        if (ratio := contrast(found[one], found[other])) < least
    }
    assert poor == {}


def test_both_themes_have_the_same_colours() -> None:
    assert tokens("light").keys() == tokens("dark").keys()


def test_colours_are_written_in_the_tokens_only() -> None:
    rest = re.sub(r":root(\[[^\]]*\])? \{.*?\}", "", SHEET, flags=re.S)
    strays = set(re.findall(r"#[0-9a-fA-F]{3,8}\b", rest)) - {"#ffffff"}  # white behind pictures
    assert strays == set()
