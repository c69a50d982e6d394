"""Does a Plan with trees hold? Judged from the Plan alone, sharing nothing with the solver.

Trees deliver (from each source to every destination other than itself), add up to flows and
shares; lanes follow their trees through gateways that exist, within every gateway's limits; and a
maximum flow from each source to each destination, over the emitted lanes, carries what is
predicted. Sums and limits are exact fractions of the stored figures. What any Plan must keep
(figures, VM limits, costs, promises, bounds) is in `checks.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from datasets.errors import PlanRefused
from datasets.regions import cloud_of, region_of_gateway
from datasets.units import GIGA
from planner.plan import Plan

# The same tolerances as in `checks.py`: a millionth, a bit a second, stored shares' decimals.
TOLERANCE = Fraction(1, 10**6)
BIT_GBPS = Fraction(1, GIGA)
SHARE_TOLERANCE = Fraction(1, 10**9)
CONNECTIONS_OF_A_LINK = 64

_Rates = Mapping[tuple[str, str], Fraction]


def check_trees(plan: Plan) -> None:
    """Nothing if trees and tree lanes hold. Raises: PlanRefused, naming the rule and where."""
    _require(not plan.paths and not plan.lanes, "trees", "paths and trees in one plan")
    _require(plan.predicted.throughput_gbps > 0, "trees", "no throughput")
    _check_shape(plan)
    _check_sums(plan)
    _check_lanes(plan)
    _check_gateways(plan)
    _check_max_flows(plan)


def _require(holds: bool, rule: str, found: str) -> None:
    if not holds:
        raise PlanRefused(f"The plan breaks the rule {rule!r}: {found}.")


def _at_most(value: Fraction, limit: Fraction, rule: str, where: str) -> None:
    if value > limit * (1 + TOLERANCE) + BIT_GBPS:
        found = f"{where} has {float(value):.9g}, more than {float(limit):.9g}"
        _require(False, rule, found)


def _same(value: Fraction, other: Fraction, rule: str, where: str) -> None:
    close = abs(value - other) <= TOLERANCE * max(abs(value), abs(other)) + BIT_GBPS
    _require(close, rule, f"{where}: {float(value):.9g} against {float(other):.9g}")


def _check_shape(plan: Plan) -> None:
    """Each tree is one: rooted at a source, each region entered once, every destination reached."""
    for at, tree in enumerate(plan.trees):
        _require(tree.source in plan.job.sources, "trees", f"tree {at} starts at {tree.source}")
        _require(tree.gbps > 0, "trees", f"tree {at} carries nothing")
        reached = {tree.source}
        for src, dst in tree.edges:
            _require(src in reached, "trees", f"tree {at} leaves {src} before it gets there")
            _require(dst not in reached, "trees", f"tree {at} enters {dst} twice")
            reached.add(dst)
        for region in plan.job.destinations:
            _require(region in reached, "trees", f"tree {at} does not reach {region}")
        leaves = reached - {src for src, _ in tree.edges}
        idle = sorted(leaves - set(plan.job.destinations))
        _require(not idle, "trees", f"tree {at} ends at {', '.join(idle)} for nothing")


def _check_sums(plan: Plan) -> None:
    """Trees add up to the flows; each source's to the throughput, and their shares to 1."""
    goal = Fraction(plan.predicted.throughput_gbps)
    sums: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    rates: dict[str, Fraction] = defaultdict(Fraction)
    shares: dict[str, Fraction] = defaultdict(Fraction)
    for at, tree in enumerate(plan.trees):
        rate, share = Fraction(tree.gbps), Fraction(tree.share)
        _same(share * goal, rate, "shares", f"tree {at}'s share of the throughput and its rate")
        rates[tree.source] += rate
        shares[tree.source] += share
        for edge in tree.edges:
            sums[edge] += rate
    flows = {(flow.src, flow.dst): Fraction(flow.gbps) for flow in plan.flows}
    _require(set(sums) == set(flows), "trees", "trees and flows use different links")
    for (src, dst), total in sums.items():
        _same(total, flows[src, dst], "trees", f"trees over {src} to {dst} and its flow")
    for source in plan.job.sources:
        _same(rates[source], goal, "trees", f"trees of {source} and the throughput")
        close = abs(shares[source] - 1) <= SHARE_TOLERANCE
        _require(close, "shares", f"those of {source} add up to {float(shares[source])}")


