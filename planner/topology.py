"""What a Job may use of a Matrix: candidate regions with their VM limits, and candidate links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from datasets.matrix import Link, Matrix, Vm
from planner.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Regions with their VM and the most VMs there (`limits`), and the links among them.

    Every link's ends are in `limits`; no link enters the source or leaves the destination, since
    no plan needs one.
    """

    matrix: Matrix
    job: Job
    limits: Mapping[str, int]
    links: tuple[Link, ...]

    @property
    def source(self) -> str:
        """Where the bytes are."""
        return self.job.source

    @property
    def destination(self) -> str:
        """Where they go."""
        return self.job.destination

    def vm(self, region: str) -> Vm:
        """The VM of a candidate region."""
        return self.matrix.vm(region)

    def only(self, keep: Callable[[Link], bool]) -> Topology:
        """The same ends with those links alone, and the regions that they join."""
        links = tuple(link for link in self.links if keep(link))
        joined = {self.source, self.destination}.union(
            *((link.src, link.dst) for link in links),
        )
        return replace(
            self,
            links=links,
            limits={region: n for region, n in self.limits.items() if region in joined},
        )

    def is_direct(self, link: Link) -> bool:
        """Whether the link goes from the source to the destination."""
        return link.src == self.source and link.dst == self.destination

    def touches_an_end(self, link: Link) -> bool:
        """Whether the link is part of a path of at most one relay."""
        return link.src == self.source or link.dst == self.destination

    def by_quota(self, region: str) -> bool:
        """Whether a quota lowers the region's VM limit."""
        return self.limits[region] < self.job.vm_limit


def topology(matrix: Matrix, job: Job) -> Topology:
    """The candidates of a unicast Job.

    A region's limit is the Job's `vm_limit`, lowered only by its quota: floor(vCPUs / vCPUs of a
    VM). Forbidden regions are out, and so are relays without a single VM.

    Raises: UnknownName for a source, destination, quota or forbidden region that the Matrix lacks;
    UnsupportedJob if there is more than one destination.
    """
    source, destination = job.source, job.destination
    for region in (source, destination, *job.quotas, *job.forbid):
        matrix.vm(region)
    limits = {}
    for region in matrix.region_ids:
        if region in job.forbid:
            continue
        limit = job.vm_limit
        if region in job.quotas:
            limit = min(limit, job.quotas[region] // matrix.vm(region).vcpus)
        if limit > 0 or region in (source, destination):
            limits[region] = limit
    links = tuple(
        link
        for link in matrix.links
        if link.src in limits
        and link.dst in limits
        and link.dst != source
        and link.src != destination
    )
    return Topology(matrix=matrix, job=job, limits=limits, links=links)
