"""From the relaxation's fractional VMs over trees to whole ones: round up, improve one at a time.

As `rounding.py` does one to one: whole VMs are paid for whether trees fill them or not, so several
roundings of the relaxation are starts, and a local search tries one VM more or less in each region
that they use. Every candidate is one small linear programme over the trees found so far; where it
is the best, trees are generated for it, too. A heuristic; the bound does not depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from planner.lp.multicast import Multicast, MulticastModel, Share
from planner.topology import Topology
from planner.whole_vms import (
    ANY_GBPS,
    SLOWER,
    THROUGHPUT_NOISE,
    VM_NOISE,
    Key,
    Vms,
    better,
    multiples,
    neighbours,
    rounded,
)

# Candidates of a search, two milliseconds each; most searches end by themselves at some 60.
MOST_CANDIDATES = 250
# One VM more must make a plan cheaper by at least this share, as in `rounding.py`.
VM_WORTH = 1e-5
# How many multiples of a region's VMs are rounded, and how many starts are improved.
MOST_MULTIPLES = 6
STARTS_IMPROVED = 3
# Shares of the most throughput at which the relaxation is rounded, too, where above the goal.
FASTER = (0.125, 0.25, 0.5)

Judge = Callable[[Vms, bool], "WholeTrees"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeTrees:
    """Whole VMs and the best trees for them; a smaller `key` is better."""

    key: Key
    vms: Vms
    gbps: float
    usd_per_gigabit: float
    shares: tuple[Share, ...]

    @property
    def meets(self) -> bool:
        """Whether it does what was asked."""
        return self.key[0] <= 0


def cheapest_whole_trees(
    model: MulticastModel, floor_gbps: float, starts: Sequence[WholeTrees] = ()
) -> WholeTrees | None:
    """The cheapest plan found at `floor_gbps` or faster; None if there is none.

    `starts` are plans to begin from, too: what is found is no dearer than any of them.
    """
    floor = floor_gbps * (1 - THROUGHPUT_NOISE)
    relaxed = model.cheapest(floor)
    if not relaxed.optimal:
        return None
    limits = model.topology.limits
    vms = multiples(relaxed.vms, limits, MOST_MULTIPLES)
    shares = [relaxed.shares]
    # The relaxation at the goal is often one tree; faster plans share VMs among several.
    most_gbps = 0.0 if model.fixed_trees else model.fastest().gbps
    for share in FASTER:
        if most_gbps * share > floor:
            faster = model.cheapest(most_gbps * share)
            vms.append(rounded(faster.vms, limits))
            shares.append(faster.shares)
    vms += [start.vms for start in starts]
    small = _supported(model, vms, [*shares, *(start.shares for start in starts)])
    return _best(small, vms, lambda counts, more: _by_cost(small, counts, floor, more))


def fastest_whole_trees(
    model: MulticastModel, usd_per_gigabit: float, starts: Sequence[WholeTrees] = ()
) -> WholeTrees | None:
    """The fastest plan found that costs no more than `usd_per_gigabit`; None if none does."""
    relaxed = model.fastest(usd_per_gigabit)
    if not relaxed.optimal or relaxed.gbps < ANY_GBPS:
        return None
    limits = model.topology.limits
    vms: list[Vms] = [rounded(relaxed.vms, limits)]
    shares = [relaxed.shares]
    for share in SLOWER:
        slower = model.cheapest(relaxed.gbps * share)
        if slower.optimal:
            vms += multiples(slower.vms, limits, MOST_MULTIPLES)
            vms.append(rounded(slower.vms, limits, math.floor))
            shares.append(slower.shares)
    vms += [start.vms for start in starts]
    small = _supported(model, vms, [*shares, *(start.shares for start in starts)])
    best = _best(small, vms, lambda counts, more: _by_speed(small, counts, usd_per_gigabit, more))
    if best is None:
        return None
    # Least cost at that throughput, where the budget leaves room.
    cheaper = cheapest_whole_trees(model, best.gbps, [best])
    if cheaper is not None and cheaper.usd_per_gigabit <= usd_per_gigabit:
        return cheaper
    return best


def _supported(
    model: MulticastModel, starts: Iterable[Vms], shares: Iterable[Sequence[Share]]
) -> MulticastModel:
    """A model of only the regions that a start uses, with the trees that are known."""
    topology: Topology = model.topology
    used = {region for start in starts for region in start}
    small = MulticastModel(topology.among(sorted(used)), fixed_trees=model.fixed_trees)
    for known in shares:
        small.add_shares(known)
    return small


def _by_cost(model: MulticastModel, vms: Vms, floor_gbps: float, generate: bool) -> WholeTrees:
    """Costs, if the floor can be met; else how much is missing."""
    found = model.cheapest_with(vms, floor_gbps, generate=generate)
    if found.optimal:
        worth = found.usd_per_gigabit * (1 + VM_WORTH * sum(vms.values()))
        return _whole((0.0, worth), vms, found)
    most = model.fastest_with(vms, generate=generate)
    if most.optimal and most.gbps >= floor_gbps:
        # Known trees were too few at first; those of the fastest carry it.
        return _by_cost(model, vms, floor_gbps, generate=False)
    return _whole((max(floor_gbps - most.gbps, VM_NOISE), 0.0), vms, most)


def _by_speed(
    model: MulticastModel, vms: Vms, usd_per_gigabit: float, generate: bool
) -> WholeTrees:
    """Throughput, if the budget can be met; else how much is missing."""
    found = model.fastest_with(vms, usd_per_gigabit, generate=generate)
    if found.optimal and found.gbps >= ANY_GBPS:
        return _whole((0.0, -found.gbps), vms, found)
    least = model.cheapest_with(vms, ANY_GBPS, generate=generate)
    over = least.usd_per_gigabit - usd_per_gigabit
    if generate and over < 0:
        return _by_speed(model, vms, usd_per_gigabit, generate=False)
    return _whole((max(over, VM_NOISE * usd_per_gigabit), 0.0), vms, least)


def _whole(key: Key, vms: Vms, found: Multicast) -> WholeTrees:
    return WholeTrees(
        key=key,
        vms=vms,
        gbps=found.gbps,
        usd_per_gigabit=found.usd_per_gigabit,
        shares=found.shares,
    )


def _best(model: MulticastModel, starts: Iterable[Vms], judge: Judge) -> WholeTrees | None:
    """The best of the starts, each improved one VM at a time; None if none meets the Job."""
    limits = model.topology.limits
    job = model.topology.job
    ends = {*job.sources, *job.destinations}
    judged: dict[tuple[tuple[str, int], ...], WholeTrees] = {}

    def of(vms: Vms, generate: bool = False) -> WholeTrees:
        name = tuple(sorted(vms.items()))
        if generate or name not in judged:
            judged[name] = judge(vms, generate)
        return judged[name]

    found = sorted((of(start, generate=True) for start in starts), key=lambda whole: whole.key)
    most = len(judged) + MOST_CANDIDATES
    for rank, best in enumerate(found[:STARTS_IMPROVED]):
        improved = True
        while improved and len(judged) < most:
            improved = False
            for vms in neighbours(best.vms, limits, ends):
                if better(of(vms).key, best.key):
                    best, improved = of(vms, generate=True), True
                    break
                if len(judged) >= most:
                    break
        found[rank] = best
    least = min(found, key=lambda whole: whole.key, default=None)
    return least if least is not None and least.meets else None
