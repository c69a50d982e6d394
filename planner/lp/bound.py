"""What multipliers prove: the unicast model's Lagrangian, minimised exactly by a shortest path.

With the capacity rows (2)–(6) of `unicast.py` moved into the objective at rents, a flow pays on
each link its price and the rents of both ends' VMs; the least it can pay is the cheapest path. VMs
earn rents and cost their price; what they earn beyond it counts up to the VM limit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.units import gigabits
from planner.arrays import Floats
from planner.certificate import VM_ROWS, Certificate, Proves
from planner.topology import Topology

# The share of a bound's own terms that floating point may have spoiled: a few hundred roundings
# of 1e-16, generously.
BOUND_NOISE = 1e-12
# VMs that earn more than their price by this share do so by the solver's tolerance.
RENT_NOISE = 1e-6
# Credits make some links pay less than nothing, and a cycle of exactly nothing may come out below
# it: so much is added to each link, and taken off again as often as a path has links.
CYCLE_NOISE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What a dollar and a gram of CO2 equivalent count for in an objective."""

    usd: float = 0.0
    gco2e: float = 0.0


class VmRates:
    """What VMs of each region cost this Job; arrays of shape (n,)."""

    def __init__(self, topology: Topology) -> None:
        self._index = topology.arrays.index
        self._gigabits = gigabits(topology.job.size_bytes)
        self.usd = topology.arrays.usd_per_s
        self.wait_s = topology.wait_s()
        counts = topology.job.minimise == "gco2e" or topology.job.max_gco2e is not None
        # A grid that is not known has no candidate VM where carbon counts.
        self.gco2e = np.nan_to_num(topology.vms_gco2e_per_s()) if counts else 0.0 * self.usd
        most = topology.job.max_gco2e
        self.ceiling = None if most is None else most / self._gigabits

    def cost(self, at: Weights, goal_gbps: float) -> Floats:
        """A second of a VM under weights, its time before it is ready shared out at the goal."""
        rate: Floats = at.usd * self.usd + at.gco2e * self.gco2e
        return rate * (1 + self.wait_s * goal_gbps / self._gigabits)

    def of(self, at: int, weighed: Weights, goal_gbps: float) -> float:
        """The same for the region at that position."""
        rate = weighed.usd * float(self.usd[at]) + weighed.gco2e * float(self.gco2e[at])
        return rate * (1 + float(self.wait_s[at]) * goal_gbps / self._gigabits)

    def waiting_usd(self, vms: Mapping[str, float]) -> float:
        """USD a gigabit of the time before those VMs are ready."""
        return self._waiting(vms, self.usd)

    def waiting_gco2e(self, vms: Mapping[str, float]) -> float:
        """Grams a gigabit of the time before those VMs are ready."""
        return self._waiting(vms, self.gco2e)

    def waiting(self, at: Weights, vms: Mapping[str, float]) -> float:
        """Both a gigabit, under weights."""
        return at.usd * self.waiting_usd(vms) + at.gco2e * self.waiting_gco2e(vms)

    def _waiting(self, vms: Mapping[str, float], rate: Floats) -> float:
        at = self._index
        return (
            math.fsum(n * float(rate[at[r]] * self.wait_s[at[r]]) for r, n in vms.items())
            / self._gigabits
        )

    def gco2e_of(self, vms: Mapping[str, float], gbps: float) -> float:
        """Grams a gigabit of those VMs at that throughput."""
        rate = self.cost(Weights(gco2e=1.0), gbps)
        return math.fsum(n * float(rate[self._index[r]]) for r, n in vms.items()) / gbps


@dataclass(frozen=True, slots=True, eq=False)
class Multipliers:
    """Rents (rows of VM_ROWS, n), the weights of USD and carbon, and a credit a requirement."""

    rents: Floats
    weights: Weights
    credits: Sequence[float]

    def certificate(
        self, topology: Topology, proves: Proves, value: float, goal_gbps: float | None
    ) -> Certificate:
        """As a Plan stores them."""
        regions = topology.arrays.regions
        return Certificate(
            proves=proves,
            value=value,
            goal_gbps=goal_gbps,
            usd_weight=self.weights.usd,
            gco2e_weight=self.weights.gco2e,
            rents={
                regions[at]: {row: float(self.rents[k, at]) for k, row in enumerate(VM_ROWS)}
                for at in np.flatnonzero(self.rents.any(axis=0)).tolist()
                if regions[at] in topology.limits
            },
            credits=tuple(self.credits),
        )


