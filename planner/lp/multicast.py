"""From one (or several) to many: DESIGN.md's model over trees, and its questions.

Sets        regions r; directed links e = (i, j); sources s; trees T of each source, to every
            destination other than itself
Parameters  as in `unicast.py`: B_e, price_e, hour_r, public_r, egress_r, ingress_r, limit_r, goal
Variables   tree[s,k] = x_T >= 0, the share of its source's data;  vms[r] = N_r >= 0 and
            slowness = u, in units of the throughput: u = 1/G, and N_r/u is a number of VMs

    (1)  demand[s]         Σ_{T of s} x_T = 1
    (2)  vm_out_time[r]    Σ_j F_rj / B_rj <= N_r          where F_e = Σ_{T with e} x_T
    (3)  vm_in_time[r]     Σ_i F_ir / B_ir <= N_r
    (4)  vm_egress_public[r]   Σ_{j in other clouds} F_rj <= public_r N_r
    (5)  vm_egress[r]      Σ_j F_rj <= egress_r N_r
    (6)  vm_ingress[r]     Σ_i F_ir <= ingress_r N_r
    (7)  budget            Σ_e F_e/8 price_e + Σ_r N_r hour_r/3600 <= X / gigabits
    (8)  most[r], least[r] low_r u <= N_r <= high_r u
    cost                   Σ_e F_e/8 price_e + Σ_r N_r hour_r/3600          (USD a gigabit)

G is the throughput of each source. Everything but (8) is free of it, so that one linear model
answers all questions: cheapest at a goal (u = 1/goal, high = limit), cheapest at any throughput
(u as large as can matter), fastest (least u), fastest within a budget (the same under (7)), and
with whole VMs at the goal or faster (low = high = n_r, u <= 1/goal: total cost is then exact, since
VM time is paid by the second). Trees come by column generation (`tree_columns.py`); rows that
cannot bind (where no link carries more than a VM may send, (2) implies (5)) are left out.
Source: Cloudcast (NSDI '24) partitions data over trees; (2), (3) as in `unicast.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from planner.arrays import Bools
from planner.certificate import VM_ROWS
from planner.lp.tree_columns import Demand, TreeAnswer, TreeModel, cheapest_tree
from planner.topology import Topology
from planner.trees import Edges, Floats, shortest_paths

# A share of its source's data below this is the solver's noise.
SHARE_NOISE = 1e-9
# A dual below this explains nothing.
DUAL_NOISE = 1e-7
# A goal this share above the most is met by it.
FEASIBLE_NOISE = 1e-12
# Of trees of equal price, those of fast links: a VM's second a gigabit counts for so many dollars.
TIE_USD = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A tree by region names, of the source at that position, and its share of the data."""

    source: int
    edges: tuple[tuple[str, str], ...]
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Multicast:
    """What the model answered: throughput, trees and VMs (fractional unless they were fixed).

    `bound_usd_per_gigabit` of `cheapest`: no plan at that goal or above costs less. `bound_gbps` of
    `fastest`: none is faster. `binds` names what limits `fastest`.
    """

    optimal: bool
    gbps: float = 0.0
    usd_per_gigabit: float = math.inf
    shares: tuple[Share, ...] = ()
    vms: Mapping[str, float] = field(default_factory=dict)
    bound_usd_per_gigabit: float = 0.0
    bound_gbps: float = math.inf
    binds: tuple[str, ...] = ()