def _check_lanes(plan: Plan) -> None:
    """Lanes follow their trees, one gateway a region, on connections that carry them."""
    rates: dict[int, Fraction] = defaultdict(Fraction)
    shares: dict[int, Fraction] = defaultdict(Fraction)
    for at, lane in enumerate(plan.tree_lanes):
        known = 0 <= lane.tree < len(plan.trees)
        _require(known, "lanes", f"lane {at} has no tree {lane.tree}")
        tree = plan.trees[lane.tree]
        _require(lane.gbps > 0, "lanes", f"lane {at} carries nothing")
        counted = len(lane.connections) == len(lane.edges) == len(tree.edges)
        _require(counted, "lanes", f"lane {at} has other edges or counts than its tree")
        own: dict[str, str] = {}
        for ends, edge, count in zip(lane.edges, tree.edges, lane.connections, strict=True):
            regions = (region_of_gateway(ends[0]), region_of_gateway(ends[1]))
            _require(regions == edge, "lanes", f"lane {at} does not follow its tree")
            for gateway, region in zip(ends, regions, strict=True):
                one = own.setdefault(region, gateway) == gateway
                _require(one, "lanes", f"lane {at} has two gateways in {region}")
                ordinal = gateway.rpartition("#")[2]
                exists = ordinal.isdecimal() and int(ordinal) < plan.vms.get(region, 0)
                _require(exists, "lanes", f"lane {at} uses {gateway}, which has no VM")
            _require(count >= 1, "connections", f"lane {at} has {count} into {ends[1]}")
            carries = Fraction(count, CONNECTIONS_OF_A_LINK) * Fraction(plan.link(*edge).gbps)
            _at_most(Fraction(lane.gbps), carries, "connections", f"lane {at} into {ends[1]}")
        rates[lane.tree] += Fraction(lane.gbps)
        shares[lane.tree] += Fraction(lane.share)
    for at, tree in enumerate(plan.trees):
        _same(rates[at], Fraction(tree.gbps), "lanes", f"lanes of tree {at} and its rate")
        close = abs(shares[at] - Fraction(tree.share)) <= SHARE_TOLERANCE
        _require(close, "shares", f"lanes of tree {at} have {float(shares[at])} of {tree.share}")


def _check_gateways(plan: Plan) -> None:
    """VM time and caps of each gateway alone."""
    rates: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for lane in plan.tree_lanes:
        for ends in lane.edges:
            rates[ends] += Fraction(lane.gbps)
    loads: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for (src, dst), rate in rates.items():
        time = rate / Fraction(plan.link(src, dst).gbps)
        loads["vm_out_time", src] += time
        loads["vm_in_time", dst] += time
        loads["vm_egress", src] += rate
        loads["vm_ingress", dst] += rate
        if cloud_of(src) != cloud_of(dst):
            loads["vm_egress_public", src] += rate
    for (rule, gateway), load in loads.items():
        vm = plan.vm(gateway)
        limit = {
            "vm_out_time": 1.0,
            "vm_in_time": 1.0,
            "vm_egress": vm.egress_gbps,
            "vm_ingress": vm.ingress_gbps,
            "vm_egress_public": vm.egress_public_gbps,
        }[rule]
        _at_most(load, Fraction(limit), rule, gateway)


def _check_max_flows(plan: Plan) -> None:
    """From each source to each of its destinations, over its lanes, in whole bits a second.

    A gateway copies what it gets, so each destination has a flow of its own. Each gateway is in,
    out and out-to-other-clouds, so that its caps are capacities; a pair of gateways carries what
    its lanes are paced at, or what their connections carry if that is less.
    """
    for source in plan.job.sources:
        graph = _gateway_graph(plan, source)
        for region in plan.job.destinations:
            if region == source:
                continue
            carried = _max_flow(graph, [g for g in plan.gateways if region_of_gateway(g) == region])
            _require(
                Fraction(carried) >= round(plan.predicted.throughput_gbps * GIGA) * (1 - TOLERANCE),
                "max-flow",
                f"{carried / GIGA:.9g} Gbit/s get from {source} to {region}, less than predicted",
            )


def _gateway_graph(plan: Plan, source: str) -> Any:
    """The lanes of one source's trees, with the caps of their gateways."""
    import networkx  # here: a tenth of a second that `--help` should not pay

    capacity: dict[tuple[str, str], int] = defaultdict(int)
    for lane in plan.tree_lanes:
        if plan.trees[lane.tree].source != source:
            continue
        for (src, dst), count in zip(lane.edges, lane.connections, strict=True):
            of_link = min(count, CONNECTIONS_OF_A_LINK) / CONNECTIONS_OF_A_LINK
            carries = min(lane.gbps, of_link * plan.link(src, dst).gbps)
            capacity[src, dst] += round(carries * GIGA)
    graph: Any = networkx.DiGraph()
    for gateway in sorted({end for ends in capacity for end in ends}):
        vm = plan.vm(gateway)
        graph.add_edge((gateway, "in"), (gateway, "through"), capacity=_bits(vm.ingress_gbps))
        graph.add_edge((gateway, "through"), (gateway, "out"), capacity=_bits(vm.egress_gbps))
        graph.add_edge((gateway, "out"), (gateway, "public"), capacity=_bits(vm.egress_public_gbps))
        if region_of_gateway(gateway) == source:
            graph.add_edge("source", (gateway, "through"))
    for (src, dst), bits in capacity.items():
        leaves = "public" if cloud_of(src) != cloud_of(dst) else "out"
        graph.add_edge((src, leaves), (dst, "in"), capacity=bits)
    return graph


def _max_flow(graph: Any, ends: list[str]) -> int:
    import networkx

    if not graph.has_node("source"):
        return 0
    reached = [(gateway, "through") for gateway in ends if graph.has_node((gateway, "through"))]
    graph.add_edges_from((end, "destination") for end in reached)
    carried: int = networkx.maximum_flow_value(graph, "source", "destination") if reached else 0
    graph.remove_edges_from([(end, "destination") for end in reached])
    return carried


def _bits(gbps: float) -> int:
    return round(gbps * GIGA)
