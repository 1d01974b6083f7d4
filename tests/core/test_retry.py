"""Delays between tries: growing, bounded, and scattered by chance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.retry import Retry, delay_s

PATIENT = Retry(attempts=10, delay_s=1.0, factor=2.0, delay_s_max=10.0, jitter=0.5)


@pytest.mark.parametrize(
    ("failed", "expected"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (50, 10.0)]
)
def test_delays_grow_up_to_the_longest(failed: int, expected: float) -> None:
    assert delay_s(PATIENT, failed, 0.0) == expected


def test_chance_takes_off_at_most_the_jitter() -> None:
    assert delay_s(PATIENT, 2, 0.0) == 2.0
    assert delay_s(PATIENT, 2, 0.5) == 1.5
    assert 1.0 < delay_s(PATIENT, 2, 0.999) < 1.01


def test_without_jitter_chance_does_not_matter() -> None:
    calm = Retry(delay_s=3.0, jitter=0.0)
    assert delay_s(calm, 1, 0.0) == delay_s(calm, 1, 0.9) == 3.0


def test_no_delay_stays_none_however_often_it_failed() -> None:
    assert delay_s(Retry(delay_s=0.0), 5_000, 0.3) == 0.0


@given(failed=st.integers(1, 10**9), chance=st.floats(0, 1, exclude_max=True))
def test_any_number_of_failures_has_a_delay_within_bounds(failed: int, chance: float) -> None:
    assert 0.0 < delay_s(PATIENT, failed, chance) <= PATIENT.delay_s_max
