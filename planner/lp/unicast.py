"""One to one: DESIGN.md's linear model over any set of links, and its four questions.

Sets        regions r; directed links e = (i, j); source s, destination t
Parameters  B_e Gbit/s that one pair of VMs carried; price_e USD/GB; hour_r USD/h of a VM;
            public_r, egress_r, ingress_r Gbit/s of a VM; limit_r VMs; goal Gbit/s
Variables   flow[i,j] = F_e >= 0 (Gbit/s);  vms[r] = N_r in 0..limit_r;  throughput = G >= 0;
            pace = u in 0..1, used where VMs are whole or bounded

    (1)  balance[r]        sum_out F - sum_in F = G at s, -G at t, 0 elsewhere
    (2)  vm_out_time[r]    sum_j F_rj / B_rj <= N_r
    (3)  vm_in_time[r]     sum_i F_ir / B_ir <= N_r
    (4)  vm_egress_public[r]   sum_{j in other clouds} F_rj <= public_r N_r
    (5)  vm_egress[r]      sum_j F_rj <= egress_r N_r
    (6)  vm_ingress[r]     sum_i F_ir <= ingress_r N_r
    (7)  ceiling[x]        cost (or carbon) rate <= X / gigabits · G      (a second, both sides)
    (8)  most[r], least[r] low_r u <= N_r <= high_r u                     (whole numbers of VMs)
    (9)  required[x]       sum_{e into x} F = G, or F_e = G: every byte passes x
    cost rate              sum_e F_e/8 price_e + sum_r N_r hour_r/3600;  carbon likewise

Cheapest at a goal: minimise the cost rate. All but limit_r is homogeneous, so it is solved in
units of the goal (F/goal, N/goal, limit/goal, G = 1), and the objective is USD a gigabit. That
cost is non-decreasing in the goal (the cost rate is convex in G and 0 at 0): the optimum at a
goal bounds every plan of that throughput *or more*, and the limit towards 0, where no limit_r
is left, bounds every plan.

Fastest: maximise G, under (7) where there is a ceiling; linear since its right side is.

Cheapest with whole VMs, or with VMs between bounds, at the goal or faster: VM time is paid by the
second, so going faster than the goal may be cheaper. Total cost is a ratio (cost rate / G);
Charnes and Cooper's substitution makes it linear: with (8), F and N are the plan slowed to the
goal, u = goal/G, and the plan itself is F/u, N/u at goal/u.

Few of some 5,000 links matter: the model (`grown.py`) begins with those of a few relays and takes
in others when a path over them would pay less than the model's own, until none would, so that an
optimum is one over all links. Rows that cannot bind are left out: where no link out of r carries
more than a VM may send, (2) implies (5).
Source: (2), (3) are the connection limits of Skyplane (NSDI '23), connections eliminated
(M = 64 F/B, DESIGN.md). Charnes & Cooper, Programming with linear fractional functionals (1962).
Bixby et al., Very large-scale linear programming: sifting (1992).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from datasets.units import gigabits
from planner.certificate import VM_ROWS, Proves
from planner.job import LinkEnds
from planner.lp.answers import Corner, Line, Solution
from planner.lp.bound import (
    BOUND_NOISE,
    Multipliers,
    Weights,
    distances,
    pays_least,
    settled,
    weights,
)
from planner.lp.grown import FEW_LINKS, Ask, Boxes, GrownModel
from planner.lp.solve import Outcome, Status
from planner.topology import Topology

# Flows below this (Gbit/s: a thousandth of a bit a second) are the solver's noise.
FLOW_NOISE_GBPS = 1e-12
# A dual below this explains nothing.
DUAL_NOISE = 1e-7
# A path that pays less than the model's own by this share is worth a column.
SIFT_NOISE = 1e-10
# A goal this share above the most is met by it.
FEASIBLE_NOISE = 1e-12
# Where carbon is minimised, USD decide between equals: a dollar counts as so many grams.
TIE_GCO2E_PER_USD = 1e-7
MOST_TIED = 3


def whole_model(topology: Topology, regions: Collection[str]) -> UnicastModel:
    """A model of every link among a few regions and the ends, for questions of given VMs."""
    small = topology.among([region for region in regions if region in topology.limits])
    return UnicastModel(small, few_links=int(small.allowed.sum()))


@dataclass(frozen=True, slots=True)
class _Priced:
    """What links pay under an optimum's multipliers, found when links were last sought."""

    objective: Weights
    at: Multipliers
    excess: float
    pays_least: float


