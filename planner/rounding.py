"""From the relaxation's fractional VMs to whole ones: round up, solve again for the flows, improve.

Whole VMs are paid for whether a flow fills them or not, so rounding up is only a start: a local
search then tries one VM more or less in each region that the relaxation uses, and plans that
run faster than the goal. Every candidate is one small linear programme over those regions alone.
It is a heuristic; what the relaxation proves (the bound) does not depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from planner.lp.unicast import LinkEnds, Solution, UnicastModel
from planner.topology import Topology

# A fractional VM count this little above a whole number is that number: the solver's noise.
VM_NOISE = 1e-7
# A throughput this share below what is asked still meets it; realising adds the missing bits.
THROUGHPUT_NOISE = 1e-9
# Candidates that a search looks at, each about half a millisecond. Most end by themselves at
# some 50; the gaps that this leaves are in planner/README.md.
MOST_CANDIDATES = 150
# A candidate must be better by this share: no walking in circles on noise.
LEAST_IMPROVEMENT = 1e-9
# One VM more must make a plan cheaper by at least this share: each is one more machine to wait
# for and to lose, which the objective does not price. Far below any gap that is stated.
VM_WORTH = 1e-5
# Starts: how many multiples of the relaxation's VMs are rounded, and how many are improved.
MOST_MULTIPLES = 8
STARTS_IMPROVED = 3
# Where a budget binds, the relaxation is also rounded at these shares of its throughput.
SLOWER = (0.9, 0.7, 0.5, 0.25)
# A throughput that no plan goes below: 1 Mbit/s; "at any throughput" means from here.
ANY_GBPS = 1e-3

Vms = Mapping[str, int]
Key = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Whole VMs and the best flows for them; a smaller `key` is better."""

    key: Key
    vms: Vms
    gbps: float
    usd_per_gigabit: float
    flows: Mapping[LinkEnds, float]


def cheapest_whole(topology: Topology, floor_gbps: float, start: Vms | None = None) -> Whole | None:
    """The cheapest plan found at `floor_gbps` or faster, over nested sets of links; None if none.

    `start` is one more plan to begin from.
    """
    floor = floor_gbps * (1 - THROUGHPUT_NOISE)

    def within(links: Topology) -> Whole | None:
        relaxed = UnicastModel(links).cheapest(floor)
        if not relaxed.optimal:
            return None
        starts = [*_multiples(relaxed.vms, links.limits), *([start] if start else [])]
        small = _supported(links, starts)
        return _best(small, starts, lambda vms: _cost_key(small, vms, floor))

    return _least(within(links) for links in _nested(topology))


def fastest_whole(topology: Topology, usd_per_gigabit: float) -> Whole | None:
    """The fastest plan found that costs no more than `usd_per_gigabit`; None if none does."""

    def within(links: Topology) -> Whole | None:
        model = UnicastModel(links)
        relaxed = model.fastest(usd_per_gigabit)
        if not relaxed.optimal or relaxed.gbps < ANY_GBPS:
            return None
        starts: list[Vms] = [_rounded(relaxed.vms, links.limits)]
        for share in SLOWER:
            slower = model.cheapest(relaxed.gbps * share)
            starts += _multiples(slower.vms, links.limits) if slower.optimal else []
            starts += [_rounded(slower.vms, links.limits, math.floor)] if slower.optimal else []
        small = _supported(links, starts)
        return _best(small, starts, lambda vms: _speed_key(small, vms, usd_per_gigabit))

    best = _least(within(links) for links in _nested(topology))
    if best is None or best.key[0] > 0:
        return None
    # Least cost at that throughput, where the budget leaves room.
    cheaper = cheapest_whole(topology, best.gbps, start=best.vms)
    if cheaper and cheaper.usd_per_gigabit <= usd_per_gigabit:
        return cheaper
    return best


def _nested(topology: Topology) -> list[Topology]:
    """All links, those of at most one relay, the direct one: plans of fewer relays round better.

    It also makes a strategy of more links never worse than one of fewer.
    """
    found = [topology]
    for keep in (topology.touches_an_end, topology.is_direct):
        fewer = topology.only(keep)
        if fewer.links and fewer.links != found[-1].links:
            found.append(fewer)
    return found


def _least(found: Iterable[Whole | None]) -> Whole | None:
    return min((whole for whole in found if whole), key=lambda whole: whole.key, default=None)


def _rounded(
    vms: Mapping[str, float],
    limits: Vms,
    to_whole: Callable[[float], int] = math.ceil,
    multiple: float = 1.0,
) -> Vms:
    """Whole VMs, at least one wherever the relaxation has any, within the limits."""
    counts = {
        region: min(limits[region], max(1, to_whole(multiple * n - VM_NOISE)))
        for region, n in vms.items()
        if n > VM_NOISE
    }
    return dict(sorted(counts.items()))


