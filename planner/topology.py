"""What a Job may use of a Matrix: candidate regions with their VM limits, and candidate links."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from datasets.errors import InputError
from datasets.matrix import Link, Matrix, Vm
from datasets.power import gco2e_per_vm_hour
from datasets.units import SECONDS_PER_HOUR
from planner.arrays import Arrays, Bools, Floats, arrays_of
from planner.cost import least_egress_factor, seconds_before
from planner.job import Job, LinkEnds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Topology:
    """Regions with their VM and the most VMs there (`limits`), and the links among them.

    `allowed[i, j]`, over all regions of the Matrix, says which links may be used. Every link's
    ends are in `limits`; no link enters the source or leaves the destination, since no plan needs
    one (with several sources or destinations some may). `egress_factors` are the shares of their
    first price that regions pay to other clouds; None stands for the least that they can.
    """

    matrix: Matrix
    job: Job
    limits: Mapping[str, int]
    allowed: Bools
    egress_factors: Mapping[str, float] | None = None
    figures: Arrays | None = None

    @property
    def source(self) -> str:
        """Where the bytes are."""
        return self.job.source

    @property
    def destination(self) -> str:
        """Where they go."""
        return self.job.destination

    @property
    def arrays(self) -> Arrays:
        """The Matrix as arrays, or what stands in for it (`scaled`)."""
        return self.figures if self.figures is not None else arrays_of(self.matrix)

    @property
    def links(self) -> tuple[Link, ...]:
        """The links that may be used, by source and destination."""
        index, allowed = self.arrays.index, self.allowed
        return tuple(e for e in self.matrix.links if allowed[index[e.src], index[e.dst]])

    def vm(self, region: str) -> Vm:
        """The VM of a candidate region."""
        return self.matrix.vm(region)

    def only(self, keep: Callable[[Link], bool]) -> Topology:
        """The same ends with those links alone, and the regions that they join."""
        return self.on((link.src, link.dst) for link in self.links if keep(link))

    def on(self, pairs: Iterable[LinkEnds]) -> Topology:
        """The same ends with those of its links alone, and the regions that they join."""
        index = self.arrays.index
        kept = np.zeros_like(self.allowed)
        for src, dst in pairs:
            kept[index[src], index[dst]] = True
        return self._masked(kept)

    def among(self, regions: Collection[str]) -> Topology:
        """The same ends with the links among `regions` and the ends alone."""
        inside: Bools = np.zeros(len(self.arrays.regions), dtype=bool)
        for region in (*regions, *self.job.sources, *self.job.destinations):
            inside[self.arrays.index[region]] = True
        return self._masked(np.outer(inside, inside))

    def scaled(self, factors: Mapping[LinkEnds, float]) -> Topology:
        """The same links, some of them that many times as fast: for questions, not for plans."""
        arrays = self.arrays
        gbps = arrays.gbps.copy()
        for (src, dst), factor in factors.items():
            gbps[arrays.index[src], arrays.index[dst]] *= factor
        return replace(self, figures=replace(arrays, gbps=gbps))

    def direct(self) -> Topology:
        """The link from source to destination alone."""
        return self.on([(self.source, self.destination)])

    def one_relay(self) -> Topology:
        """Links that touch an end: part of a path of at most one relay."""
        kept = np.zeros_like(self.allowed)
        kept[self.arrays.index[self.source], :] = True
        kept[:, self.arrays.index[self.destination]] = True
        return self._masked(kept)

    def _masked(self, kept: Bools) -> Topology:
        allowed = self.allowed & kept
        joined: Bools = np.logical_or(allowed.any(axis=0), allowed.any(axis=1))
        ends = {*self.job.sources, *self.job.destinations}
        index = self.arrays.index
        return replace(
            self,
            allowed=allowed,
            limits={r: n for r, n in self.limits.items() if r in ends or joined[index[r]]},
        )

    def is_direct(self, link: Link) -> bool:
        """Whether the link goes from the source to the destination."""
        return link.src == self.source and link.dst == self.destination

    def by_quota(self, region: str) -> bool:
        """Whether a quota lowers the region's VM limit."""
        return self.limits[region] < self.job.vm_limit

    def limit_array(self) -> Floats:
        """The most VMs of each region of the Matrix, 0 where it is no candidate; shape (n,)."""
        return np.array([float(self.limits.get(r, 0)) for r in self.arrays.regions])

    def links_usd(self) -> Floats:
        """The least USD a gigabit that a link can cost this Job; shape (n, n).

        With volume tiers the average price over all the bytes; otherwise the price.
        """
        usd = self.arrays.usd_per_gigabit
        if not self.job.tiered:
            return usd
        paid = self.egress_factors
        factors = np.array(
            [
                least_egress_factor(self.job, r) if paid is None else paid[r]
                for r in self.arrays.regions
            ]
        )
        return np.where(self.arrays.crosses, usd * factors[:, None], usd)

    def wait_s(self) -> Floats:
        """Seconds that a VM is paid for before it is ready, 0 where not asked; shape (n,)."""
        return np.array([seconds_before(self.job, r) for r in self.arrays.regions])

    def vms_gco2e_per_s(self) -> Floats:
        """Grams of CO2 equivalent a second of one VM, NaN where not known; shape (n,)."""
        return np.array(
            [
                np.nan if hourly is None else hourly / SECONDS_PER_HOUR
                for hourly in map(gco2e_per_vm_hour, self.arrays.regions, self.arrays.vcpus)
            ]
        )

    def alternatives(self) -> tuple[Topology, ...]:
        """Sets of links on which no cycle can pass for a visit to what the Job requires.

        Flow into a required region could be a cycle that carries nothing. There is none where the
        region's only way on is to the destination, or the only way in is from the source: relays
        stand on one side of it. One set for each choice of sides; this Topology if the Job
        requires nothing.
        """
        job, index = self.job, self.arrays.index
        s, t = index[self.source], index[self.destination]
        choices: list[list[Bools]] = []
        for region in job.require:
            r = index[region]
            if r in (s, t):
                continue
            onward, before = np.ones_like(self.allowed), np.ones_like(self.allowed)
            onward[r, :] = False
            onward[r, t] = True
            before[:, r] = False
            before[s, r] = True
            choices.append([onward, before])
        for src, dst in job.require_links:
            i, j = index[src], index[dst]
            onward, before = np.ones_like(self.allowed), np.ones_like(self.allowed)
            if j != t:
                onward[j, :] = False
                onward[j, t] = True
            if i != s:
                before[:, i] = False
                before[s, i] = True
            choices.append([onward, before])
        return tuple(
            self._masked(np.logical_and.reduce([self.allowed, *sides]))
            for sides in product(*choices)
        )


