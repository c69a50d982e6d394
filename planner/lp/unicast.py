"""One to one: DESIGN.md's linear model over any set of links, and its four questions.

Sets        regions r; directed links e = (i, j); source s, destination t
Parameters  B_e Gbit/s that one pair of VMs carried; price_e USD/GB; hour_r USD/h of a VM;
            public_r, egress_r, ingress_r Gbit/s of a VM; limit_r VMs; goal Gbit/s
Variables   flow[i,j] = F_e >= 0 (Gbit/s);  vms[r] = N_r in 0..limit_r;  throughput = G >= 0;
            pace = u in 0..1, used with fixed VMs only

    (1)  balance[r]        sum_out F - sum_in F = G at s, -G at t, 0 elsewhere
    (2)  vm_out_time[r]    sum_j F_rj / B_rj <= N_r
    (3)  vm_in_time[r]     sum_i F_ir / B_ir <= N_r
    (4)  vm_egress_public[r]   sum_{j in other clouds} F_rj <= public_r N_r
    (5)  vm_egress[r]      sum_j F_rj <= egress_r N_r
    (6)  vm_ingress[r]     sum_i F_ir <= ingress_r N_r
    (7)  budget            cost rate <= X / gigabits · G          (USD a second on both sides)
    (8)  vms_fixed[r]      N_r = n_r u                            (n_r: a whole number of VMs)
    cost rate              sum_e F_e/8 price_e + sum_r N_r hour_r/3600

Cheapest at a goal: minimise the cost rate. All but limit_r is homogeneous, so it is solved in
units of the goal (F/goal, N/goal, limit/goal, G = 1), and the objective is USD a gigabit. That
cost is non-decreasing in the goal (the cost rate is convex in G and 0 at 0): the optimum at a
goal bounds every plan of that throughput *or more*, and the limit towards 0, where no limit_r
is left, bounds every plan.

Fastest: maximise G, under (7) where there is a budget; linear since the budget's right side is.

Cheapest with n_r whole VMs, at the goal or faster: VM time is paid by the second, so going
faster than the goal may be cheaper. Total cost is a ratio (cost rate / G); Charnes and Cooper's
substitution makes it linear: with (8), F and N are the plan slowed to the goal, u = goal/G, and
the plan itself is F/u at goal/u.
Source: (2), (3) are the connection limits of Skyplane (NSDI '23), connections eliminated
(M = 64 F/B, DESIGN.md). Charnes & Cooper, Programming with linear fractional functionals (1962).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from datasets.matrix import Link
from datasets.regions import cloud_of
from datasets.units import usd_per_s_of_flow, usd_per_s_of_vm
from planner.lp.solve import LinearModel, Outcome, Status
from planner.topology import Topology

LinkEnds = tuple[str, str]

# Flows below this (Gbit/s: a thousandth of a bit a second) are the solver's noise.
FLOW_NOISE_GBPS = 1e-12
# The share of a dual bound's own terms that floating point may have spoiled: a few hundred
# roundings of 1e-16, generously.
BOUND_NOISE = 1e-12
# VMs that earn more than their price by this share do so by the solver's tolerance.
RENT_NOISE = 1e-6
# A dual below this explains nothing.
DUAL_NOISE = 1e-7

_VM_ROWS = ("vm_out_time", "vm_in_time", "vm_egress_public", "vm_egress", "vm_ingress")


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What the model answered: throughput, flows and VMs (fractional unless they were fixed).

    `bound_usd_per_gigabit` is the dual bound of `cheapest`: no plan at the goal or above costs
    less. `binds` names what limits `fastest`.
    """

    status: Status
    gbps: float = 0.0
    usd_per_gigabit: float = math.inf
    flows: Mapping[LinkEnds, float] = field(default_factory=dict)
    vms: Mapping[str, float] = field(default_factory=dict)
    bound_usd_per_gigabit: float = 0.0
    binds: tuple[str, ...] = ()

    @property
    def optimal(self) -> bool:
        """Whether there is an answer."""
        return self.status == "optimal"


