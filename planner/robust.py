"""One plan for several epochs: the VMs are decided once, their flows anew in each epoch.

Figures change between the measurement and the transfer. VMs are what is committed first; bytes
then go where there is capacity. So: one set of whole VMs, judged in every epoch by the best flows
over the links among them, against what the best plan for that epoch alone would have done. The
worst of these regrets (or their quantile) is made least: the relaxation of `lp/robust.py` bounds
it from below; its VMs rounded up, every epoch's own VMs and their unions are starts of a local
search. So the answer is never worse than any single epoch's plan.

Regret is relative: cost over the best cost, less 1 (a goal, a deadline, or the fastest: then every
epoch must reach its own most); where a budget is given, the share of throughput that is lost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from datasets.errors import InfeasibleJob, InputError, UnsupportedJob
from datasets.matrix import Matrix, RegionVm
from datasets.power import gco2e_per_vm_hour
from datasets.units import gigabits, usd_per_s_of_vm
from planner.cost import predict, seconds_before
from planner.job import Job, LinkEnds
from planner.lp.robust import EpochTerms, relaxed_ratio
from planner.lp.unicast import UnicastModel
from planner.plan import Plan
from planner.realise import Bounds, gap_of, realised, without_noise
from planner.robust_search import Judged, searched, whole_starts
from planner.topology import Topology, topology
from planner.unicast import plan_over
from planner.whole_vms import Vms

# A floor this share below what was asked still meets it; realising adds the missing bits.
FLOOR_NOISE = 1e-9
# A throughput that no plan goes below (1 Mbit/s), as in `unicast.py`.
ANY_GBPS = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRegret:
    """How the plan's VMs do in one epoch, for the whole Job; infinite where it misses its floor.

    `usd` and `gbps` are with the best flows among the VMs, `best_usd` and `best_gbps` those of the
    best plan for this epoch alone. `regret_on_links` is over the Plan's own links only. `counted`:
    not left out by the quantile. `alone_regret` is the worst regret, over the counted epochs, of
    the best plan for this epoch alone, and `alone_reach` the least share of a floor that it reaches
    in them.
    """

    epoch: str
    counted: bool
    usd: float
    gbps: float
    best_usd: float
    best_gbps: float
    regret: float
    regret_on_links: float
    alone_regret: float
    alone_reach: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustAnswer:
    """The Plan, on the first Matrix; its regrets; and what robustness costs there.

    `worst_regret` is over the counted epochs, `least_regret` a proven lower bound of it for any
    set of VMs (0 where nothing better is proven). `price_of_robustness` is the Plan's cost over
    that of `overlay` on its own Matrix, less 1 (the share of throughput lost, under a budget).
    `left_out` names epochs in which the Job is infeasible, with the most Gbit/s there.
    """

    plan: Plan
    epochs: tuple[EpochRegret, ...]
    worst_regret: float
    least_regret: float
    price_of_robustness: float
    left_out: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Epoch:
    """One Matrix as a candidate future: `best` is the plan for it alone."""

    name: str
    topology: Topology
    floor_gbps: float
    best: Plan

    @property
    def best_usd_per_gigabit(self) -> float:
        return self.best.predicted.cost_usd.total / gigabits(self.best.job.size_bytes)


def robust_over(
    matrices: Sequence[Matrix], job: Job, *, quantile: float | None = None
) -> RobustAnswer:
    """The robust Plan on `matrices[0]`, the others being what the figures might be instead.

    VMs stand in regions of the first Matrix only. With `quantile` q the ⌈q·n⌉-th smallest of n
    regrets is made least: every choice of that many epochs is tried. The Job must be feasible on
    the first Matrix; where it is not on another, that one is left out and named.
    Raises: InfeasibleJob; InputError for a quantile outside 0..1; UnsupportedJob for a Job about
    carbon, with volume tiers, or with required regions or links.
    """
    if quantile is not None and not 0 < quantile <= 1:
        raise InputError(f"The quantile is {quantile:g}; it must be above 0 and at most 1.")
    if job.minimise != "usd" or job.max_gco2e is not None or job.requires or job.tiered:
        raise UnsupportedJob(
            "robust plans for cost at first-tier prices and for throughput: leave out carbon, "
            "volume tiers, and required regions and links."
        )
    epochs, left_out = _epochs(matrices, job)
    count = len(epochs) if quantile is None else math.ceil(quantile * len(epochs))
    found = None
    for chosen in combinations(range(len(epochs)), count):
        answer = _over(epochs, chosen)
        if found is None or _better_choice(answer, found):
            found = answer
    if found is None:
        raise InputError("There is no epoch to plan for.")
    return _answer(epochs, found, left_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decision:
    """The VMs found for one choice of epochs, and the bound of that choice."""

    chosen: tuple[int, ...]
    judged: Judged
    least_regret: float


def _better_choice(one: _Decision, other: _Decision) -> bool:
    return (one.judged.worst, one.judged.home_usd) < (other.judged.worst, other.judged.home_usd)


def _epochs(
    matrices: Sequence[Matrix], job: Job
) -> tuple[list[_Epoch], tuple[tuple[str, float], ...]]:
    """The first Matrix and the feasible others, each with the best plan for it alone."""
    home = matrices[0].region_ids
    epochs, left_out = [], []
    for matrix in matrices:
        full = topology(matrix, _job_on(matrix, job)).among(
            [region for region in home if region in set(matrix.region_ids)]
        )
        try:
            best = plan_over(full, full, strategy="overlay")
        except InfeasibleJob as error:
            if matrix is matrices[0]:
                raise
            left_out.append((matrix.epoch, error.most_gbps))
            continue
        asked = job.floor_gbps
        most = best.predicted.throughput_gbps
        floor = max(ANY_GBPS, most if asked is None else min(asked, most)) * (1 - FLOOR_NOISE)
        epochs.append(_Epoch(name=matrix.epoch, topology=full, floor_gbps=floor, best=best))
    return epochs, tuple(left_out)


def _job_on(matrix: Matrix, job: Job) -> Job:
    """The Job without limits on regions that the Matrix does not have."""
    known = set(matrix.region_ids)
    return replace(
        job,
        quotas={region: n for region, n in job.quotas.items() if region in known},
        forbid=tuple(region for region in job.forbid if region in known),
        within=tuple(region for region in job.within if region in known),
        forbid_links=tuple(ends for ends in job.forbid_links if known.issuperset(ends)),
    )


def _over(epochs: Sequence[_Epoch], chosen: tuple[int, ...]) -> _Decision:
    """The VMs of least worst regret over the chosen epochs, feasible on the first one too."""
    home = epochs[0].topology
    counted = [epochs[at] for at in chosen]
    needed = counted if 0 in chosen else [epochs[0], *counted]
    starts: list[Vms] = [epoch.best.vms for epoch in needed]
    least = 0.0
    if home.job.max_usd is None and len(needed) > 1:
        hourly = {region: home.vm(region).usd_per_hour for region in home.limits}
        likely = frozenset(region for start in starts for region in start)
        terms = [_terms(epoch, likely) for epoch in counted]
        relaxed = relaxed_ratio(terms, hourly, home.limits)
        if relaxed is not None:
            least = max(0.0, relaxed.ratio - 1)
            starts += whole_starts(relaxed.vms, home.limits)
    starts.append(_union(starts[: len(needed)]))
    models = {epoch.name: _small(epoch, starts) for epoch in needed}

    def judge(vms: Vms) -> Judged:
        missing, worst, home_usd = 0.0, 0.0, math.inf
        for at, epoch in enumerate(needed):
            usd, gbps = _with(models[epoch.name], epoch, vms, home)
            if at == 0:
                home_usd = usd
            if math.isinf(usd):
                missing += max(FLOOR_NOISE, 1 - gbps / epoch.floor_gbps)
            elif at > 0 or 0 in chosen:
                worst = max(worst, _regret(epoch, usd, gbps))
        return Judged(vms=vms, missing=missing, worst=worst, home_usd=home_usd)

    best = searched(starts, judge, home.limits, {home.source, home.destination})
    return _Decision(chosen=chosen, judged=best, least_regret=min(least, best.worst))


def _terms(epoch: _Epoch, likely: frozenset[str]) -> EpochTerms:
    most = UnicastModel(epoch.topology).fastest().gbps
    return EpochTerms(
        topology=epoch.topology,
        floor_gbps=epoch.floor_gbps,
        most_gbps=max(most, epoch.floor_gbps),
        best_usd_per_gigabit=epoch.best_usd_per_gigabit,
        likely=likely,
    )


def _small(epoch: _Epoch, starts: Sequence[Vms]) -> UnicastModel:
    """A model of only the regions that a start uses."""
    used = {region for start in starts for region in start if region in epoch.topology.limits}
    return _whole_model(epoch.topology.among(used))


def _whole_model(links: Topology) -> UnicastModel:
    """A model that holds every link from the start: with fixed VMs none is taken in later."""
    return UnicastModel(links, few_links=len(links.links))


def _with(model: UnicastModel, epoch: _Epoch, vms: Vms, home: Topology) -> tuple[float, float]:
    """USD a gigabit and Gbit/s of those VMs in the epoch; infinite cost where it falls short.

    VMs in a region that the epoch did not measure stand idle there, and are paid.
    """
    job = epoch.topology.job
    there = {region: n for region, n in vms.items() if region in model.topology.limits}
    if job.max_usd is None:
        found = model.cheapest_with(there, epoch.floor_gbps)
        if not found.optimal:
            return math.inf, model.fastest_with(there).gbps
    else:
        found = model.fastest_with(there, job.max_usd / gigabits(job.size_bytes))
        if not found.optimal or found.gbps < ANY_GBPS:
            return math.inf, 0.0
    idle = math.fsum(
        count * usd_per_s_of_vm(home.vm(region).usd_per_hour)
        for region, count in vms.items()
        if region not in there
    )
    return found.usd_per_gigabit + idle / found.gbps, found.gbps


def _regret(epoch: _Epoch, usd_per_gigabit: float, gbps: float) -> float:
    """Never negative: the best plan known may be beaten by what a VM more is worth."""
    if epoch.topology.job.max_usd is None:
        return max(0.0, usd_per_gigabit / epoch.best_usd_per_gigabit - 1)
    return max(0.0, 1 - gbps / epoch.best.predicted.throughput_gbps)


def _regret_and_reach(epoch: _Epoch, vms: Vms, home: Topology) -> tuple[float, float]:
    """The regret of those VMs in the epoch, and the share of its floor that they reach."""
    usd, gbps = _with(_small(epoch, [vms]), epoch, vms, home)
    regret = math.inf if math.isinf(usd) else _regret(epoch, usd, gbps)
    return regret, min(1.0, gbps / epoch.floor_gbps)


def _union(starts: Sequence[Vms]) -> Vms:
    """The most of each region's VMs: feasible wherever one of them is."""
    regions = sorted({region for start in starts for region in start})
    return {region: max(start.get(region, 0) for start in starts) for region in regions}


