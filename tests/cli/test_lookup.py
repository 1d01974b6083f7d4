"""Names and ids as people give them."""

from __future__ import annotations

import pytest

from penstock.cli.lookup import one
from penstock.core.errors import Invalid, NotFound

KNOWN = ["local/scan", "local/scan-late", "local/reduce", "abc123", "abd456"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("local/scan", "local/scan"),
        ("scan", "local/scan"),
        ("scan-", "local/scan-late"),
        ("red", "local/reduce"),
        ("abc", "abc123"),
    ],
)
def test_a_name_or_its_beginning_means_one_thing(given: str, meant: str) -> None:
    assert one("trigger", given, KNOWN, "penstock triggers") == meant


def test_a_beginning_of_several_names_them() -> None:
    with pytest.raises(Invalid, match=r"several runs begin with 'ab': abc123, abd456"):
        one("run", "ab", KNOWN, "penstock runs")


def test_a_misspelling_gets_a_guess_and_the_list() -> None:
    with pytest.raises(NotFound, match=r"did you mean 'reduce'\? \(`penstock triggers` lists them\)"):
        one("trigger", "reduec", KNOWN, "penstock triggers")


def test_nothing_means_nothing() -> None:
    with pytest.raises(NotFound):
        one("run", "", KNOWN, "penstock runs")