class UnicastModel:
    """The model of one Topology, built once and solved again with other bounds."""

    def __init__(self, topology: Topology, *, few_links: int = FEW_LINKS) -> None:
        self.topology = topology
        self._arrays = topology.arrays
        self._s = self._arrays.index[topology.source]
        self._t = self._arrays.index[topology.destination]
        self._grown = GrownModel(topology, few_links)
        self._rates = self._grown.rates
        self._ends = (topology.source, topology.destination)
        self._carbon = topology.job.minimise == "gco2e"
        self._ask = Ask()
        self._priced: _Priced | None = None

    # Questions.

    def cheapest(self, goal_gbps: float | None, boxes: Boxes | None = None) -> Solution:
        """Least cost at `goal_gbps`, or (None) at a throughput so small that no limit matters.

        With `boxes`: at the goal or faster, with between so many and so many VMs in each region.
        """
        goal = 1.0 if goal_gbps is None else goal_gbps
        outcome = self._cheapest(goal_gbps, boxes)
        if outcome.status != "optimal" and not self._grown.whole:
            # Perhaps a goal above what the model's links carry: take in those of the fastest plan.
            most = self._most(boxes, None, enough_gbps=goal)
            feasible = goal * (1 - FEASIBLE_NOISE)
            if most.status != "optimal" or most.values[self._grown.throughput] < feasible:
                return Solution(status="infeasible")
            outcome = self._cheapest(goal_gbps, boxes)
        if outcome.status != "optimal":
            return Solution(status=outcome.status)
        if boxes is None:
            found = self._solution(outcome, scale=goal)
            return self._with_bound(found, outcome, goal_gbps)
        pace = outcome.values[self._grown.pace]
        if pace <= 0:
            return Solution(status="failed")
        found = self._solution(outcome, scale=goal / pace)
        # Where carbon is minimised, a plan's dollars are some of the objective, at most so many.
        tie = TIE_GCO2E_PER_USD if self._carbon else 0.0
        least = outcome.objective - MOST_TIED * tie * found.usd_per_gigabit
        least += self._rates.waiting(self._ask.weights, self._given(boxes))
        return replace(found, least_per_gigabit=least)

    def corner(self, goal_gbps: float) -> Corner | None:
        """`cheapest` at a goal without its flows: an optimum's VMs and the line that proves it."""
        before = self._ask.weights
        self._ask_cheapest(goal_gbps, None)
        if self._optimised(bounds_changed=self._ask.weights == before) != "optimal":
            found = self.cheapest(goal_gbps)
            if found.line is None:
                return None
            vms: Mapping[str, float] = found.vms
            line = found.line
        else:
            model = self._grown.model
            line = self._line(model.duals, unlimited=False)
            vms = {r: model.value(at) * goal_gbps for r, at in self._grown.vms.items()}
        return Corner(
            gbps=goal_gbps,
            usd_per_gigabit=line.bound(goal_gbps),
            vms={region: n for region, n in vms.items() if n > 0},
            line=line,
        )

    def _cheapest(self, goal_gbps: float | None, boxes: Boxes | None) -> Outcome:
        self._ask_cheapest(goal_gbps, boxes)
        return self._sifted()

    def _ask_cheapest(self, goal_gbps: float | None, boxes: Boxes | None) -> None:
        self._ask = Ask(
            weights=self._cost(),
            goal_gbps=goal_gbps or 0.0,
            gco2e_ceiling=self._rates.ceiling,
            most={} if goal_gbps is None else self.topology.limits,
            boxes=boxes or {},
            counted_apart=tuple(self._given(boxes or {})),
            unit=goal_gbps or 1.0,
        )
        self._grown.ask(self._ask)

    def _given(self, boxes: Boxes) -> dict[str, int]:
        """VMs that there are at least: their waiting is a constant, and known better so."""
        if not self.topology.job.provisioning:
            return {}
        return {region: low for region, (low, _) in sorted(boxes.items()) if low > 0}

    def _cost(self) -> Weights:
        """What is minimised where cost is."""
        if self._carbon:
            return Weights(usd=TIE_GCO2E_PER_USD, gco2e=1.0)
        return Weights(usd=1.0)

    def fastest(self, usd_per_gigabit: float | None = None, boxes: Boxes | None = None) -> Solution:
        """Most throughput, at no more than `usd_per_gigabit` where that is given.

        Of the time before VMs are ready, that of one at each end is in the budget. With `boxes`:
        with between so many and so many VMs in those regions.
        """
        if usd_per_gigabit is not None:
            least = {r: low for r, (low, _) in (boxes or {}).items()}
            ends = {r: max(1, least.get(r, 0)) for r in self._ends}
            usd_per_gigabit -= self._rates.waiting_usd(least | ends)
        outcome = self._most(boxes, usd_per_gigabit)
        if outcome.status != "optimal":
            return Solution(status=outcome.status)
        found = self._solution(outcome, scale=1.0, binds=self._binds(outcome))
        return found if boxes else self._with_most(found, outcome, usd_per_gigabit)

    def _most(
        self, boxes: Boxes | None, usd_per_gigabit: float | None, enough_gbps: float = math.inf
    ) -> Outcome:
        boxed = boxes or {}
        self._ask = Ask(
            maximise_throughput=True,
            usd_ceiling=usd_per_gigabit,
            gco2e_ceiling=self._rates.ceiling,
            least={r: float(low) for r, (low, _) in boxed.items()},
            most={**self.topology.limits, **{r: high for r, (_, high) in boxed.items()}},
        )
        self._grown.ask(self._ask)
        return self._sifted(enough_gbps)

    def cheapest_with(self, vms: Mapping[str, int], goal_gbps: float) -> Solution:
        """Least total cost with exactly those VMs (0 elsewhere), at `goal_gbps` or faster."""
        if not self._grown.whole:
            return self._among(vms).cheapest_with(vms, goal_gbps)
        # With VMs given, their waiting is a constant: it is no part of what flows decide.
        self._ask = Ask(
            weights=self._cost(),
            gco2e_ceiling=self._ceiling_with(vms),
            boxes={r: (vms.get(r, 0),) * 2 for r in self.topology.limits},
            fixed=True,
            unit=goal_gbps,
        )
        self._grown.ask(self._ask)
        outcome = self._grown.model.solve()
        if outcome.status != "optimal":
            return Solution(status=outcome.status)
        pace = outcome.values[self._grown.pace]
        if pace <= 0:
            return Solution(status="failed")
        return self._solution(outcome, scale=goal_gbps / pace, vms=vms)

    def fastest_with(
        self, vms: Mapping[str, int], usd_per_gigabit: float | None = None
    ) -> Solution:
        """Most throughput with exactly those VMs (0 elsewhere), within the budget if given."""
        if not self._grown.whole:
            return self._among(vms).fastest_with(vms, usd_per_gigabit)
        if usd_per_gigabit is not None:
            usd_per_gigabit -= self._rates.waiting_usd(vms)
        counts = {r: float(vms.get(r, 0)) for r in self.topology.limits}
        self._ask = Ask(
            maximise_throughput=True,
            usd_ceiling=usd_per_gigabit,
            gco2e_ceiling=self._ceiling_with(vms),
            least=counts,
            most=counts,
        )
        self._grown.ask(self._ask)
        outcome = self._grown.model.solve()
        if outcome.status != "optimal":
            return Solution(status=outcome.status)
        return self._solution(outcome, scale=1.0, vms=vms)

    def _among(self, vms: Mapping[str, int]) -> UnicastModel:
        return whole_model(self.topology, [region for region, n in vms.items() if n > 0])

    def _ceiling_with(self, vms: Mapping[str, int]) -> float | None:
        ceiling = self._rates.ceiling
        return None if ceiling is None else ceiling - self._rates.waiting_gco2e(vms)

    def nearly_used(self, goal_gbps: float) -> list[LinkEnds]:
        """Links by what the cheapest path over each would pay, the least first, at that goal."""
        found = self.cheapest(goal_gbps)
        if found.line is None:
            return []
        paid = weights(self.topology, self._grown.links_usd, found.line.at)
        from_s, to_t = distances(paid, self._s), distances(paid, self._t, towards=True)
        if np.isneginf(from_s).any() or np.isneginf(to_t).any():
            # Credits of what is required make a cycle that pays less than nothing.
            return []
        through = from_s[:, None] + paid + to_t[None, :]
        regions = self._arrays.regions
        pairs = np.argwhere(np.isfinite(through)).tolist()
        pairs.sort(key=lambda pair: (float(through[pair[0], pair[1]]), pair))
        return [(regions[i], regions[j]) for i, j in pairs]

    # Sifting.

    def _sifted(self, enough_gbps: float = math.inf) -> Outcome:
        """The optimum over all links: solve, take in links of better paths, solve again.

        Where throughput is maximised, `enough_gbps` of it will do.
        """
        return self._grown.model.outcome(self._optimised(enough_gbps))

    def _optimised(self, enough_gbps: float = math.inf, *, bounds_changed: bool = False) -> Status:
        self._priced = None
        status = self._grown.model.optimise(bounds_changed=bounds_changed)
        while status == "optimal" and not self._grown.whole:
            if self._grown.model.value(self._grown.throughput) >= enough_gbps:
                break
            if not self._took_in_better(self._grown.model.duals()):
                break
            self._priced = None
            status = self._grown.model.optimise()
        return status

    def _took_in_better(self, duals: Sequence[float]) -> bool:
        """Whether links were found whose paths pay less than the model's own do."""
        at, excess = self._settled(duals, self._ask.weights, unlimited=False)
        paid = weights(self.topology, self._grown.links_usd, at)
        from_s, to_t = distances(paid, self._s), distances(paid, self._t, towards=True)
        self._priced = _Priced(self._ask.weights, at, excess, float(from_s[self._t]))
        own = (
            duals[self._grown.balance[self.topology.source]]
            - duals[self._grown.balance[self.topology.destination]]
        )
        margin = SIFT_NOISE * max(abs(own), SIFT_NOISE)
        # Of the regions on some better path, the best way there and the best way on.
        better = np.flatnonzero(from_s + to_t < own - margin)
        ways = [
            *zip((from_s[:, None] + paid).argmin(axis=0)[better], better, strict=True),
            *zip(better, (paid + to_t[None, :]).argmin(axis=1)[better], strict=True),
        ]
        new = sorted(
            {(int(i), int(j)) for i, j in ways if from_s[i] + paid[i, j] + to_t[j] < own - margin}
            - self._grown.flow.keys()
        )
        for i, j in new:
            self._grown.take_in(i, j)
        return bool(new)

    # Proving.

    def _settled(
        self, duals: Sequence[float], objective: Weights, *, unlimited: bool
    ) -> tuple[Multipliers, float]:
        """The duals as multipliers without noise, and what VMs earn beyond their cost."""
        total = Weights(
            usd=objective.usd + max(0.0, -duals[self._grown.ceiling["usd"]]),
            gco2e=objective.gco2e + max(0.0, -duals[self._grown.ceiling["gco2e"]]),
        )
        at = Multipliers(
            self._grown.rents(duals), total, [duals[row] for row in self._grown.required]
        )
        cost = self._rates.cost(total, self._ask.goal_gbps)
        return settled(self.topology, at, cost, unlimited=unlimited, given=self._ask.given)

    def _with_bound(self, found: Solution, outcome: Outcome, goal_gbps: float | None) -> Solution:
        """With what the duals prove of the cost at the goal and above."""
        line = self._line(lambda: outcome.duals, unlimited=goal_gbps is None)
        bound = line.bound(goal_gbps if goal_gbps is not None else 1.0)
        value = bound * gigabits(self.topology.job.size_bytes)
        kind: Proves = "gco2e" if self._carbon else "usd"
        return replace(
            found,
            bound_per_gigabit=bound,
            line=line,
            certificate=line.at.certificate(self.topology, kind, value, goal_gbps),
        )

    def _line(self, duals: Callable[[], Sequence[float]], *, unlimited: bool) -> Line:
        """What the duals prove of the cost at every throughput; sifting may have found it."""
        pure = Weights(gco2e=1.0) if self._carbon else Weights(usd=1.0)
        priced = self._priced
        if priced is not None and priced.objective == pure and not unlimited:
            at, excess, per_gigabit = priced.at, priced.excess, priced.pays_least
        else:
            at, excess = self._settled(duals(), pure, unlimited=unlimited)
            per_gigabit = pays_least(self.topology, self._grown.links_usd, at)
        per_gigabit -= max(0.0, at.weights.gco2e - pure.gco2e) * (self._rates.ceiling or 0.0)
        return Line(per_gigabit=per_gigabit, excess=excess, at=at)

    def _with_most(
        self, found: Solution, outcome: Outcome, usd_per_gigabit: float | None
    ) -> Solution:
        """With what the duals prove of the throughput."""
        at, excess = self._settled(outcome.duals, Weights(), unlimited=False)
        per_gigabit = pays_least(self.topology, self._grown.links_usd, at)
        per_gigabit -= at.weights.usd * (usd_per_gigabit or 0.0)
        per_gigabit -= at.weights.gco2e * (self._rates.ceiling or 0.0)
        if per_gigabit <= 0:
            # Nothing but noise: the source's own VMs are a bound, if a wide one.
            at = Multipliers(np.zeros_like(at.rents), Weights(), [0.0] * len(at.credits))
            at.rents[VM_ROWS.index("vm_egress"), self._s] = per_gigabit = 1.0
            of_source = self._arrays.per_vm[VM_ROWS.index("vm_egress"), self._s]
            excess = self.topology.limits[self.topology.source] * float(of_source)
        most = excess / per_gigabit * (1 + BOUND_NOISE)
        return replace(
            found,
            bound_gbps=most,
            certificate=at.certificate(self.topology, "gbps", most, None),
        )

    # Answering.

    def _solution(
        self,
        outcome: Outcome,
        *,
        scale: float,
        vms: Mapping[str, int] | None = None,
        binds: tuple[str, ...] = (),
    ) -> Solution:
        values, regions = outcome.values, self._arrays.regions
        gbps = values[self._grown.throughput] * scale
        flows = {
            (regions[i], regions[j]): values[at] * scale
            for (i, j), at in sorted(self._grown.flow.items())
            if values[at] * scale > FLOW_NOISE_GBPS
        }
        counts: Mapping[str, float] = (
            {r: max(0.0, values[self._grown.vms[r]]) * scale for r in sorted(self._grown.vms)}
            if vms is None
            else {r: float(n) for r, n in vms.items()}
        )
        index = self._arrays.index
        egress = math.fsum(
            gbps_of_link * float(self._grown.links_usd[index[src], index[dst]])
            for (src, dst), gbps_of_link in flows.items()
        )
        waiting = self._rates.waiting_usd(counts)
        rate = egress + math.fsum(
            n * float(self._rates.usd[self._arrays.index[r]]) for r, n in counts.items()
        )
        usd = rate / gbps + waiting if gbps > 0 else math.inf
        cost = usd
        if self.topology.job.minimise == "gco2e":
            cost = self._rates.gco2e_of(counts, gbps) if gbps > 0 else math.inf
        return Solution(
            status="optimal",
            gbps=gbps,
            cost_per_gigabit=cost,
            usd_per_gigabit=usd,
            flows=flows,
            vms=counts,
            binds=binds,
        )

    def _binds(self, outcome: Outcome) -> tuple[str, ...]:
        """What limits the throughput, by the duals: VM limits, quotas, caps, links, ceilings."""
        found: list[str] = []
        for region in sorted(self._grown.vms):
            if self._grown.model.reduced_cost(self._grown.vms[region]) < -DUAL_NOISE:
                rule = "quota" if self.topology.by_quota(region) else "vm_limit"
                found.append(f"{rule}[{region}]")
        for (rule, region), row in self._grown.vm_rows.items():
            if abs(outcome.duals[row]) <= DUAL_NOISE:
                continue
            if not rule.endswith("_time"):
                found.append(f"{rule}[{region}]")
                continue
            end = 0 if rule == "vm_out_time" else 1
            regions = self._arrays.regions
            found += [
                f"link {regions[pair[0]]}→{regions[pair[1]]}"
                for pair, at in sorted(self._grown.flow.items())
                if regions[pair[end]] == region and outcome.values[at] > FLOW_NOISE_GBPS
            ]
        for kind, name in (("usd", "max_usd"), ("gco2e", "max_gco2e")):
            if abs(outcome.duals[self._grown.ceiling[kind]]) > DUAL_NOISE:
                found.append(name)
        if outcome.values[self._grown.throughput] <= FLOW_NOISE_GBPS and not found:
            found = self._nothing_moves()
        return tuple(dict.fromkeys(found))

    def _nothing_moves(self) -> list[str]:
        topology = self.topology
        for end in (topology.source, topology.destination):
            if topology.limits[end] == 0:
                return [f"quota[{end}]"]
        if topology.job.requires:
            return ["no way by what is required"]
        return [f"no link {topology.source}→{topology.destination}"]
