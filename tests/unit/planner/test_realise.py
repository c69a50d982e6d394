"""From flows to lanes: every gateway of a region gets the same part of every path."""

from __future__ import annotations

from collections import defaultdict

import pytest

from planner.plan import Plan
from planner.realise import Bounds, connections, realised
from planner.topology import topology
from tests.unit.planner.worlds import R, S, T, diamond, job


def of_two_paths() -> Plan:
    """2 Gbit/s directly and 6 by way of R, on 2 VMs at S, 3 at R and 1 at T."""
    return realised(
        topology(diamond(), job()),
        strategy="overlay",
        flows={(S, T): 2.0, (S, R): 6.0, (R, T): 6.0},
        vms={S: 2, R: 3, T: 1},
        floor_gbps=8.0,
        bounds=Bounds(usd=1.0, gbps=10.0),
    )


def test_lanes_are_the_pieces_between_the_gateways_cuts() -> None:
    """The relay's path is cut at 0, 1/3, 1/2, 2/3, 1: lanes of 2, 1, 1 and 2 Gbit/s."""
    plan = of_two_paths()
    assert [path.hops for path in plan.paths] == [(S, R, T), (S, T)]
    relayed = [lane for lane in plan.lanes if lane.path == 0]
    assert [(lane.gateways, lane.gbps) for lane in relayed] == [
        ((f"{S}#0", f"{R}#0", f"{T}#0"), 2.0),
        ((f"{S}#0", f"{R}#1", f"{T}#0"), 1.0),
        ((f"{S}#1", f"{R}#1", f"{T}#0"), 1.0),
        ((f"{S}#1", f"{R}#2", f"{T}#0"), 2.0),
    ]
    assert relayed[0].connections == (11, 11)  # 64 · 2/12 = 10.7


def test_each_gateway_of_a_region_carries_the_same() -> None:
    carried: dict[str, float] = defaultdict(float)
    for lane in of_two_paths().lanes:
        for gateway in lane.gateways:
            carried[gateway] += lane.gbps
    assert carried == pytest.approx(
        {f"{S}#0": 4, f"{S}#1": 4, f"{R}#0": 2, f"{R}#1": 2, f"{R}#2": 2, f"{T}#0": 8}
    )


def test_shares_rates_and_gap_add_up() -> None:
    plan = of_two_paths()
    assert sum(path.share for path in plan.paths) == pytest.approx(1, abs=1e-12)
    assert sum(lane.share for lane in plan.lanes) == pytest.approx(1, abs=1e-12)
    assert sum(path.gbps for path in plan.paths) == plan.predicted.throughput_gbps == 8.0
    assert plan.gap == pytest.approx(0.2)


def test_dust_is_dropped_and_the_floor_is_met_to_the_bit() -> None:
    """A path of 1 bit/s carries nothing worth a VM; its bit goes to the widest path."""
    plan = realised(
        topology(diamond(), job()),
        strategy="overlay",
        flows={(S, T): 2.0 - 1e-9, (S, R): 1e-9, (R, T): 1e-9},
        vms={S: 1, R: 1, T: 1},
        floor_gbps=2.0,
        bounds=Bounds(usd=0.0),
    )
    assert [path.hops for path in plan.paths] == [(S, T)]
    assert plan.predicted.throughput_gbps == 2.0
    assert plan.vms == {S: 1, T: 1}
    assert [(flow.src, flow.dst) for flow in plan.flows] == [(S, T)]


def test_connections_carry_the_rate_with_none_to_spare() -> None:
    assert connections(12.0, 12.0) == 64
    assert connections(12.0 / 64, 12.0) == 1
    assert connections(12.0 / 64 * 1.01, 12.0) == 2
