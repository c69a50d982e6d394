"""Trees: against brute force on small graphs, and another solver on larger ones."""

from __future__ import annotations

import numpy as np
import pytest

from planner.near_trees import ascent_bound, near_tree
from planner.steiner import MOST_TERMINALS, steiner_tree
from planner.trees import arborescence, cheapest_paths, shortest_paths, spanning_tree, star
from tests.unit.planner.tree_oracles import (
    delivers,
    every_tree,
    least_weight,
    random_weights,
    steiner_by_milp,
)


@pytest.mark.parametrize("seed", range(40))
def test_a_steiner_tree_is_as_light_as_any_tree(seed: int) -> None:
    weights = random_weights(seed, 6)
    terminals = [1, 2, 3][: 1 + seed % 3]
    found = steiner_tree(weights, 0, terminals)
    least = least_weight(weights, 0, terminals)
    if found is None:
        assert least == float("inf")
        return
    assert found.weight == pytest.approx(least)
    assert found.weight == pytest.approx(sum(weights[edge] for edge in found.edges))
    assert delivers(found.edges, 0, terminals)


@pytest.mark.parametrize("seed", range(4))
def test_a_steiner_tree_is_as_light_as_an_integer_programme_says(seed: int) -> None:
    weights = random_weights(seed, 14, missing=0.5)
    terminals = [1, 3, 5, 7, 9]
    found = steiner_tree(weights, 0, terminals)
    assert found is not None
    assert found.weight == pytest.approx(steiner_by_milp(weights, 0, terminals))


def test_parents_stand_before_children_and_equal_input_gives_the_same_tree() -> None:
    weights = np.ones((9, 9))
    np.fill_diagonal(weights, np.inf)
    first = steiner_tree(weights, 4, [0, 8, 2])
    again = steiner_tree(weights.copy(), 4, [2, 0, 8])
    assert first == again
    assert first is not None
    reached = {4}
    for src, dst in first.edges:
        assert src in reached
        reached.add(dst)


def test_links_that_cost_nothing_make_no_cycles() -> None:
    """Everything is free: any tree is optimal, and it must still be one."""
    weights = np.zeros((7, 7))
    np.fill_diagonal(weights, np.inf)
    found = steiner_tree(weights, 0, [3, 5, 6])
    assert found is not None
    assert found.weight == 0
    assert delivers(found.edges, 0, [3, 5, 6])


def test_a_relay_that_both_terminals_share_is_found() -> None:
    """0 to 1 and 2 directly: 5 + 5; by way of 3: 4 + 1 + 1."""
    weights = np.full((4, 4), np.inf)
    for edge, weight in {(0, 1): 5, (0, 2): 5, (0, 3): 4, (3, 1): 1, (3, 2): 1}.items():
        weights[edge] = weight
    found = steiner_tree(weights, 0, [1, 2])
    assert found is not None
    assert found.weight == 6
    assert found.edges == ((0, 3), (3, 1), (3, 2))
    assert star(weights, 0, [1, 2]) == ((0, 1), (0, 2))
    assert spanning_tree(weights, 0, [1, 2]) == ((0, 1), (0, 2))
    assert cheapest_paths(weights, 0, [1, 2]) == ((0, 1), (0, 2))


def test_what_is_out_of_reach_has_no_tree() -> None:
    weights = np.full((3, 3), np.inf)
    weights[0, 1] = 1.0
    assert steiner_tree(weights, 0, [1, 2]) is None
    assert near_tree(weights, 0, [1, 2]) is None
    assert spanning_tree(weights, 0, [1, 2]) is None
    assert star(weights, 0, [1, 2]) is None
    assert cheapest_paths(weights, 0, [1, 2]) is None
    assert ascent_bound(weights, 0, [1, 2]) == float("inf")
    with pytest.raises(ValueError, match="no way from 0 to 2"):
        arborescence([(0, 1)], weights, 0, [2])


def test_more_terminals_than_can_be_exact_are_refused() -> None:
    weights = np.ones((MOST_TERMINALS + 2, MOST_TERMINALS + 2))
    with pytest.raises(ValueError, match="12 are the most"):
        steiner_tree(weights, 0, range(1, MOST_TERMINALS + 2))


@pytest.mark.parametrize("seed", range(40))
def test_a_spanning_tree_is_as_light_as_any_over_the_same_regions(seed: int) -> None:
    weights = random_weights(seed, 5)
    found = spanning_tree(weights, 0, [1, 2, 3, 4])
    least = least_weight(weights, 0, [1, 2, 3, 4])
    if found is None:
        assert least == float("inf")
        return
    assert delivers(found, 0, [1, 2, 3, 4])
    assert sum(weights[edge] for edge in found) == pytest.approx(least)


@pytest.mark.parametrize("seed", range(40))
def test_a_near_tree_delivers_and_dual_ascent_never_exceeds_the_best(seed: int) -> None:
    weights = random_weights(seed, 10)
    terminals = [2, 4, 6, 8]
    exact = steiner_tree(weights, 0, terminals)
    near = near_tree(weights, 0, terminals)
    assert exact is not None
    assert near is not None
    assert delivers(near.edges, 0, terminals)
    assert near.weight >= exact.weight - 1e-9
    assert exact.weight / 2 <= ascent_bound(weights, 0, terminals) <= exact.weight + 1e-9


def test_shortest_paths_lead_where_they_say() -> None:
    weights = random_weights(3, 8)
    distance, before = shortest_paths(weights)
    for src in range(8):
        for dst in range(8):
            if src == dst or not np.isfinite(distance[src, dst]):
                continue
            at, total = dst, 0.0
            while at != src:
                total += weights[before[src, at], at]
                at = int(before[src, at])
            assert total == distance[src, dst]


def test_brute_force_has_trees_to_compare_with() -> None:
    assert len(list(every_tree(random_weights(1, 5, 0.0), 0, [1, 2]))) > 20
