"""Cloudcast's five public broadcast jobs: what they are, and how the comparisons score a plan.

The rule is theirs, restated (github.com/gepa-ai/gepa, examples/adrs/cloudcast, commit b265bf9c):

- A job moves `volume_gb` in equal partitions from one source to every destination; each partition
  travels down a tree of directed links, through any region.
- Egress: each link is paid for once a partition: Σ partitions on it × GB a partition × price.
- The rate of a link is VMs a region × the *sent* Gbit/s of the epoch of 28 November 2022. Where
  the rates into (out of) a region sum to more than its VMs' caps, each is cut to cap / number of
  links there, if that is less; region by region in the order in which the trees name them, so that
  a later region sees the cuts of the earlier ones.
- Time: the slowest link's partitions × Gbit a partition / rate, rounded to 10 ms. No start-up, no
  pipelining, hops are free. VM: regions used × VMs a region × USD an hour × time.

Our own model scores the same trees in `cloudcast.py`, by received rates and proportional caps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from datasets.epochs import epoch_links
from datasets.errors import DataError, InputError, UnknownName
from datasets.regions import check_region, cloud_of, without_zone
from datasets.units import SECONDS_PER_HOUR
from planner.trees import Edges, Floats

EPOCH = "2022-11-28"
PRICE_BOOK = "2023-02-06"
# Times are rounded to hundredths of a second.
TIME_PLACES = 2
MOST_PARTITIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastJob:
    """One job; regions as its file writes them (GCP's with their zone), caps by cloud."""

    name: str
    source: str
    destinations: tuple[str, ...]
    volume_gb: float
    partitions: int
    vms_per_region: int
    vm_usd_per_hour: float
    bits_per_byte: float
    out_gbps_per_vm: Mapping[str, float]
    in_gbps_per_vm: Mapping[str, float]

    def __post_init__(self) -> None:
        for region in (self.source, *self.destinations):
            check_region(region)
        if not self.destinations or self.source in self.destinations:
            raise InputError(f"{self.name}: name a destination at least, other than the source.")
        if len(set(self.destinations)) != len(self.destinations):
            raise InputError(f"{self.name}: name each destination once.")
        for name in ("volume_gb", "bits_per_byte", "vms_per_region"):
            if not getattr(self, name) > 0:
                raise InputError(f"{self.name}: {name} must be above 0.")
        if not 1 <= self.partitions <= MOST_PARTITIONS:
            raise InputError(f"{self.name}: from 1 to {MOST_PARTITIONS} partitions.")
        if not self.vm_usd_per_hour >= 0:
            raise InputError(f"{self.name}: vm_usd_per_hour must be 0 or more.")
        for caps in (self.out_gbps_per_vm, self.in_gbps_per_vm):
            for cloud, gbps in caps.items():
                if not gbps > 0:
                    raise InputError(f"{self.name}: the cap of {cloud} must be above 0.")

    @property
    def partition_gb(self) -> float:
        """Decimal GB of a partition."""
        return self.volume_gb / self.partitions

    @property
    def partition_gigabits(self) -> float:
        """Gigabits of a partition."""
        return self.partition_gb * self.bits_per_byte

    @property
    def usd_per_region_s(self) -> float:
        """What a region in use costs a second."""
        return self.vms_per_region * self.vm_usd_per_hour / SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """The epoch's figures as the comparisons take them, regions sorted by name.

    `sent_gbps` (one VM a side) is 0 and `usd_per_gb` inf where nothing was measured; both (n, n).
    """

    regions: tuple[str, ...]
    index: Mapping[str, int]
    sent_gbps: Floats
    usd_per_gb: Floats

    def at(self, region: str) -> int:
        """The position of a region, with or without its zone. Raises: UnknownName."""
        name = without_zone(region)
        if name not in self.index:
            raise UnknownName(kind="region", name=region, known=self.regions)
        return self.index[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a plan costs by their rule."""

    egress_usd: float
    vm_usd: float
    seconds: float

    @property
    def total_usd(self) -> float:
        """Egress and VM time."""
        return self.egress_usd + self.vm_usd


@cache
def network() -> Network:
    """The compiled epoch on premium tiers: what the published file holds, to the bit a second."""
    rows = [row for row in epoch_links(EPOCH) if row.src_tier == row.dst_tier == "premium"]
    regions = tuple(sorted({end for row in rows for end in (row.src, row.dst)}))
    index = {region: at for at, region in enumerate(regions)}
    sent = np.zeros((len(regions), len(regions)))
    usd = np.full((len(regions), len(regions)), np.inf)
    for row in rows:
        if row.usd_per_gb is None:
            continue
        sent[index[row.src], index[row.dst]] = row.sent_gbps
        usd[index[row.src], index[row.dst]] = row.usd_per_gb
    return Network(regions=regions, index=index, sent_gbps=sent, usd_per_gb=usd)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Figures:
    """A job's own figures: rates and caps of all the VMs of a region; arrays by position."""

    rate_gbps: Floats
    out_gbps: Floats
    in_gbps: Floats


def figures(job: BroadcastJob, world: Network) -> Figures:
    """Rates and caps of a job. Raises: DataError for a cloud without a cap."""
    clouds = [cloud_of(region) for region in world.regions]
    for cloud in sorted(set(clouds)):
        if cloud not in job.out_gbps_per_vm or cloud not in job.in_gbps_per_vm:
            raise DataError(f"{job.name}: no per-VM cap for {cloud}.")
    vms = job.vms_per_region
    return Figures(
        rate_gbps=vms * world.sent_gbps,
        out_gbps=np.array([vms * job.out_gbps_per_vm[cloud] for cloud in clouds]),
        in_gbps=np.array([vms * job.in_gbps_per_vm[cloud] for cloud in clouds]),
    )


def score(job: BroadcastJob, trees: Sequence[Edges], world: Network) -> Score:
    """Their score of one tree a partition. Raises: InputError for trees that do not deliver."""
    _check_delivery(job, trees, world)
    load: dict[tuple[int, int], int] = {}
    for tree in trees:
        for edge in tree:
            load[edge] = load.get(edge, 0) + 1
    regions = list(dict.fromkeys(end for tree in trees for edge in tree for end in edge))
    known = figures(job, world)
    rate = {edge: float(known.rate_gbps[edge]) for edge in load}
    for region in regions:
        for side, caps in ((1, known.in_gbps), (0, known.out_gbps)):
            links = [edge for edge in load if edge[side] == region]
            cap = float(caps[region])
            if sum(rate[edge] for edge in links) > cap:
                for edge in links:
                    rate[edge] = min(rate[edge], cap / len(links))
    slowest = max(n * job.partition_gigabits / rate[edge] for edge, n in load.items())
    seconds = round(slowest, TIME_PLACES)
    return Score(
        egress_usd=sum(
            n * job.partition_gb * float(world.usd_per_gb[edge]) for edge, n in load.items()
        ),
        vm_usd=len(regions) * job.usd_per_region_s * seconds,
        seconds=seconds,
    )


def _check_delivery(job: BroadcastJob, trees: Sequence[Edges], world: Network) -> None:
    if len(trees) != job.partitions:
        raise InputError(f"{job.name}: {len(trees)} trees for {job.partitions} partitions.")
    for at, tree in enumerate(trees):
        reached = {world.at(job.source)}
        for src, dst in tree:
            if src not in reached or dst in reached or not world.sent_gbps[src, dst] > 0:
                raise InputError(f"{job.name}: partition {at} does not travel down a tree.")
            reached.add(dst)
        for region in job.destinations:
            if world.at(region) not in reached:
                raise InputError(f"{job.name}: partition {at} does not reach {region}.")


def load_jobs(path: Path | None = None) -> tuple[BroadcastJob, ...]:
    """The jobs of a file of that schema, or the five public ones. Raises: InputError, DataError."""
    where = "the packaged jobs" if path is None else str(path)
    try:
        if path is None:
            data = (resources.files("experiments") / "data" / "cloudcast.json").read_bytes()
        else:
            data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {where}: {error.strerror}.") from error
    try:
        return _jobs_of(json.loads(data))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{where} does not hold broadcast jobs: {error!r}.") from error


def _jobs_of(value: Mapping[str, Any]) -> tuple[BroadcastJob, ...]:
    """Each problem may have its own figure for anything that is common."""
    found = []
    for entry in value["problems"]:
        own = {**value["common"], **entry}
        found.append(
            BroadcastJob(
                name=str(own["name"]),
                source=str(own["source"]),
                destinations=tuple(map(str, own["destinations"])),
                volume_gb=float(own["volume_gb"]),
                partitions=_whole(own, "partitions"),
                vms_per_region=_whole(own, "vms_per_region"),
                vm_usd_per_hour=float(own["vm_usd_per_hour"]),
                bits_per_byte=float(own["bits_per_byte"]),
                out_gbps_per_vm=_caps(own["per_vm_egress_gbps"]),
                in_gbps_per_vm=_caps(own["per_vm_ingress_gbps"]),
            )
        )
    if not found:
        raise ValueError("there are no problems in it")
    return tuple(found)


def _whole(own: Mapping[str, Any], name: str) -> int:
    if own[name] != int(own[name]):
        raise ValueError(f"{name} is {own[name]}; it must be a whole number")
    return int(own[name])


def _caps(value: Mapping[str, Any]) -> dict[str, float]:
    return {str(cloud): float(gbps) for cloud, gbps in sorted(value.items())}
