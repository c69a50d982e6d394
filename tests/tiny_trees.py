"""Plans of trees by hand: each tree with its edges and rate, a lane for each, one VM a region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from planner.job import Job
from planner.plan import Flow, Plan, Tree, TreeLane
from tests.tiny_plans import plan_of

Edges = Sequence[tuple[str, str]]


def trees_of(
    trees: Sequence[tuple[Edges, float]],
    destinations: Sequence[str],
    links: Mapping[tuple[str, str], float],
) -> Plan:
    """A Plan from the first edge's region to `destinations`, by those trees (edges, Gbit/s)."""
    source = trees[0][0][0][0]
    total = sum(gbps for _, gbps in trees)
    flows: dict[tuple[str, str], float] = {}
    for edges, gbps in trees:
        for edge in edges:
            flows[edge] = flows.get(edge, 0.0) + gbps
    flat = plan_of([(edge, gbps) for edge, gbps in flows.items()], links)
    return replace(
        flat,
        job=Job(
            source=source,
            destinations=tuple(destinations),
            size_bytes=flat.job.size_bytes,
            goal_gbps=total,
        ),
        predicted=replace(flat.predicted, throughput_gbps=total),
        flows=tuple(Flow(src=src, dst=dst, gbps=gbps) for (src, dst), gbps in flows.items()),
        paths=(),
        lanes=(),
        trees=tuple(
            Tree(source=source, edges=tuple(edges), gbps=gbps, share=gbps / total)
            for edges, gbps in trees
        ),
        tree_lanes=tuple(
            TreeLane(
                tree=at,
                edges=tuple((f"{src}#0", f"{dst}#0") for src, dst in edges),
                connections=(64,) * len(edges),
                gbps=gbps,
                share=gbps / total,
            )
            for at, (edges, gbps) in enumerate(trees)
        ),
    )
