"""Pacing against a fake clock."""

from __future__ import annotations

import pytest

from executor.gateway.pacing import CATCH_UP_S, Pacer, wait_for


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_pacer_lets_exactly_its_rate_pass() -> None:
    """10 × 50 units at 100 a second take 5 s, the first of them half a second."""
    clock = Clock()
    pacer = Pacer(100.0, clock=clock)
    ends = []
    for _ in range(10):
        wait_for([pacer.reserve(50)], clock=clock, sleep=clock.sleep)
        ends.append(clock.now - 100.0)
    assert ends == pytest.approx([0.5 * n for n in range(1, 11)])


def test_lateness_is_made_up_for_but_not_hoarded() -> None:
    clock = Clock()
    pacer = Pacer(100.0, clock=clock)
    pacer.reserve(10)
    clock.now += 10.0
    assert pacer.reserve(10) == pytest.approx(clock.now - CATCH_UP_S + 0.1)


def test_the_latest_reservation_counts() -> None:
    clock = Clock()
    wait_for([101.0, 103.0, 50.0], clock=clock, sleep=clock.sleep)
    assert clock.now == 103.0
    wait_for([], clock=clock, sleep=clock.sleep)
    assert clock.now == 103.0


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pacer(0.0)
