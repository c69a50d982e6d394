"""Decomposition of flows, and the relay of lowest latency."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.paths import decompose, lowest_rtt_relay, without_cycles
from tests.unit.planner.worlds import Q, R, S, T, diamond, matrix_of


def test_widest_first_then_fewest_hops_then_by_name() -> None:
    flows = {
        ("s", "b"): 2.0,
        ("b", "t"): 2.0,
        ("s", "a"): 2.0,
        ("a", "t"): 2.0,
        ("s", "t"): 2.0,
        ("s", "c"): 3.0,
        ("c", "t"): 3.0,
    }
    found = [path.hops for path in decompose(flows, "s", "t")]
    assert found == [("s", "c", "t"), ("s", "t"), ("s", "a", "t"), ("s", "b", "t")]


def test_a_cycle_carries_nothing() -> None:
    """1 Gbit/s goes round a, b, c; what is left is the path alone."""
    path = {("s", "a"): 1.0, ("a", "t"): 1.0}
    cycle = {("a", "b"): 1.0, ("b", "c"): 1.0, ("c", "a"): 1.0}
    assert without_cycles({**path, **cycle}) == path


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.permutations(["a", "b", "c"]), st.integers(0, 3), st.floats(0.5, 9.0)),
        min_size=1,
        max_size=8,
    )
)
def test_paths_add_up_to_the_flow_they_came_from(
    drawn: list[tuple[list[str], int, float]],
) -> None:
    flows: dict[tuple[str, str], float] = {}
    total = 0.0
    for middle, length, rate in drawn:
        total += rate
        for pair in pairwise(["s", *middle[:length], "t"]):
            flows[pair] = flows.get(pair, 0.0) + rate
    found = decompose(flows, "s", "t")
    assert sum(path.gbps for path in found) == pytest.approx(total, abs=1e-6)
    assert len(found) <= len(flows)
    again: dict[tuple[str, str], float] = {}
    for path in found:
        assert len(set(path.hops)) == len(path.hops)
        for pair in pairwise(path.hops):
            again[pair] = again.get(pair, 0.0) + path.gbps
    left = without_cycles(flows)
    for pair, rate in again.items():
        assert rate <= flows[pair] + 1e-9
        assert rate == pytest.approx(left[pair], abs=1e-6)


def test_the_relay_of_least_summed_rtt_if_it_beats_direct() -> None:
    """By Q 40 ms, by R 160 ms, directly 100 ms."""
    assert lowest_rtt_relay(diamond().links, S, T) == Q
    without_q = diamond().without([Q])
    assert lowest_rtt_relay(without_q.links, S, T) is None
    no_direct = matrix_of({(S, R): (1, 0, 80.0), (R, T): (1, 0, 80.0)})
    assert lowest_rtt_relay(no_direct.links, S, T) == R
    assert lowest_rtt_relay((), S, T) is None
