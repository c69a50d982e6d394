"""The formulation's four questions, and a bound that is a proof."""

from __future__ import annotations

import pytest

from datasets.synthetic import synthetic_matrix
from planner.job import Job
from planner.lp.solve import LinearModel
from planner.lp.unicast import UnicastModel
from planner.topology import topology
from tests.unit.planner.worlds import R, S, T, diamond, job

GIGABITS = 8000.0


def model(**asked: int) -> UnicastModel:
    return UnicastModel(topology(diamond(), job(**asked)))


def test_cheapest_at_a_goal_has_fractional_vms_and_its_own_bound() -> None:
    """Goal 8, one VM: 2 directly, 6 by way of R on half a VM: $95 + 2.5 · 1,000 s · $0.001."""
    found = model(vm_limit=1).cheapest(8.0)
    assert found.usd_per_gigabit * GIGABITS == pytest.approx(97.5)
    assert found.bound_per_gigabit * GIGABITS == pytest.approx(97.5)
    assert found.bound_per_gigabit <= found.usd_per_gigabit
    assert found.vms[R] == pytest.approx(0.5)


def test_without_limits_the_cheapest_way_costs_the_same_at_any_throughput() -> None:
    """Directly: $80 egress + 2 VMs · 2,000 s · $0.001 = $84."""
    found = model(vm_limit=1).cheapest(None)
    assert found.usd_per_gigabit * GIGABITS == pytest.approx(84)
    assert found.bound_per_gigabit * GIGABITS == pytest.approx(84)


def test_fastest_and_what_binds() -> None:
    found = model(vm_limit=1).fastest()
    assert found.gbps == pytest.approx(12)
    assert any(name.startswith("vm_limit") for name in found.binds)


def test_a_budget_is_linear_in_the_throughput() -> None:
    """$97.5 is the relaxation's price of 8 Gbit/s."""
    found = model(vm_limit=1).fastest(97.5 / GIGABITS)
    assert found.gbps == pytest.approx(8)
    assert "max_usd" in found.binds


def test_whole_vms_may_go_faster_where_that_is_cheaper() -> None:
    """Two VMs at 1 Gbit/s would cost $16; at 4 Gbit/s, their most, $4."""
    found = model().cheapest_with({S: 1, T: 1}, 1.0)
    assert found.gbps == pytest.approx(4)
    assert found.usd_per_gigabit * GIGABITS == pytest.approx(84)
    assert model().cheapest_with({S: 1, T: 1}, 4.001).status == "infeasible"
    assert model().fastest_with({S: 1, T: 1}).gbps == pytest.approx(4)


def test_one_model_answers_one_question_after_another() -> None:
    """Bounds left over from the last question would show."""
    asked = model(vm_limit=1)
    for _ in range(2):
        assert asked.fastest(97.5 / GIGABITS).gbps == pytest.approx(8)
        assert asked.cheapest_with({S: 1, T: 1}, 1.0).gbps == pytest.approx(4)
        assert asked.fastest().gbps == pytest.approx(12)
        assert asked.cheapest(None).usd_per_gigabit * GIGABITS == pytest.approx(84)
        assert asked.fastest_with({S: 1, T: 1}).gbps == pytest.approx(4)
        assert asked.cheapest(8.0).usd_per_gigabit * GIGABITS == pytest.approx(97.5)


def test_a_goal_millionths_beyond_the_most_is_infeasible() -> None:
    """With GLOP's preprocessing it would not be."""
    assert model(vm_limit=1).cheapest(12.0).optimal
    assert model(vm_limit=1).cheapest(12.0 * (1 + 4e-6)).status == "infeasible"


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_is_as_good_as_the_optimum(seed: int) -> None:
    matrix = synthetic_matrix(seed, regions=20)
    ends = matrix.region_ids[0], matrix.region_ids[-1]
    asked = UnicastModel(
        topology(matrix, Job(source=ends[0], destinations=(ends[1],), size_bytes=10**12))
    )
    most = asked.fastest().gbps
    for share in (1e-6, 0.1, 0.5, 0.9, 0.999999):
        found = asked.cheapest(share * most)
        assert found.bound_per_gigabit <= found.usd_per_gigabit
        assert found.bound_per_gigabit == pytest.approx(found.usd_per_gigabit, rel=1e-8)


def test_outcomes_are_values() -> None:
    asked = LinearModel()
    row = asked.add_row("row", lower=2.0)
    x = asked.add_variable("x", [(row, 1.0)], upper=1.0, cost=-1.0)
    assert asked.solve().status == "infeasible"
    asked.bound_row(row, 0.0, 0.5)
    assert asked.solve().values == (0.5,)
    asked.bound_row(row, 0.0, float("inf"))
    asked.bound_variable(x, 0.0, float("inf"))
    assert asked.solve().status == "unbounded"
