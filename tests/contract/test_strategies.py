"""Every strategy: what it plans holds, and what it cannot plan it says.

`pytest --strategy theirs` runs the suite on a strategy of one's own: a registered name, or
FILE.py:FUNCTION. It may call any of these Jobs infeasible or unsupported; what it plans must hold.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import InfeasibleJob, UnknownName, UnsupportedJob
from datasets.matrix import Matrix
from datasets.synthetic import synthetic_matrix, tiny_matrix
from planner.checks import check
from planner.job import Job
from planner.plan import Plan, load_plan, plan_from_json, save_plan
from planner.strategies import solve, strategy_names

WORLDS = ("tiny", "synthetic 1", "synthetic 2", "synthetic 3", "2022-11-28")
OBJECTIVES = ("goal", "deadline", "max_usd", "fastest")
# Ours that must plan every Job of OBJECTIVES, from one to one.
COMPLETE = ("direct", "one_hop", "overlay", "overlay_exact", "broadcast_overlay")
TO_MANY = tuple(name for name in strategy_names() if name.startswith("broadcast_"))
TB = 10**12


@cache
def world(name: str) -> Matrix:
    if name == "tiny":
        return tiny_matrix()
    if name.startswith("synthetic"):
        return synthetic_matrix(int(name.split()[1]))
    return load_matrix(MatrixChoice(epoch=name))


def ends(name: str) -> tuple[str, str]:
    if name == "tiny":
        return "azure:canadacentral", "gcp:asia-northeast1"
    if name == "2022-11-28":
        return "azure:canadacentral", "gcp:asia-northeast2"
    regions = world(name).region_ids
    return regions[0], regions[-1]


@cache
def job_for(name: str, objective: str) -> Job:
    """Half of what direct does at most: within everybody's reach but, perhaps, ron's."""
    source, destination = ends(name)
    fastest = Job(source=source, destinations=(destination,), size_bytes=TB, vm_limit=4)
    if objective == "fastest":
        return fastest
    direct = solve("direct", world(name), fastest)
    goal_gbps = direct.predicted.throughput_gbps / 2
    asked: dict[str, Any] = {
        "goal": {"goal_gbps": goal_gbps},
        "deadline": {"deadline_s": 8000 / goal_gbps},
        "max_usd": {"max_usd": direct.predicted.cost_usd.total * 1.2},
    }[objective]
    return Job(source=source, destinations=(destination,), size_bytes=TB, vm_limit=4, **asked)


def plan_or_answer(strategy: str, matrix: Matrix, job: Job) -> Plan | InfeasibleJob | None:
    """The Plan, the answer that there is none, or None where the strategy is for other Jobs."""
    try:
        return solve(strategy, matrix, job)
    except InfeasibleJob as answer:
        return answer
    except UnsupportedJob:
        return None


def name_of(strategy: str) -> str:
    return os.path.basename(strategy).rpartition(":")[2]


def test_there_are_strategies_to_test() -> None:
    assert {"ron", "skyplane_ilp", "robust", *COMPLETE} <= set(strategy_names())
    assert len(TO_MANY) == 4


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", WORLDS)
def test_a_plan_holds_or_there_is_an_answer(strategy: str, name: str, objective: str) -> None:
    job = job_for(name, objective)
    plan = plan_or_answer(strategy, world(name), job)
    if not isinstance(plan, Plan):
        assert strategy not in COMPLETE
        if isinstance(plan, InfeasibleJob):
            assert plan.most_gbps < (job.floor_gbps or float("inf"))
            assert plan.binds
        return
    check(plan, world(name))
    assert plan.strategy == name_of(strategy)
    assert plan_from_json(plan.as_json()) == plan


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", WORLDS)
def test_more_links_never_make_a_worse_plan(name: str, objective: str) -> None:
    """Strategies stop within 2e-4 of what they can prove: nothing finer is compared."""
    plans = [
        solve(strategy, world(name), job_for(name, objective))
        for strategy in ("direct", "one_hop", "overlay", "overlay_exact")
    ]
    assert len({plan.bound_lp_usd for plan in plans}) == 1
    for fewer, more in pairwise(plans):
        assert more.bound_usd >= more.bound_lp_usd > 0
        if objective in ("goal", "deadline"):
            assert more.predicted.cost_usd.total <= fewer.predicted.cost_usd.total * 1.0005
        else:
            assert more.predicted.throughput_gbps >= fewer.predicted.throughput_gbps * (1 - 1e-4)


def test_the_same_question_has_the_same_answer(strategy: str) -> None:
    first, second = (
        plan_or_answer(strategy, tiny_matrix(), job_for("tiny", "goal")) for _ in range(2)
    )
    if isinstance(first, Plan) and isinstance(second, Plan):
        assert first.id == second.id
    else:
        assert type(first) is type(second)


def test_a_file_holds_the_plan(strategy: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    plan = plan_or_answer(strategy, tiny_matrix(), job_for("tiny", "goal"))
    if isinstance(plan, Plan):
        file = tmp_path_factory.mktemp("plan") / "plan.json"
        save_plan(plan, file)
        assert load_plan(file) == plan


def test_too_much_is_infeasible_and_the_most_that_is_said_is_feasible(strategy: str) -> None:
    source, destination = ends("tiny")
    asked: dict[str, Any] = {
        "source": source,
        "destinations": (destination,),
        "size_bytes": TB,
        "vm_limit": 2,
    }
    answer = plan_or_answer(strategy, tiny_matrix(), Job(**asked, goal_gbps=1000.0))
    assert not isinstance(answer, Plan)
    if answer is None:
        return
    assert answer.binds
    assert answer.most_gbps > 0
    plan = plan_or_answer(strategy, tiny_matrix(), Job(**asked, goal_gbps=answer.most_gbps))
    if isinstance(plan, Plan):
        assert plan.predicted.throughput_gbps == pytest.approx(answer.most_gbps)
    else:
        assert strategy not in COMPLETE


def test_unknown_regions_are_named_with_the_nearest(strategy: str) -> None:
    _, destination = ends("tiny")
    with pytest.raises(UnknownName, match="did you mean azure:canadacentral"):
        solve(
            strategy,
            tiny_matrix(),
            Job(
                source="azure:canadacentrl",
                destinations=(destination,),
                size_bytes=TB,
                goal_gbps=1.0,
            ),
        )


def test_several_destinations_are_planned_or_refused(strategy: str) -> None:
    """One to one and one to many are planned by strategies of their own."""
    source, destination = ends("tiny")
    job = Job(
        source=source,
        destinations=(destination, "aws:us-east-1"),
        size_bytes=TB,
        goal_gbps=1.0,
    )
    plan = plan_or_answer(strategy, tiny_matrix(), job)
    if strategy in TO_MANY:
        assert isinstance(plan, Plan)
        assert plan.trees
        check(plan, tiny_matrix())
    elif strategy in COMPLETE:
        assert plan is None
