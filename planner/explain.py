"""Why this plan: what limits are worth, the runner-up, what each link's figure decides.

Every figure is a plan made again under one change (or, where so many would take long, the
relaxation solved again), so that it is an answer and not a derivative: what one more VM is worth is
the cost with it less the cost without.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from datasets.errors import InfeasibleJob
from datasets.matrix import Matrix
from datasets.provisioning import provisioning_s
from datasets.regions import cloud_of
from datasets.units import gigabits, usd_per_s_of_vm
from planner.cost import predict
from planner.evaluate import Carried, carried
from planner.job import Job, LinkEnds
from planner.lp.unicast import UnicastModel
from planner.plan import Plan
from planner.strategies import solve
from planner.topology import Topology, topology
from planner.unicast import CERTIFIED, plan_over
from planner.whole_vms import ANY_GBPS, THROUGHPUT_NOISE

# A used link is tried this much slower, and a link measured again may turn out that much off.
SLOWER = 0.7
FASTER = 1.3
# Chances of a slower and of a faster link, where one is measured again: a named assumption.
CHANCE = 0.25
# Links off the plan that are looked at for what they could change, those of the least cost first.
MOST_UNUSED = 12
# A saving or gain below this share is none.
NOTHING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What one more of something is worth on this transfer: USD and carbon saved, Gbit/s gained.

    `what` is `vm` (one more), `link` (a tenth faster), `goal` (a tenth less asked), `deadline`,
    `budget` or `carbon` (a tenth more).
    """

    what: str
    where: str
    usd: float
    gbps: float
    gco2e: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slower:
    """The plan with one used link 30 % slower: what it still carries, and after planning again."""

    src: str
    dst: str
    kept_gbps: float
    kept_usd: float
    again_gbps: float
    again_usd: float
    survives: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """Sizes between which the relays beat the direct link, time before VMs are ready counted.

    `cheaper_from_bytes` and `faster_from_bytes` are None where they never do, 0 where from the
    first byte; `cheaper_until_bytes` is None where there is no end to it.
    """

    cheaper_from_bytes: float | None
    cheaper_until_bytes: float | None
    faster_from_bytes: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Information:
    """What it is worth to measure a link again before the transfer: USD (or Gbit/s) expected.

    `decides`: were the link slower, only another plan would do what is asked.
    """

    src: str
    dst: str
    used: bool
    value: float
    decides: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything that `tradewind explain` says.

    `direct` is the direct link's plan, None if infeasible; `direct_most` its fastest. `runner_up`
    is the best plan without `runner_up_without`, None if there is no other.
    """

    plan: Plan
    direct: Plan | None
    direct_most: Plan | None
    runner_up: Plan | None
    runner_up_without: str
    worths: tuple[Worth, ...]
    slower: tuple[Slower, ...]
    break_even: BreakEven | None
    information: tuple[Information, ...]


def explain(matrix: Matrix, job: Job, strategy: str = "overlay") -> Explanation:
    """The plan of `strategy` for a unicast Job, explained.

    Raises: InfeasibleJob, UnsupportedJob, UnknownName, as the strategy does.
    """
    plan = solve(strategy, matrix, job)
    full = topology(matrix, job)
    direct = _direct(matrix, job)
    most = _direct(matrix, replace(job, goal_gbps=None, deadline_s=None, minimise="usd"))
    runner_up, without = _runner_up(full, plan)
    return Explanation(
        plan=plan,
        direct=direct,
        direct_most=most,
        runner_up=runner_up,
        runner_up_without=without,
        worths=tuple(_worths(full, plan)),
        slower=tuple(_slower(matrix, full, plan)),
        break_even=_break_even(plan, direct or most),
        information=_information(full, plan),
    )


def value_of(plan: Plan) -> float:
    """What the Job asks to be small: USD, gCO2e, or minus Gbit/s."""
    if plan.bound_gbps is not None:
        return -plan.predicted.throughput_gbps
    if plan.bound_gco2e is not None and plan.predicted.gco2e is not None:
        return plan.predicted.gco2e
    return plan.predicted.cost_usd.total


def _direct(matrix: Matrix, job: Job) -> Plan | None:
    try:
        return solve("direct", matrix, job)
    except InfeasibleJob:
        return None


def _planned(links: Topology) -> Plan | None:
    try:
        return plan_over(links, links, strategy="overlay", effort=CERTIFIED)
    except InfeasibleJob:
        return None


def _runner_up(full: Topology, plan: Plan) -> tuple[Plan | None, str]:
    """The best plan without one of this one's relays (or without the direct link), and which."""
    options = [(relay, _without(full, relay)) for relay in plan.relays]
    if (full.source, full.destination) in {(f.src, f.dst) for f in plan.flows}:
        options.append(("the direct link", full.only(lambda link: not full.is_direct(link))))
    found = [(name, _planned(links)) for name, links in options]
    feasible = [(name, other) for name, other in found if other is not None]
    if not feasible:
        return None, ""
    name, best = min(feasible, key=lambda entry: value_of(entry[1]))
    return best, name


