"""What every one-to-one strategy shares: its links and the Job's objective in, a Plan out.

A strategy only says which links it may use. The bound is proven over all of them, so that every
strategy states the same one for the same Job.
"""

from __future__ import annotations

from collections.abc import Callable

from datasets.errors import InfeasibleJob
from datasets.units import gigabits, render_duration, render_size
from planner.job import Job
from planner.lp.unicast import Solution, UnicastModel
from planner.plan import Plan
from planner.realise import Bounds, realised
from planner.rounding import (
    ANY_GBPS,
    THROUGHPUT_NOISE,
    Whole,
    cheapest_whole,
    fastest_whole,
)
from planner.topology import Topology

# What is kept of a budget in case that whole bits make a plan dearer: at first nothing (a budget
# of exactly a plan's cost is met by that plan), then more.
BUDGET_KEPT = (-1e-10, 1e-8, 1e-6)
# Within a budget, dust may be dropped rather than carried by a path that costs more.
BUDGET_DUST = 1e-6
# Half the last decimal of a cost as it is stored.
HALF_USD_PLACE = 5e-9

_Realise = Callable[[Whole, float, Bounds], Plan]


def plan_over(
    allowed: Topology, full: Topology, *, strategy: str, notes: tuple[str, ...] = ()
) -> Plan:
    """The Job's Plan over the links of `allowed`, bounded over those of `full`.

    Raises: InfeasibleJob, with the most that is feasible over `allowed` and what binds.
    """
    solve = {"max_usd": _within_budget, "fastest": _fastest}.get(full.job.objective, _cheapest)

    def realise(whole: Whole, floor_gbps: float, bounds: Bounds) -> Plan:
        return realised(
            full,
            strategy=strategy,
            flows=whole.flows,
            vms=whole.vms,
            floor_gbps=floor_gbps,
            bounds=bounds,
            notes=notes,
        )

    return solve(allowed, full, realise)


def most_gbps(topology: Topology) -> float:
    """The most throughput over those links and VM limits; whole VMs reach it."""
    return UnicastModel(topology).fastest().gbps


def _cheapest(allowed: Topology, full: Topology, realise: _Realise) -> Plan:
    job = full.job
    floor_gbps = job.floor_gbps or 0.0
    # Far below any link's rate the goal no longer matters (cost does not fall any more), and the
    # model's numbers would span too many digits: plan for a little more than was asked.
    whole = cheapest_whole(allowed, max(floor_gbps, ANY_GBPS))
    if whole is None and floor_gbps < ANY_GBPS:
        whole = cheapest_whole(allowed, floor_gbps)
    if whole is None:
        raise _infeasible(job, _asked(job), UnicastModel(allowed).fastest())
    asked = None if floor_gbps < ANY_GBPS else floor_gbps * (1 - THROUGHPUT_NOISE)
    proven = UnicastModel(full).cheapest(asked)
    return realise(whole, floor_gbps, Bounds(usd=_usd(job, proven)))


def _fastest(allowed: Topology, full: Topology, realise: _Realise) -> Plan:
    job = full.job
    model = UnicastModel(full)
    most = model.fastest()
    own = most if allowed.links == full.links else UnicastModel(allowed).fastest()
    if own.gbps < ANY_GBPS:
        raise _infeasible(job, _asked(job), own)
    floor_gbps = own.gbps * (1 - THROUGHPUT_NOISE)
    whole = cheapest_whole(allowed, floor_gbps)
    if whole is None:
        raise _infeasible(job, _asked(job), own)
    bounds = Bounds(usd=_usd(job, model.cheapest(None)), gbps=most.gbps)
    return realise(whole, floor_gbps, bounds)


def _within_budget(allowed: Topology, full: Topology, realise: _Realise) -> Plan:
    job = full.job
    budget_usd = job.max_usd or 0.0
    usd_per_gigabit = budget_usd / gigabits(job.size_bytes)
    model = UnicastModel(full)
    bounds = Bounds(usd=_usd(job, model.cheapest(None)), gbps=model.fastest(usd_per_gigabit).gbps)
    for kept in BUDGET_KEPT:
        whole = fastest_whole(allowed, usd_per_gigabit * (1 - kept))
        if whole is None:
            break
        # The plan's own throughput, less what rounding to bits may add: the budget comes first.
        plan = realise(whole, whole.gbps * (1 - BUDGET_DUST), bounds)
        if plan.predicted.cost_usd.total <= budget_usd + HALF_USD_PLACE:
            return plan
    own = UnicastModel(allowed)
    least, most = own.cheapest(None), own.fastest()
    if not least.optimal or most.gbps < ANY_GBPS:
        raise _infeasible(job, _asked(job), most)
    least_usd = least.usd_per_gigabit * gigabits(job.size_bytes)
    asked = f"{_asked(job)} (no plan costs less than ${least_usd:,.4f})"
    raise InfeasibleJob(asked=asked, most_gbps=0.0, binds=("max_usd",))


def _usd(job: Job, proven: Solution) -> float:
    return proven.bound_usd_per_gigabit * gigabits(job.size_bytes)


def _infeasible(job: Job, asked: str, most: Solution) -> InfeasibleJob:
    return InfeasibleJob(asked=asked, most_gbps=most.gbps, binds=most.binds)


def _asked(job: Job) -> str:
    what = f"{render_size(job.size_bytes)} from {job.source} to {job.destination}"
    if job.goal_gbps is not None:
        return f"{what} at {job.goal_gbps:g} Gbit/s"
    if job.deadline_s is not None:
        return f"{what} within {render_duration(job.deadline_s)} ({job.floor_gbps:.4g} Gbit/s)"
    if job.max_usd is not None:
        return f"{what} for at most ${job.max_usd:,.2f}"
    return what
