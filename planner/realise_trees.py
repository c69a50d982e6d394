"""From trees to a Plan that can be carried out: whole bits, lanes of gateways, connections, shares.

As `realise.py` does for paths: rates are whole bits a second, so that trees add up to flows and
each source's to the throughput exactly; [0, 1) of a tree is cut at the multiples of 1/N of each of
its regions, and a piece is a lane through the gateways whose parts it lies in. What holds for a
region's VMs together then holds for each of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from datasets.matrix import RegionVm
from datasets.regions import gateway_name
from datasets.units import GIGA
from planner.cost import predict, seconds_before
from planner.job import LinkEnds
from planner.plan import Flow, Plan, Tree, TreeLane
from planner.realise import (
    CONNECTION_NOISE,
    DUST_SHARE,
    LEAST_PATH_GBPS,
    LEAST_PATH_SHARE,
    Bounds,
    as_stored,
    connections,
    gap_of,
    gbps_of_bits,
    known_carbon,
    link_of,
    without_noise,
)
from planner.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedTree:
    """Links of a tree from `source`, parents first, and the Gbit/s it carries."""

    source: str
    edges: tuple[LinkEnds, ...]
    gbps: float


def realised_trees(
    topology: Topology,
    *,
    strategy: str,
    trees: Sequence[RatedTree],
    vms: Mapping[str, int],
    floor_gbps: float,
    bounds: Bounds,
    notes: tuple[str, ...] = (),
) -> Plan:
    """The Plan of `trees` on `vms`, at `floor_gbps` or more of each source's data."""
    job = topology.job
    dust_share = 0.0 if job.max_usd is not None else DUST_SHARE
    rated, total = _whole_bits(trees, job.sources, floor_gbps, dust_share)
    on_link: dict[LinkEnds, int] = {}
    for tree, rate in rated:
        for pair in tree.edges:
            on_link[pair] = on_link.get(pair, 0) + rate
    used = sorted({region for pair in on_link for region in pair})
    counts = {region: vms[region] for region in used}
    regions = tuple(RegionVm(id=region, vm=as_stored(topology.vm(region))) for region in used)
    links = tuple(link_of(topology, pair) for pair in sorted(on_link))
    rates = {pair: gbps_of_bits(rate) for pair, rate in sorted(on_link.items())}
    predicted = predict(
        job, gbps=gbps_of_bits(total), rates=rates, vms=counts, regions=regions, links=links
    )
    proven = without_noise(bounds, predicted)
    capacity = {(link.src, link.dst): link.gbps for link in links}
    return Plan(
        strategy=strategy,
        job=job,
        matrix=topology.matrix.ref(),
        predicted=predicted,
        bound_usd=proven.usd,
        bound_lp_usd=proven.lp_usd,
        bound_gbps=proven.gbps,
        bound_gco2e=proven.gco2e,
        gap=gap_of(proven, predicted),
        vms=counts,
        flows=tuple(Flow(src=src, dst=dst, gbps=rate) for (src, dst), rate in rates.items()),
        trees=tuple(
            Tree(source=tree.source, edges=tree.edges, gbps=gbps_of_bits(rate), share=rate / total)
            for tree, rate in rated
        ),
        tree_lanes=tuple(
            lane
            for at, (tree, rate) in enumerate(rated)
            for lane in _tree_lanes(at, tree, rate, total, counts, capacity)
        ),
        regions=regions,
        links=links,
        gco2e_per_vm_hour=known_carbon(regions),
        provisioning_s={r: seconds_before(job, r) for r in used} if job.provisioning else {},
        notes=notes,
    )


def _whole_bits(
    trees: Sequence[RatedTree], sources: Sequence[str], floor_gbps: float, dust_share: float
) -> tuple[list[tuple[RatedTree, int]], int]:
    """Bits a second of each tree, dust dropped; every source's add up to the same total.

    The total is what the sources' trees come to at least, and not one bit below the floor.
    """
    floor = math.ceil(floor_gbps * GIGA - CONNECTION_NOISE)
    by_source: dict[str, list[tuple[RatedTree, int]]] = {source: [] for source in sources}
    for tree in sorted(trees, key=lambda tree: (-tree.gbps, tree.edges)):
        by_source[tree.source].append((tree, round(tree.gbps * GIGA)))
    for source, rated in by_source.items():
        whole = sum(rate for _, rate in rated)
        least = max(LEAST_PATH_GBPS * GIGA, LEAST_PATH_SHARE * whole)
        wide = [(tree, rate) for tree, rate in rated if rate >= least]
        # Trees come widest first, so dust is at the end; keep it where the floor needs it more.
        if wide and sum(rate for _, rate in wide) * (1 + dust_share) >= floor:
            rated = wide
        by_source[source] = [(tree, rate) for tree, rate in rated if rate > 0]
    total = max(floor, min(sum(rate for _, rate in rated) for rated in by_source.values()))
    found = []
    for source in sources:
        (widest, rate), *rest = by_source[source]
        # Noise and rounding took or gave a few bits; the widest tree makes up for them.
        rate += total - rate - sum(other for _, other in rest)
        found += [(widest, rate), *rest]
    return found, total


def _tree_lanes(
    at: int,
    tree: RatedTree,
    rate: int,
    total: int,
    vms: Mapping[str, int],
    capacity: Mapping[LinkEnds, float],
) -> list[TreeLane]:
    """The pieces of one tree, each through one gateway of each region."""
    regions = (tree.source, *(dst for _, dst in tree.edges))
    cuts = sorted({Fraction(k, vms[r]) for r in regions for k in range(vms[r] + 1)})
    lanes = []
    for low, high in pairwise(cuts):
        # Ends are rounded, not lengths: whatever the cuts, the pieces add up to the tree.
        bits = round(rate * high) - round(rate * low)
        if bits == 0:
            continue
        gateway = {r: gateway_name(r, math.floor(low * vms[r])) for r in regions}
        lanes.append(
            TreeLane(
                tree=at,
                edges=tuple((gateway[src], gateway[dst]) for src, dst in tree.edges),
                connections=tuple(
                    connections(gbps_of_bits(bits), capacity[pair]) for pair in tree.edges
                ),
                gbps=gbps_of_bits(bits),
                share=bits / total,
            )
        )
    return lanes
