"""Does a Plan with trees hold? Judged from the Plan alone, sharing nothing with the solver.

Trees deliver (from each source to every destination other than itself), add up to flows and
shares; lanes follow their trees through gateways that exist, within every gateway's limits; and a
maximum flow from each source to each destination, over the emitted lanes, carries what is
predicted. Sums and limits are exact fractions of the stored figures. What any Plan must keep
(figures, VM limits, costs, promises, bounds) is in `checks.py`.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

from datasets.regions import region_of_gateway
from datasets.units import GIGA
from planner.check_flow import gateway_graph, max_flow
from planner.check_rules import (
    CONNECTIONS_OF_A_LINK,
    SHARE_TOLERANCE,
    TOLERANCE,
    at_most,
    check_loads,
    require,
    same,
)
from planner.plan import Plan


def check_trees(plan: Plan) -> None:
    """Nothing if trees and tree lanes hold. Raises: PlanRefused, naming the rule and where."""
    require(not plan.paths and not plan.lanes, "trees", "paths and trees in one plan")
    require(plan.predicted.throughput_gbps > 0, "trees", "no throughput")
    _check_shape(plan)
    _check_sums(plan)
    _check_lanes(plan)
    _check_gateways(plan)
    _check_max_flows(plan)


def _check_shape(plan: Plan) -> None:
    """Each tree is one: rooted at a source, each region entered once, every destination reached."""
    for at, tree in enumerate(plan.trees):
        require(tree.source in plan.job.sources, "trees", f"tree {at} starts at {tree.source}")
        require(tree.gbps > 0, "trees", f"tree {at} carries nothing")
        reached = {tree.source}
        for src, dst in tree.edges:
            require(src in reached, "trees", f"tree {at} leaves {src} before it gets there")
            require(dst not in reached, "trees", f"tree {at} enters {dst} twice")
            reached.add(dst)
        for region in plan.job.destinations:
            require(region in reached, "trees", f"tree {at} does not reach {region}")
        leaves = reached - {src for src, _ in tree.edges}
        idle = sorted(leaves - set(plan.job.destinations))
        require(not idle, "trees", f"tree {at} ends at {', '.join(idle)} for nothing")


def _check_sums(plan: Plan) -> None:
    """Trees add up to the flows; each source's to the throughput, and their shares to 1."""
    goal = Fraction(plan.predicted.throughput_gbps)
    sums: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    rates: dict[str, Fraction] = defaultdict(Fraction)
    shares: dict[str, Fraction] = defaultdict(Fraction)
    for at, tree in enumerate(plan.trees):
        rate, share = Fraction(tree.gbps), Fraction(tree.share)
        same(share * goal, rate, "shares", f"tree {at}'s share of the throughput and its rate")
        rates[tree.source] += rate
        shares[tree.source] += share
        for edge in tree.edges:
            sums[edge] += rate
    flows = {(flow.src, flow.dst): Fraction(flow.gbps) for flow in plan.flows}
    require(set(sums) == set(flows), "trees", "trees and flows use different links")
    for (src, dst), total in sums.items():
        same(total, flows[src, dst], "trees", f"trees over {src} to {dst} and its flow")
    for source in plan.job.sources:
        same(rates[source], goal, "trees", f"trees of {source} and the throughput")
        close = abs(shares[source] - 1) <= SHARE_TOLERANCE
        require(close, "shares", f"those of {source} add up to {float(shares[source])}")


def _check_lanes(plan: Plan) -> None:
    """Lanes follow their trees, one gateway a region, on connections that carry them."""
    rates: dict[int, Fraction] = defaultdict(Fraction)
    shares: dict[int, Fraction] = defaultdict(Fraction)
    for at, lane in enumerate(plan.tree_lanes):
        known = 0 <= lane.tree < len(plan.trees)
        require(known, "lanes", f"lane {at} has no tree {lane.tree}")
        tree = plan.trees[lane.tree]
        require(lane.gbps > 0, "lanes", f"lane {at} carries nothing")
        counted = len(lane.connections) == len(lane.edges) == len(tree.edges)
        require(counted, "lanes", f"lane {at} has other edges or counts than its tree")
        own: dict[str, str] = {}
        for ends, edge, count in zip(lane.edges, tree.edges, lane.connections, strict=True):
            regions = (region_of_gateway(ends[0]), region_of_gateway(ends[1]))
            require(regions == edge, "lanes", f"lane {at} does not follow its tree")
            for gateway, region in zip(ends, regions, strict=True):
                one = own.setdefault(region, gateway) == gateway
                require(one, "lanes", f"lane {at} has two gateways in {region}")
                ordinal = gateway.rpartition("#")[2]
                exists = ordinal.isdecimal() and int(ordinal) < plan.vms.get(region, 0)
                require(exists, "lanes", f"lane {at} uses {gateway}, which has no VM")
            require(count >= 1, "connections", f"lane {at} has {count} into {ends[1]}")
            carries = Fraction(count, CONNECTIONS_OF_A_LINK) * Fraction(plan.link(*edge).gbps)
            at_most(Fraction(lane.gbps), carries, "connections", f"lane {at} into {ends[1]}")
        rates[lane.tree] += Fraction(lane.gbps)
        shares[lane.tree] += Fraction(lane.share)
    for at, tree in enumerate(plan.trees):
        same(rates[at], Fraction(tree.gbps), "lanes", f"lanes of tree {at} and its rate")
        close = abs(shares[at] - Fraction(tree.share)) <= SHARE_TOLERANCE
        require(close, "shares", f"lanes of tree {at} have {float(shares[at])} of {tree.share}")


def _check_gateways(plan: Plan) -> None:
    """VM time and caps of each gateway alone."""
    rates: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for lane in plan.tree_lanes:
        for ends in lane.edges:
            rates[ends] += Fraction(lane.gbps)
    check_loads(plan, rates, {gateway: Fraction(1) for gateway in plan.gateways})


def _check_max_flows(plan: Plan) -> None:
    """From each source to each of its destinations, over its lanes: a gateway copies what it gets.

    So each destination has a flow of its own.
    """
    for source in plan.job.sources:
        lanes = [
            (lane.edges, lane.connections, lane.gbps)
            for lane in plan.tree_lanes
            if plan.trees[lane.tree].source == source
        ]
        graph = gateway_graph(plan, lanes, source)
        for region in plan.job.destinations:
            if region == source:
                continue
            carried = max_flow(graph, region)
            require(
                Fraction(carried) >= round(plan.predicted.throughput_gbps * GIGA) * (1 - TOLERANCE),
                "max-flow",
                f"{carried / GIGA:.9g} Gbit/s get from {source} to {region}, less than predicted",
            )
