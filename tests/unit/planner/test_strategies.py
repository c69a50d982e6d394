"""Strategies on worlds solved by hand."""

from __future__ import annotations

import pytest

from datasets.errors import InfeasibleJob, UnknownName
from datasets.matrix import Matrix
from planner.plan import Plan
from planner.strategies import solve
from tests.unit.planner.worlds import Q, R, S, T, diamond, job, matrix_of, vm


def cost(plan: Plan) -> float:
    return plan.predicted.cost_usd.total


def test_direct_is_egress_and_two_vms() -> None:
    """4 Gbit/s: 2,000 s. Egress 1,000 GB · $0.08 = $80, VMs 2 · 2,000 s · $0.001 = $4."""
    plan = solve("direct", diamond(), job(goal_gbps=3, vm_limit=1))
    assert plan.predicted.throughput_gbps == pytest.approx(4)
    assert plan.predicted.makespan_s == pytest.approx(2000)
    assert plan.predicted.cost_usd.egress == pytest.approx(80)
    assert plan.predicted.cost_usd.vm == pytest.approx(4)
    assert plan.bound_usd == pytest.approx(84)
    assert plan.gap == pytest.approx(0, abs=1e-9)


def test_one_vm_each_shares_its_time_between_direct_and_relay() -> None:
    """Out of S: F_direct/4 + F_relay/12 <= 1, so the relay alone is fastest, 12 Gbit/s.

    666.67 s: egress $100, 3 VMs · 666.67 s · $0.001 = $2.
    """
    plan = solve("overlay", diamond(), job(vm_limit=1))
    assert plan.predicted.throughput_gbps == pytest.approx(12)
    assert plan.bound_gbps == pytest.approx(12)
    assert cost(plan) == pytest.approx(102)
    assert plan.relays == (R,)
    assert [path.hops for path in plan.paths] == [(S, R, T)]


def test_between_the_two_the_goal_mixes_them() -> None:
    """Goal 8 with one VM each: d + r = 8, d/4 + r/12 = 1, so d = 2, r = 6: both paths.

    1,000 s: egress 250 GB · $0.08 + 750 GB · $0.10 = $95; 3 VMs · 1,000 s · $0.001 = $3.
    """
    plan = solve("overlay", diamond(), job(goal_gbps=8, vm_limit=1))
    assert plan.predicted.throughput_gbps == pytest.approx(8)
    assert cost(plan) == pytest.approx(98)
    assert {path.hops: path.gbps for path in plan.paths} == pytest.approx(
        {(S, T): 2.0, (S, R, T): 6.0}
    )
    # The relaxation needs half a VM at R: $0.5 less. In whole VMs there is nothing better.
    assert plan.bound_lp_usd == pytest.approx(97.5)
    assert plan.bound_usd == pytest.approx(98)


def test_a_budget_buys_throughput() -> None:
    """$98 buys 8 Gbit/s with one VM each (above); less than $84 buys nothing."""
    plan = solve("overlay", diamond(), job(max_usd=98, vm_limit=1))
    assert plan.predicted.throughput_gbps == pytest.approx(8, rel=1e-6)
    assert cost(plan) <= 98 + 1e-8
    assert plan.bound_gbps is not None
    assert plan.bound_gbps > 8
    with pytest.raises(InfeasibleJob) as raised:
        solve("overlay", diamond(), job(max_usd=83.9, vm_limit=1))
    assert raised.value.binds == ("max_usd",)


def test_a_generous_budget_is_the_fastest_plan() -> None:
    plan = solve("overlay", diamond(), job(max_usd=10_000, vm_limit=1))
    assert plan.predicted.throughput_gbps == pytest.approx(12)
    assert cost(plan) == pytest.approx(102)


def test_a_deadline_is_a_goal() -> None:
    """8,000 Gbit within 1,000 s are 8 Gbit/s."""
    by_goal = solve("overlay", diamond(), job(goal_gbps=8, vm_limit=1))
    by_deadline = solve("overlay", diamond(), job(deadline_s=1000, vm_limit=1))
    assert by_deadline.predicted == by_goal.predicted
    assert by_deadline.predicted.makespan_s <= 1000


