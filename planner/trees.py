"""Trees over directed links: shortest paths, a star, the cheapest spanning tree, tidying.

Regions are positions; weights are (n, n) arrays, not negative, inf where there is no link. A
tree's links stand root first, a region's own link before those that leave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Edge = tuple[int, int]
Edges = tuple[Edge, ...]


def shortest_paths(weights: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Least weight of a path between each two regions, and the region before its last.

    Both (n, n), [from, to]; the distance to oneself is 0. Ties go to fewer regions on the way in
    the order of positions. n³ steps, n² at a time.
    Source: Floyd, Algorithm 97: shortest path, CACM 5 (1962).
    """
    n = len(weights)
    distance = weights.copy()
    np.fill_diagonal(distance, 0.0)
    before = np.repeat(np.arange(n)[:, None], n, axis=1)
    for via in range(n):
        through = distance[:, via, None] + distance[None, via, :]
        shorter = through < distance
        distance = np.where(shorter, through, distance)
        before = np.where(shorter, before[via][None, :], before)
    return distance, before


def arborescence(
    edges: Iterable[Edge], weights: Floats, root: int, terminals: Sequence[int]
) -> Edges:
    """The tree within `edges` from `root` to `terminals`: by least weight, no branch in vain.

    Each region keeps the link that reaches it first (least weight from the root; ties by
    position); a branch without a terminal is cut. Links parents first, by position.
    Raises: ValueError if a terminal is out of reach.
    """
    onward: dict[int, list[int]] = {}
    for src, dst in sorted(set(edges)):
        onward.setdefault(src, []).append(dst)
    parent: dict[int, int] = {}
    reached = {root: 0.0}
    frontier = {root: (0.0, root)}
    while frontier:
        region = min(frontier, key=lambda r: (frontier[r][0], r))
        weight, before = frontier.pop(region)
        reached[region] = weight
        if region != root:
            parent[region] = before
        for after in onward.get(region, ()):
            if after in reached:
                continue
            through = weight + float(weights[region, after])
            if after not in frontier or through < frontier[after][0]:
                frontier[after] = (through, region)
    needed: set[int] = set()
    for terminal in terminals:
        at = terminal
        while at != root and at not in needed:
            if at not in parent:
                raise ValueError(f"no way from {root} to {terminal}")
            needed.add(at)
            at = parent[at]
    return parents_first(root, [(parent[region], region) for region in needed])


def parents_first(root: int, edges: Iterable[Edge]) -> Edges:
    """The links of a tree, each region's own before those that leave it, depth by depth."""
    onward: dict[int, list[int]] = {}
    for src, dst in sorted(edges):
        onward.setdefault(src, []).append(dst)
    ordered: list[Edge] = []
    layer = [root]
    while layer:
        leaving = [(src, dst) for src in layer for dst in onward.get(src, ())]
        ordered += leaving
        layer = [dst for _, dst in leaving]
    return tuple(ordered)


def star(weights: Floats, root: int, terminals: Sequence[int]) -> Edges | None:
    """The direct links alone; None if one is missing."""
    edges = tuple((root, t) for t in sorted(set(terminals)) if t != root)
    return edges if all(np.isfinite(weights[edge]) for edge in edges) else None


def cheapest_paths(weights: Floats, root: int, terminals: Sequence[int]) -> Edges | None:
    """The union of a cheapest path to each terminal; None if one is out of reach."""
    distance, before = shortest_paths(weights)
    wanted = sorted({t for t in terminals if t != root})
    if not np.all(np.isfinite(distance[root, wanted])):
        return None
    edges = set()
    for at in wanted:
        while at != root:
            previous = int(before[root, at])
            edges.add((previous, at))
            at = previous
    return parents_first(root, edges)


def spanning_tree(weights: Floats, root: int, regions: Sequence[int]) -> Edges | None:
    """The tree of least weight over `root` and `regions` alone; None if there is none.

    Source: Chu & Liu (1965); Edmonds, Optimum branchings, J. Res. NBS 71B (1967): every region
    takes its cheapest link; a cycle of those becomes one region, and so on.
    """
    inside = sorted({root, *regions})
    if len(inside) == 1:
        return ()
    small = weights[np.ix_(inside, inside)]
    before = _branching(small, inside.index(root))
    if before is None:
        return None
    return parents_first(root, [(inside[src], inside[dst]) for dst, src in before.items()])


def _branching(weights: Floats, root: int) -> dict[int, int] | None:
    """The region before each other one in the cheapest spanning tree; None if there is none."""
    n = len(weights)
    into = weights.copy()
    np.fill_diagonal(into, np.inf)
    into[:, root] = np.inf
    nearest = np.argmin(into, axis=0)
    least = into[nearest, np.arange(n)]
    others = [region for region in range(n) if region != root]
    if not np.all(np.isfinite(least[others])):
        return None
    cycle = sorted(_cycle({region: int(nearest[region]) for region in others}, root))
    if not cycle:
        return {region: int(nearest[region]) for region in others}
    # The cycle as one region, the last one: entering it by v spares v's own link in the cycle.
    rest = [region for region in range(n) if region not in cycle]
    entering = into[np.ix_(rest, cycle)] - least[cycle]
    leaving = into[np.ix_(cycle, rest)]
    shrunk = np.full((len(rest) + 1, len(rest) + 1), np.inf)
    shrunk[:-1, :-1] = into[np.ix_(rest, rest)]
    shrunk[:-1, -1] = entering.min(axis=1)
    shrunk[-1, :-1] = leaving.min(axis=0)
    chosen = _branching(shrunk, rest.index(root))
    if chosen is None:
        return None
    before = {region: int(nearest[region]) for region in cycle}
    for at, previous in chosen.items():
        if at == len(rest):
            before[cycle[int(np.argmin(entering[previous]))]] = rest[previous]
        elif previous == len(rest):
            before[rest[at]] = cycle[int(np.argmin(leaving[:, at]))]
        else:
            before[rest[at]] = rest[previous]
    return before


def _cycle(before: dict[int, int], root: int) -> set[int]:
    """The regions of one cycle of `before`, or none."""
    done = {root}
    for start in sorted(before):
        walk: list[int] = []
        at = start
        while at not in done and at not in walk:
            walk.append(at)
            at = before[at]
        if at in walk:
            return set(walk[walk.index(at) :])
        done.update(walk)
    return set()
