"""Is a Plan what it says it is? Judged from the Plan alone, sharing nothing with the solver.

Every rule of DESIGN.md's unicast model, its arithmetic in exact fractions of the stored figures,
for regions and again for each gateway, and a maximum flow over the emitted lanes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path as FilePath

from datasets.errors import DataError, PlanRefused
from datasets.matrix import Matrix
from datasets.power import gco2e_per_vm_hour
from datasets.price_tiers import average_factor
from datasets.provisioning import provisioning_s
from datasets.regions import cloud_of, region_of_gateway
from datasets.units import BITS_PER_BYTE, GIGA, SECONDS_PER_HOUR
from planner.check_bound import proven
from planner.check_flow import gateway_graph, max_flow
from planner.check_rules import (
    BIT_GBPS,
    CONNECTIONS_OF_A_LINK,
    SHARE_TOLERANCE,
    TOLERANCE,
    at_most,
    check_loads,
    refuse,
    require,
    same,
)
from planner.check_trees import check_trees
from planner.plan import Plan, load_plan

# What a certificate proves may miss what is stated by the rounding of its multipliers.
PROOF_TOLERANCE = Fraction(1, 10**8)
# Costs are stored to 8 decimals.
USD_TOLERANCE = Fraction(2, 10**8)


def check(plan: Plan, matrix: Matrix | None = None) -> None:
    """Nothing if the Plan holds; its figures are also compared with `matrix` if that is given.

    Raises: PlanRefused, naming the rule that is broken and where.
    """
    _check_figures(plan, matrix)
    if plan.trees:
        check_trees(plan)
        _check_region_limits(plan)
    else:
        _check_ends_and_conservation(plan)
        _check_region_limits(plan)
        _check_paths_and_shares(plan)
        _check_lanes(plan)
        _check_gateway_limits(plan)
        _check_max_flow(plan)
    _check_prediction(plan)
    _check_promise(plan)
    _check_bounds(plan)
    if matrix is not None:
        _check_certificates(plan, matrix)


def load_checked_plan(path: FilePath) -> Plan:
    """A plan file that is intact and holds. Raises: InputError or DataError, in one sentence."""
    plan = load_plan(path)
    try:
        check(plan)
    except PlanRefused as error:
        raise DataError(f"{path}: {error} Make the plan again.") from error
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise DataError(f"{path}: the plan does not make sense. Make the plan again.") from error
    return plan


def _check_figures(plan: Plan, matrix: Matrix | None) -> None:
    """Every figure is finite and at hand; none is invented."""
    for name, value in _figures(plan):
        require(math.isfinite(value) and value >= 0, "figures", f"{name} is {value}")
    regions = {entry.id for entry in plan.regions}
    links = {(link.src, link.dst) for link in plan.links}
    require(len(regions) == len(plan.regions), "figures", "a region is listed twice")
    require(len(links) == len(plan.links), "figures", "a link is listed twice")
    require(regions == set(plan.vms), "figures", "regions and vms name different regions")
    flows = {(flow.src, flow.dst) for flow in plan.flows}
    require(len(flows) == len(plan.flows), "figures", "a flow is listed twice")
    require(flows == links, "figures", "flows and links name different links")
    if matrix is None:
        return
    require(plan.matrix == matrix.ref(), "matrix", "the plan was made on another matrix")
    _check_tables(plan)
    for entry in plan.regions:
        known = entry.id in matrix.region_ids and matrix.vm(entry.id).as_json()
        require(known == entry.vm.as_json(), "matrix", f"the VM of {entry.id} differs")
    for link in plan.links:
        measured = matrix.link(link.src, link.dst)
        require(
            measured is not None and measured.as_json() == link.as_json(),
            "matrix",
            f"the link from {link.src} to {link.dst} differs",
        )


def _check_tables(plan: Plan) -> None:
    """Carbon and the time before VMs are ready are those of the tables."""
    for region, grams in plan.gco2e_per_vm_hour.items():
        known = gco2e_per_vm_hour(region, plan.vm(region).vcpus)
        same = known is not None and abs(known - grams) <= 1e-6
        require(same, "carbon", f"{region} has {grams} g an hour, not {known}")
    for region, seconds in plan.provisioning_s.items():
        known = provisioning_s(cloud_of(region))
        require(abs(known - seconds) <= 1e-6, "cost", f"{region} takes {known} s, not {seconds}")


def _figures(plan: Plan) -> Iterator[tuple[str, float]]:
    cost = plan.predicted.cost_usd
    yield "throughput", plan.predicted.throughput_gbps
    yield "makespan", plan.predicted.makespan_s
    yield from (("egress cost", cost.egress), ("VM cost", cost.vm), ("gap", plan.gap))
    yield from (("cost before", cost.provisioning), ("gco2e", plan.predicted.gco2e or 0.0))
    yield from (("bound_usd", plan.bound_usd), ("bound_lp_usd", plan.bound_lp_usd))
    yield from (("bound_gbps", plan.bound_gbps or 0.0), ("bound_gco2e", plan.bound_gco2e or 0.0))
    yield from ((f"carbon of {region}", g) for region, g in plan.gco2e_per_vm_hour.items())
    yield from ((f"seconds before {region}", s) for region, s in plan.provisioning_s.items())
    yield from ((f"flow {flow.src} to {flow.dst}", flow.gbps) for flow in plan.flows)
    yield from ((f"rate of path {at}", path.gbps) for at, path in enumerate(plan.paths))
    yield from ((f"rate of lane {at}", lane.gbps) for at, lane in enumerate(plan.lanes))


def _check_ends_and_conservation(plan: Plan) -> None:
    """What enters a region leaves it, but for the source and the destination."""
    require(plan.predicted.throughput_gbps > 0, "conservation", "no throughput")
    goal = Fraction(plan.predicted.throughput_gbps)
    surplus: dict[str, Fraction] = defaultdict(Fraction)
    for flow in plan.flows:
        surplus[flow.src] += Fraction(flow.gbps)
        surplus[flow.dst] -= Fraction(flow.gbps)
    wanted = {plan.job.source: goal, plan.job.destination: -goal}
    for region in sorted({*surplus, *wanted}):
        off = surplus[region] - wanted.get(region, Fraction(0))
        if abs(off) > TOLERANCE * goal:
            refuse("conservation", f"{region} is off by {float(off):.3g} Gbit/s")


def _check_region_limits(plan: Plan) -> None:
    """VM limits, quotas, what is forbidden or required; VM time and caps of a region's VMs."""
    job = plan.job
    ends = {*job.sources, *job.destinations}
    for flow in plan.flows:
        link = (flow.src, flow.dst)
        require(link not in job.forbid_links, "forbidden link", " to ".join(link))
    for path in plan.paths:
        for region in job.require:
            require(region in path.hops, "required region", f"{region} is not on every path")
        for link in job.require_links:
            on_it = link in set(pairwise(path.hops))
            require(on_it, "required link", f"{link[0]} to {link[1]} is not on every path")
    for region, count in plan.vms.items():
        require(region not in job.forbid, "forbidden region", region)
        inside = not job.within or region in job.within or region in ends
        require(inside, "forbidden region", f"{region} is outside of what the job stays within")
        require(count >= 1, "vm_limit", f"{region} has {count} VMs")
        require(
            count <= plan.job.vm_limit,
            "vm_limit",
            f"{region} has {count} VMs, more than {plan.job.vm_limit}",
        )
        if region in plan.job.quotas:
            vcpus = count * plan.vm(region).vcpus
            quota = plan.job.quotas[region]
            require(vcpus <= quota, "quota", f"{region} needs {vcpus} vCPUs of {quota}")
    rates = {(flow.src, flow.dst): Fraction(flow.gbps) for flow in plan.flows}
    check_loads(plan, rates, {region: Fraction(n) for region, n in plan.vms.items()})


