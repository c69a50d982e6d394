"""Every rule of the check, by a breach planted in a good plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from datasets.errors import PlanRefused
from planner import checks
from planner.checks import check
from planner.cost import CostUsd
from planner.plan import Plan
from planner.strategies import solve
from tests.unit.planner.worlds import Q, R, S, T, diamond, job

Breach = Callable[[Plan], Plan]


def good() -> Plan:
    """Two paths: 2 Gbit/s directly, 6 by way of R; one VM each."""
    return solve("overlay", diamond(), job(goal_gbps=8, vm_limit=1))


def with_job(**changes: object) -> Breach:
    return lambda plan: replace(plan, job=replace(plan.job, **changes))  # type: ignore[arg-type]


def with_predicted(**changes: object) -> Breach:
    return lambda plan: replace(
        plan,
        predicted=replace(plan.predicted, **changes),  # type: ignore[arg-type]
    )


def with_vm(region: str, **changes: object) -> Breach:
    return lambda plan: replace(
        plan,
        regions=tuple(
            replace(r, vm=replace(r.vm, **changes)) if r.id == region else r  # type: ignore[arg-type]
            for r in plan.regions
        ),
    )


def with_link(src: str, dst: str, **changes: object) -> Breach:
    return lambda plan: replace(
        plan,
        links=tuple(
            replace(e, **changes) if (e.src, e.dst) == (src, dst) else e  # type: ignore[arg-type]
            for e in plan.links
        ),
    )


def with_flow(src: str, dst: str, gbps: float) -> Breach:
    return lambda plan: replace(
        plan,
        flows=tuple(
            replace(f, gbps=gbps) if (f.src, f.dst) == (src, dst) else f for f in plan.flows
        ),
    )


def with_lane(at: int, **changes: object) -> Breach:
    return lambda plan: replace(
        plan,
        lanes=tuple(
            replace(lane, **changes) if n == at else lane  # type: ignore[arg-type]
            for n, lane in enumerate(plan.lanes)
        ),
    )


def with_path(at: int, **changes: object) -> Breach:
    return lambda plan: replace(
        plan,
        paths=tuple(
            replace(path, **changes) if n == at else path  # type: ignore[arg-type]
            for n, path in enumerate(plan.paths)
        ),
    )


BREACHES: dict[str, tuple[str, Breach]] = {
    "not a number": ("figures", with_predicted(makespan_s=float("nan"))),
    "negative": ("figures", with_flow(S, T, -2.0)),
    "a region too few": ("figures", lambda plan: replace(plan, regions=plan.regions[1:])),
    "a link too few": ("figures", lambda plan: replace(plan, links=plan.links[1:])),
    "a flow twice": ("figures", lambda p: replace(p, flows=(*p.flows, p.flows[0]))),
    "a region twice": ("figures", lambda p: replace(p, regions=(*p.regions, p.regions[0]))),
    "a link twice": ("figures", lambda p: replace(p, links=(*p.links, p.links[0]))),
    "relay keeps some": ("conservation", with_flow(S, R, 6.1)),
    "source sends less": ("conservation", with_predicted(throughput_gbps=8.1)),
    "forbidden": ("forbidden region", with_job(forbid=(R,))),
    "VM limit": ("vm_limit", lambda plan: replace(plan, vms={**plan.vms, R: 2})),
    "no VM": ("vm_limit", lambda plan: replace(plan, vms={**plan.vms, R: 0})),
    "quota": ("quota", with_job(quotas={R: 3})),
    "time out": ("vm_out_time", with_link(S, R, gbps=11.9)),
    "time in": ("vm_in_time", with_link(R, T, gbps=11.9)),
    "public egress": ("vm_egress_public", with_vm(R, egress_public_gbps=5.9)),
    "egress": ("vm_egress", with_vm(S, egress_gbps=7.9)),
    "ingress": ("vm_ingress", with_vm(T, ingress_gbps=7.9)),
    "path's rate": ("shares", with_path(0, gbps=6.1)),
    "path's share": ("shares", with_path(0, share=0.76)),
    "path elsewhere": ("paths", with_path(0, hops=(S, R))),
    "path loops": ("paths", with_path(0, hops=(S, R, S, T))),
    "path by others": ("paths", with_path(0, hops=(S, Q, T))),
    "a path too few": ("paths", lambda plan: replace(plan, paths=plan.paths[:1])),
    "lane's share": ("shares", with_lane(0, share=0.76)),
    "shares swapped": (
        "shares",
        lambda p: with_lane(0, share=p.lanes[1].share)(with_lane(1, share=p.lanes[0].share)(p)),
    ),
    "lane of no path": ("lanes", with_lane(0, path=2)),
    "lane off its path": ("lanes", with_lane(0, gateways=(f"{S}#0", f"{T}#0"))),
    "no such gateway": ("lanes", with_lane(0, gateways=(f"{S}#1", f"{R}#0", f"{T}#0"))),
    "lane's rate": ("lanes", with_lane(0, gbps=5.9)),
    "a count too few": ("connections", with_lane(0, connections=(32,))),
    "no connection": ("connections", with_lane(0, connections=(0, 32))),
    "too few connections": ("connections", with_lane(0, connections=(31, 32))),
    "makespan": ("makespan", with_predicted(makespan_s=999.9)),
    "egress cost": ("cost", with_predicted(cost_usd=CostUsd(egress=94.9, vm=3.0))),
    "VM cost": ("cost", with_predicted(cost_usd=CostUsd(egress=95.0, vm=2.9))),
    "floor": ("floor", with_job(goal_gbps=8.001)),
    "deadline": ("floor", with_job(goal_gbps=None, deadline_s=999.0)),
    "budget": ("max_usd", with_job(goal_gbps=None, max_usd=97.9)),
    "bound above cost": ("bound", lambda plan: replace(plan, bound_usd=98.1)),
    "LP bound above bound": ("bound", lambda plan: replace(plan, bound_usd=97.4)),
    "gap": ("gap", lambda plan: replace(plan, gap=0.01)),
    "bound_gbps unasked": ("bound", lambda plan: replace(plan, bound_gbps=9.0)),
    "bound_gbps missing": ("bound", with_job(goal_gbps=None)),
    "bound_gbps too low": (
        "bound",
        lambda plan: with_job(goal_gbps=None)(replace(plan, bound_gbps=7.9)),
    ),
}


def test_the_good_plan_passes() -> None:
    check(good())
    check(good(), diamond())
    assert len(good().paths) == 2


@pytest.mark.parametrize("name", BREACHES)
def test_a_planted_breach_is_refused_by_its_rule(name: str) -> None:
    rule, breach = BREACHES[name]
    with pytest.raises(PlanRefused, match=rule):
        check(breach(good()))


def test_lanes_that_all_take_one_gateway_are_refused() -> None:
    """Two VMs at S have the time for 16 Gbit/s; one alone, with all the lanes, has not."""
    plan = solve("overlay", diamond(), job(goal_gbps=16, vm_limit=2))
    assert plan.vms[S] == 2
    crowded = tuple(replace(lane, gateways=(f"{S}#0", *lane.gateways[1:])) for lane in plan.lanes)
    with pytest.raises(PlanRefused, match=rf"vm_out_time.*{S}#0"):
        check(replace(plan, lanes=crowded))


@pytest.mark.parametrize(
    "breach", [with_link(S, T, gbps=4.1), with_vm(S, type="other"), with_link(S, T, rtt_ms=99.0)]
)
def test_figures_that_are_not_the_matrix_s_are_refused(breach: Breach) -> None:
    with pytest.raises(PlanRefused, match="matrix"):
        check(breach(good()), diamond())


def test_a_plan_of_another_matrix_is_refused() -> None:
    with pytest.raises(PlanRefused, match="matrix"):
        check(good(), diamond().without([Q]))


def test_the_maximum_flow_sees_slow_lanes_few_connections_and_caps() -> None:
    """Another rule catches each of these first; the flow alone would have, too."""
    lanes = tuple(replace(lane, gbps=lane.gbps * 0.9) for lane in good().lanes)
    with pytest.raises(PlanRefused, match="max-flow"):
        checks._check_max_flow(replace(good(), lanes=lanes))
    fewer = tuple(replace(lane, connections=(1,) * len(lane.connections)) for lane in good().lanes)
    with pytest.raises(PlanRefused, match="max-flow"):
        checks._check_max_flow(replace(good(), lanes=fewer))
    capped = with_vm(R, egress_public_gbps=5.0)(good())
    with pytest.raises(PlanRefused, match="max-flow"):
        checks._check_max_flow(capped)