def test_ron_takes_the_near_relay_though_it_is_slow() -> None:
    plan = solve("ron", diamond(), job(vm_limit=1))
    assert [path.hops for path in plan.paths] == [(S, Q, T)]
    assert plan.predicted.throughput_gbps == pytest.approx(2)
    assert plan.notes == (f"Lowest latency by way of {Q}.",)


def test_the_bound_is_for_the_job_whatever_the_strategy() -> None:
    asked = job(goal_gbps=1)
    bounds = {
        solve(name, diamond(), asked).bound_usd for name in ("direct", "ron", "one_hop", "overlay")
    }
    assert len(bounds) == 1


def test_two_relays_in_a_row_are_for_overlay_alone() -> None:
    matrix = matrix_of(
        {(S, T): (1.0, 0.0, 1), (S, R): (9.0, 0.0, 1), (R, Q): (9.0, 0.0, 1), (Q, T): (9.0, 0.0, 1)}
    )
    one = solve("one_hop", matrix, job(vm_limit=1))
    many = solve("overlay", matrix, job(vm_limit=1))
    assert one.predicted.throughput_gbps == pytest.approx(1)
    assert many.predicted.throughput_gbps == pytest.approx(9)
    assert [path.hops for path in many.paths] == [(S, R, Q, T)]


def capped(**figures: float) -> Matrix:
    return matrix_of({(S, T): (10.0, 0.0, 1), (S, R): (10.0, 0, 1)}, {S: vm(**figures)})


@pytest.mark.parametrize(
    ("figures", "most", "binds"),
    [
        ({}, 20.0, f"link {S}→{T}"),
        ({"egress_public_gbps": 3.0}, 6.0, f"vm_egress_public[{S}]"),
        ({"egress_gbps": 4.0}, 8.0, f"vm_egress[{S}]"),
    ],
)
def test_infeasible_says_the_most_and_what_binds(
    figures: dict[str, float], most: float, binds: str
) -> None:
    with pytest.raises(InfeasibleJob) as raised:
        solve("overlay", capped(**figures), job(goal_gbps=50, vm_limit=2))
    assert raised.value.most_gbps == pytest.approx(most)
    assert binds in raised.value.binds
    assert any(name.startswith("vm_limit[") for name in raised.value.binds)


def test_the_public_cap_spares_flows_inside_the_cloud() -> None:
    """S may send 3 Gbit/s to other clouds; R, in S's cloud, takes the rest and has no such cap."""
    matrix = matrix_of(
        {(S, T): (10.0, 0.0, 1), (S, R): (10.0, 0.0, 1), (R, T): (10.0, 0.0, 1)},
        {S: vm(egress_public_gbps=3.0)},
    )
    plan = solve("overlay", matrix, job(vm_limit=1))
    assert plan.predicted.throughput_gbps == pytest.approx(10)


def test_no_link_at_all_and_a_quota_of_nothing() -> None:
    matrix = matrix_of({(S, R): (1, 0, 1)}, {T: vm()})
    with pytest.raises(InfeasibleJob) as raised:
        solve("overlay", matrix, job(goal_gbps=1))
    assert (raised.value.most_gbps, raised.value.binds) == (0, (f"no link {S}→{T}",))
    with pytest.raises(InfeasibleJob) as raised:
        solve("overlay", diamond(), job(quotas={S: 0}))
    assert raised.value.most_gbps == 0
    assert raised.value.binds


def test_an_unknown_strategy_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="overlay"):
        solve("overlai", diamond(), job())


def test_a_goal_of_exactly_the_most_is_feasible_and_met() -> None:
    matrix = matrix_of({(S, T): (1 / 3, 0.01, 1)})
    most = solve("direct", matrix, job(vm_limit=7)).predicted.throughput_gbps
    plan = solve("direct", matrix, job(goal_gbps=most, vm_limit=7))
    assert plan.predicted.throughput_gbps >= most


def test_a_budget_of_exactly_a_plan_s_cost_is_met_by_that_plan() -> None:
    cheapest = solve("overlay", diamond(), job(goal_gbps=0.1, vm_limit=1))
    plan = solve("overlay", diamond(), job(max_usd=cost(cheapest), vm_limit=1))
    assert cost(plan) == pytest.approx(cost(cheapest), abs=1e-8)
    assert plan.predicted.throughput_gbps == pytest.approx(4)
