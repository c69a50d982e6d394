"""From trees to a Plan that can be carried out: whole bits, lanes of gateways, connections, shares.

As `realise.py` does for paths: rates are whole bits a second, so that trees add up to flows and
each source's to the throughput exactly; [0, 1) of a tree is cut at the multiples of 1/N of each of
its regions, and a piece is a lane through the gateways whose parts it lies in. What holds for a
region's VMs together then holds for each of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from datasets.units import GIGA
from planner.job import LinkEnds
from planner.plan import Plan, Tree, TreeLane
from planner.realise import (
    CONNECTION_NOISE,
    DUST_SHARE,
    LEAST_PATH_GBPS,
    LEAST_PATH_SHARE,
    Bounds,
    connections,
    gbps_of_bits,
    on_links,
    pieces,
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
    plan = on_links(
        topology,
        strategy=strategy,
        on_link=on_link,
        total=total,
        vms=vms,
        bounds=bounds,
        notes=notes,
    )
    return replace(
        plan,
        trees=tuple(
            Tree(source=tree.source, edges=tree.edges, gbps=gbps_of_bits(rate), share=rate / total)
            for tree, rate in rated
        ),
        tree_lanes=tuple(
            lane
            for at, (tree, rate) in enumerate(rated)
            for lane in _tree_lanes(at, tree, rate, total, plan)
        ),
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


def _tree_lanes(at: int, tree: RatedTree, rate: int, total: int, plan: Plan) -> list[TreeLane]:
    """The pieces of one tree, each through one gateway of each region."""
    capacity = {(link.src, link.dst): link.gbps for link in plan.links}
    regions = (tree.source, *(dst for _, dst in tree.edges))
    return [
        TreeLane(
            tree=at,
            edges=tuple((gateway[src], gateway[dst]) for src, dst in tree.edges),
            connections=tuple(
                connections(gbps_of_bits(bits), capacity[pair]) for pair in tree.edges
            ),
            gbps=gbps_of_bits(bits),
            share=bits / total,
        )
        for bits, gateway in pieces(rate, regions, plan.vms)
    ]
