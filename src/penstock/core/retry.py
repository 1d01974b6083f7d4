"""Whether to try again, and how long to wait before that. Chance comes in as an argument.

A try that was *evicted* (its process killed from outside, its node taken away) says nothing about the
function. So it is tried again beside what its rule allows, ``EVICTIONS_FORGIVEN`` times; further evictions
count like failures, for a function that gets its worker killed each time must not go on for ever.
"""

from __future__ import annotations

from msgspec import Struct


class Retry(Struct, frozen=True, kw_only=True):
    """How often and how patiently a step is tried again.

    Attributes:
        attempts: Tries altogether, the first included.
        delay_s: Before the second try, in seconds.
        factor: By which each further delay grows.
        delay_s_max: Longest delay, in seconds.
        jitter: Share of the delay that chance takes off, 0 to 1.
    """

    attempts: int = 1
    delay_s: float = 1.0
    factor: float = 2.0
    delay_s_max: float = 300.0
    jitter: float = 0.2


EVICTIONS_FORGIVEN = 3
"""Tries of a step (or of one item of a map) that may be evicted without counting."""
AFTER_EVICTION = Retry(attempts=EVICTIONS_FORGIVEN + 1, delay_s=0.1, factor=10.0)
"""How patiently: what killed it (memory that ran out, say) gets more time to pass each time."""


def failures(attempt: int, evictions: int) -> int:
    """Return how many of the first ``attempt`` tries, all of which have ended badly, count as failed."""
    return attempt - min(evictions, EVICTIONS_FORGIVEN)


def is_forgiven(evictions: int) -> bool:
    """Whether the last of so many evictions does not count."""
    return 0 < evictions <= EVICTIONS_FORGIVEN


def delay_s(retry: Retry, failed_attempts: int, chance: float) -> float:
    """Return the wait before the next try, in seconds.

    Args:
        retry: The rule.
        failed_attempts: Tries that have failed so far, from 1.
        chance: Uniform in [0, 1).
    """
    try:
        full = min(retry.delay_s * retry.factor ** (failed_attempts - 1), retry.delay_s_max)
    except OverflowError:  # the power is beyond any float, so beyond the longest delay too
        full = retry.delay_s_max if retry.delay_s else 0.0
    return full * (1.0 - retry.jitter * chance)
