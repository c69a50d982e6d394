"""Every registered strategy: what it plans holds, and what it cannot plan it says."""

from __future__ import annotations

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

STRATEGIES = strategy_names()
WORLDS = ("tiny", "synthetic 1", "synthetic 2", "synthetic 3", "2022-11-28")
OBJECTIVES = ("goal", "deadline", "max_usd", "fastest")
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


def plan_or_answer(strategy: str, matrix: Matrix, job: Job) -> Plan | InfeasibleJob:
    try:
        return solve(strategy, matrix, job)
    except InfeasibleJob as answer:
        return answer


def test_there_are_strategies_to_test() -> None:
    assert {"direct", "ron", "one_hop", "overlay"} <= set(STRATEGIES)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_plan_holds_or_the_job_is_infeasible(strategy: str, name: str, objective: str) -> None:
    job = job_for(name, objective)
    plan = plan_or_answer(strategy, world(name), job)
    if isinstance(plan, InfeasibleJob):
        assert strategy == "ron"
        assert plan.most_gbps < (job.floor_gbps or float("inf"))
        assert plan.binds
        return
    check(plan, world(name))
    assert plan.strategy == strategy
    assert plan_from_json(plan.as_json()) == plan
    assert plan.bound_usd > 0


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", WORLDS)
def test_more_links_never_make_a_worse_plan(name: str, objective: str) -> None:
    """A VM more must be worth a hundred-thousandth of the cost: nothing finer is compared."""
    plans = [
        solve(strategy, world(name), job_for(name, objective))
        for strategy in ("direct", "one_hop", "overlay")
    ]
    assert len({plan.bound_usd for plan in plans}) == 1
    for fewer, more in pairwise(plans):
        if objective in ("goal", "deadline"):
            assert more.predicted.cost_usd.total <= fewer.predicted.cost_usd.total * 1.0005
        else:
            assert more.predicted.throughput_gbps >= fewer.predicted.throughput_gbps * (1 - 1e-6)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_question_has_the_same_answer(strategy: str) -> None:
    job = job_for("tiny", "goal")
    assert solve(strategy, tiny_matrix(), job).id == solve(strategy, tiny_matrix(), job).id


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_file_holds_the_plan(strategy: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    plan = solve(strategy, tiny_matrix(), job_for("tiny", "fastest"))
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    save_plan(plan, file)
    assert load_plan(file) == plan


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_too_much_is_infeasible_and_the_most_that_is_said_is_feasible(strategy: str) -> None:
    source, destination = ends("tiny")
    asked: dict[str, Any] = {
        "source": source,
        "destinations": (destination,),
        "size_bytes": TB,
        "vm_limit": 2,
    }
    with pytest.raises(InfeasibleJob) as raised:
        solve(strategy, tiny_matrix(), Job(**asked, goal_gbps=1000.0))
    most = raised.value.most_gbps
    assert raised.value.binds
    assert most > 0
    plan = solve(strategy, tiny_matrix(), Job(**asked, goal_gbps=most))
    assert plan.predicted.throughput_gbps == pytest.approx(most)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_unknown_regions_and_several_destinations_are_refused(strategy: str) -> None:
    source, destination = ends("tiny")
    with pytest.raises(UnknownName, match="did you mean azure:canadacentral"):
        solve(
            strategy,
            tiny_matrix(),
            Job(source="azure:canadacentrl", destinations=(destination,), size_bytes=TB),
        )
    with pytest.raises(UnsupportedJob):
        solve(
            strategy,
            tiny_matrix(),
            Job(source=source, destinations=(destination, "aws:us-east-1"), size_bytes=TB),
        )
