"""A relay's gain on each column; one that vanishes on `sent` is the test's start-up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datasets.matrix import Matrix
from planner.gain import gains, gains_of
from planner.strategies import solve
from tests.unit.planner.worlds import S, T, diamond, job


def with_direct(gbps: float, column: str) -> Matrix:
    """The diamond with another direct link: 12 Gbit/s are to be had by way of R."""
    matrix = diamond()
    links = tuple(
        replace(link, gbps=gbps) if (link.src, link.dst) == (S, T) else link
        for link in matrix.links
    )
    return replace(matrix, links=links, column=column)


def test_the_plan_s_own_links_are_judged_on_each_column() -> None:
    """By way of R 12 Gbit/s: 3 times the 4 received directly, twice the 6 sent."""
    matrices = {name: with_direct(gbps, name) for name, gbps in COLUMNS.items()}
    found = gains(matrices, job(vm_limit=1), "overlay")
    assert found.received == pytest.approx(2)
    assert found.sent == pytest.approx(1)
    assert found.min == pytest.approx(2)
    assert not found.start_up_dependent


COLUMNS = {"received": 4.0, "sent": 6.0, "min": 4.0}


def test_a_gain_that_vanishes_on_sent_is_start_up_dependent() -> None:
    matrices = {name: with_direct(gbps, name) for name, gbps in (COLUMNS | {"sent": 13.0}).items()}
    found = gains(matrices, job(vm_limit=1), "overlay")
    assert found.received == pytest.approx(2)
    assert found.sent is not None
    assert found.sent < 0
    assert found.start_up_dependent


def test_a_direct_plan_gains_nothing_and_without_direct_there_is_no_gain() -> None:
    matrices = {name: with_direct(gbps, name) for name, gbps in COLUMNS.items()}
    direct = solve("direct", matrices["received"], job())
    assert gains_of(matrices, direct).received == pytest.approx(0)
    plan = solve("overlay", matrices["received"], job())
    no_direct = {
        name: replace(matrix, links=tuple(e for e in matrix.links if (e.src, e.dst) != (S, T)))
        for name, matrix in matrices.items()
    }
    found = gains_of(no_direct, plan)
    assert found.received is None
    assert not found.start_up_dependent