def topology(matrix: Matrix, job: Job) -> Topology:
    """The candidates of a unicast Job.

    A region's limit is the Job's `vm_limit`, lowered only by its quota: floor(vCPUs / vCPUs of a
    VM). Forbidden regions are out, and so are those that a Job stays clear of (`within`), relays
    without a single VM and, where carbon counts, relays on a grid that is not known.

    Raises: UnknownName for a region that the Matrix lacks; UnsupportedJob if there is more than
    one source or destination; InputError where carbon counts and an end's grid is not known.
    """
    job.destination  # noqa: B018  refuses a Job with several ends
    return topology_of_any(matrix, job)


def topology_of_any(matrix: Matrix, job: Job) -> Topology:
    """The candidates of a Job with any number of sources and destinations; see `topology`."""
    ends = {*job.sources, *job.destinations}
    links = [end for pair in (*job.forbid_links, *job.require_links) for end in pair]
    for region in (*sorted(ends), *job.quotas, *job.forbid, *job.within, *job.require, *links):
        matrix.vm(region)
    arrays = arrays_of(matrix)
    limits = {}
    for region in matrix.region_ids:
        if region in job.forbid or (job.within and region not in job.within and region not in ends):
            continue
        limit = job.vm_limit
        if region in job.quotas:
            limit = min(limit, job.quotas[region] // matrix.vm(region).vcpus)
        if _counts_carbon(job) and gco2e_per_vm_hour(region, matrix.vm(region).vcpus) is None:
            if region in ends:
                raise InputError(
                    f"The carbon of a VM in {region} is not known; leave carbon out of this job."
                )
            continue
        if limit > 0 or region in ends:
            limits[region] = limit
    inside = np.zeros(len(arrays.regions), dtype=bool)
    inside[[arrays.index[region] for region in limits]] = True
    allowed = arrays.measured & np.outer(inside, inside)
    if job.is_unicast:
        allowed[:, arrays.index[job.source]] = False
        allowed[arrays.index[job.destination], :] = False
    for src, dst in job.forbid_links:
        allowed[arrays.index[src], arrays.index[dst]] = False
    return Topology(matrix=matrix, job=job, limits=limits, allowed=allowed)


def _counts_carbon(job: Job) -> bool:
    return job.minimise == "gco2e" or job.max_gco2e is not None