# Emitting.


def _answer(
    epochs: Sequence[_Epoch], found: _Decision, left_out: tuple[tuple[str, float], ...]
) -> RobustAnswer:
    home, vms = epochs[0], found.judged.vms
    plan = _emitted(home, vms, ())
    used = {(link.src, link.dst) for link in plan.links}
    rows = []
    counted = [epochs[at] for at in found.chosen]
    for at, epoch in enumerate(epochs):
        alone = [_regret_and_reach(each, epoch.best.vms, home.topology) for each in counted]
        usd, gbps = _with(_small(epoch, [vms]), epoch, vms, home.topology)
        own = _whole_model(epoch.topology.only(lambda link: (link.src, link.dst) in used))
        own_usd, own_gbps = _with(own, epoch, vms, home.topology)
        total = gigabits(home.best.job.size_bytes)
        rows.append(
            EpochRegret(
                epoch=epoch.name,
                counted=at in found.chosen,
                usd=usd * total,
                gbps=gbps,
                best_usd=epoch.best.predicted.cost_usd.total,
                best_gbps=epoch.best.predicted.throughput_gbps,
                regret=math.inf if math.isinf(usd) else _regret(epoch, usd, gbps),
                regret_on_links=math.inf
                if math.isinf(own_usd)
                else _regret(epoch, own_usd, own_gbps),
                alone_regret=max(regret for regret, _ in alone),
                alone_reach=min(reach for _, reach in alone),
            )
        )
    answer = RobustAnswer(
        plan=plan,
        epochs=tuple(rows),
        worst_regret=max((row.regret for row in rows if row.counted), default=0.0),
        least_regret=found.least_regret,
        price_of_robustness=_price(plan, home.best),
        left_out=left_out,
    )
    return replace(answer, plan=_emitted(home, vms, _notes(answer)))


