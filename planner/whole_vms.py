"""Whole numbers of VMs: roundings of fractional ones, and the sets next to a set.

What the searches one to one (`rounding.py`), over trees (`broadcast_whole.py`) and over epochs
(`robust_search.py`) share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping

# A fractional VM count this little above a whole number is that number: the solver's noise.
VM_NOISE = 1e-7
# A throughput this share below what is asked still meets it; realising adds the missing bits.
THROUGHPUT_NOISE = 1e-9
# A candidate must be better by this share: no walking in circles on noise.
LEAST_IMPROVEMENT = 1e-9
# Where a budget binds, a relaxation is also rounded at these shares of its throughput.
SLOWER = (0.9, 0.7, 0.5, 0.25)
# A throughput that no plan goes below: 1 Mbit/s; "at any throughput" means from here.
ANY_GBPS = 1e-3

Vms = Mapping[str, int]
# What is missing of what was asked (0: nothing), then a value; the smaller is the better.
Key = tuple[float, float]


def rounded(
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


def multiples(vms: Mapping[str, float], limits: Vms, most: int) -> list[Vms]:
    """The relaxation rounded up, also after scaling each region to `most` whole numbers of VMs."""
    used = {region: n for region, n in vms.items() if n > VM_NOISE}
    room = min((limits[region] / n for region, n in used.items()), default=1.0)
    scales = {1.0, max(1.0, room)}
    for n in used.values():
        first = math.ceil(n - VM_NOISE)
        scales |= {k / n for k in range(first, first + most) if 1 < k / n <= room}
    found = [rounded(used, limits, multiple=scale) for scale in sorted(scales)]
    return list({tuple(start.items()): start for start in found}.values())


def better(key: Key, than: Key) -> bool:
    """Whether `key` misses less, or nothing as well and its value is lower by more than noise."""
    if key[0] <= 0 and than[0] <= 0:
        return key[1] < than[1] - LEAST_IMPROVEMENT * abs(than[1])
    return key[0] < than[0] * (1 - LEAST_IMPROVEMENT)


def neighbours(vms: Vms, limits: Vms, ends: Collection[str]) -> Iterator[Vms]:
    """One VM less, a relay left out, one VM more; relays of few VMs first."""
    by_size = sorted(vms, key=lambda region: (vms[region], region))
    for region in by_size:
        if vms[region] > (1 if region in ends else 0):
            yield changed(vms, {region: vms[region] - 1})
    for region in by_size:
        if vms[region] > 1 and region not in ends:
            yield changed(vms, {region: 0})
    for region in sorted(limits):
        if vms.get(region, 0) < limits[region]:
            yield changed(vms, {region: vms.get(region, 0) + 1})


def changed(vms: Vms, counts: Vms) -> Vms:
    """The same VMs but for those counts."""
    return {region: n for region, n in sorted({**vms, **counts}.items()) if n > 0}
