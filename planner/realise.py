"""From flows to a Plan that can be carried out: paths, lanes of gateways, connections, shares.

Rates are whole bits a second from here on, so that paths add up to flows and to the throughput
exactly. Each gateway of a region gets the same part of every path: [0, 1) of a path is cut at the
multiples of 1/N of each of its regions, and a piece is a lane through the gateways whose parts it
lies in. What holds for a region's VMs together then holds for each of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from datasets.matrix import Link, RegionVm, Vm
from datasets.power import gco2e_per_vm_hour
from datasets.regions import gateway_name
from datasets.units import GIGA
from planner.certificate import Certificate
from planner.cost import Predicted, predict, seconds_before
from planner.dispatch import FULL_CONNECTIONS
from planner.paths import FlowPath, LinkEnds, decompose
from planner.plan import Flow, Lane, Path, Plan
from planner.topology import Topology

# Paths below this carry nothing worth a gateway's time: 1 kbit/s, or a millionth of the whole.
LEAST_PATH_GBPS = 1e-6
LEAST_PATH_SHARE = 1e-6
# Dust is left out even where the floor needs it, up to this share of the throughput: the widest
# path carries that much more, a tenth of what the check allows. Not where a budget binds.
DUST_SHARE = 1e-7
# A rate this little above what n connections carry is theirs.
CONNECTION_NOISE = 1e-7
# Bounds are proven up to the last digits of floating point; a cost below its bound by this share
# is that noise.
BOUND_NOISE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is proven for the Job, over all strategies; the fields of a Plan."""

    usd: float
    lp_usd: float = 0.0
    gbps: float | None = None
    gco2e: float | None = None
    certificates: tuple[Certificate, ...] = ()


def realised(
    topology: Topology,
    *,
    strategy: str,
    flows: Mapping[LinkEnds, float],
    vms: Mapping[str, int],
    floor_gbps: float,
    bounds: Bounds,
    notes: tuple[str, ...] = (),
) -> Plan:
    """The Plan of `flows` (Gbit/s) on `vms`, at `floor_gbps` or more."""
    job = topology.job
    found = decompose(flows, topology.source, topology.destination)
    bits = _whole_bits(found, floor_gbps, 0.0 if job.max_usd is not None else DUST_SHARE)
    total = sum(bits)
    on_link: dict[LinkEnds, int] = {}
    for path, rate in zip(found, bits, strict=False):
        for pair in pairwise(path.hops):
            on_link[pair] = on_link.get(pair, 0) + rate
    plan = on_links(
        topology,
        strategy=strategy,
        on_link=on_link,
        total=total,
        vms=vms,
        bounds=bounds,
        notes=notes,
    )
    return replace(
        plan,
        paths=tuple(
            Path(hops=path.hops, gbps=gbps_of_bits(rate), share=rate / total)
            for path, rate in zip(found, bits, strict=False)
        ),
        lanes=tuple(
            lane
            for at, (path, rate) in enumerate(zip(found, bits, strict=False))
            for lane in _lanes(at, path, rate, total, plan)
        ),
    )


def on_links(
    topology: Topology,
    *,
    strategy: str,
    on_link: Mapping[LinkEnds, int],
    total: int,
    vms: Mapping[str, int],
    bounds: Bounds,
    notes: tuple[str, ...],
) -> Plan:
    """The Plan of `on_link` (bits a second), `total` in all, but for its paths or trees."""
    job = topology.job
    used = sorted({region for pair in on_link for region in pair})
    counts = {region: vms[region] for region in used}
    regions = tuple(RegionVm(id=region, vm=as_stored(topology.vm(region))) for region in used)
    links = tuple(link_of(topology, pair) for pair in sorted(on_link))
    rates = {pair: gbps_of_bits(rate) for pair, rate in sorted(on_link.items())}
    predicted = predict(
        job, gbps=gbps_of_bits(total), rates=rates, vms=counts, regions=regions, links=links
    )
    proven = without_noise(bounds, predicted)
    return Plan(
        strategy=strategy,
        job=job,
        matrix=topology.matrix.ref(),
        predicted=predicted,
        bound_usd=proven.usd,
        bound_lp_usd=proven.lp_usd,
        bound_gbps=proven.gbps,
        bound_gco2e=proven.gco2e,
        gap=gap_of(proven, predicted),
        certificates=proven.certificates,
        vms=counts,
        flows=tuple(Flow(src=src, dst=dst, gbps=rate) for (src, dst), rate in rates.items()),
        regions=regions,
        links=links,
        gco2e_per_vm_hour=known_carbon(regions),
        provisioning_s={r: seconds_before(job, r) for r in used} if job.provisioning else {},
        notes=notes,
    )


