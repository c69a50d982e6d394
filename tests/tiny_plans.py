"""Plans by hand, small enough to solve on paper: paths with a rate, a lane for each path and VM."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from datasets.matrix import Link, MatrixRef, RegionVm, Vm
from datasets.units import gigabits
from planner.cost import predict
from planner.job import Job
from planner.plan import Flow, Lane, Path, Plan

A, B, C, D = "aws:a-1", "gcp:b-1", "aws:c-1", "azure:d-1"

REF = MatrixRef(
    epoch="2022-11-28",
    digest="0" * 32,
    column="received",
    tier="premium",
    policy="as_measured",
    caps="documented",
)


def vm(
    *,
    egress_public_gbps: float = 100.0,
    egress_gbps: float = 100.0,
    ingress_gbps: float = 100.0,
    usd_per_hour: float = 3.6,
) -> Vm:
    """A VM that binds nothing unless asked to, at 0.001 USD a second."""
    return Vm(
        type="tiny",
        vcpus=32,
        usd_per_hour=usd_per_hour,
        egress_public_gbps=egress_public_gbps,
        egress_gbps=egress_gbps,
        ingress_gbps=ingress_gbps,
    )


def plan_of(
    paths: Sequence[tuple[Sequence[str], float]],
    links: Mapping[tuple[str, str], float],
    *,
    size_bytes: int = 10**10,
    vms_each: int = 1,
    usd_per_gb: float = 0.02,
    vms: Mapping[str, Vm] | None = None,
    connections: int | None = None,
    notes: tuple[str, ...] = (),
) -> Plan:
    """A Plan of those paths (regions, Gbit/s); `vms_each` VMs a region, each its own lane."""
    regions = sorted({region for hops, _ in paths for region in hops})
    total = sum(gbps for _, gbps in paths)
    flows: dict[tuple[str, str], float] = {}
    lanes = []
    for at, (hops, gbps) in enumerate(paths):
        pairs = list(itertools.pairwise(hops))
        for pair in pairs:
            flows[pair] = flows.get(pair, 0.0) + gbps
        each = gbps / vms_each
        counts = tuple(max(1, math.ceil(64 * each / links[pair] - 1e-9)) for pair in pairs)
        lanes += [
            Lane(
                path=at,
                gateways=tuple(f"{region}#{number}" for region in hops),
                connections=counts if connections is None else (connections,) * len(pairs),
                gbps=each,
                share=each / total,
            )
            for number in range(vms_each)
        ]
    listed = tuple(Flow(src=src, dst=dst, gbps=gbps) for (src, dst), gbps in sorted(flows.items()))
    region_vms = tuple(RegionVm(id=region, vm=(vms or {}).get(region, vm())) for region in regions)
    link_rows = tuple(
        Link(src=src, dst=dst, gbps=links[src, dst], usd_per_gb=usd_per_gb, rtt_ms=100.0)
        for src, dst in sorted(flows)
    )
    counts_by_region = {region: vms_each for region in regions}
    job = Job(source=paths[0][0][0], destinations=(paths[0][0][-1],), size_bytes=size_bytes)
    predicted = predict(
        job,
        gbps=total,
        rates={(flow.src, flow.dst): flow.gbps for flow in listed},
        vms=counts_by_region,
        regions=region_vms,
        links=link_rows,
    )
    return Plan(
        strategy="overlay",
        job=job,
        matrix=REF,
        predicted=predicted,
        bound_usd=0.0,
        bound_lp_usd=0.0,
        bound_gbps=total,
        gap=0.0,
        vms=counts_by_region,
        flows=listed,
        paths=tuple(Path(hops=tuple(hops), gbps=gbps, share=gbps / total) for hops, gbps in paths),
        lanes=tuple(lanes),
        regions=region_vms,
        links=link_rows,
        notes=notes,
    )


def seconds(size_bytes: int, gbps: float) -> float:
    """Size over rate."""
    return gigabits(size_bytes) / gbps
