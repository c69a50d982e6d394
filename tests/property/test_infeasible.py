"""Jobs that cannot be met: the most that is feasible, what binds, and that it is so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from datasets.errors import InfeasibleJob
from datasets.matrix import Matrix
from planner.checks import check
from planner.job import Job
from planner.strategies import solve
from tests.property.test_objectives import TB, ends_of, epoch
from tests.unit.planner.worlds import Q, R, S, T, diamond, job


def beyond(matrix: Matrix, asked: Job) -> InfeasibleJob:
    with pytest.raises(InfeasibleJob) as answer:
        solve("overlay", matrix, asked)
    return answer.value


@pytest.mark.parametrize("seed", range(1, 4))
def test_the_most_that_is_said_to_be_feasible_is(seed: int) -> None:
    """And a millionth more is not: under limits, quotas, residency and requirements."""
    matrix = epoch(("2022-11-28", "2022-01-29")[seed % 2])
    source, destination = ends_of(matrix, seed)
    others = [r for r in matrix.region_ids if r not in (source, destination)]
    base = Job(source=source, destinations=(destination,), size_bytes=TB, vm_limit=2)
    used = solve("overlay", matrix, base).relays
    options: list[dict[str, Any]] = [
        {},
        {"quotas": {source: 32}},
        {"forbid": tuple(used)},
        {"within": tuple(others[:4])},
        {"require": (used or tuple(others))[:1]},
    ]
    for changes in options:
        asked = replace(base, **changes)
        answer = beyond(matrix, replace(asked, goal_gbps=50_000.0))
        assert answer.binds
        assert 0 < answer.most_gbps < 50_000
        within = replace(asked, goal_gbps=round(answer.most_gbps * (1 - 1e-6), 9))
        check(solve("overlay", matrix, within), matrix)
        above = beyond(matrix, replace(asked, goal_gbps=answer.most_gbps * (1 + 1e-6)))
        assert above.most_gbps == pytest.approx(answer.most_gbps, rel=1e-9)
        late = beyond(matrix, replace(asked, deadline_s=1e-3))
        assert (late.most_gbps, late.binds) == (answer.most_gbps, answer.binds)


def test_a_quota_of_nothing_and_an_absent_link_are_named() -> None:
    answer = beyond(diamond(), job(quotas={S: 0}))
    assert (answer.most_gbps, answer.binds) == (0.0, (f"quota[{S}]",))
    answer = beyond(diamond(), job(within=(), forbid=(R, Q), forbid_links=((S, T),)))
    assert (answer.most_gbps, answer.binds) == (0.0, (f"no link {S}→{T}",))
    answer = beyond(diamond(), job(goal_gbps=5, vm_limit=1, forbid=(R,)))
    assert answer.most_gbps == pytest.approx(4.0)
    assert any(S in name for name in answer.binds)


def test_a_budget_below_the_least_cost_says_what_that_is() -> None:
    """$84 is the least at any throughput; of 40 Gbit/s for $85 the budget is what binds."""
    with pytest.raises(InfeasibleJob, match=r"no plan costs less than \$84\.0000") as answer:
        solve("overlay", diamond(), job(max_usd=83.9))
    assert answer.value.binds == ("max_usd",)
    with pytest.raises(InfeasibleJob) as answer:
        solve("overlay", diamond(), job(max_usd=84.02, provisioning=True))
    assert "max_usd" in answer.value.binds