def _check_gateway_limits(plan: Plan) -> None:
    """The same limits, for each gateway alone."""
    rates: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for lane in plan.lanes:
        for hop in lane.hops:
            rates[hop] += Fraction(lane.gbps)
    check_loads(plan, rates, {gateway: Fraction(1) for gateway in plan.gateways})


def _check_paths_and_shares(plan: Plan) -> None:
    """Paths lead from source to destination, add up to the flows, and share all the bytes."""
    sums: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    goal = Fraction(plan.predicted.throughput_gbps)
    for at, path in enumerate(plan.paths):
        ends = (path.hops[0], path.hops[-1]) if path.hops else ()
        rightly = ends == (plan.job.source, plan.job.destination)
        require(rightly, "paths", f"path {at} does not lead from source to destination")
        require(len(set(path.hops)) == len(path.hops), "paths", f"path {at} has a loop")
        require(path.gbps > 0, "paths", f"path {at} carries nothing")
        same(
            Fraction(path.share) * goal,
            Fraction(path.gbps),
            "shares",
            f"path {at}'s share of the throughput and its rate",
            BIT_GBPS,
        )
        for hop in zip(path.hops, path.hops[1:], strict=False):
            sums[hop] += Fraction(path.gbps)
    flows = {(flow.src, flow.dst): Fraction(flow.gbps) for flow in plan.flows}
    require(set(sums) == set(flows), "paths", "paths and flows use different links")
    for hop, total in sums.items():
        same(total, flows[hop], "paths", f"paths over {hop[0]} to {hop[1]} and its flow", BIT_GBPS)
    shares = sum((Fraction(path.share) for path in plan.paths), Fraction(0))
    require(abs(shares - 1) <= SHARE_TOLERANCE, "shares", f"paths' add up to {float(shares)}")
    shares = sum((Fraction(lane.share) for lane in plan.lanes), Fraction(0))
    require(abs(shares - 1) <= SHARE_TOLERANCE, "shares", f"lanes' add up to {float(shares)}")


