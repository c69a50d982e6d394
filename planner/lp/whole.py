"""Whole VMs, proven: branch and bound on VM counts, each node a relaxation over all links.

A node bounds the VMs of some regions from both sides. Its relaxation is `unicast.py`'s with rows
(8), links taken in as they are needed, so that a node's value is a bound over every link: a flow
is continuous, and however high its reduced cost, a little of it may save a whole VM, so that
leaving links out of a programme in whole VMs would prove nothing. Best bound first; ties in the
order found.
Source: Land & Doig, An automatic method of solving discrete programming problems (1960).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

from planner.lp.answers import Solution
from planner.lp.grown import Boxes
from planner.whole_vms import VM_NOISE, Vms, rounded

# The relaxation within boxes, and the least that any whole VMs within them can come to.
Relax = Callable[[Boxes], tuple[Solution, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How far to go: stop within `gap` (a share) of the bound, or after `most_nodes` relaxations.

    A number of relaxations is the same on any machine; answers do not depend on its speed.
    """

    gap: float
    most_nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What no whole VMs can go below, and after how many relaxations."""

    bound: float
    nodes: int


def prove(
    relax: Relax,
    limits: Vms,
    *,
    bound: float,
    best: Callable[[], float],
    judge: Callable[[Vms], None],
    effort: Effort,
    understated: bool = False,
) -> Proof:
    """Close in on the least value of whole VMs within `limits` from below.

    `bound` is known to hold; `best` gives the least value found so far; `judge` is shown VMs
    that may be better. Where a relaxation leaves out some of what whole VMs cost (`understated`),
    VMs that come out whole are split further, until their bounds say all.
    """
    # The least of what is decided: nodes whose VMs came out whole, or that reach the best.
    decided, nodes = math.inf, 0
    waiting: list[tuple[float, int, Boxes]] = [(bound, 0, {})]
    while waiting:
        least = min(waiting[0][0], decided)
        if _within(least, best(), effort.gap) or nodes >= effort.most_nodes:
            break
        _, _, boxes = heapq.heappop(waiting)
        nodes += 1
        found, value = relax({region: boxes.get(region, (0, n)) for region, n in limits.items()})
        if found.status == "infeasible":
            continue
        if not found.optimal:
            decided = min(decided, least)
            continue
        value = max(value, least)
        if _within(value, best(), effort.gap):
            decided = min(decided, value)
            continue
        judge(rounded(found.vms, limits))
        region, count = _most_fractional(found)
        if region is None and understated:
            region, count = _furthest_from_least(found, boxes)
        if region is None:
            decided = min(decided, value)
            continue
        low, high = boxes.get(region, (0, limits[region]))
        split = min(max(math.floor(count), low), high - 1)
        heapq.heappush(waiting, (value, 2 * nodes, {**boxes, region: (low, split)}))
        heapq.heappush(waiting, (value, 2 * nodes + 1, {**boxes, region: (split + 1, high)}))
    least = min([decided, *(entry[0] for entry in waiting)])
    return Proof(bound=max(bound, min(least, best())), nodes=nodes)


def _within(bound: float, best: float, gap: float) -> bool:
    return bound >= best - gap * abs(best)


def _most_fractional(found: Solution) -> tuple[str | None, float]:
    """The region whose VMs are furthest from whole, by name between equals; None if all are."""
    region, furthest = None, VM_NOISE
    for name, n in sorted(found.vms.items()):
        off = abs(n - round(n))
        if off > furthest:
            region, furthest = name, off
    return region, 0.0 if region is None else found.vms[region]


def _furthest_from_least(found: Solution, boxes: Boxes) -> tuple[str | None, float]:
    """The region with the most VMs above its lower bound, and just below them."""
    over = {name: round(n) - boxes.get(name, (0, 0))[0] for name, n in sorted(found.vms.items())}
    region = max(over, key=lambda name: over[name])
    if over[region] <= 0:
        return None, 0.0
    return region, round(found.vms[region]) - 0.5
