"""Strategies over trees: plans hold, all state one bound, and what they cannot they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import InfeasibleJob, PlanRefused, UnknownName, UnsupportedJob
from datasets.matrix import Matrix
from datasets.synthetic import synthetic_matrix, tiny_matrix
from planner.check_trees import check_trees
from planner.checks import check
from planner.job import Job
from planner.plan import Plan, Tree, TreeLane, load_plan, plan_from_json, save_plan
from planner.strategies import Strategy
from planner.strategies.broadcast_direct import broadcast_direct
from planner.strategies.broadcast_mst import broadcast_mst
from planner.strategies.broadcast_overlay import broadcast_overlay
from planner.strategies.broadcast_steiner import broadcast_steiner
from planner.strategies.overlay import overlay

STRATEGIES: dict[str, Strategy] = {
    "broadcast_direct": broadcast_direct,
    "broadcast_mst": broadcast_mst,
    "broadcast_steiner": broadcast_steiner,
    "broadcast_overlay": broadcast_overlay,
}
KINDS = ("one to one", "one to many", "many to one", "many to many")
OBJECTIVES = ("goal", "deadline", "max_usd", "fastest")
WORLDS = ("tiny", "synthetic", "2022-11-28")
TB = 10**12


@cache
def world(name: str) -> Matrix:
    if name == "tiny":
        return tiny_matrix()
    return synthetic_matrix(2) if name == "synthetic" else load_matrix(MatrixChoice(epoch=name))


def ends(name: str, kind: str) -> dict[str, Any]:
    regions = world(name).region_ids
    first, second = regions[0], regions[1]
    last = (regions[-1], regions[len(regions) // 2])
    return {
        "one to one": {"source": first, "destinations": last[:1]},
        "one to many": {"source": first, "destinations": last},
        "many to one": {"source": first, "more_sources": (second,), "destinations": last[:1]},
        "many to many": {
            "source": first,
            "more_sources": (second,),
            "destinations": (second, last[0]),
        },
    }[kind]


@cache
def job_for(name: str, kind: str, objective: str) -> Job:
    """Half of what direct links do at most: within everybody's reach."""
    asked: dict[str, Any] = {**ends(name, kind), "size_bytes": TB, "vm_limit": 4}
    if objective == "fastest":
        return Job(**asked)
    direct = broadcast_direct(world(name), Job(**asked))
    goal_gbps = direct.predicted.throughput_gbps / 2
    more: dict[str, Any] = {
        "goal": {"goal_gbps": round(goal_gbps, 6)},
        "deadline": {"deadline_s": round(8000 / goal_gbps, 3)},
        "max_usd": {"max_usd": round(direct.predicted.cost_usd.total * 1.2, 6)},
    }[objective]
    return Job(**asked, **more)


@cache
def plan_of(strategy: str, name: str, kind: str, objective: str) -> Plan:
    plan = STRATEGIES[strategy](world(name), job_for(name, kind, objective))
    stored = plan_from_json(plan.as_json())
    check(stored, world(name))
    return stored


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", WORLDS)
def test_plans_hold_state_one_bound_and_more_trees_are_never_worse(
    name: str, kind: str, objective: str
) -> None:
    plans = {strategy: plan_of(strategy, name, kind, objective) for strategy in STRATEGIES}
    for strategy, plan in plans.items():
        assert plan.strategy == strategy
        assert plan.trees
        assert not plan.paths
        assert plan_from_json(plan.as_json()) == plan
        assert plan.bound_usd > 0
    assert len({(plan.bound_usd, plan.bound_gbps) for plan in plans.values()}) == 1
    best = plans["broadcast_overlay"].predicted
    for plan in plans.values():
        if objective in ("goal", "deadline"):
            # A VM more must be worth a hundred-thousandth of the cost: nothing finer is compared.
            assert best.cost_usd.total <= plan.predicted.cost_usd.total * 1.0005
        else:
            assert best.throughput_gbps >= plan.predicted.throughput_gbps * (1 - 1e-5)


