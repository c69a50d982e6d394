"""A Plan as a network and its flows, for other simulators to run: SimGrid and ns-3.

    Plan ──network_of──► cards (caps of each gateway), wires (pairs of gateways), lanes (bytes)
                              ├── export_simgrid ──► platform.xml, flows.csv, run_simgrid.py
                              └── export_ns3 ──► gateways.csv, wires.csv, hops.csv, tradewind.cc

What is exported is the plan: a wire carries what the planned connections carry
(connections/64 of the link), a lane is paced at its rate. What neither simulator has a word for
is left out: that the connections of one VM share its time (the planner's vm_out_time rows). The
same plan gives the same text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import quoteattr

from datasets.errors import UnsupportedJob
from datasets.regions import cloud_of
from datasets.units import GIGA
from planner.dispatch import FULL_CONNECTIONS
from planner.export_programs import NS3_PROGRAM, SIMGRID_PROGRAM
from planner.plan import Plan

_MS_PER_S = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What one gateway's VM may send in all, to other clouds, and receive, Gbit/s."""

    gateway: str
    egress_gbps: float
    egress_public_gbps: float
    ingress_gbps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One direction between two gateways: Gbit/s of its connections, seconds one way."""

    src: str
    dst: str
    gbps: float
    delay_s: float

    @property
    def crosses_clouds(self) -> bool:
        """Whether it leaves its cloud, and so counts against public egress."""
        return cloud_of(self.src) != cloud_of(self.dst)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """One lane: gateways in order, its bytes and the rate that it is paced at, Gbit/s."""

    lane: int
    gateways: tuple[str, ...]
    size_bytes: int
    gbps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """All that moves and all that limits it. Bytes of the lanes add up to the Job's."""

    cards: tuple[Card, ...]
    wires: tuple[Wire, ...]
    lanes: tuple[Cargo, ...]


def network_of(plan: Plan) -> Network:
    """The gateways, wires and lanes of a plan. Raises: UnsupportedJob for one to many."""
    if not plan.job.is_unicast:
        raise UnsupportedJob(
            "Only plans of one source and one destination can be exported; this has "
            f"{len(plan.job.sources)} and {len(plan.job.destinations)}."
        )
    cards = []
    for gateway in plan.gateways:
        vm = plan.vm(gateway)
        cards.append(
            Card(
                gateway=gateway,
                egress_gbps=vm.egress_gbps,
                egress_public_gbps=vm.egress_public_gbps,
                ingress_gbps=vm.ingress_gbps,
            )
        )
    counts: dict[tuple[str, str], int] = {}
    for lane in plan.lanes:
        for hop, connections in zip(lane.hops, lane.connections, strict=True):
            counts[hop] = counts.get(hop, 0) + connections
    wires = []
    for (src, dst), connections in sorted(counts.items()):
        link = plan.link(src, dst)
        wires.append(
            Wire(
                src=src,
                dst=dst,
                gbps=link.gbps * connections / FULL_CONNECTIONS,
                delay_s=link.rtt_ms / 2 / _MS_PER_S,
            )
        )
    return Network(cards=tuple(cards), wires=tuple(wires), lanes=tuple(_lanes(plan)))


def export_simgrid(plan: Plan) -> dict[str, str]:
    """Files of a SimGrid 4 experiment, by name: platform, flows, a summary and the program.

    A host a gateway with routes to its neighbours, and two hosts a lane whose route is the lane's
    whole way: its pace, and of every hop the sender's card, the wire and the receiver's card.
    Each lane is one fluid flow; with the settings in the platform's head SimGrid shares links
    max-min fairly, and the makespan is the plan's plus the way's delay.
    Raises: UnsupportedJob for one to many.
    """
    network = network_of(plan)
    return {
        "platform.xml": _platform(network),
        "flows.csv": _csv(
            ("lane", "from", "to", "hops", "bytes", "gbps"),
            (
                (
                    lane.lane,
                    lane.gateways[0],
                    lane.gateways[-1],
                    len(lane.gateways) - 1,
                    lane.size_bytes,
                    _figure(lane.gbps),
                )
                for lane in network.lanes
            ),
        ),
        "summary.json": _summary(plan),
        "run_simgrid.py": SIMGRID_PROGRAM,
    }


