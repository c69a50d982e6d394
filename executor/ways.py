"""Ways: the lanes of a Plan, whether paths or trees, as the executor sees both."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from datasets.errors import UnsupportedJob
from planner.dispatch import hop_gbps
from planner.plan import Lane, Plan, TreeLane

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One lane: `edges` between gateways, a gateway's own before those that leave it.

    `connections` has one count an edge, as planned; `gbps` is the planned rate.
    """

    index: int
    edges: tuple[Edge, ...]
    connections: tuple[int, ...]
    gbps: float

    @property
    def gateways(self) -> tuple[str, ...]:
        """Every gateway, the source's first."""
        return (self.edges[0][0], *(dst for _, dst in self.edges))

    def incoming(self, gateway: str) -> int:
        """Which edge comes in to `gateway`; -1 at the source."""
        for position, (_, dst) in enumerate(self.edges):
            if dst == gateway:
                return position
        return -1

    def outgoing(self, gateway: str) -> tuple[int, ...]:
        """Which edges leave `gateway`."""
        return tuple(at for at, (src, _) in enumerate(self.edges) if src == gateway)

    def rtt_s(self, plan: Plan) -> float:
        """The longest round trip from the source to any of its gateways, by the Plan's links."""
        far_ms = {self.edges[0][0]: 0.0}
        for src, dst in self.edges:
            far_ms[dst] = far_ms[src] + plan.link(src, dst).rtt_ms
        return max(far_ms.values()) / 1e3

    def cap_gbps(self, plan: Plan, *, work_conserving: bool) -> float:
        """The most it may carry: its planned rate, or what its connections carry on each edge.

        As `planner.dispatch.lane_cap_gbps`, for trees as well.
        """
        if not work_conserving:
            return self.gbps
        return min(
            hop_gbps(plan.link(src, dst).gbps, count)
            for (src, dst), count in zip(self.edges, self.connections, strict=True)
        )


def ways_of(plan: Plan) -> tuple[Way, ...]:
    """The lanes of a Plan, or its tree lanes, in their order."""
    lanes: tuple[Lane | TreeLane, ...] = plan.lanes if plan.is_unicast else plan.tree_lanes
    return tuple(
        Way(
            index=index,
            edges=lane.hops if isinstance(lane, Lane) else lane.edges,
            connections=lane.connections,
            gbps=lane.gbps,
        )
        for index, lane in enumerate(lanes)
    )


def require_one_source(plan: Plan) -> None:
    """Raises: UnsupportedJob for a Plan from several sources, whose bytes differ."""
    if len(plan.job.sources) > 1:
        raise UnsupportedJob(
            f"Executing plans from {len(plan.job.sources)} sources is not possible; plan from one."
        )


def pairs(ways: tuple[Way, ...]) -> tuple[Edge, ...]:
    """Every pair of gateways that an edge joins, once, sorted."""
    return tuple(sorted(set(itertools.chain.from_iterable(way.edges for way in ways))))
