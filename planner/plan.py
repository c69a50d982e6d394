"""Plan: what a strategy decided, complete in itself; canonical JSON whose digest is its id.

A Plan carries the figures of every link and VM that it uses, so that the simulator and the
executor need no Matrix. Its id guards against accident (a file edited or cut short), not against
a forger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path as FilePath
from typing import Any, NewType, TypeVar

from datasets.canonical import Json, canonical_json, digest, rounded
from datasets.errors import DataError, InputError
from datasets.matrix import Link, MatrixRef, RegionVm, Vm
from datasets.regions import cloud_of, region_of_gateway
from datasets.units import gigabits, usd_per_s_of_flow, usd_per_s_of_vm
from planner.job import Job, job_from_json

PLAN_SCHEMA_VERSION = 1
PlanId = NewType("PlanId", str)

# Decimal places of the canonical form: 1 bit/s, a microsecond, a millionth of a dollar's hundredth.
GBPS_PLACES = 9
SECONDS_PLACES = 6
USD_PLACES = 8
SHARE_PLACES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class CostUsd:
    """What a transfer costs, in USD: egress, VM time, and their sum."""

    egress: float
    vm: float

    @property
    def total(self) -> float:
        """Egress and VM time."""
        return self.egress + self.vm

    def as_json(self) -> dict[str, Json]:
        """The three figures."""
        return {
            "egress": rounded(self.egress, USD_PLACES),
            "vm": rounded(self.vm, USD_PLACES),
            "total": rounded(self.total, USD_PLACES),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What the planner promises: arithmetic on the Matrix, nothing else."""

    throughput_gbps: float
    makespan_s: float
    cost_usd: CostUsd

    def as_json(self) -> dict[str, Json]:
        """As in a Plan."""
        return {
            "throughput_gbps": rounded(self.throughput_gbps, GBPS_PLACES),
            "makespan_s": rounded(self.makespan_s, SECONDS_PLACES),
            "cost_usd": self.cost_usd.as_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Gbit/s on the directed link from region `src` to region `dst`."""

    src: str
    dst: str
    gbps: float

    def as_json(self) -> dict[str, Json]:
        """As in a Plan."""
        return {"src": self.src, "dst": self.dst, "gbps": rounded(self.gbps, GBPS_PLACES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Regions in order from source to destination, the rate it is paced at, its share of bytes."""

    hops: tuple[str, ...]
    gbps: float
    share: float

    def as_json(self) -> dict[str, Json]:
        """As in a Plan."""
        return {
            "hops": list(self.hops),
            "gbps": rounded(self.gbps, GBPS_PLACES),
            "share": rounded(self.share, SHARE_PLACES),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A path at the level of gateways: which VM of each region, paced at `gbps`.

    `gateways` has one name a region of the path (`aws:us-east-1#0`); `connections` has one count a
    hop, ceil(64·F/B) and at least 1, so that hop h can carry at most connections/64 of its link.
    """

    path: int
    gateways: tuple[str, ...]
    connections: tuple[int, ...]
    gbps: float
    share: float

    @property
    def hops(self) -> tuple[tuple[str, str], ...]:
        """(gateway, gateway) of each hop, in order."""
        return tuple(zip(self.gateways, self.gateways[1:], strict=False))

    def as_json(self) -> dict[str, Json]:
        """As in a Plan."""
        return {
            "path": self.path,
            "gateways": list(self.gateways),
            "connections": list(self.connections),
            "gbps": rounded(self.gbps, GBPS_PLACES),
            "share": rounded(self.share, SHARE_PLACES),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A strategy's decision for one Job on one Matrix.

    `bound_usd` is the least that any plan meeting the Job can cost, whatever the strategy;
    `bound_lp_usd` the same from the full linear relaxation alone. `bound_gbps` is the most
    throughput of any plan, given where the Job asks for the fastest (None otherwise). `gap` is
    (cost − bound)/cost, or for such Jobs (bound − throughput)/bound; never negative.
    `regions` and `links` hold the figures of the Matrix that the Plan uses.
    """

    strategy: str
    job: Job
    matrix: MatrixRef
    predicted: Predicted
    bound_usd: float
    bound_lp_usd: float
    bound_gbps: float | None
    gap: float
    vms: Mapping[str, int]
    flows: tuple[Flow, ...]
    paths: tuple[Path, ...]
    lanes: tuple[Lane, ...]
    regions: tuple[RegionVm, ...]
    links: tuple[Link, ...]
    notes: tuple[str, ...] = ()

    def content(self) -> dict[str, Json]:
        """Canonical content, without the id that it digests to."""
        return {
            "schema_version": PLAN_SCHEMA_VERSION,
            "strategy": self.strategy,
            "feasible": True,
            "job": self.job.as_json(),
            "matrix": self.matrix.as_json(),
            "predicted": self.predicted.as_json(),
            "bound_usd": rounded(self.bound_usd, USD_PLACES),
            "bound_lp_usd": rounded(self.bound_lp_usd, USD_PLACES),
            "bound_gbps": None
            if self.bound_gbps is None
            else rounded(self.bound_gbps, GBPS_PLACES),
            "gap": rounded(self.gap, SHARE_PLACES),
            "vms": {region: count for region, count in sorted(self.vms.items())},
            "flows": [flow.as_json() for flow in self.flows],
            "paths": [path.as_json() for path in self.paths],
            "lanes": [lane.as_json() for lane in self.lanes],
            "regions": [region.as_json() for region in self.regions],
            "links": [link.as_json() for link in self.links],
            "notes": list(self.notes),
        }

    @property
    def id(self) -> PlanId:
        """Digest of the content: the same Matrix, Job and strategy give the same id anywhere."""
        return PlanId(digest(self.content()))

    def as_json(self) -> dict[str, Json]:
        """What `tradewind plan --json` prints and a plan file holds."""
        return {"id": self.id, **self.content()}

    def link(self, src: str, dst: str) -> Link:
        """The link between two regions (or gateways) that the Plan uses. Raises: KeyError."""
        ends = (region_of_gateway(src), region_of_gateway(dst))
        for link in self.links:
            if (link.src, link.dst) == ends:
                return link
        raise KeyError(ends)

    def vm(self, region: str) -> Vm:
        """The VM of a region (or of a gateway's region) that the Plan uses. Raises: KeyError."""
        name = region_of_gateway(region)
        for entry in self.regions:
            if entry.id == name:
                return entry.vm
        raise KeyError(name)

    @property
    def gateways(self) -> tuple[str, ...]:
        """Every gateway that a lane uses, sorted."""
        return tuple(sorted({gateway for lane in self.lanes for gateway in lane.gateways}))

    @property
    def relays(self) -> tuple[str, ...]:
        """Regions that are neither the source nor a destination, sorted."""
        ends = {self.job.source, *self.job.destinations}
        return tuple(sorted(region for region in self.vms if region not in ends))

    def crosses_clouds(self, src: str, dst: str) -> bool:
        """Whether a hop leaves its cloud, and so counts against public egress."""
        return cloud_of(src) != cloud_of(dst)


def predict(
    *,
    size_bytes: int,
    gbps: float,
    flows: tuple[Flow, ...],
    vms: Mapping[str, int],
    regions: tuple[RegionVm, ...],
    links: tuple[Link, ...],
) -> Predicted:
    """DESIGN's objective: (egress a second + VMs a second) × the seconds that bytes move.

    `gbps` is the throughput of the whole plan; figures are taken at full precision.
    """
    seconds = gigabits(size_bytes) / gbps
    prices = {(link.src, link.dst): link.usd_per_gb for link in links}
    hourly = {region.id: region.vm.usd_per_hour for region in regions}
    egress = sum(usd_per_s_of_flow(f.gbps, prices[f.src, f.dst]) for f in flows)
    vm = sum(count * usd_per_s_of_vm(hourly[region]) for region, count in sorted(vms.items()))
    return Predicted(
        throughput_gbps=gbps,
        makespan_s=seconds,
        cost_usd=CostUsd(egress=egress * seconds, vm=vm * seconds),
    )


def restated(plan: Plan, size_bytes: int) -> Plan:
    """The same plan for another number of bytes: time, cost and bounds scale, rates do not."""
    if size_bytes == plan.job.size_bytes:
        return plan
    scale = size_bytes / plan.job.size_bytes
    return replace(
        plan,
        job=plan.job.resized(size_bytes),
        predicted=predict(
            size_bytes=size_bytes,
            gbps=plan.predicted.throughput_gbps,
            flows=plan.flows,
            vms=plan.vms,
            regions=plan.regions,
            links=plan.links,
        ),
        bound_usd=plan.bound_usd * scale,
        bound_lp_usd=plan.bound_lp_usd * scale,
    )


def save_plan(plan: Plan, path: FilePath) -> None:
    """Write a plan file, whole or not at all. Raises: InputError if it cannot be written."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(canonical_json(plan.as_json()) + b"\n")
        part.replace(path)
    except OSError as error:
        raise InputError(f"Cannot write the plan to {path}: {error.strerror}.") from error


def load_plan(path: FilePath) -> Plan:
    """Read a plan file. Raises: InputError or DataError, in one sentence."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the plan {path}: {error.strerror}.") from error
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"The plan file {path} is empty or damaged: it is not JSON.") from error
    try:
        return plan_from_json(value)
    except InputError as error:
        raise DataError(f"{path}: {error}") from error


