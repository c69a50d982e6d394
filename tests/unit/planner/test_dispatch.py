from __future__ import annotations

import pytest

from planner.dispatch import (
    LanePace,
    lane_cap_gbps,
    lane_connections,
    least_unassigned_bytes,
    static_shares,
    takes_next,
)
from tests.tiny_plans import A, B, C, plan_of

FAST, SLOW = LanePace(gbps=8.0, connections=1), LanePace(gbps=1.0, connections=1)


def test_a_slow_lane_leaves_the_last_chunk_to_a_fast_one() -> None:
    """1 GB: own 8 s on the slow lane; 1 GB left takes the fast one 1 s + 1 s. It is left to it."""
    assert not takes_next(1, (FAST, SLOW), 10**9, 10**9)
    assert takes_next(0, (FAST, SLOW), 10**9, 10**9)


def test_a_slow_lane_takes_a_chunk_while_the_others_have_enough_to_do() -> None:
    """Own 8 s <= U·8/8 s + 1 s from U = 7 GB on."""
    assert least_unassigned_bytes(1, (FAST, SLOW), 10**9) == pytest.approx(7e9)
    assert takes_next(1, (FAST, SLOW), 10**9, 7_000_000_001)
    assert not takes_next(1, (FAST, SLOW), 10**9, 6_999_999_999)


def test_a_thin_lane_is_not_left_with_the_queue() -> None:
    """A thin lane of 0.1 Gbit/s is quick at one chunk of 10 MB (0.8 s; the wide one needs 4 s).

    Alone it drains 0.04 GB in the 3.2 s that separate them: only the last 4 chunks are its own.
    """
    thin, wide = LanePace(gbps=0.1, connections=1), LanePace(gbps=1.28, connections=64)
    assert least_unassigned_bytes(1, (thin, wide), 10**7) == pytest.approx(3.2 * 0.1e9 / 8)


def test_the_fastest_lane_never_declines() -> None:
    paces = (SLOW, FAST, FAST)
    assert all(takes_next(lane, paces, 10**9, 1) for lane in (1, 2))


def test_equally_fast_lanes_both_take_the_last_chunk() -> None:
    nearly = LanePace(gbps=8.0 * (1 + 1e-13), connections=1)
    assert takes_next(0, (FAST, nearly), 10**9, 10**9)


def test_a_pace_needs_a_rate_and_a_connection() -> None:
    with pytest.raises(ValueError, match="rate"):
        LanePace(gbps=0.0, connections=1)
    with pytest.raises(ValueError, match="connection"):
        LanePace(gbps=1.0, connections=0)


@pytest.mark.parametrize(
    ("chunks", "shares", "expected"),
    [
        (10, [0.5, 0.3, 0.2], (5, 3, 2)),
        (10, [1, 1, 1], (4, 3, 3)),
        (1, [0.2, 0.8], (0, 1)),
        (0, [1.0], (0,)),
        (7, [1.0], (7,)),
    ],
)
def test_static_shares_by_largest_remainder(
    chunks: int, shares: list[float], expected: tuple[int, ...]
) -> None:
    assert static_shares(chunks, shares) == expected


def test_static_shares_refuse_nonsense() -> None:
    for shares in ([0.0], [1.0, -0.5]):
        with pytest.raises(ValueError, match="share"):
            static_shares(3, shares)


def test_planned_rates_are_caps_unless_work_conserving() -> None:
    """3 Gbit/s over 6 and 8: 32 and 24 of 64 connections carry 3 each; 40 would carry no more."""
    plan = plan_of([((A, C, B), 3.0)], {(A, C): 6.0, (C, B): 8.0})
    (lane,) = plan.lanes
    assert lane.connections == (32, 24)
    assert lane_cap_gbps(plan, lane, work_conserving=False) == 3.0
    assert lane_cap_gbps(plan, lane, work_conserving=True) == pytest.approx(3.0)
    wide = plan_of([((A, C, B), 3.0)], {(A, C): 6.0, (C, B): 8.0}, connections=80)
    assert lane_cap_gbps(wide, wide.lanes[0], work_conserving=True) == 6.0


def test_a_lane_is_as_wide_as_its_widest_hop() -> None:
    (lane,) = plan_of([((A, C, B), 3.0)], {(A, C): 6.0, (C, B): 8.0}).lanes
    assert lane_connections(lane) == 32
    assert lane_connections(lane, 4) == 4
