"""Whatever the other day's figures: what a Plan carries there is ordered, bounded, and scales."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.matrix import Matrix
from datasets.synthetic import synthetic_matrix
from planner.evaluate import carried
from planner.job import Job
from planner.lp.unicast import UnicastModel
from planner.plan import Plan
from planner.strategies import solve
from planner.topology import topology

NOISE = 1e-6


@cache
def planned(seed: int) -> tuple[Matrix, Plan]:
    matrix = synthetic_matrix(seed, regions=8)
    ends = matrix.region_ids
    job = Job(source=ends[0], destinations=(ends[-1],), size_bytes=10**12, vm_limit=3)
    return matrix, solve("overlay", matrix, job)


def another_day(matrix: Matrix, seed: int) -> Matrix:
    rng = np.random.default_rng(seed)
    links = tuple(
        replace(link, gbps=float(link.gbps * np.exp(rng.standard_normal())))
        for link in matrix.links
    )
    return replace(matrix, links=links)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(1, 8), day=st.integers(0, 10**6))
def test_freer_dispatch_never_carries_less_and_the_model_bounds_all(seed: int, day: int) -> None:
    """The linear model over the plan's links with its whole VMs is an oracle from above."""
    matrix, plan = planned(seed)
    there = another_day(matrix, day)
    static = carried(plan, there, dispatch="static").gbps
    dynamic = carried(plan, there, dispatch="dynamic").gbps
    free = carried(plan, there, dispatch="dynamic", work_conserving=True).gbps
    full = carried(plan, there, dispatch="dynamic", work_conserving=True, connections="full").gbps
    used = {(link.src, link.dst) for link in plan.links}
    links = topology(there, plan.job).only(lambda link: (link.src, link.dst) in used)
    most = UnicastModel(links).fastest_with(plan.vms).gbps
    assert 0 < static <= dynamic * (1 + NOISE)
    assert dynamic <= free * (1 + NOISE)
    assert free <= full * (1 + NOISE)
    assert full <= most * (1 + NOISE)
    assert dynamic <= plan.predicted.throughput_gbps * (1 + NOISE)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(1, 8), share=st.floats(0.05, 1.0))
def test_all_links_slower_by_one_share_carry_at_least_that_share(seed: int, share: float) -> None:
    """VM caps do not fall with the links, so a plan that they bound loses less."""
    matrix, plan = planned(seed)
    links = tuple(replace(link, gbps=link.gbps * share) for link in matrix.links)
    there = replace(matrix, links=links)
    promised = plan.predicted.throughput_gbps
    for dispatch in ("static", "dynamic"):
        found = carried(plan, there, dispatch=dispatch)
        assert share * promised * (1 - NOISE) <= found.gbps <= promised * (1 + NOISE)
        assert found.cost_usd.egress == pytest.approx(plan.predicted.cost_usd.egress, rel=0.2)
