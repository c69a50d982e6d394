"""What every strategy over trees shares: a choice of trees in, the Job's objective, a Plan out.

A strategy only says which trees it may use: one a source, fixed, or any. The bound is proven over
all trees, so that every strategy states the same one for the same Job. Works for one destination
(trees are then paths), for several, for several sources, and for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from datasets.errors import InfeasibleJob, UnsupportedJob
from datasets.matrix import Matrix
from datasets.units import gigabits
from planner.broadcast_whole import WholeTrees, cheapest_whole_trees, fastest_whole_trees
from planner.job import Job
from planner.lp.multicast import TIE_USD, Multicast, MulticastModel
from planner.plan import Plan
from planner.realise import Bounds
from planner.realise_trees import RatedTree, realised_trees
from planner.steiner import MOST_TERMINALS
from planner.topology import Topology, topology_of_any
from planner.trees import Edges, spanning_tree, star
from planner.unicast import asked_of
from planner.whole_vms import ANY_GBPS, THROUGHPUT_NOISE

# As in `unicast.py`: what is kept of a budget in case that whole bits make a plan dearer.
BUDGET_KEPT = (-1e-10, 1e-8, 1e-6)
BUDGET_DUST = 1e-6
HALF_USD_PLACE = 5e-9

# One tree of each source, by positions in the model's regions; None where there is none.
Choice = Callable[[MulticastModel], tuple[Edges, ...] | None]


def plan_trees(
    matrix: Matrix, job: Job, *, strategy: str, choices: Sequence[Choice], any_tree: bool
) -> Plan:
    """The Job's Plan over the trees of one of `choices`, or (`any_tree`) over any, them included.

    Raises: InfeasibleJob, with the most that is feasible so and what binds; UnsupportedJob for
    what trees are not planned with: required regions or links, and carbon.
    """
    _refuse_unsupported(job)
    topology = topology_of_any(matrix, job)
    full = MulticastModel(topology)
    models = []
    for choice in choices:
        trees = choice(full)
        if trees is not None:
            models.append(_fixed(topology, full, trees))
    solve = _Solve(full, strategy=strategy, models=models, any_tree=any_tree)
    if job.objective in ("cheapest", "deadline"):
        return solve.cheapest()
    return solve.fastest() if job.max_usd is None else solve.fastest_within()


def direct_links(model: MulticastModel) -> tuple[Edges, ...] | None:
    """Each source's direct links."""
    found = [star(model.weights, d.root, d.terminals) for d in model.demands]
    return _all(found)


def spanning_trees(model: MulticastModel) -> tuple[Edges, ...] | None:
    """Each source's cheapest tree by egress over its destinations alone, fast links first."""
    weights = model.weights + TIE_USD / model.gbps
    return _all([spanning_tree(weights, d.root, d.terminals) for d in model.demands])


def steiner_trees(model: MulticastModel) -> tuple[Edges, ...] | None:
    """Each source's cheapest tree by egress through any region, fast links first."""
    return model.steiner_trees()


def _all(found: Sequence[Edges | None]) -> tuple[Edges, ...] | None:
    trees = [edges for edges in found if edges is not None]
    return tuple(trees) if len(trees) == len(found) else None


def _fixed(topology: Topology, full: MulticastModel, trees: Sequence[Edges]) -> MulticastModel:
    """A model of those trees alone."""
    names = full.regions
    pairs = {(names[src], names[dst]) for edges in trees for src, dst in edges}
    model = MulticastModel(topology.on(sorted(pairs)), fixed_trees=True)
    model.add_trees(
        [tuple((model.at[names[i]], model.at[names[j]]) for i, j in edges) for edges in trees]
    )
    return model


def _refuse_unsupported(job: Job) -> None:
    if job.requires:
        raise UnsupportedJob("Trees are not planned through required regions or links.")
    if job.minimise == "gco2e" or job.max_gco2e is not None:
        raise UnsupportedJob("Trees are planned for cost and throughput, not for carbon.")
    if job.max_usd is not None and (job.tiered or job.provisioning):
        raise UnsupportedJob(
            "A cost ceiling over trees counts neither volume tiers nor provisioning; leave one out."
        )


