"""How long to wait before the next try. Chance comes in as an argument."""

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
