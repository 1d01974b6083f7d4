"""Who is silent for longer than usual."""

from __future__ import annotations

from penstock.core.rows import HeardRow
from penstock.server.heard import COUNT_MIN, DOORS_MAX, Heard, is_silent

S = 1_000_000_000


def told(gap_s: int, times: int) -> tuple[Heard, list[HeardRow]]:
    kept: list[HeardRow] = []
    heard = Heard((), kept.append)
    for number in range(times):
        heard.notices("billing", 3, ["webdav", "nfs"], 1000 * S + number * gap_s * S)
    return heard, kept


def test_silence_is_remarkable_beyond_five_times_the_usual_one_only() -> None:
    heard, _ = told(600, 30)
    row = heard.rows["billing", "nfs"]
    assert (row.count, row.gap_ns) == (30, 600 * S)
    assert not is_silent(row, row.last_ns + 2999 * S)
    assert is_silent(row, row.last_ns + 3001 * S)


def test_who_was_hardly_heard_or_tells_much_is_not_called_silent_at_once() -> None:
    few, _ = told(600, COUNT_MIN - 1)
    row = few.rows["billing", "webdav"]
    assert not is_silent(row, row.last_ns + 10**6 * S)
    quick, _ = told(1, 100)
    row = quick.rows["billing", ""]
    assert row.count == 300
    assert not is_silent(row, row.last_ns + 599 * S)
    assert is_silent(row, row.last_ns + 601 * S)


def test_rows_are_kept_once_a_minute_and_known_after_a_restart() -> None:
    heard, kept = told(1, 100)
    assert len([row for row in kept if not row.door]) == 2
    again = Heard(kept, kept.append)
    assert again.rows["billing", ""].count == 183
    assert heard.rows["billing", ""].count == 300


def test_doors_have_a_limit() -> None:
    heard = Heard((), lambda _row: None)
    heard.notices("billing", 1, [f"door{number}" for number in range(DOORS_MAX + 10)], S)
    assert len(heard.rows) == DOORS_MAX