def _without(full: Topology, region: str) -> Topology:
    return full.only(lambda link: region not in (link.src, link.dst))


def _worths(full: Topology, plan: Plan) -> Iterator[Worth]:
    """One more VM wherever the plan has as many as it may; links, goal and budget by a tenth."""
    for region, count in sorted(plan.vms.items()):
        if count == full.limits[region]:
            more = replace(full, limits={**full.limits, region: count + 1})
            yield _worth("vm", region, plan, _planned(more))
    for flow in plan.flows:
        ends = (flow.src, flow.dst)
        yield _worth("link", f"{flow.src}→{flow.dst}", plan, _planned(full.scaled({ends: 1.1})))
    job = full.job
    eased = {
        "goal": None if job.goal_gbps is None else replace(job, goal_gbps=job.goal_gbps * 0.9),
        "deadline": None
        if job.deadline_s is None
        else replace(job, deadline_s=job.deadline_s * 1.1),
        "budget": None if job.max_usd is None else replace(job, max_usd=job.max_usd * 1.1),
        "carbon": None if job.max_gco2e is None else replace(job, max_gco2e=job.max_gco2e * 1.1),
    }
    for what, other in eased.items():
        if other is not None:
            yield _worth(what, "", plan, _planned(replace(full, job=other)))


def _worth(what: str, where: str, plan: Plan, other: Plan | None) -> Worth:
    if other is None:
        return Worth(what=what, where=where, usd=0.0, gbps=0.0, gco2e=0.0)
    now, then = plan.predicted, other.predicted
    usd = now.cost_usd.total - then.cost_usd.total
    gbps = then.throughput_gbps - now.throughput_gbps
    grams = (now.gco2e or 0.0) - (then.gco2e or 0.0)
    return Worth(
        what=what,
        where=where,
        usd=usd if abs(usd) > NOTHING * now.cost_usd.total else 0.0,
        gbps=gbps if abs(gbps) > NOTHING * now.throughput_gbps else 0.0,
        gco2e=grams if abs(grams) > NOTHING * (now.gco2e or 0.0) else 0.0,
    )


def _slower(matrix: Matrix, full: Topology, plan: Plan) -> Iterator[Slower]:
    """Each used link at 0.7 of its figure: dispatch shifts bytes within the plan, or plan again."""
    floor = full.job.floor_gbps
    for flow in plan.flows:
        ends = (flow.src, flow.dst)
        kept = carried(plan, _scaled_matrix(matrix, ends), dispatch="dynamic", work_conserving=True)
        again = _planned(full.scaled({ends: SLOWER}))
        enough = floor if floor is not None else plan.predicted.throughput_gbps
        yield Slower(
            src=flow.src,
            dst=flow.dst,
            kept_gbps=kept.gbps,
            kept_usd=_cost_of(plan, kept),
            again_gbps=again.predicted.throughput_gbps if again else 0.0,
            again_usd=again.predicted.cost_usd.total if again else float("inf"),
            survives=kept.gbps >= enough * (1 - 1e-6),
        )


def _cost_of(plan: Plan, kept: Carried) -> float:
    """What the plan costs at those rates, all that its Job counts included."""
    if kept.gbps <= 0:
        return float("inf")
    rates: dict[LinkEnds, float] = {}
    for lane, gbps in zip(plan.lanes, kept.lane_gbps, strict=True):
        for pair in pairwise(plan.paths[lane.path].hops):
            rates[pair] = rates.get(pair, 0.0) + gbps
    return predict(
        plan.job,
        gbps=kept.gbps,
        rates=rates,
        vms=plan.vms,
        regions=plan.regions,
        links=plan.links,
    ).cost_usd.total


def _scaled_matrix(matrix: Matrix, ends: LinkEnds) -> Matrix:
    return replace(
        matrix,
        links=tuple(
            replace(link, gbps=link.gbps * SLOWER) if (link.src, link.dst) == ends else link
            for link in matrix.links
        ),
    )