def _price(plan: Plan, best: Plan) -> float:
    if plan.job.max_usd is None:
        return plan.predicted.cost_usd.total / best.predicted.cost_usd.total - 1
    return 1 - plan.predicted.throughput_gbps / best.predicted.throughput_gbps


def _emitted(home: _Epoch, vms: Vms, notes: tuple[str, ...]) -> Plan:
    """The Plan on the first Matrix: the best flows of the VMs there, idle VMs included."""
    job, full, best = home.topology.job, home.topology, home.best
    model = _small(home, [vms])
    if job.max_usd is None:
        found = model.cheapest_with(vms, home.floor_gbps)
        floor = job.floor_gbps or home.floor_gbps
    else:
        found = model.fastest_with(vms, job.max_usd / gigabits(job.size_bytes))
        floor = found.gbps * (1 - 1e-6)
    bounds = Bounds(
        usd=best.bound_usd,
        lp_usd=best.bound_lp_usd,
        gbps=best.bound_gbps,
        gco2e=best.bound_gco2e,
        certificates=best.certificates,
    )
    plan = realised(
        full,
        strategy="robust",
        flows=found.flows,
        vms=vms,
        floor_gbps=floor,
        bounds=bounds,
        notes=notes,
    )
    return _with_idle(plan, full, vms, bounds)


