"""Trees by brute force and by other solvers: slow, plain, and sharing nothing with the planner."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ortools.linear_solver import pywraplp

Floats = NDArray[np.float64]
Edge = tuple[int, int]


def random_weights(seed: int, n: int, missing: float = 0.2) -> Floats:
    """Whole weights from 1 to 9, so that ties are common; inf for a share of the links."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 10, (n, n)).astype(float)
    weights[rng.random((n, n)) < missing] = np.inf
    np.fill_diagonal(weights, np.inf)
    return weights


def every_tree(weights: Floats, root: int, terminals: Sequence[int]) -> Iterator[tuple[Edge, ...]]:
    """Every tree from root that ends at terminals only; for half a dozen regions."""
    others = [v for v in range(len(weights)) if v != root and v not in terminals]
    wanted = [t for t in terminals if t != root]
    for size in range(len(others) + 1):
        for relays in itertools.combinations(others, size):
            inside = [*wanted, *relays]
            choices = [[u for u in (root, *inside) if np.isfinite(weights[u, v])] for v in inside]
            for parents in itertools.product(*choices):
                edges = tuple(zip(parents, inside, strict=True))
                leaves = set(inside) - set(parents)
                if leaves <= set(wanted) and delivers(edges, root, wanted):
                    yield edges


def delivers(edges: Sequence[Edge], root: int, terminals: Sequence[int]) -> bool:
    """Whether it is one tree from the root: each region entered once, all of them reached."""
    entered = [dst for _, dst in edges]
    reached, grew = {root}, True
    while grew:
        more = reached | {dst for src, dst in edges if src in reached}
        grew, reached = more != reached, more
    once = len(set(entered)) == len(entered) and root not in entered
    return once and reached == {root, *entered} and set(terminals) <= reached


def least_weight(weights: Floats, root: int, terminals: Sequence[int]) -> float:
    """The least weight of any tree, inf if there is none."""
    return min(
        (sum(float(weights[e]) for e in edges) for edges in every_tree(weights, root, terminals)),
        default=float("inf"),
    )


def steiner_by_milp(weights: Floats, root: int, terminals: Sequence[int]) -> float:
    """Least weight by SCIP: a unit of flow to each terminal over links that are paid for once."""
    solver: Any = pywraplp.Solver.CreateSolver("SCIP")
    n = len(weights)
    edges = [(u, v) for u in range(n) for v in range(n) if np.isfinite(weights[u, v])]
    paid = {edge: solver.BoolVar("") for edge in edges}
    for terminal in terminals:
        flow = {edge: solver.NumVar(0, 1, "") for edge in edges}
        for edge in edges:
            solver.Add(flow[edge] <= paid[edge])
        for v in range(n):
            leaves = sum(flow[edge] for edge in edges if edge[0] == v)
            comes = sum(flow[edge] for edge in edges if edge[1] == v)
            solver.Add(leaves - comes == (v == root) - (v == terminal))
    solver.Minimize(sum(float(weights[edge]) * paid[edge] for edge in edges))
    assert solver.Solve() == pywraplp.Solver.OPTIMAL
    return float(solver.Objective().Value())
