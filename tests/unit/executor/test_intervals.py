"""Interval sets against plain sets, and their cost for the largest object there can be."""

from __future__ import annotations

import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import SessionRefused
from executor.endpoints.intervals import IntervalSet
from planner.dispatch import chunk_count

RANGES = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 12)).map(lambda pair: (pair[0], sum(pair))),
    max_size=30,
)


@given(RANGES, st.integers(0, 70), st.integers(0, 20))
def test_it_is_what_a_set_of_numbers_would_be(
    ranges: list[tuple[int, int]], first: int, length: int
) -> None:
    numbers: set[int] = set()
    found = IntervalSet()
    for low, high in ranges:
        new = set(range(low, high)) - numbers
        assert found.add(low, high) == len(new)
        numbers |= new
    assert found.total == len(numbers)
    assert {n for low, high in found for n in range(low, high)} == numbers
    assert all(n in found for n in numbers)
    assert not any(n in found for n in range(-2, 80) if n not in numbers)
    bounds = list(found)
    assert bounds == sorted(bounds)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(bounds))
    missing = {n for low, high in found.missing(first, first + length) for n in range(low, high)}
    assert missing == set(range(first, first + length)) - numbers


@pytest.mark.parametrize(("first", "end"), [(3, 3), (4, 3), (-1, 2)])
def test_what_is_no_range_is_refused(first: int, end: int) -> None:
    with pytest.raises(SessionRefused, match="no range"):
        IntervalSet().add(first, end)


def test_34_pib_in_chunks_of_a_mebibyte_cost_kilobytes() -> None:
    """36,507,222,016 chunks by 64 connections, each with a stripe of its own, and some late."""
    size_bytes = 34 << 50
    chunks = chunk_count(size_bytes, 1 << 20)
    assert chunks == 36_507_222_016
    found = IntervalSet()
    stripe = chunks // 64
    for round_ in range(8):
        for connection in range(64):
            first = connection * stripe + round_ * (stripe // 8)
            found.add(first, first + stripe // 8 - (1 if connection % 5 == 0 else 0))
    held = sum(sys.getsizeof(part) for part in (found._firsts, found._ends)) + 64 * len(found)
    assert held < 64 << 10
    assert len(found) <= 64 * 8 + 1
    for low, high in list(found.missing(0, chunks)):
        found.add(low, high)
    assert list(found) == [(0, chunks)]
    assert found.total == chunks