@pytest.mark.parametrize("objective", ["goal", "deadline", "fastest"])
@pytest.mark.parametrize("name", WORLDS)
def test_to_one_destination_it_costs_what_overlay_does(name: str, objective: str) -> None:
    job = job_for(name, "one to one", objective)
    trees = plan_of("broadcast_overlay", name, "one to one", objective).predicted
    paths = overlay(world(name), job).predicted
    assert trees.cost_usd.total == pytest.approx(paths.cost_usd.total, rel=1e-3)
    if objective == "fastest":
        assert trees.throughput_gbps == pytest.approx(paths.throughput_gbps, rel=1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_question_has_the_same_answer_and_a_file_holds_it(
    strategy: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = plan_of(strategy, "tiny", "one to many", "goal")
    again = STRATEGIES[strategy](tiny_matrix(), job_for("tiny", "one to many", "goal"))
    assert again.id == plan.id
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    save_plan(plan, file)
    assert load_plan(file) == plan


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", ["one to many", "many to many"])
def test_too_much_is_infeasible_and_the_most_that_is_said_is_feasible(
    strategy: str, kind: str
) -> None:
    asked: dict[str, Any] = {**ends("tiny", kind), "size_bytes": TB, "vm_limit": 2}
    with pytest.raises(InfeasibleJob) as raised:
        STRATEGIES[strategy](tiny_matrix(), Job(**asked, goal_gbps=1000.0))
    assert raised.value.binds
    most = raised.value.most_gbps * (1 - 1e-9)
    plan = STRATEGIES[strategy](tiny_matrix(), Job(**asked, goal_gbps=most))
    assert plan.predicted.throughput_gbps == pytest.approx(most)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_cannot_be_planned_is_said(strategy: str) -> None:
    asked: dict[str, Any] = {**ends("tiny", "one to many"), "size_bytes": TB, "goal_gbps": 1.0}
    relay = "azure:westus2"
    for more in (
        {"require": (relay,)},
        {"minimise": "gco2e"},
        {"max_gco2e": 1e6},
        {"goal_gbps": None, "max_usd": 100.0, "provisioning": True},
    ):
        with pytest.raises(UnsupportedJob):
            STRATEGIES[strategy](tiny_matrix(), Job(**{**asked, **more}))
    with pytest.raises(UnknownName, match="did you mean"):
        STRATEGIES[strategy](tiny_matrix(), Job(**{**asked, "source": "azure:canadacentrl"}))
    with pytest.raises(InfeasibleJob, match="max_usd"):
        STRATEGIES[strategy](tiny_matrix(), Job(**{**asked, "goal_gbps": None, "max_usd": 0.01}))


def test_an_end_without_a_vm_is_what_binds() -> None:
    asked: dict[str, Any] = {**ends("tiny", "one to many"), "size_bytes": TB, "goal_gbps": 1.0}
    job = Job(**asked, quotas={asked["destinations"][0]: 1})
    with pytest.raises(InfeasibleJob) as raised:
        broadcast_overlay(tiny_matrix(), job)
    assert raised.value.binds == (f"quota[{asked['destinations'][0]}]",)
    assert raised.value.most_gbps == 0


def test_strategies_for_one_destination_refuse_several() -> None:
    with pytest.raises(UnsupportedJob):
        overlay(tiny_matrix(), job_for("tiny", "one to many", "goal"))


# --- Each rule of the check sees its breach.


def _tree(plan: Plan, **change: Any) -> Plan:
    first, *rest = plan.trees
    return dataclasses.replace(plan, trees=(dataclasses.replace(first, **change), *rest))


def _lane(plan: Plan, **change: Any) -> Plan:
    first, *rest = plan.tree_lanes
    return dataclasses.replace(plan, tree_lanes=(dataclasses.replace(first, **change), *rest))


def _moved(lane: TreeLane) -> tuple[tuple[str, str], ...]:
    """The same lane with its last gateway one that does not exist."""
    src, dst = lane.edges[-1]
    return (*lane.edges[:-1], (src, dst.split("#")[0] + "#77"))


def _late(tree: Tree) -> tuple[tuple[str, str], ...]:
    return tuple(reversed(tree.edges))


BREACHES: dict[str, tuple[str, Callable[[Plan], Plan]]] = {
    "an edge is missing": ("trees", lambda p: _tree(p, edges=p.trees[0].edges[:-1])),
    "children before parents": ("trees", lambda p: _tree(p, edges=_late(p.trees[0]))),
    "another source": ("trees", lambda p: _tree(p, source=p.job.destinations[0])),
    "more than its flow": ("shares", lambda p: _tree(p, gbps=p.trees[0].gbps * 1.01)),
    "another share": ("shares", lambda p: _tree(p, share=p.trees[0].share * 0.9)),
    "a gateway too many": ("lanes", lambda p: _lane(p, edges=_moved(p.tree_lanes[0]))),
    "no such tree": ("lanes", lambda p: _lane(p, tree=99)),
    "a lane that is too slow": ("lanes", lambda p: _lane(p, gbps=p.tree_lanes[0].gbps / 2)),
    "too few connections": (
        "connections",
        lambda p: _lane(p, connections=(1,) * len(p.tree_lanes[0].connections)),
    ),
    "a lane is missing": ("lanes", lambda p: dataclasses.replace(p, tree_lanes=p.tree_lanes[1:])),
    "one gateway carries all": ("vm_", lambda p: _crowded(p)),
}


def _crowded(plan: Plan) -> Plan:
    """Every lane through the first gateway of each region."""
    lanes = tuple(
        dataclasses.replace(
            lane,
            edges=tuple((f"{a.split('#')[0]}#0", f"{b.split('#')[0]}#0") for a, b in lane.edges),
        )
        for lane in plan.tree_lanes
    )
    return dataclasses.replace(plan, tree_lanes=lanes)


@pytest.mark.parametrize("breach", BREACHES)
def test_a_planted_breach_is_refused(breach: str) -> None:
    plan = plan_of("broadcast_overlay", "tiny", "one to many", "fastest")
    assert len(plan.tree_lanes) > 1
    check_trees(plan)
    rule, plant = BREACHES[breach]
    with pytest.raises(PlanRefused, match=f"rule '{rule}"):
        check_trees(plant(plan))