def _check_lanes(plan: Plan) -> None:
    """Lanes follow their paths through gateways that exist, on connections that carry them."""
    rates: dict[int, Fraction] = defaultdict(Fraction)
    shares: dict[int, Fraction] = defaultdict(Fraction)
    for at, lane in enumerate(plan.lanes):
        require(0 <= lane.path < len(plan.paths), "lanes", f"lane {at} has no path {lane.path}")
        hops = plan.paths[lane.path].hops
        follows = tuple(region_of_gateway(gateway) for gateway in lane.gateways) == hops
        require(follows, "lanes", f"lane {at} does not follow its path")
        for gateway in lane.gateways:
            ordinal = gateway.rpartition("#")[2]
            exists = ordinal.isdecimal() and int(ordinal) < plan.vms[region_of_gateway(gateway)]
            require(exists, "lanes", f"lane {at} uses {gateway}, which the plan has no VM for")
        require(
            len(lane.connections) == len(hops) - 1,
            "connections",
            f"lane {at} has {len(lane.connections)} counts for {len(hops) - 1} hops",
        )
        require(lane.gbps > 0, "lanes", f"lane {at} carries nothing")
        for hop, count in zip(lane.hops, lane.connections, strict=True):
            require(count >= 1, "connections", f"lane {at} has {count} on {hop[0]} to {hop[1]}")
            carries = Fraction(count, CONNECTIONS_OF_A_LINK) * Fraction(plan.link(*hop).gbps)
            at_most(Fraction(lane.gbps), carries, "connections", f"lane {at} at {hop[0]}")
        rates[lane.path] += Fraction(lane.gbps)
        shares[lane.path] += Fraction(lane.share)
    for at, path in enumerate(plan.paths):
        same(rates[at], Fraction(path.gbps), "lanes", f"lanes of path {at} and its rate", BIT_GBPS)
        require(
            abs(shares[at] - Fraction(path.share)) <= SHARE_TOLERANCE,
            "shares",
            f"lanes of path {at} have {float(shares[at])} of {path.share}",
        )


