"""The most that a Plan's lanes carry, by a maximum flow over its gateways."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from datasets.regions import cloud_of, region_of_gateway
from datasets.units import GIGA
from planner.plan import Plan

CONNECTIONS_OF_A_LINK = 64


def carried_bits(plan: Plan) -> int:
    """Bits a second from source to destination over the emitted, paced lanes.

    Each gateway is in, out and out-to-other-clouds, so that its caps are capacities; a pair of
    gateways carries what its lanes are paced at, or what their connections carry if that is less.
    In whole bits a second.
    """
    import networkx  # here: a tenth of a second that `--help` should not pay

    capacity: dict[tuple[str, str], int] = defaultdict(int)
    for lane in plan.lanes:
        for (src, dst), count in zip(lane.hops, lane.connections, strict=True):
            of_link = min(count, CONNECTIONS_OF_A_LINK) / CONNECTIONS_OF_A_LINK
            carries = min(lane.gbps, of_link * plan.link(src, dst).gbps)
            capacity[src, dst] += round(carries * GIGA)
    graph: Any = networkx.DiGraph()
    for gateway in plan.gateways:
        vm = plan.vm(gateway)
        graph.add_edge((gateway, "in"), (gateway, "through"), capacity=_bits(vm.ingress_gbps))
        graph.add_edge((gateway, "through"), (gateway, "out"), capacity=_bits(vm.egress_gbps))
        graph.add_edge((gateway, "out"), (gateway, "public"), capacity=_bits(vm.egress_public_gbps))
        region = region_of_gateway(gateway)
        if region == plan.job.source:
            graph.add_edge("source", (gateway, "through"))
        elif region == plan.job.destination:
            graph.add_edge((gateway, "through"), "destination")
    for (src, dst), bits in capacity.items():
        leaves = "public" if cloud_of(src) != cloud_of(dst) else "out"
        graph.add_edge((src, leaves), (dst, "in"), capacity=bits)
    # On graphs of some hundred edges the fastest of networkx's by half.
    carried: int = networkx.maximum_flow_value(
        graph,
        "source",
        "destination",
        flow_func=networkx.algorithms.flow.boykov_kolmogorov,
    )
    return carried


def _bits(gbps: float) -> int:
    return round(gbps * GIGA)