class MulticastModel:
    """The model of one Topology, built once and asked with other bounds."""

    def __init__(self, topology: Topology, *, fixed_trees: bool = False) -> None:
        """With `fixed_trees`, over the trees that are added, and no others."""
        self.topology = topology
        self.fixed_trees = fixed_trees
        arrays = topology.arrays
        self.regions = tuple(sorted(topology.limits))
        self._inside = np.array([arrays.index[region] for region in self.regions], dtype=np.intp)
        self.at = {region: at for at, region in enumerate(self.regions)}
        grid = np.ix_(self._inside, self._inside)
        allowed = topology.allowed[grid]
        self._gbps = arrays.gbps[grid]
        self._usd: Floats = np.where(allowed, topology.links_usd()[grid], np.inf)
        self._vm_usd = arrays.usd_per_s[self._inside]
        self._limit = topology.limit_array()[self._inside]
        job = topology.job
        self.demands = tuple(
            Demand(
                root=self.at[source],
                terminals=tuple(self.at[d] for d in job.destinations if d != source),
                amount=1.0,
            )
            for source in job.sources
        )
        self._model = TreeModel(self._usd, self.demands)
        self._vm_rows: dict[tuple[str, int], int] = {}
        self._vm_terms: list[list[tuple[int, float]]] = []
        self._vms: list[int] = []
        self._most: list[int] = []
        self._least: list[int] = []
        self._enough = 0.0
        self._trees_found = False
        self._build(arrays.crosses[grid], arrays.per_vm[:, self._inside], allowed)

    # Questions.

    def cheapest(self, goal_gbps: float | None, *, sharpen: bool = False) -> Multicast:
        """Least cost at `goal_gbps` or more, or (None) at a throughput where no limit matters.

        `sharpen` the bound where trees to so many destinations are not exact as a rule.
        """
        goal = None if goal_gbps is None else goal_gbps * (1 - FEASIBLE_NOISE)
        self._ask(fastest=False, budget=None)
        self._bound_vms(np.zeros_like(self._limit), self._limit)
        if goal is None:
            self._model.change(self._slowness, bounds=(0.0, self._slowest()))
            return self._answer(self._minimise(sharpen=sharpen), gbps=1.0)
        self._model.change(self._slowness, bounds=(1 / goal, 1 / goal))
        answer = self._minimise(sharpen=sharpen)
        if not answer.optimal:
            # Perhaps the trees so far do not carry the goal: those of the fastest plan do.
            if self.fastest().gbps < goal:
                return Multicast(optimal=False)
            self._ask(fastest=False, budget=None)
            self._model.change(self._slowness, bounds=(1 / goal, 1 / goal))
            answer = self._minimise(sharpen=sharpen)
        return self._answer(answer)

    def fastest(self, usd_per_gigabit: float | None = None) -> Multicast:
        """Most throughput, at no more than `usd_per_gigabit` where that is given."""
        if usd_per_gigabit is not None and (
            self.cheapest(None).usd_per_gigabit > usd_per_gigabit * (1 + FEASIBLE_NOISE)
        ):
            return Multicast(optimal=False)
        self._ask(fastest=True, budget=usd_per_gigabit)
        self._bound_vms(np.zeros_like(self._limit), self._limit)
        self._model.change(self._slowness, bounds=(0.0, self._slowest()))
        answer = self._minimise()
        return self._answer(answer, fastest=True, budget=usd_per_gigabit)

    def cheapest_with(
        self, vms: Mapping[str, int], goal_gbps: float, *, generate: bool = True
    ) -> Multicast:
        """Least cost with exactly those VMs (0 elsewhere), at `goal_gbps` or faster."""
        self._ask(fastest=False, budget=None)
        self._fix(vms)
        self._model.change(self._slowness, bounds=(0.0, 1 / goal_gbps))
        return self._answer(self._minimise(generate=generate))

    def fastest_with(
        self,
        vms: Mapping[str, int],
        usd_per_gigabit: float | None = None,
        *,
        generate: bool = True,
    ) -> Multicast:
        """Most throughput with exactly those VMs (0 elsewhere), within the budget if given."""
        self._ask(fastest=True, budget=usd_per_gigabit)
        self._fix(vms)
        self._model.change(self._slowness, bounds=(0.0, self._slowest()))
        return self._answer(self._minimise(generate=generate))

    def steiner_trees(self) -> tuple[Edges, ...] | None:
        """Each source's cheapest tree by egress, fast links first; None if there is none."""
        weights = self._usd + TIE_USD / self._gbps
        found = [cheapest_tree(weights, demand, sharp=True) for demand in self.demands]
        trees = [tree.edges for tree in found if tree is not None]
        return tuple(trees) if len(trees) == len(found) else None

    @property
    def weights(self) -> Floats:
        """USD a gigabit on each link, inf where there is none; (n, n) by `regions`."""
        return self._usd

    @property
    def gbps(self) -> Floats:
        """What one pair of VMs carries on each link, 1 where there is none; (n, n)."""
        return self._gbps

    def add_trees(self, trees: Sequence[Edges]) -> None:
        """One tree of each source, by positions in `regions`, for the model to use."""
        self._trees_found = True
        for at, edges in enumerate(trees):
            self._model.add_tree(at, edges)

    def add_shares(self, shares: Sequence[Share]) -> None:
        """Trees of another model's answer, where their regions are here, too."""
        for share in shares:
            if all(end in self.at for edge in share.edges for end in edge):
                edges = tuple((self.at[src], self.at[dst]) for src, dst in share.edges)
                self._model.add_tree(share.source, edges)
                self._trees_found = True

    # Building.

    def _build(self, crosses: Bools, per_vm: Floats, allowed: Bools) -> None:
        model, n = self._model, len(self.regions)
        each = dict(zip(VM_ROWS, per_vm, strict=True))
        time = np.where(allowed, 1.0 / self._gbps, 0.0)
        ones = np.where(allowed, 1.0, 0.0)
        public = np.where(crosses, ones, 0.0)
        carried = np.where(allowed, self._gbps, 0.0)
        for r in range(n):
            rows = (
                ("vm_out_time", time[r], True, np.inf),
                ("vm_in_time", time[:, r], False, np.inf),
                ("vm_egress_public", public[r], True, (carried[r] * public[r]).max()),
                ("vm_egress", ones[r], True, carried[r].max()),
                ("vm_ingress", ones[:, r], False, carried[:, r].max()),
            )
            terms: list[tuple[int, float]] = []
            for name, per_edge, leaves, most_gbps in rows:
                if not per_edge.any() or most_gbps <= each[name][r]:
                    continue
                row = model.add_row(
                    f"{name}[{self.regions[r]}]",
                    per_edge,
                    src=r if leaves else None,
                    dst=None if leaves else r,
                )
                self._vm_rows[name, r] = row
                terms.append((row, -float(each[name][r])))
            self._most.append(model.add_row(f"most[{self.regions[r]}]"))
            self._least.append(model.add_row(f"least[{self.regions[r]}]"))
            terms += [(self._most[r], 1.0), (self._least[r], -1.0)]
            # Every source's data on every link at once: more is never needed.
            need = [time[r].sum(), time[:, r].sum(), *(n / float(each[k][r]) for k in VM_ROWS[2:])]
            self._enough = max(self._enough, len(self.demands) * max(need))
            self._vm_terms.append(terms)
        self._budget = model.add_row("budget", np.where(allowed, self._usd, 0.0), upper=math.inf)
        for region, terms, usd in zip(
            self.regions, self._vm_terms, self._vm_usd.tolist(), strict=True
        ):
            self._vms.append(
                model.add_variable(
                    f"vms[{region}]",
                    [*terms, (self._budget, usd)],
                    cost=usd,
                    most=self._enough,
                )
            )
        self._slowness = model.add_variable("slowness", [], most=self._slowest())

    def _slowest(self) -> float:
        """Slowness beyond which no VM limit matters."""
        limits = self._limit[self._limit > 0]
        return self._enough / float(limits.min()) if len(limits) else self._enough

    # Asking.

    def _ask(self, *, fastest: bool, budget: float | None) -> None:
        """The objective, and (7) where there is a budget."""
        model = self._model
        weight = 0.0 if fastest else 1.0
        linked = np.isfinite(self._usd)
        model.price_trees(np.where(linked, weight * np.where(linked, self._usd, 0.0), np.inf))
        for variable, usd in zip(self._vms, self._vm_usd.tolist(), strict=True):
            model.change(variable, cost=weight * usd)
        model.change(self._slowness, cost=1.0 if fastest else 0.0)
        model.bound_row(self._budget, math.inf if budget is None else budget)

    def _bound_vms(self, low: Floats, high: Floats) -> None:
        """(8)."""
        terms = [
            *zip(self._most, (-high).tolist(), strict=True),
            *zip(self._least, low.tolist(), strict=True),
        ]
        self._model.change(self._slowness, terms=terms)
        # More than enough is never needed, but may be given.
        given = np.maximum(self._enough, low * self._slowest())
        for variable, most in zip(self._vms, given.tolist(), strict=True):
            self._model.change(variable, bounds=(0.0, most))

    def _fix(self, vms: Mapping[str, int]) -> None:
        counts = np.array([float(vms.get(region, 0)) for region in self.regions])
        self._bound_vms(counts, counts)

    def _minimise(self, *, generate: bool = True, sharpen: bool = False) -> TreeAnswer:
        if not self._trees_found:
            trees = self.steiner_trees()
            if trees is None:
                return TreeAnswer(optimal=False)
            self.add_trees(trees)
        return self._model.minimise(generate=generate and not self.fixed_trees, sharpen=sharpen)

    # Answering.

    def _answer(
        self,
        answer: TreeAnswer,
        *,
        gbps: float | None = None,
        fastest: bool = False,
        budget: float | None = None,
    ) -> Multicast:
        if not answer.optimal:
            return Multicast(optimal=False)
        slowness = answer.values[self._slowness]
        if gbps is None:
            gbps = 1.0 / slowness if slowness > 0 else math.inf
        vms = {
            region: answer.values[variable] * gbps
            for region, variable in zip(self.regions, self._vms, strict=True)
        }
        egress = math.fsum(
            column.value * float(self._usd[edge])
            for column in answer.columns
            for edge in column.edges
        )
        hours = math.fsum(
            answer.values[variable] * usd
            for variable, usd in zip(self._vms, self._vm_usd.tolist(), strict=True)
        )
        shares = tuple(
            Share(
                source=column.demand,
                edges=tuple((self.regions[i], self.regions[j]) for i, j in column.edges),
                share=column.value,
            )
            for column in answer.columns
            if column.value > SHARE_NOISE
        )
        bound_gbps = 1.0 / answer.bound if fastest and answer.bound > 0 else math.inf
        return Multicast(
            optimal=True,
            gbps=gbps,
            usd_per_gigabit=egress + hours,
            shares=shares,
            vms=vms,
            bound_usd_per_gigabit=0.0 if fastest else answer.bound,
            bound_gbps=bound_gbps,
            binds=self._binds(answer, budget) if fastest else (),
        )

    def _binds(self, answer: TreeAnswer, budget: float | None) -> tuple[str, ...]:
        """What limits the throughput, by the duals: VM limits, quotas, caps, links, the budget."""
        found: list[str] = []
        for region, row in zip(self.regions, self._most, strict=True):
            if abs(answer.duals[row]) > DUAL_NOISE:
                rule = "quota" if self.topology.by_quota(region) else "vm_limit"
                found.append(f"{rule}[{region}]")
        used = sorted({edge for column in answer.columns for edge in column.edges})
        for (name, r), row in self._vm_rows.items():
            if abs(answer.duals[row]) <= DUAL_NOISE:
                continue
            if not name.endswith("_time"):
                found.append(f"{name}[{self.regions[r]}]")
                continue
            side = 0 if name == "vm_out_time" else 1
            found += [
                f"link {self.regions[edge[0]]}→{self.regions[edge[1]]}"
                for edge in used
                if edge[side] == r
            ]
        if budget is not None and abs(answer.duals[self._budget]) > DUAL_NOISE:
            found.append("max_usd")
        return tuple(dict.fromkeys(found))

    def nothing_moves(self) -> tuple[str, ...]:
        """Why there is no plan at all: an end without a VM, or without a way to it."""
        job = self.topology.job
        for end in (*job.sources, *job.destinations):
            if self.topology.limits[end] == 0:
                return (f"quota[{end}]",)
        distance, _ = shortest_paths(self._usd)
        return tuple(
            f"no link {self.regions[demand.root]}→{self.regions[terminal]}"
            for demand in self.demands
            for terminal in demand.terminals
            if not np.isfinite(distance[demand.root, terminal])
        )