def _check_prediction(plan: Plan) -> None:
    """Makespan and cost again, from bytes, rates and prices, in exact arithmetic."""
    goal = Fraction(plan.predicted.throughput_gbps)
    seconds = Fraction(plan.job.size_bytes * BITS_PER_BYTE, GIGA) / goal
    stated = plan.predicted
    same(seconds, Fraction(stated.makespan_s), "makespan", "makespan", Fraction(1, 10**6))
    factors = _tier_factors(plan, seconds)
    egress = sum(
        (
            Fraction(flow.gbps)
            / BITS_PER_BYTE
            * Fraction(plan.link(flow.src, flow.dst).usd_per_gb)
            * factors.get(flow.src if cloud_of(flow.src) != cloud_of(flow.dst) else "", 1)
            for flow in plan.flows
        ),
        Fraction(0),
    )
    hourly = sum(
        (count * Fraction(plan.vm(region).usd_per_hour) for region, count in plan.vms.items()),
        Fraction(0),
    )
    vm = hourly / Fraction(SECONDS_PER_HOUR)
    cost = stated.cost_usd
    same(egress * seconds, Fraction(cost.egress), "cost", "egress, recomputed", USD_TOLERANCE)
    same(vm * seconds, Fraction(cost.vm), "cost", "VM time, recomputed", USD_TOLERANCE)
    waits = {r: Fraction(plan.provisioning_s.get(r, 0)) for r in plan.vms}
    known = set(plan.provisioning_s) == (set(plan.vms) if plan.job.provisioning else set())
    require(known, "cost", "provisioning_s and the job's regions differ")
    before = sum(
        (
            count * Fraction(plan.vm(region).usd_per_hour) * waits[region]
            for region, count in plan.vms.items()
        ),
        Fraction(0),
    ) / Fraction(SECONDS_PER_HOUR)
    same(before, Fraction(cost.provisioning), "cost", "time before, recomputed", USD_TOLERANCE)
    if not plan.gco2e_per_vm_hour:
        require(stated.gco2e is None, "carbon", "grams are stated without any region's figure")
        return
    require(set(plan.gco2e_per_vm_hour) == set(plan.vms), "carbon", "a region has no figure")
    require(stated.gco2e is not None, "carbon", "none is stated, though every region's is known")
    grams = sum(
        (
            count * Fraction(plan.gco2e_per_vm_hour[region]) * (seconds + waits[region])
            for region, count in plan.vms.items()
        ),
        Fraction(0),
    ) / Fraction(SECONDS_PER_HOUR)
    same(grams, Fraction(stated.gco2e or 0), "carbon", "grams, recomputed", USD_TOLERANCE * 100)


def _tier_factors(plan: Plan, seconds: Fraction) -> dict[str, Fraction]:
    """Share of its first price that each region pays to other clouds, where tiers are asked."""
    if not plan.job.tiered:
        return {}
    volumes: dict[str, Fraction] = defaultdict(Fraction)
    for flow in plan.flows:
        if cloud_of(flow.src) != cloud_of(flow.dst):
            volumes[flow.src] += Fraction(flow.gbps) * seconds / BITS_PER_BYTE
    return {
        region: Fraction(average_factor(cloud_of(region), float(volume)))
        for region, volume in volumes.items()
    }


def _check_promise(plan: Plan) -> None:
    """The Job's objective is met."""
    job, predicted = plan.job, plan.predicted
    cost = Fraction(predicted.cost_usd.total)
    if job.floor_gbps is not None:
        require(
            Fraction(predicted.throughput_gbps) >= Fraction(job.floor_gbps) - BIT_GBPS,
            "floor",
            f"{predicted.throughput_gbps} Gbit/s is below {job.floor_gbps}",
        )
    if job.deadline_s is not None:
        late = Fraction(predicted.makespan_s) - Fraction(job.deadline_s)
        require(
            late <= TOLERANCE * Fraction(job.deadline_s) + Fraction(1, 10**6),
            "deadline",
            f"{predicted.makespan_s} s is beyond {job.deadline_s} s",
        )
    if job.max_usd is not None:
        require(
            cost <= Fraction(job.max_usd) + USD_TOLERANCE,
            "max_usd",
            f"{float(cost)} USD is above {job.max_usd}",
        )
    if job.max_gco2e is not None:
        require(predicted.gco2e is not None, "max_gco2e", "the plan's carbon is not known")
        at_most(Fraction(predicted.gco2e or 0), Fraction(job.max_gco2e), "max_gco2e", "the plan")


