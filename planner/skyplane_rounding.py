"""Skyplane's step from fractional connections to VMs, and what the outcome really carries.

    connections of each link, VMs of each region ──rounded──► groups of connections between two
    VMs each ──carried_gbps──► the most that they carry, by every cap of every VM

Region by region the model's answer holds; connection by connection it may not: links are cut up
one after the other, first at their sources and then, apart from that, at their destinations, so
that what enters a relay's VM need not be what may leave it.
Source: `to_replication_topology` of the released planner (skyplane/planner/solver.py, version
0.3.2, opened), told here in our own words; no code of it is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from datasets.regions import cloud_of
from datasets.units import GIGA
from planner.dispatch import FULL_CONNECTIONS
from planner.topology import Topology

LinkEnds = tuple[str, str]
VmName = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Connections from VM number `src_vm` of one region to VM number `dst_vm` of another."""

    src: str
    src_vm: int
    dst: str
    dst_vm: int
    connections: int


def rounded(connections: Mapping[LinkEnds, float], vms: Mapping[str, int]) -> tuple[Group, ...]:
    """Whole connections between VMs, links in order of their names.

    Each region's VMs are filled one after the other up to the region's average, rounded up; then
    all is scaled until the fullest VM has all its connections, and rounded down. Rounding to the
    nearest may need more VMs than `vms` has.
    """
    leaving = {r: _average(connections, r, n, at=0) for r, n in vms.items()}
    entering = {r: _average(connections, r, n, at=1) for r, n in vms.items()}
    halves: list[tuple[str, int, str, int]] = []
    for src in sorted(vms):
        filled = _Filler(leaving[src])
        for (start, dst), number in sorted(connections.items()):
            if start == src:
                halves += [(src, vm, dst, part) for vm, part in filled.take(round(number))]
    fillers = {r: _Filler(entering[r]) for r in vms}
    groups = [
        Group(src=src, src_vm=src_vm, dst=dst, dst_vm=dst_vm, connections=part)
        for src, src_vm, dst, number in halves
        for dst_vm, part in fillers[dst].take(number)
    ]
    fullest = max((n for n in _loads(groups).values()), default=0)
    if fullest == 0:
        return ()
    scaled = (
        Group(
            src=g.src,
            src_vm=g.src_vm,
            dst=g.dst,
            dst_vm=g.dst_vm,
            connections=g.connections * FULL_CONNECTIONS // fullest,
        )
        for g in groups
    )
    return tuple(group for group in scaled if group.connections > 0)


def vms_used(groups: Iterable[Group]) -> dict[str, int]:
    """VMs of each region that the groups name, by region."""
    found: dict[str, set[int]] = {}
    for g in groups:
        found.setdefault(g.src, set()).add(g.src_vm)
        found.setdefault(g.dst, set()).add(g.dst_vm)
    return {region: len(numbers) for region, numbers in sorted(found.items())}


def carried_gbps(topology: Topology, groups: Iterable[Group]) -> float:
    """The most Gbit/s from source to destination over the groups: a max-flow.

    A group carries connections/64 of its link, a VM no more than its caps of egress (in all and
    to other clouds) and ingress. Whole bits a second, so that it does not depend on rounding.
    """
    import networkx  # here: a tenth of a second that `--help` should not pay

    matrix = topology.matrix
    graph: Any = networkx.DiGraph()
    graph.add_nodes_from(("source", "destination"))
    seen: set[VmName] = set()
    for g in groups:
        link = matrix.link(g.src, g.dst)
        if link is None:
            continue
        for region, number in ((g.src, g.src_vm), (g.dst, g.dst_vm)):
            if (region, number) not in seen:
                seen.add((region, number))
                _add_vm(graph, topology, region, number)
        way = "public" if cloud_of(g.src) != cloud_of(g.dst) else "out"
        ends = ((way, g.src, g.src_vm), ("in", g.dst, g.dst_vm))
        room = _bits(link.gbps * g.connections / FULL_CONNECTIONS)
        before = graph.edges[ends]["capacity"] if graph.has_edge(*ends) else 0
        graph.add_edge(*ends, capacity=before + room)
    carried: int = networkx.maximum_flow_value(graph, "source", "destination")
    return carried / GIGA


def _add_vm(graph: Any, topology: Topology, region: str, number: int) -> None:
    """One VM: in by its ingress, out by its egress, and of that to other clouds by its own cap."""
    vm = topology.vm(region)
    enters, leaves = ("in", region, number), ("out", region, number)
    graph.add_edge(leaves, ("public", region, number), capacity=_bits(vm.egress_public_gbps))
    inside = ("inside", region, number)
    graph.add_edge(enters, inside, capacity=_bits(vm.ingress_gbps))
    graph.add_edge(inside, leaves, capacity=_bits(vm.egress_gbps))
    if region == topology.source:
        graph.add_edge("source", inside)  # without a capacity: as much as there is
    if region == topology.destination:
        graph.add_edge(inside, "destination")


class _Filler:
    """VMs of one region, filled one after the other to `most` connections each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._vm = 0
        self._used = 0

    def take(self, number: int) -> list[tuple[int, int]]:
        """(VM, connections) of `number` more connections."""
        parts = []
        while number > 0 and self._most > 0:
            part = min(number, self._most - self._used)
            if part > 0:
                parts.append((self._vm, part))
                self._used += part
                number -= part
            if number > 0:
                self._vm += 1
                self._used = 0
        return parts


def _average(connections: Mapping[LinkEnds, float], region: str, vms: int, *, at: int) -> int:
    """Connections a VM of the region, rounded up; of links that leave (0) or enter (1) it."""
    total = math.fsum(number for ends, number in sorted(connections.items()) if ends[at] == region)
    return math.ceil(total / vms) if vms > 0 else 0


def _loads(groups: Iterable[Group]) -> dict[tuple[str, str, int], int]:
    """Connections that leave and enter each VM."""
    loads: dict[tuple[str, str, int], int] = {}
    for g in groups:
        for way, region, number in (("out", g.src, g.src_vm), ("in", g.dst, g.dst_vm)):
            loads[way, region, number] = loads.get((way, region, number), 0) + g.connections
    return loads


def _bits(gbps: float) -> int:
    return round(gbps * GIGA)