def export_ns3(plan: Plan) -> dict[str, str]:
    """Files of an ns-3 experiment, by name: gateways, wires, the hops of lanes and the program.

    The program's head says how a gateway is modelled and how rates are scaled down. Gateways and
    wires have a number each row, names are the plan's.
    Raises: UnsupportedJob for one to many.
    """
    network = network_of(plan)
    return {
        "gateways.csv": _csv(
            ("gateway", "egress_gbps", "egress_public_gbps", "ingress_gbps"),
            (
                (
                    card.gateway,
                    _figure(card.egress_gbps),
                    _figure(card.egress_public_gbps),
                    _figure(card.ingress_gbps),
                )
                for card in network.cards
            ),
        ),
        "wires.csv": _csv(
            ("src", "dst", "gbps", "delay_s", "crosses_clouds"),
            (
                (w.src, w.dst, _figure(w.gbps), _figure(w.delay_s), int(w.crosses_clouds))
                for w in network.wires
            ),
        ),
        "hops.csv": _csv(
            ("lane", "hop", "src", "dst", "bytes", "gbps"),
            (
                (lane.lane, at, src, dst, lane.size_bytes, _figure(lane.gbps))
                for lane in network.lanes
                for at, (src, dst) in enumerate(pairwise(lane.gateways))
            ),
        ),
        "summary.json": _summary(plan),
        "tradewind.cc": NS3_PROGRAM,
    }


def _lanes(plan: Plan) -> Iterable[Cargo]:
    """Bytes by rate; ends are rounded, not lengths, so that all of them are there once."""
    size_bytes = plan.job.size_bytes
    rates = [round(lane.gbps * GIGA) for lane in plan.lanes]
    total, before = sum(rates), 0
    for at, (lane, rate) in enumerate(zip(plan.lanes, rates, strict=True)):
        start, end = size_bytes * before // total, size_bytes * (before + rate) // total
        before += rate
        yield Cargo(lane=at, gateways=lane.gateways, size_bytes=end - start, gbps=lane.gbps)


def _platform(network: Network) -> str:
    """The platform's XML. Gbps of SimGrid is 10^9 bit/s, as ours."""
    lines = [
        "<?xml version='1.0'?>",
        '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">',
        '<platform version="4.1">',
        "  <config>",
        # Plain max-min: no window, no share of acknowledgements, no measured corrections.
        *(
            f"    <prop id={quoteattr(name)} value={quoteattr(value)}/>"
            for name, value in (
                ("network/model", "CM02"),
                ("network/TCP-gamma", "0"),
                ("network/crosstraffic", "0"),
                ("network/bandwidth-factor", "1"),
                ("network/latency-factor", "1"),
                ("network/weight-S", "0"),
            )
        ),
        "  </config>",
        '  <zone id="tradewind" routing="Full">',
    ]
    hosts = [card.gateway for card in network.cards]
    for lane in network.lanes:
        hosts += [f"lane {lane.lane} from", f"lane {lane.lane} to"]
    lines += [f'    <host id={quoteattr(host)} speed="1Gf"/>' for host in hosts]
    for card in network.cards:
        lines += [
            _link(f"{card.gateway} out", card.egress_gbps),
            _link(f"{card.gateway} out to other clouds", card.egress_public_gbps),
            _link(f"{card.gateway} in", card.ingress_gbps),
        ]
    wires = {(wire.src, wire.dst): wire for wire in network.wires}
    lines += [_link(_wire(w.src, w.dst), w.gbps, w.delay_s) for w in network.wires]
    lines += [_link(f"lane {lane.lane} pace", lane.gbps) for lane in network.lanes]
    for wire in network.wires:
        lines += _route(wire.src, wire.dst, _hop(wire))
    for lane in network.lanes:
        way = [f"lane {lane.lane} pace"]
        for pair in pairwise(lane.gateways):
            way += _hop(wires[pair])
        lines += _route(f"lane {lane.lane} from", f"lane {lane.lane} to", way)
    return "\n".join([*lines, "  </zone>", "</platform>", ""])


def _hop(wire: Wire) -> list[str]:
    public = [f"{wire.src} out to other clouds"] if wire.crosses_clouds else []
    return [f"{wire.src} out", *public, _wire(wire.src, wire.dst), f"{wire.dst} in"]


def _wire(src: str, dst: str) -> str:
    return f"{src} to {dst}"


def _link(name: str, gbps: float, delay_s: float = 0.0) -> str:
    return (
        f"    <link id={quoteattr(name)} bandwidth={quoteattr(_figure(gbps) + 'Gbps')} "
        f"latency={quoteattr(_figure(delay_s) + 's')}/>"
    )


def _route(src: str, dst: str, links: Sequence[str]) -> list[str]:
    return [
        f'    <route src={quoteattr(src)} dst={quoteattr(dst)} symmetrical="NO">',
        *(f"      <link_ctn id={quoteattr(name)}/>" for name in links),
        "    </route>",
    ]


def _summary(plan: Plan) -> str:
    told = {
        "plan": plan.id,
        "strategy": plan.strategy,
        "size_bytes": plan.job.size_bytes,
        "predicted_throughput_gbps": plan.predicted.throughput_gbps,
        "predicted_makespan_s": plan.predicted.makespan_s,
    }
    return json.dumps(told, indent=2, sort_keys=True) + "\n"


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Plain CSV; no cell of ours has a comma or a quote in it."""
    return "".join(f"{','.join(map(str, row))}\n" for row in (head, *rows))


def _figure(value: float) -> str:
    """A number without an exponent, to a bit a second or a nanosecond."""
    return f"{value:.9f}"
