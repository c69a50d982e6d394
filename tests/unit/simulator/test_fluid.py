from __future__ import annotations

import numpy as np
import pytest

from simulator.fluid import max_min_rates

NO_CEILING = np.inf


def _rates(
    usage: list[list[float]],
    capacity: list[float],
    *,
    ceiling: list[float] | None = None,
    count: list[float] | None = None,
) -> list[float]:
    cohorts = len(usage[0])
    rates: list[float] = max_min_rates(
        np.array(usage),
        np.array(capacity),
        np.array(ceiling or [NO_CEILING] * cohorts),
        np.array(count or [1.0] * cohorts),
    ).tolist()
    return rates


def test_parking_lot() -> None:
    """A long flow over links of 8, 4.8 and 16 and a short one on each: link b halves at 2.4."""
    rates = _rates([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]], [8.0, 4.8, 16.0])
    assert rates == pytest.approx([2.4, 5.6, 2.4, 13.6])


def test_a_textbook_instance() -> None:
    """Bertsekas & Gallager's example 6.5: capacities 1; flows 1,2,3 share one link, 1 and 4 one."""
    rates = _rates([[1, 1, 1, 0], [1, 0, 0, 1]], [1.0, 1.0])
    assert rates == pytest.approx([1 / 3, 1 / 3, 1 / 3, 2 / 3])


def test_a_ceiling_leaves_its_room_to_the_others() -> None:
    assert _rates([[1, 1, 1]], [9.0], ceiling=[1.0, np.inf, np.inf]) == pytest.approx([1, 4, 4])


def test_a_cohort_counts_as_many_flows() -> None:
    """Three connections against one on a link of 8: 2 each."""
    assert _rates([[1, 1]], [8.0], count=[3.0, 1.0]) == pytest.approx([2.0, 2.0])


def test_a_flow_that_uses_more_of_a_resource_gets_the_same_rate() -> None:
    """A VM's time: a link of 10 and one of 5 share it, r/10 + r/5 = 1: r = 10/3."""
    assert _rates([[1 / 10, 1 / 5]], [1.0]) == pytest.approx([10 / 3, 10 / 3])


def test_an_idle_cohort_gets_nothing_and_takes_nothing() -> None:
    assert _rates([[1, 1]], [8.0], count=[0.0, 2.0]) == pytest.approx([0.0, 4.0])


def test_a_flow_that_nothing_holds_is_infinite() -> None:
    assert _rates([[1, 0]], [8.0]) == [8.0, np.inf]


def test_planned_rates_that_fit_are_given_as_they_are() -> None:
    """Rounded to 9 places, three thirds may exceed the whole by 2e-9: that is no overload."""
    third = 0.333333334
    assert _rates([[1, 1, 1]], [1.0], ceiling=[third] * 3) == [third] * 3
