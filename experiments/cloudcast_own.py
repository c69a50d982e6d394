"""DESIGN.md's own model of trees that were made for another rule: received rates, shared VM time.

Each tree carries its share of the data at its share of one throughput. The most throughput is that
at which the first of a region's VMs is full: by time (Σ F/B), by its caps, or out of its cloud.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets.matrix import Matrix
from datasets.units import SECONDS_PER_HOUR, usd_per_s_of_flow
from planner.cost import crosses_clouds

Ends = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnScore:
    """What trees come to in DESIGN.md's model: at its prices of VMs, too."""

    throughput_gbps: float
    seconds: float
    egress_usd: float
    vm_usd: float

    @property
    def total_usd(self) -> float:
        """Egress and VM time."""
        return self.egress_usd + self.vm_usd


def own_score(
    matrix: Matrix, trees: Sequence[Sequence[Ends]], *, vms: int, gigabits: float
) -> OwnScore | None:
    """The score of equal shares of `gigabits` on each of `trees`; None if a link is not there.

    `vms` is the number of VMs of each region in use.
    """
    share: dict[Ends, float] = {}
    for tree in trees:
        for ends in tree:
            share[ends] = share.get(ends, 0.0) + 1.0 / len(trees)
    usd = 0.0
    for ends, part in share.items():
        link = matrix.link(*ends)
        if link is None:
            return None
        usd += usd_per_s_of_flow(part, link.usd_per_gb)
    gbps = min(vms / load for load in _vms_a_gbps(matrix, share).values())
    regions = sorted({end for ends in share for end in ends})
    hourly = sum(vms * matrix.vm(region).usd_per_hour for region in regions)
    seconds = gigabits / gbps
    return OwnScore(
        throughput_gbps=gbps,
        seconds=seconds,
        egress_usd=usd * gigabits,
        vm_usd=hourly / SECONDS_PER_HOUR * seconds,
    )


def _vms_a_gbps(matrix: Matrix, share: Mapping[Ends, float]) -> dict[tuple[str, str], float]:
    """VMs that each row of DESIGN.md's model needs in a region, a Gbit/s of throughput."""
    need: dict[tuple[str, str], float] = {}
    for (src, dst), part in share.items():
        link = matrix.link(src, dst)
        if link is None:
            raise KeyError((src, dst))
        sender, receiver = matrix.vm(src), matrix.vm(dst)
        adds = [
            (("out_time", src), part / link.gbps),
            (("in_time", dst), part / link.gbps),
            (("egress", src), part / sender.egress_gbps),
            (("ingress", dst), part / receiver.ingress_gbps),
        ]
        if crosses_clouds(src, dst):
            adds.append((("public", src), part / sender.egress_public_gbps))
        for key, amount in adds:
            need[key] = need.get(key, 0.0) + amount
    return need
