"""The cheapest tree from a root to every terminal: exact, by dynamic programming over subsets.

`trees.py` has the simpler trees; both work on positions of regions and (n, n) arrays of weights,
inf where there is no link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from planner.trees import Edges, Floats, arborescence, shortest_paths

Ints = NDArray[np.intp]

# 3^k additions of n numbers and n² of 2^k: at 71 regions 3 ms for 6 terminals, 10 ms for 8, a
# quarter of a second for 12, then threefold with each more.
MOST_TERMINALS = 12
# Numbers that one step may hold at once (8 bytes each).
_BLOCK = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SteinerTree:
    """A tree's links, a region's own before those that leave it, and the sum of their weights."""

    weight: float
    edges: Edges


def steiner_tree(weights: Floats, root: int, terminals: Sequence[int]) -> SteinerTree | None:
    """The tree of least weight from `root` to each of `terminals`; None if one is out of reach.

    `weights` is (n, n), not negative, inf where there is no link. Of trees of equal weight, the
    one found first in the order of positions: the same input gives the same tree.
    Takes 3^k·n + 2^k·n² steps for k terminals (others than the root).
    Raises: ValueError beyond MOST_TERMINALS.
    Source: Dreyfus & Wagner, The Steiner problem in graphs, Networks 1 (1971), directed version.
    """
    wanted = tuple(sorted({t for t in terminals if t != root}))
    if len(wanted) > MOST_TERMINALS:
        raise ValueError(f"{len(wanted)} terminals; {MOST_TERMINALS} are the most for exact trees")
    if not wanted:
        return SteinerTree(weight=0.0, edges=())
    distance, before = shortest_paths(weights)
    if not np.all(np.isfinite(distance[root, list(wanted)])):
        return None
    tables = _filled(distance, wanted)
    found = _collected(tables, distance, before, root, wanted)
    edges = arborescence(found, weights, root, wanted)
    return SteinerTree(weight=float(sum(weights[edge] for edge in edges)), edges=edges)


@dataclass(frozen=True, slots=True, eq=False)
class _Tables:
    """By subset of terminals (a bit mask) and region: least weight, and the choices behind it.

    `least[S, v]` is the least weight of a tree from v to all of S; from v it goes to `meet[S, v]`
    and splits there into `part[S, u]` and the rest.
    """

    least: Floats
    meet: Ints
    part: Ints


def _filled(distance: Floats, terminals: tuple[int, ...]) -> _Tables:
    n, k = len(distance), len(terminals)
    subsets = 1 << k
    least = np.full((subsets, n), np.inf)
    meet = np.zeros((subsets, n), dtype=np.intp)
    part = np.zeros((subsets, n), dtype=np.intp)
    for bit, terminal in enumerate(terminals):
        least[1 << bit] = distance[:, terminal]
        meet[1 << bit] = terminal
    for masks, left in _levels(k):
        step = max(1, _BLOCK // (max(left.shape[1], n) * n))
        for begin in range(0, len(masks), step):
            chosen, halves = masks[begin : begin + step], left[begin : begin + step]
            # (subsets, splits, n): both parts hang off the same region.
            joined = least[halves] + least[chosen[:, None] ^ halves]
            at = np.argmin(joined, axis=1)
            part[chosen] = np.take_along_axis(halves, at, axis=1)
            split = np.take_along_axis(joined, at[:, None, :], axis=1)[:, 0, :]
            # (subsets, n, n): from v by a shortest path to u, where it splits.
            reached = distance[None, :, :] + split[:, None, :]
            where = np.argmin(reached, axis=2)
            meet[chosen] = where
            least[chosen] = np.take_along_axis(reached, where[:, :, None], axis=2)[:, :, 0]
    return _Tables(least, meet, part)


@cache
def _levels(k: int) -> tuple[tuple[Ints, Ints], ...]:
    """Subsets of k terminals by size from 2, each with one half of every split (it has bit 0)."""
    levels = []
    for size in range(2, k + 1):
        masks = [mask for mask in range(1 << k) if mask.bit_count() == size]
        halves = []
        for mask in masks:
            lowest = mask & -mask
            rest = mask ^ lowest
            # Every proper subset of the rest, with the lowest bit: each split once.
            some, sub = [], (rest - 1) & rest
            while True:
                some.append(sub | lowest)
                if sub == 0:
                    break
                sub = (sub - 1) & rest
            halves.append(some)
        levels.append((np.array(masks, dtype=np.intp), np.array(halves, dtype=np.intp)))
    return tuple(levels)


def _collected(
    tables: _Tables, distance: Floats, before: Ints, root: int, terminals: tuple[int, ...]
) -> set[tuple[int, int]]:
    """The links of the tree that the tables chose; some may be there by two ways."""
    found: set[tuple[int, int]] = set()
    todo = [((1 << len(terminals)) - 1, root)]
    while todo:
        subset, region = todo.pop()
        where = int(tables.meet[subset, region])
        at = where
        while at != region:
            previous = int(before[region, at])
            found.add((previous, at))
            at = previous
        if subset.bit_count() > 1:
            part = int(tables.part[subset, where])
            todo += [(part, where), (subset ^ part, where)]
    return found
