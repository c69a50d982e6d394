"""From the relaxation's fractional VMs to whole ones: round up, improve, and prove how good it is.

Whole VMs are paid for whether a flow fills them or not, so rounding up is only a start: a local
search tries one VM more or less in each region that the relaxation uses, and plans that run
faster than the goal; where what is left is more than a strategy's effort allows, branch and bound
(`lp/whole.py`) closes in from both sides. Every candidate is one small linear programme.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from planner.job import LinkEnds
from planner.lp.answers import Solution
from planner.lp.grown import Boxes
from planner.lp.unicast import UnicastModel, whole_model
from planner.lp.whole import Effort, prove
from planner.topology import Topology
from planner.whole_vms import (
    ANY_GBPS,
    SLOWER,
    THROUGHPUT_NOISE,
    VM_NOISE,
    Key,
    Vms,
    better,
    multiples,
    neighbours,
    rounded,
)

# Candidates that a local search looks at, each about half a millisecond.
MOST_CANDIDATES = 60
# One VM more must make a plan cheaper by at least this share: each is one more machine to wait
# for and to lose, which the objective does not price. Far below any gap that is stated.
VM_WORTH = 1e-7
# Starts: how many multiples of the relaxation's VMs are rounded, and how many are improved.
MOST_MULTIPLES = 8
STARTS_IMPROVED = 2
# Near enough: what whole VMs leave after rounding up is then not worth a search.
NEAR = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Whole VMs and the best flows for them; a smaller `key` is better.

    `bound` is what no whole VMs over the same links go below (USD or gCO2e a gigabit; for the
    fastest, minus Gbit/s), after `nodes` relaxations.
    """

    key: Key
    vms: Vms
    gbps: float
    cost_per_gigabit: float
    usd_per_gigabit: float
    flows: Mapping[LinkEnds, float]
    bound: float = -math.inf
    nodes: int = 0


def cheapest_whole(
    model: UnicastModel,
    floor_gbps: float,
    effort: Effort,
    *,
    start: Vms | None = None,
) -> Whole | None:
    """The cheapest plan found at `floor_gbps` or faster; None if there is none.

    `start` is one more set of VMs to begin from.
    """
    topology = model.topology
    floor = floor_gbps * (1 - THROUGHPUT_NOISE)
    relaxed = model.cheapest(floor)
    if not relaxed.optimal:
        return None
    starts = [*multiples(relaxed.vms, topology.limits, MOST_MULTIPLES), *([start] if start else [])]
    if topology.job.max_gco2e is not None:
        starts += _greenest(topology, floor)
    search = _Search(_supported(topology, starts), lambda small, vms: _cost_key(small, vms, floor))
    search.improve(starts, near=relaxed.bound_per_gigabit)

    def relax(boxes: Boxes) -> tuple[Solution, float]:
        found = model.cheapest(floor, boxes)
        return found, found.least_per_gigabit

    def judge(vms: Vms) -> None:
        search.look_at(whole_model(topology, vms), vms)

    proof = prove(
        relax,
        topology.limits,
        bound=relaxed.bound_per_gigabit,
        best=lambda: search.value,
        judge=judge,
        effort=effort,
        understated=topology.job.provisioning or topology.job.max_gco2e is not None,
    )
    if search.best is None:
        return None
    return replace(search.best, bound=proof.bound, nodes=proof.nodes)


def fastest_whole(
    model: UnicastModel, usd_per_gigabit: float | None, effort: Effort
) -> Whole | None:
    """The fastest plan found that costs no more than `usd_per_gigabit`; None if none does.

    The Job's carbon ceiling holds too.
    """
    topology = model.topology
    relaxed = model.fastest(usd_per_gigabit)
    if not relaxed.optimal or relaxed.gbps < ANY_GBPS:
        return None
    starts: list[Vms] = [rounded(relaxed.vms, topology.limits)]
    for share in SLOWER:
        slower = model.cheapest(relaxed.gbps * share)
        if slower.optimal:
            starts += multiples(slower.vms, topology.limits, MOST_MULTIPLES)
            starts.append(rounded(slower.vms, topology.limits, math.floor))
        if topology.job.max_gco2e is not None:
            starts += _greenest(topology, relaxed.gbps * share)
    search = _Search(
        _supported(topology, starts), lambda small, vms: _speed_key(small, vms, usd_per_gigabit)
    )
    search.improve(starts, near=-relaxed.gbps)

    def relax(boxes: Boxes) -> tuple[Solution, float]:
        found = model.fastest(usd_per_gigabit, boxes)
        return found, -found.gbps

    def judge(vms: Vms) -> None:
        search.look_at(whole_model(topology, vms), vms)

    proof = prove(
        relax,
        topology.limits,
        bound=-relaxed.bound_gbps,
        best=lambda: search.value,
        judge=judge,
        effort=effort,
        understated=topology.job.provisioning or topology.job.max_gco2e is not None,
    )
    if search.best is None:
        return None
    # Least cost at that throughput, where the budget leaves room.
    fastest = replace(search.best, bound=proof.bound, nodes=proof.nodes)
    cheaper = cheapest_whole(model, fastest.gbps, effort, start=fastest.vms)
    affordable = usd_per_gigabit is None or (
        cheaper is not None and cheaper.usd_per_gigabit <= usd_per_gigabit
    )
    if cheaper and affordable and not _slower(cheaper, fastest):
        return replace(cheaper, bound=fastest.bound, nodes=fastest.nodes)
    return fastest