class UnicastModel:
    """The model of one Topology, built once and solved again with other bounds."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._model = LinearModel()
        self._links = topology.links
        self._regions = tuple(sorted(topology.limits))
        self._flow_cost = [usd_per_s_of_flow(1.0, link.usd_per_gb) for link in self._links]
        self._vm_cost = {r: usd_per_s_of_vm(topology.vm(r).usd_per_hour) for r in self._regions}
        self._build()

    def cheapest(self, goal_gbps: float | None) -> Solution:
        """Least cost at `goal_gbps`, or (None) at a throughput so small that no limit matters."""
        goal = 1.0 if goal_gbps is None else goal_gbps
        most = {
            region: math.inf if goal_gbps is None else limit / goal
            for region, limit in self.topology.limits.items()
        }
        self._ask(minimise_cost=True, usd_per_gigabit=None)
        self._bound_vms({region: (0.0, n) for region, n in most.items()}, fixed=None)
        outcome = self._model.solve()
        if outcome.status != "optimal":
            return Solution(status=outcome.status)
        return self._solution(outcome, scale=goal, bound=self._dual_bound(outcome, most))

    def fastest(self, usd_per_gigabit: float | None = None) -> Solution:
        """Most throughput, at no more than `usd_per_gigabit` where that is given."""
        self._ask(minimise_cost=False, usd_per_gigabit=usd_per_gigabit)
        self._bound_vms({r: (0.0, n) for r, n in self.topology.limits.items()}, fixed=None)
        outcome = self._model.solve()
        if outcome.status != "optimal":
            return Solution(status=outcome.status)
        return self._solution(outcome, scale=1.0, binds=self._binds(outcome, usd_per_gigabit))

    def cheapest_with(self, vms: Mapping[str, int], goal_gbps: float) -> Solution:
        """Least total cost with exactly those VMs (0 elsewhere), at `goal_gbps` or faster."""
        self._ask(minimise_cost=True, usd_per_gigabit=None)
        free = {region: (0.0, math.inf) for region in self._regions}
        self._bound_vms(free, fixed={r: vms.get(r, 0) / goal_gbps for r in self._regions})
        outcome = self._model.solve()
        if outcome.status != "optimal":
            return Solution(status=outcome.status)
        pace = outcome.values[self._pace]
        if pace <= 0:
            return Solution(status="failed")
        return self._solution(outcome, scale=goal_gbps / pace, vms=vms)

    def fastest_with(
        self, vms: Mapping[str, int], usd_per_gigabit: float | None = None
    ) -> Solution:
        """Most throughput with exactly those VMs (0 elsewhere), within the budget if given."""
        self._ask(minimise_cost=False, usd_per_gigabit=usd_per_gigabit)
        self._bound_vms(
            {r: (float(vms.get(r, 0)), float(vms.get(r, 0))) for r in self._regions}, fixed=None
        )
        outcome = self._model.solve()
        if outcome.status != "optimal":
            return Solution(status=outcome.status)
        return self._solution(outcome, scale=1.0, vms=vms)

    # Building.

    def _build(self) -> None:
        model, regions, links = self._model, self._regions, self._links
        self._flow = [
            model.add_variable(f"flow[{e.src},{e.dst}]", cost=cost)
            for e, cost in zip(links, self._flow_cost, strict=True)
        ]
        self._vms = {r: model.add_variable(f"vms[{r}]", cost=self._vm_cost[r]) for r in regions}
        self._throughput = model.add_variable("throughput", upper=1.0)
        self._pace = model.add_variable("pace", upper=1.0)
        leaving: dict[str, list[int]] = {r: [] for r in regions}
        entering: dict[str, list[int]] = {r: [] for r in regions}
        for at, link in enumerate(links):
            leaving[link.src].append(at)
            entering[link.dst].append(at)
        self._balance: dict[str, int] = {}
        self._vm_rows: dict[tuple[str, str], int] = {}
        self._fixed: dict[str, int] = {}
        for region in regions:
            self._add_region(region, leaving[region], entering[region])
        self._budget: int | None = None
        self._minimising_cost = True

    def _add_region(self, region: str, leaving: list[int], entering: list[int]) -> None:
        model, vm = self._model, self.topology.vm(region)
        terms = [(self._flow[e], 1.0) for e in leaving] + [(self._flow[e], -1.0) for e in entering]
        if region == self.topology.source:
            terms.append((self._throughput, -1.0))
        elif region == self.topology.destination:
            terms.append((self._throughput, 1.0))
        self._balance[region] = model.add_row(f"balance[{region}]", terms, lower=0.0, upper=0.0)
        cloud = cloud_of(region)
        out_time = [(self._flow[e], 1.0 / self._links[e].gbps) for e in leaving]
        in_time = [(self._flow[e], 1.0 / self._links[e].gbps) for e in entering]
        public = [(self._flow[e], 1.0) for e in leaving if cloud_of(self._links[e].dst) != cloud]
        for rule, row_terms, per_vm in (
            ("vm_out_time", out_time, 1.0),
            ("vm_in_time", in_time, 1.0),
            ("vm_egress_public", public, vm.egress_public_gbps),
            ("vm_egress", [(self._flow[e], 1.0) for e in leaving], vm.egress_gbps),
            ("vm_ingress", [(self._flow[e], 1.0) for e in entering], vm.ingress_gbps),
        ):
            if row_terms:
                self._vm_rows[rule, region] = model.add_row(
                    f"{rule}[{region}]", [*row_terms, (self._vms[region], -per_vm)], upper=0.0
                )
        self._fixed[region] = model.add_row(
            f"vms_fixed[{region}]", [(self._vms[region], 1.0), (self._pace, 0.0)]
        )

    # Asking.

    def _ask(self, *, minimise_cost: bool, usd_per_gigabit: float | None) -> None:
        model = self._model
        if minimise_cost != self._minimising_cost:
            weight = 1.0 if minimise_cost else 0.0
            for variable, cost in self._costs():
                model.set_cost(variable, weight * cost)
            model.set_cost(self._throughput, 0.0 if minimise_cost else -1.0)
            self._minimising_cost = minimise_cost
        if minimise_cost:
            model.bound_variable(self._throughput, 1.0, 1.0)
        else:
            model.bound_variable(self._throughput, 0.0, math.inf)
        if usd_per_gigabit is not None:
            if self._budget is None:
                self._budget = model.add_row("budget", [*self._costs(), (self._throughput, 0.0)])
            model.set_coefficient(self._budget, self._throughput, -usd_per_gigabit)
        if self._budget is not None:
            upper = math.inf if usd_per_gigabit is None else 0.0
            model.bound_row(self._budget, -math.inf, upper)

    def _costs(self) -> list[tuple[int, float]]:
        return [
            *zip(self._flow, self._flow_cost, strict=True),
            *((self._vms[r], self._vm_cost[r]) for r in self._regions),
        ]

    def _bound_vms(
        self,
        bounds: Mapping[str, tuple[float, float]],
        fixed: Mapping[str, float] | None,
    ) -> None:
        for region, (least, most) in bounds.items():
            self._model.bound_variable(self._vms[region], least, most)
            if fixed is None:
                self._model.bound_row(self._fixed[region], -math.inf, math.inf)
            else:
                self._model.set_coefficient(self._fixed[region], self._pace, -fixed[region])
                self._model.bound_row(self._fixed[region], 0.0, 0.0)

    # Answering.

    def _solution(
        self,
        outcome: Outcome,
        *,
        scale: float,
        vms: Mapping[str, int] | None = None,
        bound: float = 0.0,
        binds: tuple[str, ...] = (),
    ) -> Solution:
        values = outcome.values
        gbps = values[self._throughput] * scale
        flows = {
            (e.src, e.dst): values[at] * scale
            for e, at in zip(self._links, self._flow, strict=True)
            if values[at] * scale > FLOW_NOISE_GBPS
        }
        counts: Mapping[str, float] = (
            {r: max(0.0, values[self._vms[r]]) * scale for r in self._regions}
            if vms is None
            else {r: float(n) for r, n in vms.items()}
        )
        rate = math.fsum(cost * values[at] for at, cost in self._costs()) * scale
        return Solution(
            status="optimal",
            gbps=gbps,
            usd_per_gigabit=rate / gbps if gbps > 0 else math.inf,
            flows=flows,
            vms=counts,
            bound_usd_per_gigabit=bound,
            binds=binds,
        )

    def _dual_bound(self, outcome: Outcome, most_vms: Mapping[str, float]) -> float:
        """The Lagrangian of (2)–(6) at the duals, minimised exactly: a proof by itself.

        The duals are rents that flows pay to VMs. Whatever they are (not negative), no plan costs
        less than the cheapest path from s to t at price plus rents, less what the VMs earn beyond
        their price, at most limit_r of them. An excess that is noise is taken out of the rents.
        """
        rent = {key: max(0.0, -outcome.duals[row]) for key, row in self._vm_rows.items()}
        excess = []
        for region in self._regions:
            vm = self.topology.vm(region)
            per_vm = (1.0, 1.0, vm.egress_public_gbps, vm.egress_gbps, vm.ingress_gbps)
            earned = math.fsum(
                rent.get((rule, region), 0.0) * each
                for rule, each in zip(_VM_ROWS, per_vm, strict=True)
            )
            price = self._vm_cost[region]
            if earned > price and (
                math.isinf(most_vms[region]) or earned - price < RENT_NOISE * earned
            ):
                for rule in _VM_ROWS:
                    if (rule, region) in rent:
                        rent[rule, region] *= price / earned * (1 - BOUND_NOISE)
            elif earned > price:
                excess.append((earned - price) * most_vms[region])
        path = self._cheapest_path(rent)
        noise = BOUND_NOISE * (path + math.fsum(excess))
        return max(0.0, path - math.fsum(excess) - noise)

    def _cheapest_path(self, rent: Mapping[tuple[str, str], float]) -> float:
        """USD a gigabit of the cheapest path at price plus rents: Dijkstra's algorithm."""
        onward: dict[str, list[tuple[str, float]]] = {region: [] for region in self._regions}
        for link, cost in zip(self._links, self._flow_cost, strict=True):
            onward[link.src].append((link.dst, cost + self._rent_of(link, rent)))
        queue = [(0.0, self.topology.source)]
        done: set[str] = set()
        while queue:
            so_far, region = heapq.heappop(queue)
            if region == self.topology.destination:
                return so_far
            if region in done:
                continue
            done.add(region)
            for after, cost in onward[region]:
                if after not in done:
                    heapq.heappush(queue, (so_far + cost, after))
        return 0.0

    @staticmethod
    def _rent_of(link: Link, rent: Mapping[tuple[str, str], float]) -> float:
        time = rent["vm_out_time", link.src] + rent["vm_in_time", link.dst]
        public = (
            rent["vm_egress_public", link.src] if cloud_of(link.src) != cloud_of(link.dst) else 0.0
        )
        volume = rent["vm_egress", link.src] + rent["vm_ingress", link.dst]
        return time / link.gbps + public + volume

    def _binds(self, outcome: Outcome, usd_per_gigabit: float | None) -> tuple[str, ...]:
        """What limits the throughput, by the duals: VM limits, quotas, caps, links, the budget."""
        found: list[str] = []
        for region in self._regions:
            if outcome.reduced_costs[self._vms[region]] < -DUAL_NOISE:
                rule = "quota" if self.topology.by_quota(region) else "vm_limit"
                found.append(f"{rule}[{region}]")
        for (rule, region), row in self._vm_rows.items():
            if abs(outcome.duals[row]) <= DUAL_NOISE:
                continue
            if not rule.endswith("_time"):
                found.append(f"{rule}[{region}]")
                continue
            end = "src" if rule == "vm_out_time" else "dst"
            found += [
                f"link {link.src}→{link.dst}"
                for at, link in zip(self._flow, self._links, strict=True)
                if getattr(link, end) == region and outcome.values[at] > FLOW_NOISE_GBPS
            ]
        if usd_per_gigabit is not None and self._budget is not None:
            if abs(outcome.duals[self._budget]) > DUAL_NOISE:
                found.append("max_usd")
        if outcome.values[self._throughput] <= FLOW_NOISE_GBPS and not found:
            found = self._nothing_moves()
        return tuple(dict.fromkeys(found))

    def _nothing_moves(self) -> list[str]:
        topology = self.topology
        for end in (topology.source, topology.destination):
            if topology.limits[end] == 0:
                return [f"quota[{end}]"]
        return [f"no link {topology.source}→{topology.destination}"]
