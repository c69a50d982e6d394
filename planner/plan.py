"""Plan: what a strategy decided, complete in itself; canonical JSON whose digest is its id.

A Plan carries the figures of every link and VM that it uses, so that the simulator and the
executor need no Matrix. From one to one it has paths and lanes; from or to many it has trees and
tree lanes. Its id guards against accident (a file edited or cut short), not against
a forger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path as FilePath
from typing import Any, NewType, TypeVar

from datasets.canonical import Json, digest, rounded
from datasets.errors import DataError, InputError, UnsupportedJob
from datasets.files import checked_content, read_json, write_json
from datasets.matrix import Link, MatrixRef, RegionVm, Vm
from datasets.regions import region_of_gateway
from planner.certificate import Certificate, certificate_from_json
from planner.cost import (
    GBPS_PLACES,
    GCO2E_PLACES,
    SECONDS_PLACES,
    USD_PLACES,
    CostUsd,
    Predicted,
    crosses_clouds,
    predict,
)
from planner.job import Job, LinkEnds, job_from_json

PLAN_SCHEMA_VERSION = 2
PlanId = NewType("PlanId", str)

# Decimal places of the canonical form: rates to the bit, costs to a millionth of a dollar's
# hundredth (planner/cost.py), and here:
SHARE_PLACES = 12
# Parts and their sum are each rounded to eight decimals; in the last digits of large sums floats
# differ, too.
TOTAL_NOISE_USD = 1e-6


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
class Tree:
    """A tree from `source` to every destination, and the share of that source's bytes it carries.

    `edges` are links between regions, a region's own link before those that leave it; each
    carries `gbps`.
    """

    source: str
    edges: tuple[LinkEnds, ...]
    gbps: float
    share: float

    @property
    def regions(self) -> tuple[str, ...]:
        """The source, then each region in the order that the edges reach it."""
        return (self.source, *(dst for _, dst in self.edges))

    def as_json(self) -> dict[str, Json]:
        """As in a Plan."""
        return {
            "source": self.source,
            "edges": [list(edge) for edge in self.edges],
            "gbps": rounded(self.gbps, GBPS_PLACES),
            "share": rounded(self.share, SHARE_PLACES),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeLane:
    """A tree at the level of gateways: one gateway of each of its regions, paced at `gbps`.

    `edges` follow the tree's, by gateway; `connections` has one count an edge, as in a Lane.
    """

    tree: int
    edges: tuple[tuple[str, str], ...]
    connections: tuple[int, ...]
    gbps: float
    share: float

    @property
    def gateways(self) -> tuple[str, ...]:
        """Every gateway of the lane, the source's first."""
        return (self.edges[0][0], *(dst for _, dst in self.edges))

    def as_json(self) -> dict[str, Json]:
        """As in a Plan."""
        return {
            "tree": self.tree,
            "edges": [list(edge) for edge in self.edges],
            "connections": list(self.connections),
            "gbps": rounded(self.gbps, GBPS_PLACES),
            "share": rounded(self.share, SHARE_PLACES),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A strategy's decision for one Job on one Matrix.

    `bound_usd` is the least that any plan meeting the Job can cost, whatever the strategy, as far
    as was proven; `bound_lp_usd` what the full linear relaxation alone proves, by multipliers that
    stand in `certificates`. `bound_gbps` is the most throughput of any plan, given where the Job
    asks for the fastest; `bound_gco2e` the least carbon, given where the Job minimises it.
    `gap` is (value − bound)/value of what is minimised, or (bound − throughput)/bound where the
    Job asks for the fastest; never negative.
    `regions` and `links` hold the figures of the Matrix that the Plan uses; `gco2e_per_vm_hour`
    (where every region's is known) and `provisioning_s` (where the Job asks) those of its regions.
    """

    strategy: str
    job: Job
    matrix: MatrixRef
    predicted: Predicted
    bound_usd: float
    bound_lp_usd: float
    bound_gbps: float | None
    bound_gco2e: float | None = None
    gap: float
    certificates: tuple[Certificate, ...] = ()
    vms: Mapping[str, int]
    flows: tuple[Flow, ...]
    paths: tuple[Path, ...] = ()
    lanes: tuple[Lane, ...] = ()
    trees: tuple[Tree, ...] = ()
    tree_lanes: tuple[TreeLane, ...] = ()
    regions: tuple[RegionVm, ...]
    links: tuple[Link, ...]
    gco2e_per_vm_hour: Mapping[str, float] = field(default_factory=dict)
    provisioning_s: Mapping[str, float] = field(default_factory=dict)
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
            "bound_gbps": _rounded_or_none(self.bound_gbps, GBPS_PLACES),
            "bound_gco2e": _rounded_or_none(self.bound_gco2e, GCO2E_PLACES),
            "gap": rounded(self.gap, SHARE_PLACES),
            "certificates": [certificate.as_json() for certificate in self.certificates],
            "vms": {region: count for region, count in sorted(self.vms.items())},
            "flows": [flow.as_json() for flow in self.flows],
            "paths": [path.as_json() for path in self.paths],
            "lanes": [lane.as_json() for lane in self.lanes],
            "trees": [tree.as_json() for tree in self.trees],
            "tree_lanes": [lane.as_json() for lane in self.tree_lanes],
            "regions": [region.as_json() for region in self.regions],
            "links": [link.as_json() for link in self.links],
            "gco2e_per_vm_hour": {
                region: rounded(figure, GCO2E_PLACES)
                for region, figure in sorted(self.gco2e_per_vm_hour.items())
            },
            "provisioning_s": {
                region: rounded(figure, SECONDS_PLACES)
                for region, figure in sorted(self.provisioning_s.items())
            },
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
        lanes: tuple[Lane | TreeLane, ...] = (*self.lanes, *self.tree_lanes)
        return tuple(sorted({gateway for lane in lanes for gateway in lane.gateways}))

    @property
    def relays(self) -> tuple[str, ...]:
        """Regions that are neither the source nor a destination, sorted."""
        ends = {*self.job.sources, *self.job.destinations}
        return tuple(sorted(region for region in self.vms if region not in ends))

    @property
    def is_unicast(self) -> bool:
        """Whether it goes from one to one, by paths."""
        return not self.trees

    def crosses_clouds(self, src: str, dst: str) -> bool:
        """Whether a hop leaves its cloud, and so counts against public egress."""
        return crosses_clouds(src, dst)


def require_paths(plan: Plan, doing: str) -> None:
    """Nothing for a plan from one to one. Raises: UnsupportedJob for one of trees."""
    if not plan.is_unicast:
        raise UnsupportedJob(
            f"{doing} plans from or to many is not possible yet; plan one source and destination."
        )


def restated(plan: Plan, size_bytes: int) -> Plan:
    """The same plan for another number of bytes: time, cost and bounds scale, rates do not.

    Where cost is not in proportion to size (price tiers, time before gateways are ready), bounds
    of a larger transfer stay what they were and remain bounds. Certificates are of the Plan's own
    Job and are left out.
    """
    if size_bytes == plan.job.size_bytes:
        return plan
    scale = size_bytes / plan.job.size_bytes
    job = plan.job.resized(size_bytes)
    in_proportion = not (job.tiered or job.provisioning)
    bound_scale = scale if in_proportion else min(1.0, scale)
    return replace(
        plan,
        job=job,
        predicted=predict(
            job,
            gbps=plan.predicted.throughput_gbps,
            rates={(flow.src, flow.dst): flow.gbps for flow in plan.flows},
            vms=plan.vms,
            regions=plan.regions,
            links=plan.links,
        ),
        bound_usd=plan.bound_usd * bound_scale,
        bound_lp_usd=plan.bound_lp_usd * bound_scale,
        bound_gco2e=None if plan.bound_gco2e is None else plan.bound_gco2e * bound_scale,
        certificates=(),
    )


def save_plan(plan: Plan, path: FilePath) -> None:
    """Write a plan file, whole or not at all. Raises: InputError if it cannot be written."""
    write_json(path, plan.as_json(), what="plan")


def load_plan(path: FilePath) -> Plan:
    """Read a plan file. Raises: InputError or DataError, in one sentence."""
    value = read_json(path, what="plan")
    try:
        return plan_from_json(value)
    except InputError as error:
        raise DataError(f"{path}: {error}") from error


def plan_from_json(value: object) -> Plan:
    """A Plan of its JSON, its id checked against its content. Raises: DataError."""
    if isinstance(value, dict) and value.get("feasible") is False:
        raise DataError("This says that its job is infeasible; there is no plan in it to use.")
    content = checked_content(
        value, what="plan", version=PLAN_SCHEMA_VERSION, key="id", advice="Make the plan again."
    )
    try:
        return _plan_of(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"The plan does not make sense at {error}.") from error


_Record = TypeVar("_Record")


def _record(kind: type[_Record], value: Mapping[str, Any]) -> _Record:
    """A flat dataclass of JSON, arrays as tuples; unknown and missing keys are errors."""
    names = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    for key in sorted(names ^ set(value)):
        raise DataError(f"a {kind.__name__} has {'no' if key in names else 'an unknown'} {key!r}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in value.items()})


def _edged(kind: type[_Record], value: Mapping[str, Any]) -> _Record:
    """A record whose edges are pairs."""
    return _record(kind, {**value, "edges": [tuple(edge) for edge in value["edges"]]})


def _rounded_or_none(value: float | None, places: int) -> Json:
    return None if value is None else rounded(value, places)


def _plan_of(content: Mapping[str, Any]) -> Plan:
    expected = {
        "schema_version",
        "feasible",
        *(entry.name for entry in fields(Plan)),
    }
    for key in sorted(expected ^ set(content)):
        found = "no" if key in expected else "an unknown"
        raise DataError(f"The plan has {found} key {key!r}.")
    predicted = content["predicted"]
    cost = predicted["cost_usd"]
    before = cost.get("provisioning", 0.0)
    if abs(cost["egress"] + cost["vm"] + before - cost["total"]) > TOTAL_NOISE_USD:
        raise DataError("The plan's total cost is not the sum of its parts.")
    return Plan(
        strategy=content["strategy"],
        job=job_from_json(content["job"]),
        matrix=_record(MatrixRef, content["matrix"]),
        predicted=Predicted(
            throughput_gbps=predicted["throughput_gbps"],
            makespan_s=predicted["makespan_s"],
            cost_usd=CostUsd(egress=cost["egress"], vm=cost["vm"], provisioning=before),
            gco2e=predicted["gco2e"],
        ),
        bound_usd=content["bound_usd"],
        bound_lp_usd=content["bound_lp_usd"],
        bound_gbps=content["bound_gbps"],
        bound_gco2e=content["bound_gco2e"],
        gap=content["gap"],
        certificates=tuple(certificate_from_json(entry) for entry in content["certificates"]),
        vms=dict(content["vms"]),
        flows=tuple(_record(Flow, entry) for entry in content["flows"]),
        paths=tuple(_record(Path, entry) for entry in content["paths"]),
        lanes=tuple(_record(Lane, entry) for entry in content["lanes"]),
        trees=tuple(_edged(Tree, entry) for entry in content["trees"]),
        tree_lanes=tuple(_edged(TreeLane, entry) for entry in content["tree_lanes"]),
        regions=tuple(
            RegionVm(id=entry["id"], vm=_record(Vm, entry["vm"])) for entry in content["regions"]
        ),
        links=tuple(_record(Link, entry) for entry in content["links"]),
        gco2e_per_vm_hour=dict(content["gco2e_per_vm_hour"]),
        provisioning_s=dict(content["provisioning_s"]),
        notes=tuple(content["notes"]),
    )
