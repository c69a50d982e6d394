"""What every one-to-one strategy shares: its links and the Job's objective in, a Plan out.

A strategy only says which links it may use and how far to go in whole VMs. The relaxation's bound
is proven over all links, so that every strategy states the same one for the same Job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from datasets.errors import InfeasibleJob
from datasets.units import gigabits, render_duration, render_size
from planner.certificate import Certificate
from planner.cost import egress_factors
from planner.job import Job, LinkEnds
from planner.lp.answers import Solution
from planner.lp.unicast import UnicastModel
from planner.lp.whole import Effort
from planner.paths import decompose
from planner.plan import Plan
from planner.realise import Bounds, realised
from planner.rounding import Whole, cheapest_whole, fastest_whole
from planner.topology import Topology
from planner.whole_vms import ANY_GBPS, THROUGHPUT_NOISE

# Rounding up and as much branch and bound as ends in a moment.
CERTIFIED = Effort(gap=2e-4, most_nodes=150)
# Rounding up and the local search alone: the linear programme and its ceiling.
ROUNDED_UP = Effort(gap=1.0, most_nodes=0)

# What is kept of a budget in case that whole bits make a plan dearer: at first nothing (a budget
# of exactly a plan's cost is met by that plan), then more.
BUDGET_KEPT = (-1e-10, 1e-8, 1e-6)
# Within a budget, dust may be dropped rather than carried by a path that costs more.
BUDGET_DUST = 1e-6
# Half the last decimal of a cost as it is stored.
HALF_USD_PLACE = 5e-9
# Times that egress factors are taken from a plan's volumes and planned with again.
TIER_ROUNDS = 3

_Realise = Callable[[Whole, float, Bounds], Plan]


def plan_over(
    allowed: Topology,
    full: Topology,
    *,
    strategy: str,
    effort: Effort = CERTIFIED,
    notes: tuple[str, ...] = (),
) -> Plan:
    """The Job's Plan over the links of `allowed`, bounded over those of `full`.

    Raises: InfeasibleJob, with the most that is feasible over `allowed` and what binds.
    """
    job = full.job
    solve = _Solve(allowed, full, strategy=strategy, effort=effort, notes=notes)
    if job.objective in ("cheapest", "deadline"):
        return solve.cheapest()
    if job.max_usd is None and job.max_gco2e is None:
        return solve.fastest()
    return solve.fastest_within()


def most_gbps(topology: Topology) -> float:
    """The most throughput over those links and VM limits; whole VMs reach it."""
    return UnicastModel(topology).fastest().gbps


class _Solve:
    """One Job over one strategy's links."""

    def __init__(
        self,
        allowed: Topology,
        full: Topology,
        *,
        strategy: str,
        effort: Effort,
        notes: tuple[str, ...],
    ) -> None:
        self.allowed = allowed
        self.full = full
        self.job = full.job
        self.strategy = strategy
        self.effort = effort
        self.notes = notes
        self.over_all = bool((allowed.allowed == full.allowed).all()) and not self.job.requires
        self._full_model: UnicastModel | None = None

    @property
    def full_model(self) -> UnicastModel:
        """The model over all links, built when it is first asked."""
        if self._full_model is None:
            self._full_model = UnicastModel(self.full)
        return self._full_model

    def models(self) -> Iterator[UnicastModel]:
        """A model for each set of links that the strategy plans over; one, without requirements."""
        if self.over_all:
            yield self.full_model
            return
        for links in self._sets_of_links():
            yield UnicastModel(links)

    def _sets_of_links(self) -> Iterator[Topology]:
        """Those of which some answer meets what is required; where nothing is, one."""
        if self.job.requires:
            # All of them first: if no cycle passes for a visit, nothing is better.
            yield self.allowed
        yield from self.allowed.alternatives()

    def _meets(self, flows: Mapping[LinkEnds, float]) -> bool:
        """Whether every path of the flows, cycles removed, passes what is required."""
        job = self.job
        if not job.requires:
            return True
        for path in decompose(flows, job.source, job.destination):
            links = set(pairwise(path.hops))
            if not {*job.require} <= {*path.hops} or not {*job.require_links} <= links:
                return False
        return True

    # The objectives.

    def cheapest(self) -> Plan:
        """The least cost (or carbon) at the Job's throughput or more."""
        asked = self.job.floor_gbps or 0.0
        # Far below any link's rate the goal no longer matters (cost does not fall any more), and
        # the model's numbers would span too many digits: plan for a little more than was asked.
        whole = self._cheapest_whole(max(asked, ANY_GBPS))
        if whole is None and asked < ANY_GBPS:
            whole = self._cheapest_whole(asked)
        if whole is None and self.job.max_gco2e is not None:
            # Faster is greener: the fastest plan within the ceiling may do where no other does.
            fastest = self._fastest_whole(0.0, None)
            whole = fastest if fastest is not None and fastest.gbps >= asked else None
        if whole is None:
            raise self._infeasible()
        bounds = self._cost_bounds(None if asked < ANY_GBPS else asked * (1 - THROUGHPUT_NOISE))
        if self.over_all and asked >= ANY_GBPS:
            if self.job.minimise == "usd":
                bounds = replace(bounds, usd=max(bounds.usd, self._whole_cost(whole.bound)))
            elif bounds.gco2e is not None:
                bounds = replace(bounds, gco2e=max(bounds.gco2e, self._whole_cost(whole.bound)))
        plan = self._realised(whole, asked, bounds)
        if not self.job.tiered:
            return plan
        # The model's prices are the least possible; what the volumes really pay may favour others.
        for factors in self._factors(plan):
            other = self._cheapest_whole(max(asked, ANY_GBPS), factors)
            if other is not None:
                tried = self._realised(other, asked, bounds)
                plan = min(plan, tried, key=lambda one: self._value(one))
        return plan

    def fastest(self) -> Plan:
        """The most throughput, and the least cost at it."""
        most = self.full_model.fastest()
        own = most if self.over_all else self._most()
        if own.gbps < ANY_GBPS:
            raise self._infeasible()
        floor_gbps = own.gbps * (1 - THROUGHPUT_NOISE)
        whole = self._cheapest_whole(floor_gbps)
        if whole is None:
            raise self._infeasible()
        bounds = self._cost_bounds(None)
        return self._realised(whole, floor_gbps, self._with_most(bounds, most))

    def fastest_within(self) -> Plan:
        """The most throughput within a budget or a carbon ceiling."""
        most = self.full_model.fastest(self._usd_per_gigabit())
        bounds = self._with_most(self._cost_bounds(None), most)
        found: Plan | None = None
        for factors in (None, *self._flat()):
            for kept in BUDGET_KEPT:
                whole = self._fastest_whole(kept, factors)
                if whole is None:
                    break
                if self.over_all and factors is None and bounds.gbps is not None:
                    bounds = replace(bounds, gbps=min(bounds.gbps, -whole.bound))
                # The plan's own throughput, less what rounding to bits may add: the budget comes
                # first.
                plan = self._realised(whole, whole.gbps * (1 - BUDGET_DUST), bounds)
                if self._within(plan):
                    if found is None or self._value(plan) < self._value(found):
                        found = plan
                    break
        if found is not None:
            return found
        raise self._beyond_ceilings()

    # Their parts.

    def _cheapest_whole(
        self, floor_gbps: float, factors: dict[str, float] | None = None
    ) -> Whole | None:
        found = [cheapest_whole(model, floor_gbps, self.effort) for model in self._priced(factors)]
        met = [whole for whole in found if whole is not None and self._meets(whole.flows)]
        return min(met, key=lambda whole: whole.key, default=None)

    def _fastest_whole(self, kept: float, factors: dict[str, float] | None) -> Whole | None:
        usd = self._usd_per_gigabit()
        budget = None if usd is None else usd * (1 - kept)
        found = [fastest_whole(model, budget, self.effort) for model in self._priced(factors)]
        met = [whole for whole in found if whole is not None and self._meets(whole.flows)]
        return min(met, key=lambda whole: -whole.gbps, default=None)

    def _most(self) -> Solution:
        """The most throughput over the strategy's links."""
        found = [model.fastest() for model in self.models()]
        met = [most for most in found if self._meets(most.flows)]
        return max(met, key=lambda most: most.gbps, default=found[-1])

    def _priced(self, factors: dict[str, float] | None) -> Iterator[UnicastModel]:
        if factors is None:
            yield from self.models()
            return
        for links in self._sets_of_links():
            yield UnicastModel(replace(links, egress_factors=factors))

    def _factors(self, plan: Plan) -> Iterator[dict[str, float]]:
        """Egress factors to plan with again: those that a plan's volumes pay, and the first."""
        for _ in range(TIER_ROUNDS):
            rates = {(flow.src, flow.dst): flow.gbps for flow in plan.flows}
            factors = dict.fromkeys(self.full.arrays.regions, 1.0)
            yield factors | egress_factors(self.job, rates, plan.predicted.makespan_s)
        yield from self._flat()

    def _flat(self) -> Iterator[dict[str, float]]:
        if self.job.tiered:
            yield dict.fromkeys(self.full.arrays.regions, 1.0)

    def _cost_bounds(self, goal_gbps: float | None) -> Bounds:
        """What the relaxation over all links proves of cost, and of carbon where that counts."""
        size = gigabits(self.job.size_bytes)
        proven = self.full_model.cheapest(goal_gbps)
        if self.job.minimise == "usd":
            usd = proven.bound_per_gigabit * size
            return Bounds(usd=usd, lp_usd=usd, certificates=_certificates(proven))
        dollars = UnicastModel(replace(self.full, job=replace(self.job, minimise="usd")))
        cheapest = dollars.cheapest(goal_gbps)
        usd = cheapest.bound_per_gigabit * size
        return Bounds(
            usd=usd,
            lp_usd=usd,
            gco2e=proven.bound_per_gigabit * size,
            certificates=(*_certificates(cheapest), *_certificates(proven)),
        )

    def _with_most(self, bounds: Bounds, most: Solution) -> Bounds:
        return replace(
            bounds,
            gbps=most.bound_gbps,
            certificates=(*bounds.certificates, *_certificates(most)),
        )

    def _whole_cost(self, per_gigabit: float) -> float:
        return per_gigabit * gigabits(self.job.size_bytes)

    def _usd_per_gigabit(self) -> float | None:
        most_usd = self.job.max_usd
        if most_usd is None:
            return None
        # A budget of exactly a plan's cost, as that is stored, is met by that plan.
        return (most_usd + HALF_USD_PLACE) / gigabits(self.job.size_bytes)

    def _within(self, plan: Plan) -> bool:
        usd, gco2e = plan.predicted.cost_usd.total, plan.predicted.gco2e
        if self.job.max_usd is not None and usd > self.job.max_usd + HALF_USD_PLACE:
            return False
        return self.job.max_gco2e is None or (
            gco2e is not None and gco2e <= self.job.max_gco2e * (1 + THROUGHPUT_NOISE)
        )

    def _value(self, plan: Plan) -> float:
        """What the Job asks to be small."""
        if self.job.floor_gbps is None:
            return -plan.predicted.throughput_gbps
        if self.job.minimise == "gco2e" and plan.predicted.gco2e is not None:
            return plan.predicted.gco2e
        return plan.predicted.cost_usd.total

    def _realised(self, whole: Whole, floor_gbps: float, bounds: Bounds) -> Plan:
        return realised(
            self.full,
            strategy=self.strategy,
            flows=whole.flows,
            vms=whole.vms,
            floor_gbps=floor_gbps,
            bounds=bounds,
            notes=(*self.notes, *self._effort_note(whole), *self._required_note()),
        )

    def _effort_note(self, whole: Whole) -> tuple[str, ...]:
        if self.effort.most_nodes <= CERTIFIED.most_nodes or not self.over_all:
            return ()
        value = whole.cost_per_gigabit if self.job.floor_gbps is not None else -whole.gbps
        left = (value - whole.bound) / abs(value) if value else 0.0
        relaxations = f"{whole.nodes} relaxation{'' if whole.nodes == 1 else 's'}"
        if left <= self.effort.gap:
            return (f"Proven to {self.effort.gap:g} by branch and bound, {relaxations}.",)
        return (f"Not proven in {relaxations}: {left:.2g} is left.",)

    def _required_note(self) -> tuple[str, ...]:
        if not self.job.requires:
            return ()
        return ("The bound allows for flows that only seem to pass what is required.",)

    # Answers without a plan.

    def _infeasible(self) -> InfeasibleJob:
        asked = asked_of(self.job)
        most = self._most()
        if self.job.max_gco2e is None or most.gbps < ANY_GBPS:
            return InfeasibleJob(asked=asked, most_gbps=most.gbps, binds=most.binds)
        whole = self._fastest_whole(0.0, None)
        if whole is None:
            return InfeasibleJob(asked=asked, most_gbps=0.0, binds=("max_gco2e",))
        return InfeasibleJob(asked=asked, most_gbps=whole.gbps, binds=most.binds)

    def _beyond_ceilings(self) -> InfeasibleJob:
        job = self.job
        without = replace(job, max_gco2e=None, max_usd=None, minimise="usd")
        answers = [
            UnicastModel(replace(links, job=without)) for links in self.allowed.alternatives()
        ]
        most = max((model.fastest() for model in answers), key=lambda found: found.gbps)
        asked = asked_of(job)
        if most.gbps < ANY_GBPS:
            return InfeasibleJob(asked=asked, most_gbps=most.gbps, binds=most.binds)
        if job.max_usd is not None:
            least = min(model.cheapest(None).usd_per_gigabit for model in answers)
            least_usd = least * gigabits(job.size_bytes)
            asked = f"{asked} (no plan costs less than ${least_usd:,.4f})"
        binds = [
            name
            for name, ceiling in (("max_usd", job.max_usd), ("max_gco2e", job.max_gco2e))
            if ceiling is not None
        ]
        return InfeasibleJob(asked=asked, most_gbps=0.0, binds=tuple(binds))


def _certificates(proven: Solution) -> tuple[Certificate, ...]:
    return () if proven.certificate is None else (proven.certificate,)


def asked_of(job: Job) -> str:
    """The Job in words, for the answer that it cannot be met."""
    ends = f"from {' and '.join(job.sources)} to {' and '.join(job.destinations)}"
    what = f"{render_size(job.size_bytes)} {ends}"
    if job.goal_gbps is not None:
        what = f"{what} at {job.goal_gbps:g} Gbit/s"
    elif job.deadline_s is not None:
        within = f"{render_duration(job.deadline_s)} ({job.floor_gbps:.4g} Gbit/s)"
        what = f"{what} within {within}"
    elif job.max_usd is not None:
        what = f"{what} for at most ${job.max_usd:,.2f}"
    if job.max_gco2e is not None:
        what = f"{what} at no more than {job.max_gco2e:g} gCO2e"
    return what
