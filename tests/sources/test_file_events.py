"""Times as storages write them."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.errors import Invalid
from penstock.sources.file_events import LETTER_BYTES_MAX, nanoseconds_of, rfc3339_of, unreadable


@pytest.mark.parametrize(
    ("value", "text", "nanoseconds"),
    [
        (None, None, None),
        ("", None, None),
        (0, "1970-01-01T00:00:00Z", 0),
        (1.5, "1970-01-01T00:00:01.500000Z", 1_500_000_000),
        (-1, "1969-12-31T23:59:59Z", -1_000_000_000),
        (1791962515000, "2026-10-14T07:21:55Z", 1_791_962_515_000_000_000),
        ("2026-10-14 07:21:55", "2026-10-14T07:21:55Z", 1_791_962_515_000_000_000),
        ("2026-10-14_09:21:55.001+0200", "2026-10-14T09:21:55.001000+02:00", 1_791_962_515_001_000_000),
    ],
)
def test_a_time_is_read_in_many_forms(value: Any, text: str | None, nanoseconds: int | None) -> None:
    assert rfc3339_of(value, "t") == text
    assert nanoseconds_of(value, "t") == nanoseconds


@pytest.mark.parametrize("value", ["soon", True, [], 1e300, float("nan"), "2026-13-01"])
def test_what_is_no_time_is_named(value: Any) -> None:
    for read in (rfc3339_of, nanoseconds_of):
        with pytest.raises(Invalid, match="mtime is"):
            read(value, "mtime")


def test_an_unreadable_record_makes_one_letter_of_bounded_size() -> None:
    record = b"x" * (LETTER_BYTES_MAX + 1)
    first, again = (unreadable("s", record, Invalid("no"), at) for at in (1, 2))
    assert first.id == again.id != unreadable("s", record[:-1], Invalid("no"), 1).id
    assert len(first.body) == LETTER_BYTES_MAX
