"""Whole VMs for several epochs: a local search over sets of VMs, each judged as one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from planner.whole_vms import Vms, changed, neighbours, rounded

# Sets of VMs that one search judges: each is a small linear programme an epoch.
MOST_CANDIDATES = 250
STARTS_IMPROVED = 3
# A regret must fall by this much to count, and a VM more must make the plan cheaper at home by
# VM_WORTH: each is one more machine to wait for and to lose.
LEAST_GAIN = 1e-7
VM_WORTH = 1e-5
# The relaxation's VMs are rounded up at these multiples.
MULTIPLES = (1.0, 1.25, 1.5, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A set of VMs: what it misses of its floors (0: nothing), its worst regret, cost at home."""

    vms: Vms
    missing: float
    worst: float
    home_usd: float

    @property
    def worth_usd(self) -> float:
        """Cost at home with each VM's trouble added."""
        return self.home_usd * (1 + VM_WORTH * sum(self.vms.values()))


def better(one: Judged, than: Judged) -> bool:
    """Misses less; else regrets less; else is cheaper at home."""
    if one.missing > 0 or than.missing > 0:
        return one.missing < than.missing * (1 - LEAST_GAIN)
    if abs(one.worst - than.worst) > LEAST_GAIN:
        return one.worst < than.worst
    return one.worth_usd < than.worth_usd * (1 - LEAST_GAIN)


def whole_starts(vms: Mapping[str, float], limits: Vms) -> list[Vms]:
    """The relaxation's VMs rounded up, at a few multiples, within the limits."""
    return [rounded(vms, limits, multiple=multiple) for multiple in MULTIPLES]


def searched(
    starts: Sequence[Vms], judge: Callable[[Vms], Judged], limits: Vms, ends: set[str]
) -> Judged:
    """The best set of VMs found from `starts`, moving one region at a time."""
    seen: dict[tuple[tuple[str, int], ...], Judged] = {}

    def of(vms: Vms) -> Judged:
        name = tuple(sorted(vms.items()))
        if name not in seen:
            seen[name] = judge(dict(name))
        return seen[name]

    regions = sorted({region for start in starts for region in start})
    ranked = _ranked([of(start) for start in starts])
    most = len(seen) + MOST_CANDIDATES
    best = ranked[0]
    for start in ranked[:STARTS_IMPROVED]:
        here, moved = start, True
        while moved and len(seen) < most:
            moved = False
            for vms in _neighbours(here.vms, regions, limits, ends):
                candidate = of(vms)
                if better(candidate, here):
                    here, moved = candidate, True
                    break
                if len(seen) >= most:
                    break
        if better(here, best):
            best = here
    return best


def _ranked(found: Iterable[Judged]) -> list[Judged]:
    return sorted(found, key=lambda each: (each.missing, each.worst, each.worth_usd))


def _neighbours(vms: Vms, regions: Sequence[str], limits: Vms, ends: set[str]) -> Iterator[Vms]:
    """One VM less, a relay left out, one more, one moved to another region."""
    within = {region: limits.get(region, 0) for region in regions}
    yield from neighbours(vms, within, ends)
    used = sorted(vms, key=lambda region: (vms[region], region))
    fewer = [region for region in used if vms[region] > (1 if region in ends else 0)]
    more = [region for region in regions if vms.get(region, 0) < within[region]]
    for source in fewer:
        for target in more:
            if source != target:
                yield changed(vms, {source: vms[source] - 1, target: vms.get(target, 0) + 1})
