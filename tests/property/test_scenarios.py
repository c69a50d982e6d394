"""What must hold for any plain scenario: conservation, scale, determinism, monotony."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.flow_network import FlowNetwork
from simulator.scenario_file import scenario_from_json
from simulator.scenario_run import run_scenario
from simulator.sharing import Sharing
from tests.scenarios.draw import FAMILIES, drawn

SEEDS = st.integers(10_000, 1_000_000)
SETTINGS = settings(max_examples=40, deadline=None)


def played(scenario: dict[str, Any]) -> dict[str, float]:
    return dict(run_scenario(scenario_from_json(scenario)).finish_s)


@SETTINGS
@given(SEEDS, st.sampled_from([2.0, 0.125, 1e-3]), st.sampled_from([4.0, 0.5, 10.0]))
def test_sizes_times_a_and_rates_times_b_take_a_over_b(seed: int, a: float, b: float) -> None:
    """Instants scale along. Pools are left out: where ends tie but for rounding, order is open."""
    scenario = drawn(seed - seed % len(FAMILIES) + seed % 6)
    scaled = copy.deepcopy(scenario)
    for link in scaled["links"].values():
        link["capacity"] *= b
        link["changes"] = [[t * a / b, c * b] for t, c in link.get("changes", [])]
        link["outages"] = [[t * a / b, u * a / b] for t, u in link.get("outages", [])]
    for flow in scaled["flows"]:
        flow["bytes"] *= a
        flow["start"] *= a / b
        if "rate_cap" in flow:
            flow["rate_cap"] *= b
    expected = {each: at_s * a / b for each, at_s in played(scenario).items()}
    assert played(scaled) == pytest.approx(expected, rel=1e-9)


@SETTINGS
@given(SEEDS)
def test_the_same_scenario_gives_the_same_bytes(seed: int) -> None:
    first = run_scenario(scenario_from_json(drawn(seed)))
    again = run_scenario(scenario_from_json(drawn(seed)))
    assert list(first.finish_s.items()) == list(again.finish_s.items())


@SETTINGS
@given(SEEDS, st.floats(1.0, 3.0))
def test_on_one_link_more_capacity_ends_nothing_later(seed: int, more: float) -> None:
    """On one link alone: on several, a faster flow may hold up another one elsewhere."""
    scenario = drawn(seed - seed % len(FAMILIES) + 1)
    (name, *_) = scenario["links"]
    for flow in scenario["flows"]:
        flow["path"] = [name]
    before = played(scenario)
    scenario["links"][name]["capacity"] *= more
    after = played(scenario)
    assert all(after[each] <= before[each] * (1 + 1e-9) for each in before)


@SETTINGS
@given(
    st.lists(st.tuples(st.floats(0.1, 50.0), st.floats(0.0, 20.0)), min_size=1, max_size=12),
    st.floats(0.5, 30.0),
    st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(0.1, 30.0)), max_size=4),
)
def test_rates_over_time_add_up_to_the_bytes(
    flows: list[tuple[float, float]], capacity: float, changes: list[tuple[float, float]]
) -> None:
    """Step by step, each rate times its time: what a flow was given when it ends is its size."""
    count = len(flows)
    sharing = Sharing(
        [capacity, 20.0],
        ptr=list(range(0, 2 * count + 1, 2)),
        resource=[0, 1] * count,
        cap=[1.0 + at for at in range(count)],
        plain=True,
    )
    network = FlowNetwork(
        sharing,
        lane=list(range(count)),
        size=[size for size, _ in flows],
        told=list(range(count)),
        arrivals=[(start, at) for at, (_, start) in enumerate(flows)],
    )
    instants = sorted({t for t, _ in changes} | {start for _, start in flows} | {1e9})
    given_bytes, now = [0.0] * count, network.advance(0.0)
    for instant in instants:
        while now < instant:
            network.advance(now)  # what changed at this instant is shared anew
            rates = sharing.rate
            reached = network.advance(instant)
            for at in range(count):
                given_bytes[at] += rates[at] * (reached - now)
            now = reached
            for at in network.ended():
                assert given_bytes[at] == pytest.approx(flows[at][0], rel=1e-9)
            for t, value in changes:
                if t == now:
                    sharing.set_capacity(0, value)
    assert all(given_bytes[at] > 0 for at in range(count))
