"""The model over trees: solved by hand, against the one-to-one model, and its limits."""

from __future__ import annotations

import pytest

from datasets.matrix import Matrix
from datasets.synthetic import synthetic_matrix, tiny_matrix
from planner.job import Job
from planner.lp.multicast import MulticastModel
from planner.lp.tree_columns import MOST_EXACT
from planner.lp.unicast import UnicastModel
from planner.topology import topology, topology_of_any
from tests.unit.planner.worlds import TB, matrix_of

S, A, B = "aws:s", "aws:a", "aws:b"


def triangle() -> Matrix:
    """S to A and B directly: 4 Gbit/s at $0.08; A and B to each other: 8 Gbit/s at $0.02."""
    return matrix_of(
        {
            (S, A): (4.0, 0.08, 10.0),
            (S, B): (4.0, 0.08, 10.0),
            (A, B): (8.0, 0.02, 10.0),
            (B, A): (8.0, 0.02, 10.0),
        }
    )


def model(matrix: Matrix, **asked: object) -> MulticastModel:
    job = Job(**{"source": S, "destinations": (A, B), "size_bytes": TB, **asked})  # type: ignore[arg-type]
    return MulticastModel(topology_of_any(matrix, job))


def test_one_copy_leaves_the_source_and_two_trees_share_the_vms() -> None:
    """A Gbit/s of S → A → B: $0.10/8 a gigabit, and VM time of 1/4 at S, A's in, 1/8 at A's out.

    One VM a region at S: 4 Gbit/s leave it, in any shares of the two chains. VMs cost 0.001 USD a
    second. S needs 1/4 a Gbit/s. A region fed by S needs 1/4 for its in-rows, its out-rows 1/8;
    the other 1/8. Sharing half and half: A enters (1/2)/4 + (1/2)/8 = 3/16. In all 1/4 + 6/16.
    """
    found = model(triangle(), vm_limit=1).cheapest(4.0)
    assert found.optimal
    assert found.usd_per_gigabit == pytest.approx(0.10 / 8 + 0.001 * (1 / 4 + 6 / 16))
    assert found.bound_usd_per_gigabit == pytest.approx(found.usd_per_gigabit, rel=1e-6)
    assert found.bound_usd_per_gigabit <= found.usd_per_gigabit * (1 + 1e-12)
    assert sum(share.share for share in found.shares) == pytest.approx(1.0)


def test_the_most_is_what_the_source_sends_once() -> None:
    found = model(triangle(), vm_limit=1).fastest()
    assert found.gbps == pytest.approx(4.0)
    assert found.bound_gbps == pytest.approx(4.0)
    assert f"vm_limit[{S}]" in found.binds
    assert not model(triangle(), vm_limit=1).cheapest(4.001).optimal


def test_a_budget_holds_what_it_pays_for() -> None:
    free = model(triangle(), vm_limit=1)
    most = free.fastest()
    least = free.cheapest(None).usd_per_gigabit
    assert not free.fastest(least * 0.999).optimal
    within = free.fastest(least)
    assert 0 < within.gbps <= most.gbps + 1e-9
    assert within.usd_per_gigabit <= least * (1 + 1e-9)


def test_whole_vms_may_go_faster_than_the_goal() -> None:
    """With one VM each, 2 Gbit/s would pay 3 VMs for twice the time of 4 Gbit/s."""
    found = model(triangle()).cheapest_with({S: 1, A: 1, B: 1}, 2.0)
    assert found.gbps == pytest.approx(4.0)
    assert found.usd_per_gigabit == pytest.approx(0.10 / 8 + 3 * 0.001 / 4)
    assert not model(triangle()).cheapest_with({S: 1, A: 1}, 2.0).optimal


@pytest.mark.parametrize("seed", range(6))
def test_to_one_destination_it_is_the_one_to_one_model(seed: int) -> None:
    matrix = synthetic_matrix(seed, regions=10)
    regions = matrix.region_ids
    job = Job(source=regions[0], destinations=(regions[-1],), size_bytes=TB)
    trees, flows = MulticastModel(topology_of_any(matrix, job)), UnicastModel(topology(matrix, job))
    most = flows.fastest().gbps
    assert trees.fastest().gbps == pytest.approx(most)
    for goal in (None, 0.3 * most, 0.9 * most):
        assert trees.cheapest(goal).usd_per_gigabit == pytest.approx(
            flows.cheapest(goal).usd_per_gigabit
        )


def test_beyond_exact_trees_the_bound_still_bounds() -> None:
    """More destinations than exact trees are priced for: dual ascent bounds what trees reach."""
    matrix = synthetic_matrix(4, regions=MOST_EXACT + 4)
    source, *others = matrix.region_ids
    job = Job(source=source, destinations=tuple(others[: MOST_EXACT + 2]), size_bytes=TB)
    found = MulticastModel(topology_of_any(matrix, job)).cheapest(None)
    assert found.optimal
    assert 0.8 * found.usd_per_gigabit < found.bound_usd_per_gigabit
    assert found.bound_usd_per_gigabit <= found.usd_per_gigabit * (1 + 1e-12)


def test_a_source_may_be_a_destination_of_the_others() -> None:
    matrix = tiny_matrix()
    first, second, third = matrix.region_ids[:3]
    job = Job(source=first, more_sources=(second,), destinations=(second, third), size_bytes=TB)
    found = MulticastModel(topology_of_any(matrix, job)).fastest()
    assert found.gbps > 0
    for share in found.shares:
        reached = {dst for _, dst in share.edges}
        assert reached >= ({second, third} if share.source == 0 else {third})
        assert share.source == 0 or second not in reached