class _Solve:
    """One Job over one strategy's trees."""

    def __init__(
        self,
        full: MulticastModel,
        *,
        strategy: str,
        models: Sequence[MulticastModel],
        any_tree: bool,
    ) -> None:
        self.full = full
        self.job = full.topology.job
        self.strategy = strategy
        self.models = models
        self.any_tree = any_tree

    # The objectives.

    def cheapest(self) -> Plan:
        """The least cost at the Job's throughput or more."""
        asked = self.job.floor_gbps or 0.0
        # The bound first: from a model that has not been asked anything, every strategy gets the
        # same one to the last digit.
        bounds = self._bounds(None if asked < ANY_GBPS else asked * (1 - THROUGHPUT_NOISE))
        # As in `unicast.py`: far below any link's rate the goal no longer matters.
        whole = self._cheapest_whole(max(asked, ANY_GBPS))
        if whole is None and asked < ANY_GBPS:
            whole = self._cheapest_whole(asked)
        if whole is None:
            raise self._infeasible()
        return self._realised(whole, asked, bounds)

    def fastest(self) -> Plan:
        """The most throughput, and the least cost at it."""
        bounds = self._bounds(None, self.full.fastest().bound_gbps)
        own = self._most()
        if own.gbps < ANY_GBPS:
            raise self._infeasible()
        floor_gbps = own.gbps * (1 - THROUGHPUT_NOISE)
        whole = self._cheapest_whole(floor_gbps)
        if whole is None:
            raise self._infeasible()
        return self._realised(whole, floor_gbps, bounds)

    def fastest_within(self) -> Plan:
        """The most throughput that the budget pays for."""
        budget_usd = self.job.max_usd or 0.0
        usd_per_gigabit = budget_usd / gigabits(self.job.size_bytes)
        most = self.full.fastest(usd_per_gigabit)
        bounds = self._bounds(None, most.bound_gbps if most.optimal else None)
        for kept in BUDGET_KEPT:
            whole = self._fastest_whole(usd_per_gigabit * (1 - kept))
            if whole is None:
                break
            plan = self._realised(whole, whole.gbps * (1 - BUDGET_DUST), bounds)
            if plan.predicted.cost_usd.total <= budget_usd + HALF_USD_PLACE:
                return plan
        least = min(
            (model.cheapest(None).usd_per_gigabit for model in self._own_models()),
            default=np.inf,
        )
        if not np.isfinite(least) or self._most().gbps < ANY_GBPS:
            raise self._infeasible()
        least_usd = least * gigabits(self.job.size_bytes)
        asked = f"{asked_of(self.job)} (none costs less than ${least_usd:,.4f})"
        raise InfeasibleJob(asked=asked, most_gbps=0.0, binds=("max_usd",))

    # Their parts.

    def _own_models(self) -> list[MulticastModel]:
        return [*self.models, *([self.full] if self.any_tree else [])]

    def _cheapest_whole(self, floor_gbps: float) -> WholeTrees | None:
        found = [
            whole
            for model in self.models
            if (whole := cheapest_whole_trees(model, floor_gbps)) is not None
        ]
        if self.any_tree:
            # Begins from the others' plans, and is no dearer than any of them.
            best = cheapest_whole_trees(self.full, floor_gbps, found)
            found += [best] if best is not None else []
        return min(found, key=lambda whole: whole.key, default=None)

    def _fastest_whole(self, usd_per_gigabit: float) -> WholeTrees | None:
        found = [
            whole
            for model in self.models
            if (whole := fastest_whole_trees(model, usd_per_gigabit)) is not None
        ]
        if self.any_tree:
            best = fastest_whole_trees(self.full, usd_per_gigabit, found)
            found += [best] if best is not None else []
        return min(found, key=lambda whole: (-whole.gbps, whole.usd_per_gigabit), default=None)

    def _most(self) -> Multicast:
        found = [model.fastest() for model in self._own_models()]
        return max(found, key=lambda most: most.gbps, default=Multicast(optimal=False))

    def _bounds(self, goal_gbps: float | None, most_gbps: float | None = None) -> Bounds:
        """What is proven over all trees."""
        proven = self.full.cheapest(goal_gbps, sharpen=True)
        usd = proven.bound_usd_per_gigabit * gigabits(self.job.size_bytes)
        return Bounds(usd=usd, lp_usd=usd, gbps=most_gbps)

    def _realised(self, whole: WholeTrees, floor_gbps: float, bounds: Bounds) -> Plan:
        sources = self.job.sources
        exact = all(demand.can_be_exact for demand in self.full.demands)
        note = f"More than {MOST_TERMINALS} destinations: trees by a heuristic, a weaker bound."
        return realised_trees(
            self.full.topology,
            strategy=self.strategy,
            trees=[
                RatedTree(
                    source=sources[share.source], edges=share.edges, gbps=share.share * whole.gbps
                )
                for share in whole.shares
            ],
            vms=whole.vms,
            floor_gbps=floor_gbps,
            bounds=bounds,
            notes=() if exact else (note,),
        )

    def _infeasible(self) -> InfeasibleJob:
        most = self._most()
        binds = most.binds
        if most.gbps < ANY_GBPS:
            why = self.full.nothing_moves() or (f"no {self.strategy} tree",)
            return InfeasibleJob(asked=asked_of(self.job), most_gbps=0.0, binds=why)
        return InfeasibleJob(asked=asked_of(self.job), most_gbps=most.gbps, binds=binds)
