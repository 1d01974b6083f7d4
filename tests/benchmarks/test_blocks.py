"""From samples to ratios."""

from __future__ import annotations

import pytest
from benchmarks.blocks import BLOCKS_LEAST, SAMPLES_LEAST, Block, latency_rows, percentile

STEADY = [1_000_000] * 500
NOISY = [1_000_000] * 480 + [6_000_000] * 20


@pytest.mark.parametrize(("percent", "wanted"), [(50, 2), (99, 4), (25, 1), (1, 1), (100, 4)])
def test_a_percentile_is_a_sample(percent: float, wanted: float) -> None:
    assert percentile([3, 1, 4, 2], percent) == wanted


def test_the_ratio_is_the_median_over_the_blocks() -> None:
    blocks = [Block(durable=STEADY, product=[factor * 1_000_000] * 500) for factor in (1, 2, 9, 2, 1)]
    p50, _ = latency_rows("w", blocks, 2.0, 5.0)
    assert (p50["ratio"], p50["spread"], p50["holds"]) == (2.0, [1.0, 9.0], True)


def test_a_noisy_block_does_not_count_for_the_p99() -> None:
    slow = [2_000_000] * 490 + [50_000_000] * 10
    blocks = [Block(durable=STEADY, product=[2_000_000] * 500)] * 4 + [Block(durable=NOISY, product=slow)]
    _, p99 = latency_rows("w", blocks, 2.0, 5.0)
    assert (p99["calm_blocks"], p99["samples"], p99["ratio"]) == (4, SAMPLES_LEAST, 2.0)
    assert p99["holds"] is True


def test_too_few_calm_samples_are_not_judged() -> None:
    blocks = [Block(durable=NOISY, product=STEADY)] * BLOCKS_LEAST
    _, p99 = latency_rows("w", blocks, 2.0, 5.0)
    assert p99["holds"] is None
    assert "0 samples in 0 calm blocks" in p99["note"]


def test_too_few_blocks_are_not_judged() -> None:
    p50, _ = latency_rows("w", [Block(durable=STEADY, product=STEADY)] * (BLOCKS_LEAST - 1), 2.0, None)
    assert p50["holds"] is None


def test_a_busy_machine_is_not_judged() -> None:
    p50, _ = latency_rows("w", [Block(durable=NOISY, product=STEADY)] * BLOCKS_LEAST, 2.0, None)
    assert p50["holds"] is None
    assert "0 of 5 blocks of the floor are calm" in p50["note"]
