"""What a transfer costs, in USD and in grams of CO2 equivalent, from rates and prices alone.

DESIGN.md's objective: (egress a second + VMs a second) × the seconds that bytes move. Where a Job
asks for it: egress at volume tiers, and the VM time before a gateway is ready.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from datasets.canonical import Json, rounded
from datasets.matrix import Link, RegionVm
from datasets.power import gco2e_per_vm_hour
from datasets.price_tiers import average_factor
from datasets.provisioning import provisioning_s
from datasets.regions import cloud_of
from datasets.units import (
    SECONDS_PER_HOUR,
    bytes_per_s,
    gigabits,
    gigabytes,
    usd_per_s_of_flow,
    usd_per_s_of_vm,
)
from planner.job import Job, LinkEnds

GBPS_PLACES = 9
SECONDS_PLACES = 6
USD_PLACES = 8
GCO2E_PLACES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class CostUsd:
    """What a transfer costs, in USD: egress, VM time while bytes move, and before they do.

    `provisioning` is 0 unless the Job asks for it.
    """

    egress: float
    vm: float
    provisioning: float = 0.0

    @property
    def total(self) -> float:
        """The sum of the three."""
        return self.egress + self.vm + self.provisioning

    def as_json(self) -> dict[str, Json]:
        """The figures and their sum; time before gateways are ready only where it is counted.

        The sum is of the rounded parts, so that a plan file that was read digests to its own id.
        """
        parts = {"egress": rounded(self.egress, USD_PLACES), "vm": rounded(self.vm, USD_PLACES)}
        if self.provisioning:
            parts["provisioning"] = rounded(self.provisioning, USD_PLACES)
        return {**parts, "total": rounded(math.fsum(parts.values()), USD_PLACES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What the planner promises: arithmetic on the Matrix, nothing else.

    `throughput_gbps` is that of each source's data; `gco2e` is grams of CO2 equivalent of VM time,
    None where a region's grid is not known.
    """

    throughput_gbps: float
    makespan_s: float
    cost_usd: CostUsd
    gco2e: float | None

    def comparable(self) -> dict[str, Json]:
        """The figures that a Run's outcome has, too, where all VM time is one."""
        cost = self.cost_usd
        spent = CostUsd(egress=cost.egress, vm=cost.vm + cost.provisioning)
        figures = {key: value for key, value in self.as_json().items() if key != "gco2e"}
        return {**figures, "cost_usd": spent.as_json()}

    def as_json(self) -> dict[str, Json]:
        """As in a Plan."""
        return {
            "throughput_gbps": rounded(self.throughput_gbps, GBPS_PLACES),
            "makespan_s": rounded(self.makespan_s, SECONDS_PLACES),
            "cost_usd": self.cost_usd.as_json(),
            "gco2e": None if self.gco2e is None else rounded(self.gco2e, GCO2E_PLACES),
        }


def predict(
    job: Job,
    *,
    gbps: float,
    rates: Mapping[LinkEnds, float],
    vms: Mapping[str, int],
    regions: Iterable[RegionVm],
    links: Iterable[Link],
) -> Predicted:
    """Time, cost and carbon of `rates` (Gbit/s on each link) on `vms`, at `gbps` in all.

    Figures are taken at full precision.
    """
    seconds = gigabits(job.size_bytes) / gbps
    by_id = {region.id: region.vm for region in regions}
    by_ends = {(link.src, link.dst): link for link in links}
    factors = egress_factors(job, rates, seconds)
    egress_rate = sum(
        usd_per_s_of_flow(rate, by_ends[ends].usd_per_gb)
        * (factors.get(ends[0], 1.0) if crosses_clouds(*ends) else 1.0)
        for ends, rate in sorted(rates.items())
    )
    counts = sorted(vms.items())
    vm_rate = sum(n * usd_per_s_of_vm(by_id[region].usd_per_hour) for region, n in counts)
    waited = sum(
        n * usd_per_s_of_vm(by_id[region].usd_per_hour) * seconds_before(job, region)
        for region, n in counts
    )
    return Predicted(
        throughput_gbps=gbps,
        makespan_s=seconds,
        cost_usd=CostUsd(egress=egress_rate * seconds, vm=vm_rate * seconds, provisioning=waited),
        gco2e=carbon_gco2e(job, vms, {r: vm.vcpus for r, vm in by_id.items()}, seconds),
    )


def carbon_gco2e(
    job: Job, vms: Mapping[str, int], vcpus: Mapping[str, int], seconds: float
) -> float | None:
    """Grams of CO2 equivalent of the VMs; None where a region's grid is not known.

    Counts the time before gateways are ready where the Job does.
    """
    total = 0.0
    for region, n in sorted(vms.items()):
        hourly = gco2e_per_vm_hour(region, vcpus[region])
        if hourly is None:
            return None
        total += n * hourly * (seconds + seconds_before(job, region)) / SECONDS_PER_HOUR
    return total


def seconds_before(job: Job, region: str) -> float:
    """Seconds that a VM of `region` is paid for before its gateway is ready; 0 if not asked."""
    return provisioning_s(cloud_of(region)) if job.provisioning else 0.0


def egress_factors(job: Job, rates: Mapping[LinkEnds, float], seconds: float) -> dict[str, float]:
    """Share of the first tier's price that each source region pays on average to other clouds.

    Volumes count per region and start at the first tier: what else an account moves is not known.
    Empty unless the Job asks for tiers.
    """
    if not job.tiered:
        return {}
    volumes: dict[str, float] = {}
    for ends, rate in sorted(rates.items()):
        if crosses_clouds(*ends):
            volumes[ends[0]] = volumes.get(ends[0], 0.0) + gigabytes_of(rate, seconds)
    return {region: average_factor(cloud_of(region), volume) for region, volume in volumes.items()}


def gigabytes_of(gbps: float, seconds: float) -> float:
    """Decimal gigabytes that `gbps` moves in `seconds`."""
    return gigabytes(bytes_per_s(gbps) * seconds)


def least_egress_factor(job: Job, region: str) -> float:
    """The least share of its first price that a byte of the Job to another cloud can cost.

    A region sends each byte once for each destination at most; the average price falls with the
    volume, so the average over all of it is the least, and exact where all of it goes that way.
    """
    if not job.tiered:
        return 1.0
    copies = len(job.destinations) * len(job.sources)
    return average_factor(cloud_of(region), gigabytes(job.size_bytes * copies))


def crosses_clouds(src: str, dst: str) -> bool:
    """Whether a link leaves its cloud."""
    return cloud_of(src) != cloud_of(dst)