def _check_bounds(plan: Plan) -> None:
    """Bounds bound, and the gap follows from them."""
    job, predicted = plan.job, plan.predicted
    cost = Fraction(predicted.cost_usd.total)
    for name, bound in (("bound_usd", plan.bound_usd), ("bound_lp_usd", plan.bound_lp_usd)):
        require(
            Fraction(bound) <= cost + USD_TOLERANCE,
            "bound",
            f"{name} {bound} is above the cost {float(cost)}",
        )
    require(
        plan.bound_lp_usd <= plan.bound_usd + float(USD_TOLERANCE),
        "bound",
        "bound_lp_usd is above bound_usd",
    )
    asks_least_carbon = job.minimise == "gco2e"
    require(
        asks_least_carbon == (plan.bound_gco2e is not None), "bound", "bound_gco2e and job differ"
    )
    asks_most = job.objective in ("fastest", "max_usd")
    require(asks_most == (plan.bound_gbps is not None), "bound", "bound_gbps and objective differ")
    stated = Fraction(plan.gap)
    if plan.bound_gbps is not None:
        most, goal = Fraction(plan.bound_gbps), Fraction(predicted.throughput_gbps)
        require(most > 0, "bound", "bound_gbps is 0")
        at_most(goal, most, "bound", "throughput against bound_gbps")
        off, whole, least = most - goal, most, BIT_GBPS
    elif plan.bound_gco2e is not None:
        grams = Fraction(predicted.gco2e or 0)
        at_most(Fraction(plan.bound_gco2e), grams, "bound", "bound_gco2e against the carbon")
        off, whole, least = grams - Fraction(plan.bound_gco2e), grams, USD_TOLERANCE * 100
    else:
        # A transfer of a few bytes costs less than the decimals that costs are stored with.
        off, whole, least = cost - Fraction(plan.bound_usd), cost, USD_TOLERANCE
    require(
        abs(max(off, Fraction(0)) - stated * whole) <= TOLERANCE * whole + 2 * least,
        "gap",
        f"{plan.gap} is stated, which does not follow from bound and figures",
    )


def _check_certificates(plan: Plan, matrix: Matrix) -> None:
    """Each certificate proves its value on that Matrix; no relaxation's bound is without one."""
    kinds = {certificate.proves for certificate in plan.certificates}
    require(len(kinds) == len(plan.certificates), "certificate", "two prove the same thing")
    if plan.is_unicast:
        known = plan.bound_lp_usd == 0 or "usd" in kinds
        require(known, "certificate", "nothing proves bound_lp_usd")
        for kind, bound in (("gbps", plan.bound_gbps), ("gco2e", plan.bound_gco2e)):
            known = bound is None or kind in kinds
            require(known, "certificate", f"nothing proves anything of bound_{kind}")
    for certificate in plan.certificates:
        try:
            value = proven(certificate, plan, matrix)
        except (ValueError, LookupError, ArithmeticError) as error:
            raise PlanRefused(f"The plan breaks the rule 'certificate': {error}.") from error
        stated = Fraction(certificate.value)
        where = f"the multipliers prove {float(value):.9g}, not {certificate.value:.9g}"
        if certificate.proves == "gbps":
            holds = 0 <= value <= stated * (1 + PROOF_TOLERANCE) + BIT_GBPS
            require(holds, "certificate", f"Gbit/s: {where}")
            at_most(Fraction(plan.bound_gbps or 0), stated, "certificate", "bound_gbps")
            continue
        holds = value >= stated * (1 - PROOF_TOLERANCE) - USD_TOLERANCE
        require(holds, "certificate", f"{certificate.proves}: {where}")
        floor = plan.job.floor_gbps
        goal = certificate.goal_gbps
        require(
            goal is None or (floor is not None and Fraction(goal) <= Fraction(floor) + BIT_GBPS),
            "certificate",
            "it holds only above the job's throughput",
        )
        if certificate.proves == "gco2e":
            at_most(stated, Fraction(plan.bound_gco2e or 0), "certificate", "bound_gco2e")
        if certificate.proves == "usd":
            at_most(
                Fraction(plan.bound_lp_usd), stated + USD_TOLERANCE, "certificate", "bound_lp_usd"
            )


def _check_max_flow(plan: Plan) -> None:
    """A maximum flow over the emitted, paced lanes carries what is predicted."""
    lanes = [(lane.hops, lane.connections, lane.gbps) for lane in plan.lanes]
    carried = max_flow(gateway_graph(plan, lanes, plan.job.source), plan.job.destination)
    require(
        Fraction(carried) >= round(plan.predicted.throughput_gbps * GIGA) * (1 - TOLERANCE),
        "max-flow",
        f"the lanes carry {carried / GIGA:.9g} Gbit/s, less than predicted",
    )