def _multiples(vms: Mapping[str, float], limits: Vms) -> list[Vms]:
    """The relaxation rounded up, and rounded up after scaling one region to whole VMs."""
    used = {region: n for region, n in vms.items() if n > VM_NOISE}
    room = min((limits[region] / n for region, n in used.items()), default=1.0)
    scales = {1.0, max(1.0, room)}
    for n in used.values():
        first = math.ceil(n - VM_NOISE)
        scales |= {k / n for k in range(first, first + MOST_MULTIPLES) if 1 < k / n <= room}
    rounded = [_rounded(used, limits, multiple=scale) for scale in sorted(scales)]
    return list({tuple(start.items()): start for start in rounded}.values())


def _supported(topology: Topology, starts: Iterable[Vms]) -> UnicastModel:
    """A model of only the regions that a start uses."""
    used = {region for start in starts for region in start}
    used |= {topology.source, topology.destination}
    return UnicastModel(topology.only(lambda link: link.src in used and link.dst in used))


def _cost_key(model: UnicastModel, vms: Vms, floor_gbps: float) -> Whole:
    """Costs, if the floor can be met; else how much is missing."""
    found = model.cheapest_with(vms, floor_gbps)
    if found.optimal:
        worth = found.usd_per_gigabit * (1 + VM_WORTH * sum(vms.values()))
        return _whole((0.0, worth), vms, found)
    most = model.fastest_with(vms)
    return _whole((max(floor_gbps - most.gbps, VM_NOISE), 0.0), vms, most)


def _speed_key(model: UnicastModel, vms: Vms, usd_per_gigabit: float) -> Whole:
    """Throughput, if the budget can be met; else how much is missing."""
    found = model.fastest_with(vms, usd_per_gigabit)
    if found.optimal and found.gbps >= ANY_GBPS:
        return _whole((0.0, -found.gbps), vms, found)
    least = model.cheapest_with(vms, ANY_GBPS)
    over = least.usd_per_gigabit - usd_per_gigabit
    return _whole((max(over, VM_NOISE * usd_per_gigabit), 0.0), vms, least)


def _whole(key: Key, vms: Vms, found: Solution) -> Whole:
    return Whole(
        key=key,
        vms=vms,
        gbps=found.gbps,
        usd_per_gigabit=found.usd_per_gigabit,
        flows=found.flows,
    )


def _best(
    model: UnicastModel, starts: Iterable[Vms], judge: Callable[[Vms], Whole]
) -> Whole | None:
    """The best of the starts, each improved one VM at a time; None if none meets the Job."""
    limits = model.topology.limits
    ends = {model.topology.source, model.topology.destination}
    judged: dict[tuple[tuple[str, int], ...], Whole] = {}

    def of(vms: Vms) -> Whole:
        name = tuple(vms.items())
        if name not in judged:
            judged[name] = judge(vms)
        return judged[name]

    found = sorted((of(start) for start in starts), key=lambda whole: whole.key)
    most = len(judged) + MOST_CANDIDATES
    for rank, best in enumerate(found[:STARTS_IMPROVED]):
        improved = True
        while improved and len(judged) < most:
            improved = False
            for vms in _neighbours(best.vms, limits, ends):
                candidate = of(vms)
                if _better(candidate.key, best.key):
                    best, improved = candidate, True
                    break
                if len(judged) >= most:
                    break
        found[rank] = best
    best = min(found, key=lambda whole: whole.key)
    return best if best.key[0] <= 0 else None


def _better(key: Key, than: Key) -> bool:
    if key[0] <= 0 and than[0] <= 0:
        return key[1] < than[1] - LEAST_IMPROVEMENT * abs(than[1])
    return key[0] < than[0] * (1 - LEAST_IMPROVEMENT)


def _neighbours(vms: Vms, limits: Vms, ends: set[str]) -> Iterable[Vms]:
    """One VM less, a relay left out, one VM more; relays of few VMs first."""
    by_size = sorted(vms, key=lambda region: (vms[region], region))
    for region in by_size:
        if vms[region] > (1 if region in ends else 0):
            yield _changed(vms, region, vms[region] - 1)
    for region in by_size:
        if vms[region] > 1 and region not in ends:
            yield _changed(vms, region, 0)
    for region in sorted(limits):
        if vms.get(region, 0) < limits[region]:
            yield _changed(vms, region, vms.get(region, 0) + 1)


def _changed(vms: Vms, region: str, count: int) -> Vms:
    changed = {**vms, region: count}
    return {name: n for name, n in sorted(changed.items()) if n > 0}
