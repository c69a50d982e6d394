"""Spread the partitions of a Cloudcast job over trees, so that caps bite less; and a bound.

    relaxation over all trees ─► sets of relays, by search ─► trees of each ─► whole partitions
        (its bound)              (a relaxation each)          (near its optimum)   (CP-SAT)

The relaxation has continuous shares of trees, VM time w_r of each relay, 0 <= w_r <= t, and
caps by volume: what leaves a region takes at least volume / cap seconds of it, whatever the links,
since the rates that the rule leaves add up to no more than the cap. A relay that carries a share
z of the partitions is paid for at least z of the least time that any plan takes. So its optimum is
a bound on every plan under the rule, less what rounding to 10 ms may take off;
`planner/lp/tree_columns.py` proves it from the rents.
Nothing here knows the five jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from datasets.errors import InputError
from experiments.cloudcast_score import BroadcastJob, Figures, Network, Score, figures, score
from planner.lp.spread import Spreading, spread
from planner.lp.tree_columns import Demand, TreeAnswer, TreeModel, cheapest_tree
from planner.trees import Edges, Floats, parents_first

# Trees drawn near a relaxation's optimum: links dearer by up to such shares of the VM time's cost a
# partition.
NOISES = (0.05, 0.3, 1.0)
TREES_A_NOISE = 25
# Relays that the local search may try, those that good trees use most.
MOST_RELAYS = 14
# Sets of relays that are spread over, best relaxation first, and CP-SAT's effort on each.
SETS_SPREAD = 4
EFFORT_S = 0.4
# Of trees of equal price, those of fast links: a Gbit's seconds count for so many dollars.
TIE_USD = 1e-7
# Times are rounded to 10 ms, so by at most half of that.
ROUNDING_S = 0.005
# An improvement smaller than this share is noise.
LEAST_IMPROVEMENT = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A tree a partition with its score, and what no plan of the job can cost less than."""

    trees: tuple[Edges, ...]
    score: Score
    bound_usd: float


class Search:
    """One job on the network: its relaxations and its best plan so far."""

    def __init__(self, job: BroadcastJob, world: Network) -> None:
        self.job = job
        self.world = world
        self.figures: Figures = figures(job, world)
        self.source = world.at(job.source)
        self.terminals = tuple(sorted(world.at(region) for region in job.destinations))
        self.ends = frozenset({self.source, *self.terminals})
        self.usd: Floats = world.usd_per_gb * job.partition_gb
        with np.errstate(divide="ignore"):
            slowness = np.where(world.sent_gbps > 0, 1.0 / world.sent_gbps, 0.0)
        self.tie: Floats = TIE_USD * slowness
        self.best: tuple[Edges, ...] = ()
        self.best_score = Score(egress_usd=np.inf, vm_usd=0.0, seconds=0.0)
        self._sets: dict[frozenset[int], _Relaxed] = {}

    def offer(self, trees: Sequence[Edges]) -> None:
        """Take a plan if it is the best so far."""
        found = score(self.job, trees, self.world)
        if found.total_usd < self.best_score.total_usd * (1 - LEAST_IMPROVEMENT):
            self.best, self.best_score = tuple(trees), found

    def relaxed(self, relays: frozenset[int] | None) -> _Relaxed:
        """The relaxation over all regions, or over the ends and `relays`, all paid for."""
        if relays is None:
            return _relax(self, None)
        if relays not in self._sets:
            self._sets[relays] = _relax(self, relays)
        return self._sets[relays]

    @property
    def least_s(self) -> float:
        """Seconds that any plan takes: everything leaves the source and enters each destination."""
        gigabits = self.job.partitions * self.job.partition_gigabits
        narrowest = min(
            float(self.figures.out_gbps[self.source]),
            *(float(self.figures.in_gbps[region]) for region in self.terminals),
        )
        return gigabits / narrowest

    @property
    def most_s(self) -> float:
        """Seconds beyond which no plan is as cheap as the best so far."""
        rate = self.job.usd_per_region_s * len(self.ends)
        return min(self.slow_s, self.best_score.total_usd / rate) if rate > 0 else self.slow_s

    @property
    def slow_s(self) -> float:
        """Seconds that are enough for any plan."""
        slowest = min(
            float(self.figures.rate_gbps[self.figures.rate_gbps > 0].min()),
            float(self.figures.out_gbps.min()),
            float(self.figures.in_gbps.min()),
        )
        gigabits = self.job.partitions * self.job.partition_gigabits
        return len(self.world.regions) * gigabits / slowest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Relaxed:
    """A relaxation's optimum and bound (USD), its trees, and what a tree pays on each link."""

    usd: float
    bound_usd: float
    trees: tuple[Edges, ...]
    paid: Floats
    vm_usd: float

    @property
    def feasible(self) -> bool:
        return bool(np.isfinite(self.usd))


