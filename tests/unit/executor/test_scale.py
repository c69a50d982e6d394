"""The local scale: the machine keeps up, the run is short, and real time is wall × k/b."""

from __future__ import annotations

import pytest

from datasets.units import bytes_per_s, gigabits
from executor.scale import (
    MACHINE_SHARE,
    MOST_MACHINE_SHARE,
    MOST_SAMPLE_BYTES,
    hop_sum_gbps,
    scale_for,
)
from tests.local import relayed_plan


def test_a_sample_is_short_and_leaves_the_machine_room() -> None:
    plan = relayed_plan()
    scale = scale_for(plan, machine_gbps=20.0, wall_s=5.0)
    assert hop_sum_gbps(plan) == pytest.approx(1.0 + 3 * 3.0)
    assert hop_sum_gbps(plan) * scale.rate_scale <= 20.0 * MACHINE_SHARE + 1e-9
    assert scale.moved_bytes <= MOST_SAMPLE_BYTES
    wall_s = scale.moved_bytes / bytes_per_s(4.0 * scale.rate_scale)
    assert wall_s <= 5.0 + 1e-6
    real_s = wall_s * scale.rate_scale / scale.size_scale
    assert real_s == pytest.approx(gigabits(plan.job.size_bytes) / 4.0, rel=1e-6)


def test_a_whole_source_is_moved_faster_if_it_would_take_too_long() -> None:
    plan = relayed_plan()
    slow = scale_for(plan, machine_gbps=20.0, moved_bytes=1000)
    fast = scale_for(plan, machine_gbps=20.0, moved_bytes=1 << 34)
    assert slow.moved_bytes == 1000
    assert fast.rate_scale > slow.rate_scale
    assert hop_sum_gbps(plan) * fast.rate_scale <= 20.0 * MOST_MACHINE_SHARE + 1e-9


@pytest.mark.parametrize("moved", [None, 0, 1, 5_000_000, 1 << 40])
def test_chunks_hold_whole_records_and_both_are_powers_of_two(moved: int | None) -> None:
    scale = scale_for(relayed_plan(), machine_gbps=20.0, moved_bytes=moved)
    assert scale.chunk_bytes % scale.record_bytes == 0
    for size in (scale.chunk_bytes, scale.record_bytes):
        assert size & (size - 1) == 0