def weights(topology: Topology, links_usd: Floats, at: Multipliers) -> Floats:
    """What a gigabit pays on each link, infinite where there is none; shape (n, n)."""
    arrays, rents = topology.arrays, at.rents
    rent = dict(zip(VM_ROWS, rents, strict=True))
    paid = (rent["vm_out_time"][:, None] + rent["vm_in_time"][None, :]) / arrays.gbps
    paid += np.where(arrays.crosses, rent["vm_egress_public"][:, None], 0.0)
    paid += rent["vm_egress"][:, None] + rent["vm_ingress"][None, :]
    if at.weights.usd:
        paid += at.weights.usd * links_usd
    for (src, dst), credit in zip(required_masks(topology), at.credits, strict=False):
        paid[src, dst] -= credit
    return np.where(topology.allowed, paid, np.inf)


def required_masks(topology: Topology) -> list[tuple[slice | int, int]]:
    """Index of the links of which every byte must cross one, for each requirement of the Job.

    Those into a required region (none for the source, where every byte is), then required links.
    """
    index = topology.arrays.index
    return [
        *((slice(None), index[region]) for region in regions_required(topology)),
        *((index[src], index[dst]) for src, dst in topology.job.require_links),
    ]


def regions_required(topology: Topology) -> list[str]:
    """The required regions that a byte could miss."""
    ends = (topology.source, topology.destination)
    return [region for region in topology.job.require if region not in ends]


def pays_least(topology: Topology, links_usd: Floats, at: Multipliers) -> float:
    """The least that a gigabit pays from source to destination, credits given back."""
    index = topology.arrays.index
    paid = weights(topology, links_usd, at)
    lift = CYCLE_NOISE if at.credits else 0.0
    least = float(distances(paid + lift, index[topology.source])[index[topology.destination]])
    # A path without loops has fewer links than there are regions.
    least -= lift * len(paid)
    return least + math.fsum(at.credits) if math.isfinite(least) else 0.0


def distances(paid: Floats, start: int, *, towards: bool = False) -> Floats:
    """Least sum of `paid` from `start` to each region (or from each to it); shape (n,).

    Minus infinity everywhere if a cycle pays less than nothing. Source: Bellman (1958), Ford.
    """
    if towards:
        paid = paid.T
    least = np.full(len(paid), np.inf)
    least[start] = 0.0
    for _ in range(len(paid)):
        shorter = np.minimum(least, (least[:, None] + paid).min(axis=0))
        if np.array_equal(shorter, least):
            return least
        least = shorter
    return np.full(len(paid), -np.inf)


def settled(
    topology: Topology,
    at: Multipliers,
    vm_cost: Floats,
    *,
    unlimited: bool,
    given: Collection[str] = (),
) -> tuple[Multipliers, float]:
    """Multipliers without the solver's noise, and what VMs earn beyond their cost at the limit.

    `vm_cost` is what a VM costs under the weights, shape (n,). An excess that is noise, or that no
    limit stops, is taken out of the rents; rents that could be higher for nothing are raised,
    since a flow that no VM there is paid for should pay for one. Not so where VMs are `given`: they
    are there whether flows pay or not.
    """
    rents = at.rents.copy()
    earned = (rents * topology.arrays.per_vm).sum(axis=0)
    limit = topology.limit_array()
    over = (earned > vm_cost * (1 - BOUND_NOISE)) & (
        unlimited | (earned - vm_cost < RENT_NOISE * earned)
    )
    rents[:, over] *= (vm_cost[over] / earned[over]) * (1 - 2 * BOUND_NOISE)
    earned = (rents * topology.arrays.per_vm).sum(axis=0)
    spare = np.maximum(vm_cost * (1 - BOUND_NOISE) - earned, 0.0)
    spare[[topology.arrays.index[region] for region in given]] = 0.0
    # Half to either side of a relay; an end has one side.
    index = topology.arrays.index
    s, t = index[topology.source], index[topology.destination]
    out, into = spare / 2, spare / 2
    out[s], into[s], out[t], into[t] = spare[s], 0.0, 0.0, spare[t]
    rents[0] += out
    rents[1] += into
    beyond = np.maximum((rents * topology.arrays.per_vm).sum(axis=0) - vm_cost, 0.0)
    excess = 0.0 if unlimited else float((beyond * limit).sum())
    return Multipliers(rents, at.weights, at.credits), excess