def solve(job: BroadcastJob, world: Network) -> Found:
    """The best plan found for a job, with its bound.

    Raises: InputError if no path leads to a destination; UnknownName for a region.
    """
    search = Search(job, world)
    demand = Demand(root=search.source, terminals=search.terminals, amount=1.0)
    for weights in (search.usd + search.tie, search.usd):
        tree = cheapest_tree(weights, demand)
        if tree is not None:
            search.offer([tree.edges] * job.partitions)
    if not search.best:
        raise InputError(f"{job.name}: no path leads to some destination.")
    whole = search.relaxed(None)
    sets = _sets_of_relays(search, whole)
    for relays in sets[:SETS_SPREAD]:
        relaxed = search.relaxed(relays)
        if relaxed.bound_usd < search.best_score.total_usd * (1 - LEAST_IMPROVEMENT):
            _spread_over(search, relaxed)
    return Found(trees=search.best, score=search.best_score, bound_usd=whole.bound_usd)


def _relax(search: Search, relays: frozenset[int] | None) -> _Relaxed:
    """Rows of the module's relaxation over all links, or those among the ends and `relays`."""
    job, known = search.job, search.figures
    inside = sorted(range(len(search.world.regions)) if relays is None else search.ends | relays)
    here = {region: at for at, region in enumerate(inside)}
    grid = np.ix_(inside, inside)
    demand = Demand(
        root=here[search.source],
        terminals=tuple(here[region] for region in search.terminals),
        amount=float(job.partitions),
    )
    rate = known.rate_gbps[grid]
    model = TreeModel(search.usd[grid], [demand])
    paid_always = search.ends if relays is None else search.ends | relays
    gigabits = job.partition_gigabits
    # A first tree over a few relays may well take longer than the best plan so far.
    most_s = search.most_s if relays is None else search.slow_s
    region_s_usd = job.usd_per_region_s
    if relays is None:
        # What is paid is a rounded time: at least so much of the time that the rows speak of.
        region_s_usd *= max(0.0, 1.0 - ROUNDING_S / search.least_s)
    least_share_s = search.least_s / job.partitions
    time_terms: list[tuple[int, float]] = []
    time_of: dict[int, list[tuple[int, float]]] = {region: [] for region in inside}
    for region in inside:
        at = here[region]
        pays = time_terms if region in paid_always else time_of[region]
        ones = np.ones(len(inside))
        leaves = model.add_row(
            f"leaves[{region}]", gigabits / known.out_gbps[region] * ones, src=at
        )
        pays.append((leaves, -1.0))
        slow = max(gigabits / float(known.in_gbps[region]), least_share_s)
        enters = model.add_row(f"enters[{region}]", slow * ones, dst=at)
        pays.append((enters, -1.0))
    for region in inside:
        if region not in paid_always:
            within = model.add_row(f"relay[{region}]")
            time_terms.append((within, -1.0))
            model.add_variable(
                f"time[{region}]",
                [*time_of[region], (within, 1.0)],
                cost=region_s_usd,
                most=most_s,
            )
    time = model.add_variable(
        "time",
        time_terms,
        cost=region_s_usd * len(paid_always),
        least=search.least_s,
        most=most_s,
    )
    linked: set[tuple[int, int]] = set()

    def admit(edges: Edges) -> None:
        """Rows of links slower than the caps at their ends."""
        for src, dst in edges:
            caps = (known.out_gbps[inside[src]], known.in_gbps[inside[dst]])
            if (src, dst) in linked or rate[src, dst] >= min(caps):
                continue
            linked.add((src, dst))
            row = model.add_row(
                f"link[{src},{dst}]", gigabits / float(rate[src, dst]), src=src, dst=dst
            )
            model.change(time, terms=[(row, -1.0)])

    first = cheapest_tree(model.cost, demand)
    if first is None:
        return _Relaxed(usd=np.inf, bound_usd=np.inf, trees=(), paid=search.usd, vm_usd=0.0)
    admit(first.edges)
    model.add_tree(0, first.edges)
    answer = model.minimise(admit=admit)
    return _answered(search, answer, model, inside)


