"""From one to many in any world: plans hold, bounds bound, and another solver agrees."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortools.linear_solver import pywraplp

from datasets.errors import InfeasibleJob
from datasets.matrix import Matrix
from datasets.regions import cloud_of
from datasets.synthetic import synthetic_matrix
from datasets.units import gigabits, usd_per_s_of_flow, usd_per_s_of_vm
from planner.checks import check
from planner.job import Job
from planner.lp.multicast import MulticastModel
from planner.plan import Plan, plan_from_json
from planner.strategies import Strategy
from planner.strategies.broadcast_direct import broadcast_direct
from planner.strategies.broadcast_mst import broadcast_mst
from planner.strategies.broadcast_overlay import broadcast_overlay
from planner.strategies.broadcast_steiner import broadcast_steiner
from planner.topology import topology_of_any
from tests.unit.planner.tree_oracles import every_tree

TB = 10**12
SEEDS = st.integers(0, 10_000)
STRATEGIES = (broadcast_direct, broadcast_mst, broadcast_steiner, broadcast_overlay)


def planned(strategy: Strategy, matrix: Matrix, job: Job) -> Plan | InfeasibleJob:
    try:
        plan = plan_from_json(strategy(matrix, job).as_json())
    except InfeasibleJob as answer:
        return answer
    check(plan, matrix)
    return plan


def job_on(matrix: Matrix, *, sources: int, destinations: int, **asked: Any) -> Job:
    regions = matrix.region_ids
    return Job(
        source=regions[0],
        more_sources=regions[1:sources],
        destinations=regions[-destinations:],
        size_bytes=TB,
        **asked,
    )


@settings(max_examples=20, deadline=None)
@given(
    seed=SEEDS,
    sources=st.integers(1, 2),
    destinations=st.integers(1, 4),
    limit=st.integers(1, 4),
    share=st.floats(0.05, 1.0),
)
def test_every_plan_holds_and_more_trees_are_never_worse(
    seed: int, sources: int, destinations: int, limit: int, share: float
) -> None:
    matrix = synthetic_matrix(seed, regions=8)
    ends: dict[str, Any] = {"sources": sources, "destinations": destinations, "vm_limit": limit}
    model = MulticastModel(topology_of_any(matrix, job_on(matrix, **ends)))
    job = job_on(matrix, **ends, goal_gbps=share * model.fastest().gbps * (1 - 1e-9))
    plans = [planned(strategy, matrix, job) for strategy in STRATEGIES]
    overlay = plans[-1]
    assert isinstance(overlay, Plan)
    for plan in plans:
        if isinstance(plan, Plan):
            assert plan.bound_usd == overlay.bound_usd
            assert plan.bound_usd <= plan.predicted.cost_usd.total * (1 + 1e-9)
            # A VM more must be worth a hundred-thousandth: nothing finer is compared.
            least = overlay.predicted.cost_usd.total
            assert least <= plan.predicted.cost_usd.total * 1.0005
        else:
            assert plan.most_gbps < (job.goal_gbps or 0.0) * (1 + 1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, sources=st.integers(1, 2), share=st.floats(1.0, 2.0))
def test_a_budget_is_kept_and_buys_as_much_as_a_fixed_tree_gets(
    seed: int, sources: int, share: float
) -> None:
    matrix = synthetic_matrix(seed, regions=7)
    ends: dict[str, Any] = {"sources": sources, "destinations": 3, "vm_limit": 3}
    model = MulticastModel(topology_of_any(matrix, job_on(matrix, **ends)))
    least_usd = model.cheapest(None).usd_per_gigabit * gigabits(TB)
    job = job_on(matrix, **ends, max_usd=round(least_usd * share * 1.02, 8))
    plans = [planned(strategy, matrix, job) for strategy in STRATEGIES]
    found = [plan for plan in plans if isinstance(plan, Plan)]
    most = max((plan.predicted.throughput_gbps for plan in found), default=0.0)
    for plan in found:
        assert plan.predicted.cost_usd.total <= (job.max_usd or 0.0) + 1e-7
        assert plan.predicted.throughput_gbps <= (plan.bound_gbps or 0.0) * (1 + 1e-9)
    if found:
        overlay = plans[-1]
        assert isinstance(overlay, Plan)
        assert overlay.predicted.throughput_gbps >= most * (1 - 1e-5)


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, limit=st.integers(1, 3), share=st.floats(0.1, 1.0))
def test_the_relaxation_is_the_programme_over_every_tree(
    seed: int, limit: int, share: float
) -> None:
    matrix = synthetic_matrix(seed, regions=5)
    ends: dict[str, Any] = {"sources": 1, "destinations": 3, "vm_limit": limit}
    model = MulticastModel(topology_of_any(matrix, job_on(matrix, **ends)))
    most = model.fastest().gbps
    goal = share * most * (1 - 1e-9)
    least = every_tree_programme(matrix, job_on(matrix, **ends), goal)
    found = model.cheapest(goal)
    assert least is not None
    assert found.usd_per_gigabit == pytest.approx(least, rel=1e-7)
    assert found.bound_usd_per_gigabit <= least * (1 + 1e-9)
    assert found.bound_usd_per_gigabit == pytest.approx(least, rel=1e-6)


@settings(max_examples=4, deadline=None)
@given(seed=SEEDS, share=st.floats(0.2, 0.95))
def test_whole_vms_are_near_the_best_of_all_of_them(seed: int, share: float) -> None:
    """Against every choice of up to two VMs in each of five regions, over every tree."""
    matrix = synthetic_matrix(seed, regions=5)
    ends: dict[str, Any] = {"sources": 1, "destinations": 3, "vm_limit": 2}
    model = MulticastModel(topology_of_any(matrix, job_on(matrix, **ends)))
    job = job_on(matrix, **ends, goal_gbps=round(share * model.fastest().gbps, 6))
    plan = planned(broadcast_overlay, matrix, job)
    assert isinstance(plan, Plan)
    best = min(
        cost
        for counts in itertools.product(range(3), repeat=5)
        if (cost := _whole_cost(matrix, job, counts)) is not None
    )
    usd = best * gigabits(TB)
    assert plan.bound_usd <= usd * (1 + 1e-7)
    assert usd * (1 - 1e-6) <= plan.predicted.cost_usd.total <= usd * 1.01


def _whole_cost(matrix: Matrix, job: Job, counts: tuple[int, ...]) -> float | None:
    by_region = dict(zip(matrix.region_ids, counts, strict=True))
    if any(by_region[end] == 0 for end in (*job.sources, *job.destinations)):
        return None
    return every_tree_programme(matrix, job, job.goal_gbps or 0.0, by_region)


def every_tree_programme(
    matrix: Matrix, job: Job, goal_gbps: float, whole: dict[str, int] | None = None
) -> float | None:
    """USD a gigabit: DESIGN.md's rows over every tree, listed; None if infeasible.

    With `whole`, those VMs, at the goal or faster (slowness is a variable).
    """
    import numpy as np

    regions = matrix.region_ids
    index = {region: at for at, region in enumerate(regions)}
    links = {(index[e.src], index[e.dst]): e for e in matrix.links}
    weights = np.full((len(regions), len(regions)), np.inf)
    for ends in links:
        weights[ends] = 1.0
    solver: Any = pywraplp.Solver.CreateSolver("GLOP")
    slowness = solver.NumVar(0, 1 / goal_gbps, "")
    vms = {r: solver.NumVar(0, solver.infinity(), "") for r in range(len(regions))}
    root, terminals = index[job.source], [index[d] for d in job.destinations]
    trees = list(every_tree(weights, root, terminals))
    share = [solver.NumVar(0, 1, "") for _ in trees]
    solver.Add(sum(share) == 1)
    flow = {
        edge: sum(x for x, tree in zip(share, trees, strict=True) if edge in tree) for edge in links
    }
    if whole is None:
        solver.Add(slowness == 1 / goal_gbps)
    for r, region in enumerate(regions):
        vm = matrix.vm(region)
        out = [edge for edge in links if edge[0] == r]
        into = [edge for edge in links if edge[1] == r]
        public = [e for e in out if cloud_of(regions[e[1]]) != cloud_of(region)]
        solver.Add(sum(flow[e] / links[e].gbps for e in out) <= vms[r])
        solver.Add(sum(flow[e] / links[e].gbps for e in into) <= vms[r])
        solver.Add(sum(flow[e] for e in public) <= vm.egress_public_gbps * vms[r])
        solver.Add(sum(flow[e] for e in out) <= vm.egress_gbps * vms[r])
        solver.Add(sum(flow[e] for e in into) <= vm.ingress_gbps * vms[r])
        if whole is None:
            solver.Add(vms[r] <= job.vm_limit * slowness)
        else:
            solver.Add(vms[r] == whole[region] * slowness)
    egress = sum(flow[e] * usd_per_s_of_flow(1.0, links[e].usd_per_gb) for e in links)
    hours = sum(
        vms[r] * usd_per_s_of_vm(matrix.vm(region).usd_per_hour) for r, region in enumerate(regions)
    )
    solver.Minimize(egress + hours)
    if solver.Solve() != pywraplp.Solver.OPTIMAL:
        return None
    return float(solver.Objective().Value())