def _break_even(plan: Plan, direct: Plan | None) -> BreakEven | None:
    """Sizes beyond which the relays' running costs (or time) make up for what starting takes."""
    if direct is None or not plan.relays:
        return None
    own, plain = _running(plan), _running(direct)
    cheaper = _between(own[0], own[1], plain[0], plain[1])
    faster = _between(own[2], own[3], plain[2], plain[3])
    return BreakEven(
        cheaper_from_bytes=None if cheaper is None else cheaper[0],
        cheaper_until_bytes=None if cheaper is None else cheaper[1],
        faster_from_bytes=None if faster is None else faster[0],
    )


def _running(plan: Plan) -> tuple[float, float, float, float]:
    """USD a byte, USD before the first, seconds a byte, seconds before the first."""
    size = plan.job.size_bytes
    cost = plan.predicted.cost_usd
    before = {region: provisioning_s(cloud_of(region)) for region in plan.vms}
    usd = sum(
        n * usd_per_s_of_vm(plan.vm(region).usd_per_hour) * before[region]
        for region, n in plan.vms.items()
    )
    seconds = 1 / (plan.predicted.throughput_gbps / gigabits(1))
    return (cost.egress + cost.vm) / size, usd, seconds, max(before.values())


def _between(
    each: float, first: float, other_each: float, other_first: float
) -> tuple[float, float | None] | None:
    """From and until which size `each`·size + `first` is the smaller; None if never."""
    if abs(each - other_each) <= NOTHING * other_each:
        return (0.0, None) if first < other_first else None
    even = (first - other_first) / (other_each - each)
    if each < other_each:
        return max(0.0, even), None
    return (0.0, even) if even > 0 else None


def _information(full: Topology, plan: Plan) -> tuple[Information, ...]:
    """What knowing a link's true figure is expected to save, by the relaxation, most first.

    The truth is 0.7 of the figure, the figure, or 1.3 of it (chances 1/4, 1/2, 1/4: a named
    assumption). Not knowing it, the plan's own links are kept and only flows and VMs adapt;
    knowing it, all links are planned again.
    """
    used = [(flow.src, flow.dst) for flow in plan.flows]
    own = full.on(used)
    now = _relaxed(own)
    found = []
    for ends in used:
        kept, best = _relaxed(own.scaled({ends: SLOWER})), _relaxed(full.scaled({ends: SLOWER}))
        found.append(
            Information(
                src=ends[0],
                dst=ends[1],
                used=True,
                value=CHANCE * _saved(kept, best),
                decides=kept is None and best is not None,
            )
        )
    for ends in _near_links(full, set(used)):
        best = _relaxed(full.scaled({ends: FASTER}))
        saved = CHANCE * _saved(now, best)
        found.append(Information(src=ends[0], dst=ends[1], used=False, value=saved))
    least = NOTHING * abs(now or 1.0)
    worth = [entry for entry in found if entry.decides or entry.value > least]
    return tuple(
        sorted(worth, key=lambda entry: (not entry.decides, -entry.value, entry.src, entry.dst))
    )


def _saved(kept: float | None, best: float | None) -> float:
    """What planning again saves, where both do what is asked."""
    return max(0.0, kept - best) if kept is not None and best is not None else 0.0


def _relaxed(links: Topology) -> float | None:
    """The relaxation's value for the whole transfer: USD (gCO2e), or minus Gbit/s."""
    job = links.job
    model = UnicastModel(links)
    if job.floor_gbps is None:
        usd = None if job.max_usd is None else job.max_usd / gigabits(job.size_bytes)
        most = model.fastest(usd)
        return -most.gbps if most.optimal and most.gbps > 0 else None
    found = model.cheapest(max(job.floor_gbps, ANY_GBPS) * (1 - THROUGHPUT_NOISE))
    return found.cost_per_gigabit * gigabits(job.size_bytes) if found.optimal else None


def _near_links(full: Topology, used: set[LinkEnds]) -> list[LinkEnds]:
    """Unused links on the paths that would pay least, by the relaxation's own multipliers."""
    job = full.job
    model = UnicastModel(full)
    floor = job.floor_gbps
    if floor is None:
        floor = model.fastest().gbps * 0.99
    near = model.nearly_used(max(floor, ANY_GBPS) * (1 - THROUGHPUT_NOISE))
    return [ends for ends in near if ends not in used][:MOST_UNUSED]