def _greenest(topology: Topology, floor_gbps: float) -> list[Vms]:
    """VMs of the least carbon at that throughput: what a tight ceiling leaves."""
    job = replace(
        topology.job,
        minimise="gco2e",
        goal_gbps=floor_gbps,
        deadline_s=None,
        max_usd=None,
        max_gco2e=None,
    )
    found = UnicastModel(replace(topology, job=job)).cheapest(floor_gbps)
    return multiples(found.vms, topology.limits, MOST_MULTIPLES) if found.optimal else []


def _slower(whole: Whole, than: Whole) -> bool:
    return whole.gbps < than.gbps * (1 - THROUGHPUT_NOISE)


def _supported(topology: Topology, starts: Iterable[Vms]) -> UnicastModel:
    """A model of only the regions that a start uses."""
    return whole_model(topology, {region for start in starts for region in start})


def _cost_key(model: UnicastModel, vms: Vms, floor_gbps: float) -> Whole:
    """Costs, if the floor can be met; else how much is missing."""
    found = model.cheapest_with(vms, floor_gbps)
    if found.optimal:
        worth = found.cost_per_gigabit * (1 + VM_WORTH * sum(vms.values()))
        return _whole((0.0, worth), vms, found)
    most = model.fastest_with(vms)
    return _whole((max(floor_gbps - most.gbps, VM_NOISE), 0.0), vms, most)


def _speed_key(model: UnicastModel, vms: Vms, usd_per_gigabit: float | None) -> Whole:
    """Throughput, if the budget can be met; else how much is missing."""
    found = model.fastest_with(vms, usd_per_gigabit)
    if found.optimal and found.gbps >= ANY_GBPS:
        return _whole((0.0, -found.gbps), vms, found)
    if usd_per_gigabit is None:
        return _whole((1.0, 0.0), vms, found)
    least = model.cheapest_with(vms, ANY_GBPS)
    over = least.usd_per_gigabit - usd_per_gigabit
    return _whole((max(over, VM_NOISE * usd_per_gigabit), 0.0), vms, least)


def _whole(key: Key, vms: Vms, found: Solution) -> Whole:
    return Whole(
        key=key,
        vms=vms,
        gbps=found.gbps,
        cost_per_gigabit=found.cost_per_gigabit,
        usd_per_gigabit=found.usd_per_gigabit,
        flows=found.flows,
    )


class _Search:
    """Candidates looked at once each, and the best of them that meets the Job."""

    def __init__(self, model: UnicastModel, judge: Callable[[UnicastModel, Vms], Whole]) -> None:
        self._model = model
        self._judge = judge
        self._judged: dict[tuple[tuple[str, int], ...], Whole] = {}
        self.best: Whole | None = None

    @property
    def value(self) -> float:
        """The best value found; infinite while there is none."""
        if self.best is None:
            return math.inf
        # The key weighs VMs against ties; the value does not.
        return self.best.key[1] if self.best.key[1] < 0 else self.best.cost_per_gigabit

    def look_at(self, model: UnicastModel, vms: Vms) -> Whole:
        """The judgement of `vms`, by a model that has their regions."""
        name = tuple(vms.items())
        if name not in self._judged:
            whole = self._judged[name] = self._judge(model, vms)
            if whole.key[0] <= 0 and (self.best is None or whole.key < self.best.key):
                self.best = whole
        return self._judged[name]

    def improve(self, starts: Iterable[Vms], *, near: float) -> None:
        """Look at the starts, and from the best of them one VM at a time, until `near` is near."""
        topology = self._model.topology
        limits, ends = topology.limits, (topology.source, topology.destination)
        found = sorted((self.look_at(self._model, vms) for vms in starts), key=lambda w: w.key)
        most = len(self._judged) + MOST_CANDIDATES
        for best in found[:STARTS_IMPROVED]:
            improved = True
            while improved and len(self._judged) < most and not self._near(near):
                improved = False
                for vms in neighbours(best.vms, limits, ends):
                    candidate = self.look_at(self._model, vms)
                    if better(candidate.key, best.key):
                        best, improved = candidate, True
                        break
                    if len(self._judged) >= most:
                        break

    def _near(self, bound: float) -> bool:
        return self.value - bound <= NEAR * abs(bound)