def _answered(
    search: Search, answer: TreeAnswer, model: TreeModel, inside: Sequence[int]
) -> _Relaxed:
    if not answer.optimal or answer.paid is None:
        return _Relaxed(usd=np.inf, bound_usd=np.inf, trees=(), paid=search.usd, vm_usd=0.0)
    paid = np.full_like(search.usd, np.inf)
    paid[np.ix_(inside, inside)] = answer.paid
    egress = sum(
        column.value * float(search.usd[inside[src], inside[dst]])
        for column in answer.columns
        for src, dst in column.edges
    )
    return _Relaxed(
        usd=answer.objective,
        bound_usd=answer.bound,
        trees=tuple(
            tuple((inside[src], inside[dst]) for src, dst in edges) for edges in model.trees(0)
        ),
        paid=paid,
        vm_usd=answer.objective - egress,
    )


def _sets_of_relays(search: Search, whole: _Relaxed) -> list[frozenset[int]]:
    """Sets of relays by their relaxation, best first: those of good trees, improved one by one."""
    trees = [*whole.trees, *_near(search, whole)]
    uses: dict[int, int] = {}
    starts = [_relays(search, search.best[0]), frozenset[int]()]
    starts += [_relays(search, tree) for tree in whole.trees]
    for tree in trees:
        for region in _relays(search, tree):
            uses[region] = uses.get(region, 0) + 1
    useful = sorted(uses, key=lambda region: (-uses[region], region))[:MOST_RELAYS]
    seen: dict[frozenset[int], float] = {}

    def usd(relays: frozenset[int]) -> float:
        if relays not in seen:
            seen[relays] = search.relaxed(relays).usd
        return seen[relays]

    for start in dict.fromkeys(starts):
        usd(start)
    best = min(seen, key=lambda relays: (seen[relays], len(relays), sorted(relays)))
    improved = True
    while improved:
        improved = False
        for relays in _neighbours(best, useful):
            if usd(relays) < usd(best) * (1 - LEAST_IMPROVEMENT):
                best, improved = relays, True
    return sorted(
        (relays for relays in seen if np.isfinite(seen[relays])),
        key=lambda relays: (seen[relays], len(relays), sorted(relays)),
    )


def _neighbours(relays: frozenset[int], useful: Iterable[int]) -> list[frozenset[int]]:
    """One relay more, one less, one for another."""
    others = [region for region in useful if region not in relays]
    inside = sorted(relays)
    return [
        *(relays | {more} for more in others),
        *(relays - {less} for less in inside),
        *((relays - {less}) | {more} for less in inside for more in others),
    ]


def _relays(search: Search, tree: Edges) -> frozenset[int]:
    return frozenset(dst for _, dst in tree) - search.ends


def _near(search: Search, relaxed: _Relaxed) -> list[Edges]:
    """Trees that are cheapest when every link is made dearer at random, by a little or more."""
    rng = np.random.default_rng(0)
    demand = Demand(root=search.source, terminals=search.terminals, amount=1.0)
    found: dict[Edges, None] = {}
    linked = np.isfinite(relaxed.paid)
    inside = np.flatnonzero(linked.any(axis=0) | linked.any(axis=1))
    here = {int(region): at for at, region in enumerate(inside)}
    small = Demand(
        root=here[demand.root],
        terminals=tuple(here[region] for region in demand.terminals),
        amount=1.0,
    )
    paid = relaxed.paid[np.ix_(inside, inside)]
    scale = relaxed.vm_usd / search.job.partitions
    for noise in NOISES:
        for _ in range(TREES_A_NOISE):
            weights = paid + noise * scale * rng.random(paid.shape)
            tree = cheapest_tree(weights, small)
            if tree is not None:
                edges = [(int(inside[src]), int(inside[dst])) for src, dst in tree.edges]
                found[parents_first(search.source, edges)] = None
    return list(found)


def _spread_over(search: Search, relaxed: _Relaxed) -> None:
    """Whole partitions over the trees of a relaxation and those near it."""
    pool = list(dict.fromkeys([*relaxed.trees, *_near(search, relaxed), search.best[0]]))
    job, known = search.job, search.figures
    world = Spreading(
        partitions=job.partitions,
        gigabits=job.partition_gigabits,
        usd=search.usd,
        rate_gbps=known.rate_gbps,
        out_gbps=known.out_gbps,
        in_gbps=known.in_gbps,
        usd_per_region_s=job.usd_per_region_s,
        ends=search.ends,
    )
    counts = spread(world, pool, effort_s=EFFORT_S, below_usd=search.best_score.total_usd)
    if counts is not None:
        search.offer([tree for tree, n in zip(pool, counts, strict=True) for _ in range(n)])
