"""The most that a Plan's lanes carry, by a maximum flow over its gateways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from datasets.regions import cloud_of, region_of_gateway
from datasets.units import GIGA
from planner.check_rules import CONNECTIONS_OF_A_LINK
from planner.plan import Plan

# Pairs of gateways, the connections of each, and the Gbit/s that the lane is paced at.
LaneRates = tuple[Sequence[tuple[str, str]], Sequence[int], float]


def gateway_graph(plan: Plan, lanes: Iterable[LaneRates], source: str) -> Any:
    """The lanes' gateways from those of `source` on, with their caps, in whole bits a second.

    Each gateway is in, out and out-to-other-clouds, so that its caps are capacities; a pair of
    gateways carries what its lanes are paced at, or what their connections carry if that is less.
    """
    import networkx  # here: a tenth of a second that `--help` should not pay

    capacity: dict[tuple[str, str], int] = defaultdict(int)
    for hops, connections, gbps in lanes:
        for (src, dst), count in zip(hops, connections, strict=True):
            of_link = min(count, CONNECTIONS_OF_A_LINK) / CONNECTIONS_OF_A_LINK
            carries = min(gbps, of_link * plan.link(src, dst).gbps)
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


def max_flow(graph: Any, destination: str) -> int:
    """Bits a second from the graph's source to the gateways of `destination`, together."""
    import networkx

    reached = [
        node for node in graph if node[1] == "through" and region_of_gateway(node[0]) == destination
    ]
    if not reached or not graph.has_node("source"):
        return 0
    graph.add_edges_from((end, "destination") for end in reached)
    # On graphs of some hundred edges the fastest of networkx's by half.
    carried: int = networkx.maximum_flow_value(
        graph,
        "source",
        "destination",
        flow_func=networkx.algorithms.flow.boykov_kolmogorov,
    )
    graph.remove_node("destination")
    return carried


def _bits(gbps: float) -> int:
    return round(gbps * GIGA)