def plan_from_json(value: object) -> Plan:
    """A Plan of its JSON, its id checked against its content. Raises: DataError."""
    if not isinstance(value, dict):
        raise DataError("A plan is a JSON object; this is not.")
    if value.get("feasible") is False:
        raise DataError("This says that its job is infeasible; there is no plan in it to use.")
    if value.get("schema_version") != PLAN_SCHEMA_VERSION:
        raise DataError(
            f"The plan's schema version is {value.get('schema_version')!r}; this tradewind reads "
            f"version {PLAN_SCHEMA_VERSION}. Make the plan again."
        )
    content = {key: entry for key, entry in value.items() if key != "id"}
    try:
        found = digest(content)
    except ValueError as error:
        raise DataError(f"The plan holds what no plan holds: {error}.") from error
    if value.get("id") != found:
        raise DataError(
            "The plan no longer matches its id: it was changed or cut short. Make the plan again."
        )
    try:
        return _plan_of(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"The plan does not make sense at {error}.") from error


_Record = TypeVar("_Record")


def _record(kind: type[_Record], value: Mapping[str, Any]) -> _Record:
    """A flat dataclass of JSON, arrays as tuples; unknown and missing keys are errors."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    for key in sorted(names ^ set(value)):
        raise DataError(f"a {kind.__name__} has {'no' if key in names else 'an unknown'} {key!r}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in value.items()})


def _plan_of(content: Mapping[str, Any]) -> Plan:
    expected = {
        "schema_version",
        "feasible",
        *(field.name for field in fields(Plan)),
    }
    for key in sorted(expected ^ set(content)):
        found = "no" if key in expected else "an unknown"
        raise DataError(f"The plan has {found} key {key!r}.")
    predicted = content["predicted"]
    cost = predicted["cost_usd"]
    return Plan(
        strategy=content["strategy"],
        job=job_from_json(content["job"]),
        matrix=_record(MatrixRef, content["matrix"]),
        predicted=Predicted(
            throughput_gbps=predicted["throughput_gbps"],
            makespan_s=predicted["makespan_s"],
            cost_usd=CostUsd(egress=cost["egress"], vm=cost["vm"]),
        ),
        bound_usd=content["bound_usd"],
        bound_lp_usd=content["bound_lp_usd"],
        bound_gbps=content["bound_gbps"],
        gap=content["gap"],
        vms=dict(content["vms"]),
        flows=tuple(_record(Flow, entry) for entry in content["flows"]),
        paths=tuple(_record(Path, entry) for entry in content["paths"]),
        lanes=tuple(_record(Lane, entry) for entry in content["lanes"]),
        regions=tuple(
            RegionVm(id=entry["id"], vm=_record(Vm, entry["vm"])) for entry in content["regions"]
        ),
        links=tuple(_record(Link, entry) for entry in content["links"]),
        notes=tuple(content["notes"]),
    )
