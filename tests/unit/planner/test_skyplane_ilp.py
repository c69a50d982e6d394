"""The baseline by hand, against the bound that every strategy states, and its rounding's faults."""

from __future__ import annotations

import pytest

from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import InfeasibleJob, UnsupportedJob
from datasets.matrix import Matrix
from datasets.synthetic import synthetic_matrix
from planner.checks import check
from planner.job import Job
from planner.lp.skyplane import cheapest
from planner.plan import Plan
from planner.skyplane_rounding import Group, carried_gbps, rounded, vms_used
from planner.strategies.overlay import overlay
from planner.strategies.skyplane_ilp import skyplane_ilp
from planner.topology import topology
from tests.unit.planner.worlds import TB, R, S, T, diamond, job, matrix_of, vm


@pytest.mark.parametrize(
    ("goal_gbps", "vm_limit", "usd", "vms"),
    [
        # Direct, a VM at each end: 80 of egress, 2 VMs for 8000/3 s at 0.001.
        (3.0, 8, 80 + 2 * 8 / 3, {S: 1, T: 1}),
        # Direct at 4 a VM: three at each end for 800 s. By way of R: 100 of egress.
        (10.0, 8, 80 + 6 * 0.8, {S: 3, T: 3}),
        # Two VMs: x/4 + y/12 = 2 and x + y = 10, so 7 direct and 3 by way of R's one VM.
        (10.0, 2, 56 + 30 + 5 * 0.8, {R: 1, S: 2, T: 2}),
    ],
)
def test_a_plan_costs_what_it_costs_by_hand(
    goal_gbps: float, vm_limit: int, usd: float, vms: dict[str, int]
) -> None:
    plan = skyplane_ilp(diamond(), job(goal_gbps=goal_gbps, vm_limit=vm_limit))
    check(plan, diamond())
    assert plan.predicted.cost_usd.total == pytest.approx(usd)
    assert plan.vms == vms
    assert plan.predicted.throughput_gbps == pytest.approx(goal_gbps)
    assert "re-implemented" in plan.notes[0]


def test_connections_are_those_of_the_flows() -> None:
    """7 of 4 Gbit/s is 112 connections over two VMs, 3 of 12 is 16."""
    found = cheapest(topology(diamond(), job(goal_gbps=10.0, vm_limit=2)), 10.0)
    assert found.status == "optimal"
    assert found.connections == pytest.approx({(S, T): 112.0, (S, R): 16.0, (R, T): 16.0})
    assert found.usd_per_s == pytest.approx(90 / 800)


def test_rounding_fills_one_vm_after_the_other() -> None:
    groups = rounded({(S, T): 112.0, (S, R): 16.0, (R, T): 16.0}, {S: 2, R: 1, T: 2})
    assert set(groups) == {
        Group(src=R, src_vm=0, dst=T, dst_vm=0, connections=16),
        Group(src=S, src_vm=0, dst=R, dst_vm=0, connections=16),
        Group(src=S, src_vm=0, dst=T, dst_vm=0, connections=48),
        Group(src=S, src_vm=1, dst=T, dst_vm=1, connections=64),
    }
    assert vms_used(groups) == {R: 1, S: 2, T: 2}
    assert carried_gbps(topology(diamond(), job()), groups) == pytest.approx(10.0)


def test_rounding_scales_up_to_full_vms() -> None:
    """A quarter of a VM's connections becomes all of them."""
    (group,) = rounded({(S, T): 16.0}, {S: 1, T: 1})
    assert group.connections == 64


def test_what_rounding_loses_is_said() -> None:
    """5.05 Gbit/s of one VM: 55.6 and 8.4 connections become 56 and 8, which carry 3.5 + 1.5."""
    asked = job(goal_gbps=5.05, vm_limit=1)
    assert overlay(diamond(), asked).predicted.throughput_gbps >= 5.05
    with pytest.raises(InfeasibleJob) as answer:
        skyplane_ilp(diamond(), asked)
    assert answer.value.binds == ("skyplane_rounding",)
    assert answer.value.most_gbps == pytest.approx(5.0)


