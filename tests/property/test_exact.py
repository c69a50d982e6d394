"""overlay_exact against an independent MILP (SciPy's HiGHS) and against brute force."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from functools import cache

import pytest

from datasets.epochs import MatrixChoice, load_matrix
from datasets.matrix import Matrix
from datasets.synthetic import synthetic_matrix
from datasets.units import gigabits
from planner.job import Job
from planner.lp.unicast import UnicastModel
from planner.strategies import solve
from planner.topology import topology
from planner.unicast import most_gbps
from tests.milp_oracle import cheapest

EPOCHS = ("2022-01-29", "2022-11-28")
CASES = 64
TB = 10**12


@cache
def epoch(name: str) -> Matrix:
    return load_matrix(MatrixChoice(epoch=name))


@pytest.mark.parametrize("seed", range(CASES))
def test_no_plan_in_whole_vms_is_cheaper(seed: int) -> None:
    """HiGHS finds nothing below what `overlay_exact` calls the least, at its goal or above.

    Pairs, shares of the most, VM limits and quotas are drawn by seed, epochs in turn.
    """
    rng = random.Random(seed)
    matrix = epoch(EPOCHS[seed % 2])
    source, destination = rng.sample(matrix.region_ids, 2)
    quotas = {source: 96} if rng.random() < 0.3 else {}
    limits = Job(
        source=source,
        destinations=(destination,),
        size_bytes=TB,
        vm_limit=rng.choice((1, 2, 4, 8)),
        quotas=quotas,
    )
    share = rng.choice((0.2, 0.5, 0.8, 0.95))
    goal_gbps = round(share * most_gbps(topology(matrix, limits)), 6)
    job = Job(
        source=source,
        destinations=(destination,),
        size_bytes=TB,
        goal_gbps=goal_gbps,
        vm_limit=limits.vm_limit,
        quotas=quotas,
    )
    plan = solve("overlay_exact", matrix, job)
    assert plan.gap <= 1e-6
    usd_per_gigabit = plan.predicted.cost_usd.total / gigabits(TB)
    other = cheapest(matrix, job, goal_gbps=goal_gbps, usd_per_gigabit=usd_per_gigabit)
    assert other is not None
    scale = usd_per_gigabit * goal_gbps
    assert other.objective >= -1e-6 * scale
    assert other.objective <= 1e-6 * scale * max(1.0, other.gbps / goal_gbps)


def test_the_oracle_finds_a_cheaper_plan_where_there_is_one() -> None:
    """The same question at a cost a thousandth too high comes out negative."""
    matrix = epoch("2022-11-28")
    job = Job(
        source="azure:eastasia", destinations=("aws:us-east-1",), size_bytes=TB, goal_gbps=20.0
    )
    plan = solve("overlay_exact", matrix, job)
    dearer = plan.predicted.cost_usd.total / gigabits(TB) * 1.001
    other = cheapest(matrix, job, goal_gbps=20.0, usd_per_gigabit=dearer)
    assert other is not None
    assert other.objective < -1e-4 * dearer * 20.0


@pytest.mark.parametrize("seed", range(8))
def test_brute_force_agrees(seed: int) -> None:
    """Every number of VMs in five regions, up to two each, its flows by the plain programme."""
    matrix = synthetic_matrix(seed, regions=5)
    source, destination = matrix.region_ids[0], matrix.region_ids[-1]
    base = Job(source=source, destinations=(destination,), size_bytes=TB, vm_limit=2)
    full = topology(matrix, base)
    goal_gbps = round(0.6 * most_gbps(full), 6)
    model = UnicastModel(full)
    least = min(
        found.usd_per_gigabit
        for counts in itertools.product(range(3), repeat=len(matrix.region_ids))
        if (
            found := model.cheapest_with(
                dict(zip(matrix.region_ids, counts, strict=True)), goal_gbps
            )
        ).optimal
    )
    job = Job(
        source=source, destinations=(destination,), size_bytes=TB, vm_limit=2, goal_gbps=goal_gbps
    )
    plan = solve("overlay_exact", matrix, job)
    assert plan.predicted.cost_usd.total == pytest.approx(least * gigabits(TB), rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_the_fastest_within_a_budget_agrees(seed: int) -> None:
    """As above, for the most throughput that a budget buys."""
    matrix = synthetic_matrix(seed, regions=5)
    source, destination = matrix.region_ids[0], matrix.region_ids[-1]
    base = Job(source=source, destinations=(destination,), size_bytes=TB, vm_limit=2)
    model = UnicastModel(topology(matrix, base))
    least = model.cheapest(None).usd_per_gigabit
    budget = least * 1.1
    most = max(
        model.fastest_with(dict(zip(matrix.region_ids, counts, strict=True)), budget).gbps
        for counts in itertools.product(range(3), repeat=len(matrix.region_ids))
    )
    job = Job(
        source=source,
        destinations=(destination,),
        size_bytes=TB,
        vm_limit=2,
        max_usd=round(budget * gigabits(TB), 8),
    )
    plan = solve("overlay_exact", matrix, job)
    assert plan.predicted.throughput_gbps == pytest.approx(most, rel=2e-6)


@pytest.mark.parametrize(
    ("source", "destination", "vm_limit", "goal_gbps", "faster_gbps"),
    [
        ("gcp:us-east1", "aws:ap-northeast-2", 2, 5.72819, 14.9),
        ("gcp:asia-northeast2", "aws:sa-east-1", 1, 2.86472, 8.6),
        ("gcp:australia-southeast2", "aws:eu-west-2", 1, 2.86501, 8.98),
    ],
)
def test_no_faster_plan_emits_less_than_the_bound(
    source: str, destination: str, vm_limit: int, goal_gbps: float, faster_gbps: float
) -> None:
    """A plan at a higher goal meets the lower one, too: it cannot go below what was proven there.

    VMs that a node of branch and bound has given are there whether flows pay for them or not:
    pricing links as if they did once cut these plans off.
    """
    asked = Job(
        source=source,
        destinations=(destination,),
        size_bytes=TB,
        vm_limit=vm_limit,
        goal_gbps=goal_gbps,
        minimise="gco2e",
    )
    matrix = epoch("2022-11-28")
    slower = solve("overlay", matrix, asked)
    faster = solve("overlay", matrix, replace(asked, goal_gbps=faster_gbps))
    assert slower.bound_gco2e is not None
    assert faster.predicted.gco2e is not None
    assert faster.predicted.gco2e >= slower.bound_gco2e * (1 - 1e-9)
