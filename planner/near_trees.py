"""Trees to more terminals than exact ones can be found for: near the cheapest, and a bound.

Positions and (n, n) arrays as in `trees.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from planner.steiner import Ints, SteinerTree
from planner.trees import Edge, Floats, arborescence, shortest_paths, spanning_tree


def near_tree(weights: Floats, root: int, terminals: Sequence[int]) -> SteinerTree | None:
    """A tree from `root` to each of `terminals`; None if one is out of reach.

    The better of two: grown by the cheapest path to the nearest terminal that it lacks, from any
    region it has; and the cheapest spanning tree of root and terminals, its links cheapest paths.
    Source: Takahashi & Matsuyama, An approximate solution for the Steiner problem in graphs (1980).
    """
    distance, before = shortest_paths(weights)
    wanted = sorted({t for t in terminals if t != root})
    if not np.all(np.isfinite(distance[root, wanted])):
        return None
    spanning = spanning_tree(distance, root, wanted) or ()
    found = []
    for pairs in (_grown(distance, before, root, wanted), spanning):
        edges = {edge for pair in pairs for edge in _path(before, *pair)}
        tidy = arborescence(edges, weights, root, wanted)
        found.append(SteinerTree(weight=float(sum(weights[edge] for edge in tidy)), edges=tidy))
    return min(found, key=lambda tree: (tree.weight, tree.edges))


def _grown(distance: Floats, before: Ints, root: int, wanted: Sequence[int]) -> list[Edge]:
    """Ends of the paths by which a tree grows to its nearest terminal, time after time."""
    inside, missing = [root], list(wanted)
    pairs = []
    while missing:
        near = distance[np.ix_(inside, missing)]
        start, end = np.unravel_index(int(np.argmin(near)), near.shape)
        pair = (inside[int(start)], missing[int(end)])
        pairs.append(pair)
        inside += [dst for _, dst in _path(before, *pair) if dst not in inside]
        missing = [t for t in missing if t not in inside]
    return pairs


def _path(before: Ints, src: int, dst: int) -> list[Edge]:
    """The links of a cheapest path, the last one first."""
    edges = []
    while dst != src:
        edges.append((int(before[src, dst]), dst))
        dst = int(before[src, dst])
    return edges


def ascent_bound(weights: Floats, root: int, terminals: Sequence[int]) -> float:
    """What no tree from `root` to each of `terminals` weighs less than.

    Raises the dual of a set of regions that holds a terminal and not the root until a link into
    it is paid for, one terminal after another, those with the fewest regions behind them first.
    At least half of the best tree in practice, and never above it. inf if one is out of reach.
    Source: Wong, A dual ascent approach for Steiner tree problems on a directed graph (1984).
    """
    left = weights.copy()
    np.fill_diagonal(left, np.inf)
    total = 0.0
    open_terminals = sorted({t for t in terminals if t != root})
    while open_terminals:
        behind = {t: _reaching(left <= 0.0, t) for t in open_terminals}
        open_terminals = [t for t in open_terminals if not behind[t][root]]
        if not open_terminals:
            break
        first = min(open_terminals, key=lambda t: (int(behind[t].sum()), t))
        inside = behind[first]
        cut = np.ix_(~inside, inside)
        step = float(left[cut].min())
        if not np.isfinite(step):
            return float("inf")
        total += step
        left[cut] -= step
    return total


def _reaching(
    open_links: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], end: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The regions that reach `end` over open links, itself among them; (n,)."""
    inside = np.zeros(len(open_links), dtype=bool)
    inside[end] = True
    while True:
        more = inside | open_links[:, inside].any(axis=1)
        if np.array_equal(more, inside):
            return inside
        inside = more
