"""One set of VMs for several epochs: the relaxation whose optimum bounds every robust plan.

Sets        epochs k; regions r; directed links e = (i, j) of each epoch; source s, destination t
Parameters  B_ke, price_ke, hour_kr, public_kr, egress_kr, ingress_kr as in `lp/unicast.py`, by
            epoch; limit_r VMs; g_k Gbit/s, the floor of epoch k; most_k, the most it can do;
            opt_k USD a gigabit, what the best single plan for epoch k alone costs
Variables   N_r in 0..limit_r, shared by all epochs (here and now); in each epoch k (wait and see):
            f_ke = F_ke / G_k, pace u_k = g_k / G_k in low_k..1 with low_k = g_k / most_k,
            w_kr = N_r u_k (VM time paid, in units of the floor); z >= 0, the worst ratio

    (1)  balance[k,r]     sum_out f - sum_in f = 1 at s, -1 at t, 0 elsewhere
    (2)  vm_…[k,r]        rows (2) to (6) of `lp/unicast.py` with f for F and w_kr / g_k for N_r
    (3)  paid[k,r]        McCormick's envelope of w_kr = N_r u_k over 0..limit_r and low_k..1:
                          w <= N,  w >= low N,  w >= N + limit (u - 1),
                          w <= low N + limit (u - low)
    (4)  ratio[k]         sum_e f_ke price_ke/8 + sum_r (w_kr / g_k) hour_kr/3600 <= z opt_k
    minimise z

With whole N and the flows of any plan at G_k >= g_k every row holds, so z bounds the worst ratio
from below; the worst regret is at least z - 1. N u is the only product: (3) is exact at u = 1.
Links that would not pay are left out and priced in again until none would (sifting), so that the
optimum is one over all links.
Source: McCormick, Computability of global solutions to factorable nonconvex programs (1976);
Kouvelis & Yu, Robust Discrete Optimization and Its Applications (1997), relative regret.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets.matrix import Link
from datasets.regions import cloud_of
from datasets.units import usd_per_s_of_flow, usd_per_s_of_vm
from planner.lp.solve import LinearModel, Outcome
from planner.topology import Topology

# A link enters the model if an epoch's unit of flow over it would lower the ratio by more than
# this. The others could lower it by as much an epoch (some five) at most; the optimum is lowered
# by more, for them and for the solver's tolerance, to be a bound.
PAYS = 1e-6
BOUND_NOISE = 1e-5
# After so many rounds of sifting all links enter.
MOST_ROUNDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochTerms:
    """One epoch: its candidates, floor g_k and most (Gbit/s), and opt_k (USD a gigabit).

    `likely` names regions whose links are in the model from the start.
    """

    topology: Topology
    floor_gbps: float
    most_gbps: float
    best_usd_per_gigabit: float
    likely: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """The relaxation's answer: no robust plan's worst ratio is below `ratio`; its N, fractional."""

    ratio: float
    vms: Mapping[str, float]


def relaxed_ratio(
    epochs: Sequence[EpochTerms], hourly_usd: Mapping[str, float], limits: Mapping[str, int]
) -> Relaxed | None:
    """The least worst ratio of cost to the best single cost, over fractional VMs.

    `hourly_usd` has the VM price of every region in `limits`, also of those that an epoch lacks.
    None if the solver does not end with an optimum (some epoch then cannot meet its floor).
    """
    model = _Relaxation(epochs, hourly_usd, limits)
    outcome = model.solve()
    if outcome is None:
        return None
    return Relaxed(
        ratio=max(0.0, outcome.objective * (1 - BOUND_NOISE)),
        vms={r: max(0.0, outcome.values[at]) for r, at in model.vms.items()},
    )


class _Relaxation:
    """Rows first; links enter as columns when they pay."""

    def __init__(
        self,
        epochs: Sequence[EpochTerms],
        hourly_usd: Mapping[str, float],
        limits: Mapping[str, int],
    ) -> None:
        self._epochs = epochs
        self._model = LinearModel()
        self._ratio = [self._model.add_row(f"ratio[{k}]", upper=0.0) for k in range(len(epochs))]
        self._model.add_variable(
            "worst",
            [(row, -e.best_usd_per_gigabit) for row, e in zip(self._ratio, epochs, strict=True)],
            cost=1.0,
        )
        self._balance: list[dict[str, int]] = []
        self._rows: list[dict[tuple[str, str], int]] = []
        envelopes = [self._add_epoch(k, e, hourly_usd, limits) for k, e in enumerate(epochs)]
        self.vms = {
            region: self._model.add_variable(
                f"vms[{region}]",
                [term for rows in envelopes for term in rows[region]],
                upper=float(limit),
            )
            for region, limit in sorted(limits.items())
        }
        self._waiting = [self._first_links(k, e) for k, e in enumerate(epochs)]

    def solve(self) -> Outcome | None:
        """The optimum over all links, or None."""
        for _ in range(MOST_ROUNDS):
            outcome = self._model.solve()
            if outcome.status == "infeasible" and any(self._waiting):
                self._take_in([list(links) for links in self._waiting])  # all, to be sure
                continue
            if outcome.status != "optimal":
                return None
            paying = [self._paying(k, outcome) for k in range(len(self._epochs))]
            # Cheaper than the best plans already: all that it proves is that regret is not below 0.
            if outcome.objective <= 1 or not any(paying):
                return outcome
            self._take_in(paying)
        self._take_in([list(links) for links in self._waiting])
        outcome = self._model.solve()
        return outcome if outcome.status == "optimal" else None

    def _add_epoch(
        self,
        k: int,
        epoch: EpochTerms,
        hourly_usd: Mapping[str, float],
        limits: Mapping[str, int],
    ) -> dict[str, list[tuple[int, float]]]:
        """Rows (1) to (4) of one epoch with its u and w; N's terms in the rows, by region."""
        model, topology = self._model, epoch.topology
        low = min(1.0, epoch.floor_gbps / epoch.most_gbps)
        wanted = {topology.source: 1.0, topology.destination: -1.0}
        self._balance.append(
            {
                r: model.add_row(f"balance[{k},{r}]", wanted.get(r, 0.0), wanted.get(r, 0.0))
                for r in sorted(topology.limits)
            }
        )
        rules = ("vm_out_time", "vm_in_time", "vm_egress_public", "vm_egress", "vm_ingress")
        self._rows.append(
            {
                (rule, r): model.add_row(f"{rule}[{k},{r}]", upper=0.0)
                for r in sorted(topology.limits)
                for rule in rules
            }
        )
        pace_terms: list[tuple[int, float]] = []
        found: dict[str, list[tuple[int, float]]] = {}
        for region, limit in sorted(limits.items()):
            at_most = model.add_row(f"paid_most[{k},{region}]", upper=0.0)
            at_least = model.add_row(f"paid_least[{k},{region}]", lower=0.0)
            above = model.add_row(f"paid_above[{k},{region}]", lower=-float(limit))
            below = model.add_row(f"paid_below[{k},{region}]", upper=-low * limit)
            terms = [(at_most, 1.0), (at_least, 1.0), (above, 1.0), (below, 1.0)]
            price = usd_per_s_of_vm(hourly_usd[region]) / epoch.floor_gbps
            if region in topology.limits:
                vm = topology.vm(region)
                price = usd_per_s_of_vm(vm.usd_per_hour) / epoch.floor_gbps
                each = (1.0, 1.0, vm.egress_public_gbps, vm.egress_gbps, vm.ingress_gbps)
                terms += [
                    (self._rows[k][rule, region], -per_vm / epoch.floor_gbps)
                    for rule, per_vm in zip(rules, each, strict=True)
                ]
            model.add_variable(f"paid[{k},{region}]", [*terms, (self._ratio[k], price)])
            found[region] = [(at_most, -1.0), (at_least, -low), (above, -1.0), (below, -low)]
            pace_terms += [(above, -float(limit)), (below, -float(limit))]
        pace = model.add_variable(f"pace[{k}]", pace_terms)
        model.bound_variable(pace, low, 1.0)
        return found

    def _first_links(self, k: int, epoch: EpochTerms) -> list[Link]:
        """Links of at most one relay and among likely regions enter at once; the others wait."""
        topology = epoch.topology
        waiting = []
        for link in topology.links:
            one_relay = link.src == topology.source or link.dst == topology.destination
            if one_relay or epoch.likely.issuperset((link.src, link.dst)):
                self._add_link(k, link)
            else:
                waiting.append(link)
        return waiting

    def _take_in(self, paying: Sequence[Sequence[Link]]) -> None:
        for k, links in enumerate(paying):
            for link in links:
                self._add_link(k, link)
            taken = {(link.src, link.dst) for link in links}
            self._waiting[k] = [e for e in self._waiting[k] if (e.src, e.dst) not in taken]

    def _add_link(self, k: int, link: Link) -> None:
        self._model.add_variable(f"flow[{k},{link.src},{link.dst}]", self._terms(k, link))

    def _terms(self, k: int, link: Link) -> list[tuple[int, float]]:
        rows, balance = self._rows[k], self._balance[k]
        terms = [
            (balance[link.src], 1.0),
            (balance[link.dst], -1.0),
            (rows["vm_out_time", link.src], 1.0 / link.gbps),
            (rows["vm_in_time", link.dst], 1.0 / link.gbps),
            (rows["vm_egress", link.src], 1.0),
            (rows["vm_ingress", link.dst], 1.0),
            (self._ratio[k], usd_per_s_of_flow(1.0, link.usd_per_gb)),
        ]
        if cloud_of(link.src) != cloud_of(link.dst):
            terms.append((rows["vm_egress_public", link.src], 1.0))
        return terms

    def _paying(self, k: int, outcome: Outcome) -> list[Link]:
        """Waiting links on a path that would lower the ratio: one cheaper, at the duals' rents."""
        topology, balance = self._epochs[k].topology, self._balance[k]
        rents = {(e.src, e.dst): self._rent(k, e, outcome) for e in topology.links}
        there = _distances(rents, topology.source)
        back = _distances({(j, i): rent for (i, j), rent in rents.items()}, topology.destination)
        now = outcome.duals[balance[topology.source]] - outcome.duals[balance[topology.destination]]
        never = math.inf
        return [
            e
            for e in self._waiting[k]
            if there.get(e.src, never) + rents[e.src, e.dst] + back.get(e.dst, never) < now - PAYS
        ]

    def _rent(self, k: int, link: Link, outcome: Outcome) -> float:
        """What a unit on the link costs in rows (2) and (4); not negative but for noise."""
        terms = self._terms(k, link)[2:]  # all but its two balances
        return max(0.0, -math.fsum(outcome.duals[row] * value for row, value in terms))


def _distances(rents: Mapping[tuple[str, str], float], start: str) -> dict[str, float]:
    """The least rent from `start` to every region: Dijkstra's algorithm."""
    onward: dict[str, list[tuple[str, float]]] = {}
    for (src, dst), rent in rents.items():
        onward.setdefault(src, []).append((dst, rent))
    found: dict[str, float] = {}
    queue = [(0.0, start)]
    while queue:
        so_far, region = heapq.heappop(queue)
        if region in found:
            continue
        found[region] = so_far
        for after, rent in onward.get(region, ()):
            if after not in found:
                heapq.heappush(queue, (so_far + rent, after))
    return found