def _with_idle(plan: Plan, full: Topology, vms: Vms, bounds: Bounds) -> Plan:
    """The Plan with the VMs that carry nothing on this Matrix: they are decided, and paid."""
    idle = sorted(set(vms) - set(plan.vms))
    if not idle:
        return plan
    regions = tuple(
        sorted(
            (*plan.regions, *(RegionVm(id=region, vm=full.vm(region)) for region in idle)),
            key=lambda entry: entry.id,
        )
    )
    rates: dict[LinkEnds, float] = {(flow.src, flow.dst): flow.gbps for flow in plan.flows}
    predicted = predict(
        plan.job,
        gbps=plan.predicted.throughput_gbps,
        rates=rates,
        vms=vms,
        regions=regions,
        links=plan.links,
    )
    named = ", ".join(f"{region} ({vms[region]})" for region in idle)
    return replace(
        plan,
        predicted=predicted,
        gap=gap_of(without_noise(bounds, predicted), predicted),
        vms=dict(sorted(vms.items())),
        regions=regions,
        gco2e_per_vm_hour=_known_carbon(regions),
        provisioning_s={r: seconds_before(plan.job, r) for r in sorted(vms)}
        if plan.job.provisioning
        else {},
        notes=(*plan.notes, f"Idle on these figures, kept for others: {named}."),
    )


def _known_carbon(regions: Sequence[RegionVm]) -> dict[str, float]:
    """Grams an hour of a VM of each region; empty where one is not known, as for any Plan."""
    hourly = {entry.id: gco2e_per_vm_hour(entry.id, entry.vm.vcpus) for entry in regions}
    known = {region: figure for region, figure in hourly.items() if figure is not None}
    return known if len(known) == len(hourly) else {}


def _notes(answer: RobustAnswer) -> tuple[str, ...]:
    """What the Plan says of itself: regret in each epoch, and the price of robustness."""
    counted = sum(row.counted for row in answer.epochs)
    of = f"Robust over {counted} of {len(answer.epochs)} epochs"
    if answer.plan.job.max_usd is None:
        found = [
            f"{of}: cost above the best at most {answer.worst_regret:.2%}; no set of VMs has less "
            f"than {answer.least_regret:.2%}."
        ]
    else:
        found = [f"{of}: throughput lost at most {answer.worst_regret:.2%}; no bound is proven."]
    for row in answer.epochs:
        figures = (
            f"${row.usd:,.2f} at {row.gbps:.4g} Gbit/s, regret {row.regret:.2%}"
            if math.isfinite(row.regret)
            else f"falls short at {row.gbps:.4g} Gbit/s"
        )
        own = (
            f"{row.regret_on_links:.2%} over this plan's own links"
            if math.isfinite(row.regret_on_links)
            else "falls short over this plan's own links"
        )
        aside = "" if row.counted else " (left out by the quantile)"
        found.append(f"{row.epoch}{aside}: {figures}; {own}.")
    found.append(f"Price of robustness on these figures: {answer.price_of_robustness:.2%}.")
    found += [
        f"{epoch}: the job is infeasible there (at most {most:.4g} Gbit/s); left out."
        for epoch, most in answer.left_out
    ]
    return tuple(found)
