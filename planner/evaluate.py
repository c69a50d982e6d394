"""What a Plan would carry if the links were as another Matrix says: out of sample, by arithmetic.

The Plan stays as it is: its VMs, paths, lanes, connections and paces. The other Matrix gives what
a pair of VMs carries on each link, the prices, and the VMs' caps. Capacity is the planner's own:
a flow F on a link of B takes F/B of both VMs' time (DESIGN.md, rows (2) to (6), for each gateway).

- `static` dispatch: each lane has its planned share of the bytes, so the transfer lasts as long as
  the resource that is most overloaded: throughput = 1 / max over resources of (use at one Gbit/s
  of the whole, divided by capacity). Rates in proportion to the shares reach it; a network that
  shares otherwise may be slower, never faster.
- `dynamic` dispatch: bytes go where there is room; the most that the lanes carry together.

Both are what a coordinated sender reaches: max-min fair sharing, which the simulator models, may
be slower where lanes compete. Prices are those of the first tier, and the time before VMs are
ready is left out. `work_conserving` lifts the planned pace. With `planned` connections
a lane has n/64 of each link's figure; with `full` ones (64 on every hop) up to all of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from datasets.matrix import Link, Matrix, RegionVm
from datasets.regions import cloud_of, region_of_gateway
from datasets.units import gigabits, usd_per_s_of_flow, usd_per_s_of_vm
from planner.cost import CostUsd
from planner.dispatch import FULL_CONNECTIONS, Dispatch, hop_gbps
from planner.lp.lanes import most_over_lanes
from planner.plan import Lane, Plan

Connections = Literal["planned", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What the Plan came to: Gbit/s, seconds and USD for the whole Job, and its lanes' rates.

    Where nothing arrives (a planned link is not in the other Matrix) `gbps` is 0 and time and
    cost are infinite.
    """

    gbps: float
    makespan_s: float
    cost_usd: CostUsd
    lane_gbps: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """What lanes share: `use[resource][lane]` of `capacity[resource]` for 1 Gbit/s on the lane."""

    use: Mapping[str, Mapping[int, float]]
    capacity: Mapping[str, float]
    caps_gbps: tuple[float, ...]
    usd_per_gigabit: tuple[float, ...]


def carried(
    plan: Plan,
    matrix: Matrix,
    *,
    dispatch: Dispatch,
    work_conserving: bool = False,
    connections: Connections = "planned",
) -> Carried:
    """What `plan` would carry on the links of `matrix`; see the module for what that means.

    Raises: UnknownName if a region of the Plan is not in `matrix`.
    """
    room = _room(plan, matrix, work_conserving, connections)
    rates = _static(plan, room) if dispatch == "static" else _dynamic(room)
    gbps = math.fsum(rates)
    if gbps <= 0:
        never = CostUsd(egress=math.inf, vm=math.inf)
        return Carried(gbps=0.0, makespan_s=math.inf, cost_usd=never, lane_gbps=rates)
    seconds = gigabits(plan.job.size_bytes) / gbps
    egress = math.fsum(
        rate * price for rate, price in zip(rates, room.usd_per_gigabit, strict=True)
    )
    vm = math.fsum(
        count * usd_per_s_of_vm(matrix.vm(region).usd_per_hour)
        for region, count in sorted(plan.vms.items())
    )
    return Carried(
        gbps=gbps,
        makespan_s=seconds,
        cost_usd=CostUsd(egress=egress * seconds, vm=vm * seconds),
        lane_gbps=rates,
    )


def as_measured_on(plan: Plan, matrix: Matrix) -> Plan:
    """The same Plan holding the figures of `matrix`: what a simulator needs to judge it there.

    Its prediction stays that of its own Matrix. Raises: KeyError where a planned link is absent.
    """
    links = []
    for link in plan.links:
        measured = matrix.link(link.src, link.dst)
        if measured is None:
            raise KeyError((link.src, link.dst))
        links.append(measured)
    regions = tuple(RegionVm(id=entry.id, vm=matrix.vm(entry.id)) for entry in plan.regions)
    return replace(plan, links=tuple(links), regions=regions)


def _static(plan: Plan, room: _Room) -> tuple[float, ...]:
    """Rates in proportion to the planned shares, as fast as the most loaded resource allows."""
    shares = [lane.share for lane in plan.lanes]
    slowest = 0.0  # seconds a gigabit of the whole transfer
    for share, cap in zip(shares, room.caps_gbps, strict=True):
        if cap <= 0:
            return (0.0,) * len(shares)
        slowest = max(slowest, share / cap)
    for name, lanes in room.use.items():
        load = math.fsum(amount * shares[at] for at, amount in lanes.items())
        slowest = max(slowest, load / room.capacity[name])
    return tuple(share / slowest for share in shares)


def _dynamic(room: _Room) -> tuple[float, ...]:
    return most_over_lanes(room.use, room.capacity, room.caps_gbps, room.usd_per_gigabit)


def _room(plan: Plan, matrix: Matrix, work_conserving: bool, connections: Connections) -> _Room:
    use: dict[str, dict[int, float]] = {}
    capacity: dict[str, float] = {}

    def take(name: str, most: float, lane: int, amount: float) -> None:
        row = use.setdefault(name, {})
        row[lane] = row.get(lane, 0.0) + amount
        capacity[name] = most

    caps, prices = [], []
    for at, lane in enumerate(plan.lanes):
        links = _links_of(lane, matrix)
        if links is None:
            caps.append(0.0)
            prices.append(0.0)
            continue
        for (src, dst), link in zip(lane.hops, links, strict=True):
            sender, receiver = matrix.vm(link.src), matrix.vm(link.dst)
            take(f"vm_out_time[{src}]", 1.0, at, 1.0 / link.gbps)
            take(f"vm_in_time[{dst}]", 1.0, at, 1.0 / link.gbps)
            take(f"vm_egress[{src}]", sender.egress_gbps, at, 1.0)
            take(f"vm_ingress[{dst}]", receiver.ingress_gbps, at, 1.0)
            if cloud_of(link.src) != cloud_of(link.dst):
                take(f"vm_egress_public[{src}]", sender.egress_public_gbps, at, 1.0)
        carries = min(
            hop_gbps(link.gbps, planned if connections == "planned" else FULL_CONNECTIONS)
            for link, planned in zip(links, lane.connections, strict=True)
        )
        caps.append(carries if work_conserving else min(lane.gbps, carries))
        prices.append(math.fsum(usd_per_s_of_flow(1.0, link.usd_per_gb) for link in links))
    return _Room(use=use, capacity=capacity, caps_gbps=tuple(caps), usd_per_gigabit=tuple(prices))


def _links_of(lane: Lane, matrix: Matrix) -> tuple[Link, ...] | None:
    """The lane's links as `matrix` has them, or None where one is absent."""
    found = []
    for src, dst in lane.hops:
        link = matrix.link(region_of_gateway(src), region_of_gateway(dst))
        if link is None:
            return None
        found.append(link)
    return tuple(found)
