"""Routes and bundles: what of a Plan carries chunks, as the fluid network sees it.

A route is a lane of a Plan: a chain of hops, or a tree of them. A bundle is connections of a route
that do the same: all of a lane's where relays are cut-through (a chunk crosses every hop at one
rate), or those of one hop where relays store; less where some connections are slower than others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from datasets.errors import InputError
from datasets.matrix import Link
from datasets.regions import region_of_gateway
from planner.dispatch import FULL_CONNECTIONS, LanePace
from planner.plan import Lane, Plan, TreeLane
from simulator.world import World

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Lane number `lane` of Plan number `job`: its edges by gateway, parents before children.

    `parents` has the position of the edge before each, -1 at the source; `ends` the positions of
    edges whose receiver is a destination. `gbps` is the most that it may carry on each edge.
    """

    job: int
    lane: int
    source: str
    edges: tuple[Edge, ...]
    links: tuple[Link, ...]
    parents: tuple[int, ...]
    ends: tuple[int, ...]
    connections: tuple[int, ...]
    gbps: float

    @property
    def is_chain(self) -> bool:
        """Whether it is a path and no tree."""
        return all(parent == at - 1 for at, parent in enumerate(self.parents))

    @property
    def gateways(self) -> frozenset[str]:
        """Every gateway that it passes."""
        return frozenset(gateway for edge in self.edges for gateway in edge)

    def children(self, edge: int) -> tuple[int, ...]:
        """Positions of the edges that go on from where `edge` ends; those of the source for -1."""
        return tuple(at for at, parent in enumerate(self.parents) if parent == edge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """`connections` of route number `route` that carry a chunk over `edges` (positions) at once.

    `connection_gbps` is the most that one carries, `lane_gbps` the most that all together may;
    `weight` is what one counts where rates are shared; `opens_s` is how long one is of no use after
    it was opened (real seconds). `alone` says that no other bundle shares its pace.
    """

    route: int
    edges: tuple[int, ...]
    connections: int
    connection_gbps: float
    lane_gbps: float
    weight: float
    opens_s: float
    alone: bool


def routes_of(plan: Plan, job: int, world: World) -> tuple[Route, ...]:
    """The routes of a Plan, in the order of its lanes."""
    links = {(link.src, link.dst): link for link in plan.links}
    lanes: Iterable[Lane | TreeLane] = plan.lanes if plan.is_unicast else plan.tree_lanes
    found = []
    for at, lane in enumerate(lanes):
        edges = lane.hops if isinstance(lane, Lane) else lane.edges
        by_end = {dst: position for position, (_, dst) in enumerate(edges)}
        of_edges = tuple(_link(links, edge) for edge in edges)
        gbps = lane.gbps
        if world.work_conserving:
            gbps = min(
                saturated_gbps(capacity_gbps(link, plan, world), count, world)
                for link, count in zip(of_edges, lane.connections, strict=True)
            )
        found.append(
            Route(
                job=job,
                lane=at,
                source=edges[0][0],
                edges=edges,
                links=of_edges,
                parents=tuple(by_end.get(src, -1) for src, _ in edges),
                ends=tuple(
                    position
                    for position, (_, dst) in enumerate(edges)
                    if region_of_gateway(dst) in plan.job.destinations
                ),
                connections=lane.connections,
                gbps=gbps,
            )
        )
    return tuple(found)


def _link(links: dict[tuple[str, str], Link], edge: Edge) -> Link:
    ends = (region_of_gateway(edge[0]), region_of_gateway(edge[1]))
    if ends not in links:
        raise InputError(f"The plan has no figures of the link {ends[0]} to {ends[1]} it uses.")
    return links[ends]


def pace_of(route: Route, world: World) -> LanePace:
    """What a route is good for, by the rules of `planner/dispatch.py`."""
    return LanePace(gbps=route.gbps, connections=at_once(route, world))


def at_once(route: Route, world: World) -> int:
    """How many chunks a route has under way: its widest hop's connections, or the World's."""
    return world.connections_per_hop or max(route.connections)


def hops_apart(world: World) -> bool:
    """Whether each hop is simulated by itself: where relays store, or hold a bounded amount."""
    return world.relays == "store_and_forward" or world.relay_buffer_bytes is not None


def capacity_gbps(link: Link, plan: Plan, world: World) -> float:
    """What a VM pair carries over a link after its start-up (`Ramp`); else as the Plan has it."""
    if world.ramp is None:
        return link.gbps
    sender, receiver = plan.vm(link.src), plan.vm(link.dst)
    out = (
        min(sender.egress_gbps, sender.egress_public_gbps)
        if plan.crosses_clouds(link.src, link.dst)
        else sender.egress_gbps
    )
    return world.ramp.steady_gbps(link.gbps, link.rtt_ms, min(out, receiver.ingress_gbps))


def saturated_gbps(gbps: float, connections: int, world: World) -> float:
    """C(n) = C64 · min(1, (n/64)^a) of a link that 64 connections carry `gbps` over.

    With a = 1 it is the planner's rule, linear up to 64 (Skyplane's solver assumes the same).
    """
    share = min(connections, FULL_CONNECTIONS) / FULL_CONNECTIONS
    return gbps * float(share**world.saturation)


def connections_between(routes: Iterable[Route]) -> dict[Edge, int]:
    """How many connections all routes together have between two gateways."""
    found: dict[Edge, int] = {}
    for route in routes:
        for edge, count in zip(route.edges, route.connections, strict=True):
            found[edge] = found.get(edge, 0) + count
    return found


def bundles_of(
    routes: Sequence[Route],
    plans: Sequence[Plan],
    world: World,
    *,
    beside: Mapping[Edge, int],
    first: int = 0,
) -> tuple[Bundle, ...]:
    """The bundles of `routes`, numbered from `first` on; `beside`: connections between gateways.

    Raises: InputError where a sharing rule wants a round-trip time that a link does not have.
    """
    found: list[Bundle] = []
    for number, route in enumerate(routes, first):
        plan = plans[route.job]
        most = [
            _connection_gbps(link, plan, world, beside=beside[ends])
            for ends, link in zip(route.edges, route.links, strict=True)
        ]
        if hops_apart(world):
            for edge in range(len(route.edges)):
                count = world.connections_per_hop or route.connections[edge]
                found += _split(number, route, (edge,), count, most[edge], world)
        else:
            every = tuple(range(len(route.edges)))
            found += _split(number, route, every, at_once(route, world), min(most), world)
    return tuple(found)


def _split(
    number: int, route: Route, edges: tuple[int, ...], count: int, most: float, world: World
) -> list[Bundle]:
    """One bundle, or one a group of connections where some are slower than others."""
    opens_s = 0.0
    if world.ramp is not None:
        opens_s = max(world.ramp.delay_s(route.links[edge].rtt_ms) for edge in edges)
    groups = [(count, 1.0)]
    if world.stragglers is not None:
        size = world.stragglers.group
        names = [f"{src}>{dst}" for src, dst in (route.edges[edge] for edge in edges)]
        factors = world.stragglers.factors(world.seed, math.ceil(count / size), *names)
        groups = [(min(size, count - at * size), factor) for at, factor in enumerate(factors)]
        if not math.isfinite(most):
            most = route.gbps / count
    return [
        Bundle(
            route=number,
            edges=edges,
            connections=connections,
            connection_gbps=most * factor,
            lane_gbps=route.gbps,
            weight=_weight(route, edges, world),
            opens_s=opens_s * world.real_per_wall,
            alone=len(groups) == 1,
        )
        for connections, factor in groups
    ]


def _connection_gbps(link: Link, plan: Plan, world: World, *, beside: int) -> float:
    """The most one connection carries: C(n)/n = C64/64 · (n/64)^(a-1) up to 64, and by its loss.

    `beside` is n, all connections between its two gateways. Where a few connections stand for all
    (`connections_per_hop`), only the lane's pace holds.
    """
    most = math.inf
    if world.connections_per_hop is None:
        share = min(beside, FULL_CONNECTIONS) / FULL_CONNECTIONS
        most = capacity_gbps(link, plan, world) / FULL_CONNECTIONS * share ** (world.saturation - 1)
    for loss in world.loss:
        if loss.covers(link.src, link.dst):
            most = min(most, loss.connection_gbps(link.rtt_ms))
    return most


def _weight(route: Route, edges: Sequence[int], world: World) -> float:
    if world.fairness == "maxmin":
        return 1.0
    rtt_ms = sum(route.links[edge].rtt_ms for edge in edges)
    if not rtt_ms > 0:
        src, dst = route.edges[edges[0]][0], route.edges[edges[-1]][1]
        raise InputError(f"Sharing by inverse RTT needs round-trip times; {src} to {dst} has none.")
    return 100.0 / rtt_ms
