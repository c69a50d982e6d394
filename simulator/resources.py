"""What a Plan's lanes share: the time and the caps of every VM, as a matrix of usage.

A flow of F on a link that a pair of VMs carries at B takes F/B of the sender's time out and F/B of
the receiver's time in (DESIGN.md, the unicast model): so a link's own capacity needs no row, unless
it changed. A link that became slower holds its own flows up; it takes no more of its VMs' time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from datasets.regions import region_of_gateway
from planner.dispatch import FULL_CONNECTIONS, lane_cap_gbps
from planner.plan import Plan
from simulator.fluid import Array

LinkRates = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """`usage` (resources, lanes) a Gbit/s of lane traffic, `capacity` (resources,), real units.

    `lane_gbps` is the most a lane may carry, `connection_gbps` the most one of its connections may.
    """

    names: tuple[str, ...]
    usage: Array
    capacity: Array
    lane_gbps: Array
    connection_gbps: Array

    def ceiling(self, busy: Array) -> Array:
        """(lanes,) the most that one connection of each lane may run at, `busy` of them sharing."""
        share: Array = self.lane_gbps / np.maximum(busy, 1.0)
        return np.minimum(self.connection_gbps, share)


def resources_of(
    plan: Plan,
    *,
    work_conserving: bool,
    connections_per_hop: int | None,
    changed: LinkRates | None = None,
) -> Resources:
    """The resources of the Plan, with the links of `changed` at another rate than the Plan's.

    A connection of the planned kind carries at most 1/64 of its slowest hop's link; where a few
    connections stand for all, only the lane's cap holds.
    """
    changed = changed or {}
    lanes = len(plan.lanes)
    rows: dict[str, Array] = {}
    capacity: dict[str, float] = {}

    def use(name: str, most: float, lane: int, amount: float) -> None:
        row = rows.setdefault(name, np.zeros(lanes))
        row[lane] += amount
        capacity[name] = most

    lane_gbps, connection_gbps = np.zeros(lanes), np.zeros(lanes)
    for at, lane in enumerate(plan.lanes):
        slowest = np.inf
        for src, dst in lane.hops:
            planned = gbps = plan.link(src, dst).gbps
            now = changed.get((region_of_gateway(src), region_of_gateway(dst)), planned)
            if now != planned:
                use(f"link {src} to {dst}", now, at, 1.0)
                gbps = max(planned, now)
            slowest = min(slowest, gbps)
            use(f"connection time out of {src}", 1.0, at, 1.0 / gbps)
            use(f"connection time into {dst}", 1.0, at, 1.0 / gbps)
            use(f"egress of {src}", plan.vm(src).egress_gbps, at, 1.0)
            use(f"ingress of {dst}", plan.vm(dst).ingress_gbps, at, 1.0)
            if plan.crosses_clouds(src, dst):
                use(f"egress to other clouds of {src}", plan.vm(src).egress_public_gbps, at, 1.0)
        lane_gbps[at] = lane_cap_gbps(plan, lane, work_conserving)
        connection_gbps[at] = np.inf if connections_per_hop else slowest / FULL_CONNECTIONS
    return Resources(
        names=tuple(rows),
        usage=np.array(list(rows.values())),
        capacity=np.array(list(capacity.values())),
        lane_gbps=lane_gbps,
        connection_gbps=connection_gbps,
    )