def pieces(
    rate: int, regions: Sequence[str], vms: Mapping[str, int]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Bits a second of each piece of a path or tree, and its gateway in each of the regions.

    Ends are rounded, not lengths: whatever the cuts, the pieces add up to `rate`.
    """
    cuts = sorted({Fraction(k, vms[r]) for r in regions for k in range(vms[r] + 1)})
    for low, high in pairwise(cuts):
        bits = round(rate * high) - round(rate * low)
        if bits:
            yield bits, {r: gateway_name(r, math.floor(low * vms[r])) for r in regions}


def without_noise(bounds: Bounds, predicted: Predicted) -> Bounds:
    """The bounds, the last digits of an arithmetic above a plan's own figures taken off."""

    def least(bound: float, value: float) -> float:
        return min(bound, value) if bound <= value * (1 + BOUND_NOISE) else bound

    cost = predicted.cost_usd.total
    usd = least(bounds.usd, cost)
    gco2e = bounds.gco2e
    if gco2e is not None and predicted.gco2e is not None:
        gco2e = least(gco2e, predicted.gco2e)
    gbps = bounds.gbps
    if gbps is not None and gbps * (1 + BOUND_NOISE) >= predicted.throughput_gbps:
        gbps = max(gbps, predicted.throughput_gbps)
    return replace(bounds, usd=usd, lp_usd=min(usd, bounds.lp_usd), gbps=gbps, gco2e=gco2e)


def gap_of(bounds: Bounds, predicted: Predicted) -> float:
    """How far a plan may be from the best, a share: of throughput, of carbon, or of cost."""
    if bounds.gbps is not None:
        return max(0.0, (bounds.gbps - predicted.throughput_gbps) / bounds.gbps)
    value, bound = predicted.cost_usd.total, bounds.usd
    if bounds.gco2e is not None and predicted.gco2e is not None:
        value, bound = predicted.gco2e, bounds.gco2e
    return max(0.0, (value - bound) / value) if value > 0 else 0.0


def known_carbon(regions: tuple[RegionVm, ...]) -> dict[str, float]:
    """Grams an hour of a VM of each region; empty where one is not known."""
    hourly = {region.id: gco2e_per_vm_hour(region.id, region.vm.vcpus) for region in regions}
    known = {region: figure for region, figure in hourly.items() if figure is not None}
    return known if len(known) == len(hourly) else {}


def _whole_bits(paths: tuple[FlowPath, ...], floor_gbps: float, dust_share: float) -> list[int]:
    """Bits a second of each path, dust dropped, and not one bit below the floor in all."""
    floor = math.ceil(floor_gbps * GIGA - CONNECTION_NOISE)
    bits = [round(path.gbps * GIGA) for path in paths]
    least = max(LEAST_PATH_GBPS * GIGA, LEAST_PATH_SHARE * sum(bits))
    wide = [rate for rate in bits if rate >= least]
    # Paths come widest first, so dust is at the end; keep it where the floor needs it more.
    if wide and sum(wide) * (1 + dust_share) >= floor:
        bits = wide
    bits = [rate for rate in bits if rate > 0]
    # Noise and rounding may have taken a few bits; the widest path makes up for them.
    bits[0] += max(0, floor - sum(bits))
    return bits


def gbps_of_bits(bits: int) -> float:
    """Gbit/s of whole bits a second."""
    return bits / GIGA


def as_stored(vm: Vm) -> Vm:
    """At the decimal places of the canonical form, so that a loaded Plan is the same."""
    figures = vm.as_json()
    return Vm(
        type=vm.type,
        vcpus=vm.vcpus,
        usd_per_hour=_number(figures["usd_per_hour"]),
        egress_public_gbps=_number(figures["egress_public_gbps"]),
        egress_gbps=_number(figures["egress_gbps"]),
        ingress_gbps=_number(figures["ingress_gbps"]),
    )


def link_of(topology: Topology, pair: LinkEnds) -> Link:
    """A measured link at the decimal places of the canonical form. Raises: KeyError."""
    link = topology.matrix.link(*pair)
    if link is None:
        raise KeyError(pair)
    figures = link.as_json()
    return Link(
        src=link.src,
        dst=link.dst,
        gbps=_number(figures["gbps"]),
        usd_per_gb=_number(figures["usd_per_gb"]),
        rtt_ms=_number(figures["rtt_ms"]),
    )


def _number(value: object) -> float:
    if not isinstance(value, float):
        raise TypeError(f"{value!r} is not a number")
    return value


def _lanes(at: int, path: FlowPath, rate: int, total: int, plan: Plan) -> list[Lane]:
    """The pieces of one path, each through one gateway of each region."""
    capacity = {(link.src, link.dst): link.gbps for link in plan.links}
    return [
        Lane(
            path=at,
            gateways=tuple(gateway.values()),
            connections=tuple(
                connections(gbps_of_bits(bits), capacity[pair]) for pair in pairwise(path.hops)
            ),
            gbps=gbps_of_bits(bits),
            share=bits / total,
        )
        for bits, gateway in pieces(rate, path.hops, plan.vms)
    ]


def connections(gbps: float, link_gbps: float) -> int:
    """Connections that carry `gbps` of a link: ceil(64·F/B), at least 1.

    >>> connections(2.5, 5.0), connections(0.001, 5.0)
    (32, 1)
    """
    return max(1, math.ceil(FULL_CONNECTIONS * gbps / link_gbps - CONNECTION_NOISE))