def test_rounding_up_everywhere_may_want_a_vm_too_many() -> None:
    links = {(S, "aws:a"): 20.6, (S, "aws:b"): 20.6, (S, T): 22.8}
    groups = rounded(links, {S: 1, "aws:a": 1, "aws:b": 1, T: 1})
    assert vms_used(groups)[S] == 2


@pytest.mark.parametrize(
    ("caps", "most"),
    [
        ({"egress_public_gbps": 1.5}, 1.5),
        ({"egress_gbps": 1.25}, 1.25),
        ({}, 4.0),
    ],
)
def test_what_is_carried_obeys_a_vms_caps(caps: dict[str, float], most: float) -> None:
    world = matrix_of({(S, T): (4.0, 0.08, 100.0)}, {S: vm(**caps)})
    groups = [Group(src=S, src_vm=0, dst=T, dst_vm=0, connections=64)]
    assert carried_gbps(topology(world, job()), groups) == pytest.approx(most)


def plan_or_answer(world: Matrix, asked: Job) -> Plan | InfeasibleJob:
    try:
        return skyplane_ilp(world, asked)
    except InfeasibleJob as answer:
        return answer


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_it_never_beats_the_bound_nor_the_overlay(seed: int, share: float) -> None:
    world = synthetic_matrix(seed)
    source, destination = world.region_ids[0], world.region_ids[-1]
    base = Job(source=source, destinations=(destination,), size_bytes=TB, vm_limit=3)
    most = overlay(world, base).predicted.throughput_gbps
    asked = Job(
        source=source,
        destinations=(destination,),
        size_bytes=TB,
        vm_limit=3,
        goal_gbps=share * most,
    )
    best = overlay(world, asked)
    found = cheapest(topology(world, asked), share * most)
    assert found.status == "optimal"
    seconds = 8 * TB / 1e9 / (share * most)
    assert found.usd_per_s * seconds >= best.bound_usd * (1 - 1e-6)
    plan = plan_or_answer(world, asked)
    if isinstance(plan, InfeasibleJob):
        assert plan.binds == ("skyplane_rounding",)
        assert 0 <= plan.most_gbps <= share * most
        return
    check(plan, world)
    assert plan.bound_usd <= plan.predicted.cost_usd.total
    assert plan.bound_lp_usd == pytest.approx(best.bound_lp_usd)
    # The overlay stops within two ten-thousandths of what it can prove.
    assert plan.predicted.cost_usd.total >= best.predicted.cost_usd.total * (1 - 2e-4)


def test_near_the_most_of_a_measured_pair_it_loses_the_goal() -> None:
    """Skyplane's own release loses as much there: benchmarks/skyplane_peer.py."""
    world = load_matrix(MatrixChoice(epoch="2022-11-28", caps="skyplane"))
    ends = {"source": "gcp:europe-north1", "destinations": ("azure:northeurope",)}
    asked = Job(size_bytes=TB, goal_gbps=53.2, **ends)  # type: ignore[arg-type]
    with pytest.raises(InfeasibleJob) as answer:
        skyplane_ilp(world, asked)
    assert 45 < answer.value.most_gbps < 52


def test_more_than_any_plan_can_do_is_infeasible_as_for_everybody() -> None:
    asked = job(goal_gbps=1000.0)
    answers = []
    for strategy in (overlay, skyplane_ilp):
        with pytest.raises(InfeasibleJob) as answer:
            strategy(diamond(), asked)
        answers.append((answer.value.most_gbps, answer.value.binds))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"max_usd": 100.0},
        {"goal_gbps": 1.0, "minimise": "gco2e"},
        {"goal_gbps": 1.0, "max_gco2e": 1e9},
        {"goal_gbps": 1.0, "require": (R,)},
        {"goal_gbps": 1.0, "provisioning": True},
        {"goal_gbps": 1.0, "tiered": True},
    ],
)
def test_what_it_cannot_express_it_refuses(asked: dict[str, object]) -> None:
    with pytest.raises(UnsupportedJob, match="Use overlay"):
        skyplane_ilp(diamond(), job(**asked))


def test_the_same_question_has_the_same_answer() -> None:
    asked = job(goal_gbps=10.0, vm_limit=2)
    assert skyplane_ilp(diamond(), asked).id == skyplane_ilp(diamond(), asked).id
