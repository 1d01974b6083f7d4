"""Names that raise no events."""

from __future__ import annotations

import pytest

from penstock.sources.ignore import HIDDEN_AND_TEMPORARY, Ignore


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        (b".penstock", True), (b".a.nxs.Xy12Zw", True), (b"a~", True), (b"#a#", True), (b"a.part", True),
        (b"a.nxs", False), (b"a.parts", False), (b"#1", False), (b"\xff", False), (b"new\nline", False),
    ],
)  # fmt: skip
def test_hidden_and_temporary_names_are_ignored(name: bytes, ignored: bool) -> None:
    assert Ignore(HIDDEN_AND_TEMPORARY)(b"deep/er/", name) is ignored


@pytest.mark.parametrize(
    ("pattern", "below", "name", "ignored"),
    [
        ("scratch/**", b"", b"scratch", True),
        ("scratch/**", b"scratch/a/", b"b", True),
        ("scratch/**", b"a/", b"scratch", False),
        ("raw/*.log", b"raw/", b"x.log", True),
        ("raw/*.log", b"raw/a/", b"x.log", False),
        ("**/old/*", b"", b"old", False),
        ("**/old/*", b"a/b/old/", b"x", True),
        ("**/old/*", b"old/", b"x", True),
        ("run?", b"", b"run1", True),
        ("run[!1]", b"", b"run1", False),
        ("a+b", b"", b"aab", False),
    ],
)
def test_patterns_mean_what_globs_mean(pattern: str, below: bytes, name: bytes, ignored: bool) -> None:
    assert Ignore([pattern])(below, name) is ignored


def test_no_pattern_ignores_nothing() -> None:
    assert not Ignore([])(b"", b".hidden")
