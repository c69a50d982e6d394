"""The linear programme of `unicast.py`, which grows: regions and links come in when they matter.

Names, numbers and units of variables and rows are those of `unicast.py`'s formulation. What is
asked (`Ask`) is a value; a region that comes in later is bounded and priced by it like the others.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from planner.arrays import Floats
from planner.certificate import VM_ROWS
from planner.lp.bound import VmRates, Weights, regions_required, required_masks
from planner.lp.solve import LinearModel
from planner.topology import Topology

# A model of so few links holds them all from the start.
FEW_LINKS = 100
# Relays that a larger one begins with: those of the cheapest and of the fastest paths.
CHEAP_RELAYS, FAST_RELAYS = 8, 4
# A ceiling a gigabit (USD or gCO2e) that no plan comes near: as a row it would only make numbers
# that GLOP cannot tell. Links' prices may be higher yet, by a user's own.
BEYOND_ANY = 1e4

Boxes = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is minimised under which bounds.

    `weights` of cost at `goal_gbps` (VMs that wait cost more a gigabit, the faster the transfer),
    or the most throughput. Ceilings are per gigabit. VMs are between `least` and `most` (0 and
    infinity where a region is not named), in units of `unit` VMs; `boxes` are rows (8), equalities
    where `fixed`, and free the pace. The time before VMs are ready is left out where it is
    `counted_apart`.
    """

    weights: Weights = field(default_factory=Weights)
    goal_gbps: float = 0.0
    maximise_throughput: bool = False
    usd_ceiling: float | None = None
    gco2e_ceiling: float | None = None
    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    boxes: Boxes = field(default_factory=dict)
    counted_apart: Collection[str] = ()
    fixed: bool = False
    unit: float = 1.0

    @property
    def given(self) -> tuple[str, ...]:
        """Regions with VMs whether flows use them or not."""
        boxed = {region for region, (low, _) in self.boxes.items() if low > 0}
        return tuple(sorted(boxed | {region for region, low in self.least.items() if low > 0}))


class GrownModel:
    """Variables and rows of some links of a Topology, and of the regions that they join."""

    def __init__(self, topology: Topology, few_links: int = FEW_LINKS) -> None:
        self.topology = topology
        self.rates = VmRates(topology)
        self.links_usd = topology.links_usd()
        self.model = LinearModel()
        self.balance: dict[str, int] = {}
        self.vm_rows: dict[tuple[str, str], int] = {}
        self.vms: dict[str, int] = {}
        self.flow: dict[tuple[int, int], int] = {}
        self._arrays = topology.arrays
        self._ask = Ask()
        self._usd_limited = False
        self._most_rows: dict[str, int] = {}
        self._least_rows: dict[str, int] = {}
        self._needed = self._rows_that_can_bind()
        names = [*regions_required(topology), *topology.job.require_links]
        self.required = [self.model.add_row(f"required[{name}]", 0.0, 0.0) for name in names]
        self._masks = required_masks(topology)
        self._cells: list[int] = []
        dearest = float(self.links_usd[topology.allowed].max(initial=0.0))
        self._beyond = max(BEYOND_ANY, 100 * dearest * len(self._arrays.regions))
        self.ceiling = {kind: self.model.add_row(f"ceiling[{kind}]") for kind in ("usd", "gco2e")}
        self.pace = self.model.add_variable("pace", upper=1.0)
        for end in (topology.source, topology.destination):
            self._add_region(end)
        self.throughput = self.model.add_variable(
            "throughput",
            [
                (self.balance[topology.source], -1.0),
                (self.balance[topology.destination], 1.0),
                *((row, -1.0) for row in self.required),
            ],
        )
        # Where something is required, cycles may pay less than nothing on the way to the optimum,
        # and there is no shortest path to take links in by.
        allowed = topology.allowed
        few = bool(self.required) or int(allowed.sum()) <= few_links
        for i, j in np.argwhere(allowed).tolist() if few else self._first_links():
            self.take_in(i, j)

    @property
    def whole(self) -> bool:
        """Whether every link is in."""
        return len(self.flow) == int(self.topology.allowed.sum())

    def _rows_that_can_bind(self) -> dict[str, np.ndarray]:
        """Where each rule of VM_ROWS can bind: elsewhere another implies it."""
        arrays, allowed = self._arrays, self.topology.allowed
        caps = dict(zip(VM_ROWS, arrays.per_vm, strict=True))
        public = caps["vm_egress_public"][:, None]
        return {
            "vm_out_time": allowed.any(axis=1),
            "vm_in_time": allowed.any(axis=0),
            "vm_egress_public": (allowed & arrays.crosses & (arrays.gbps > public)).any(axis=1),
            "vm_egress": (allowed & (arrays.gbps > caps["vm_egress"][:, None])).any(axis=1),
            "vm_ingress": (allowed & (arrays.gbps > caps["vm_ingress"][None, :])).any(axis=0),
        }

    def _first_links(self) -> list[tuple[int, int]]:
        """The direct link, and both links of the cheapest and the fastest single relays."""
        arrays, allowed = self._arrays, self.topology.allowed
        s, t = (arrays.index[end] for end in (self.topology.source, self.topology.destination))
        relays = np.flatnonzero(allowed[s, :] & allowed[:, t])
        time_in, time_out = 1 / arrays.gbps[s, relays], 1 / arrays.gbps[relays, t]
        slower = np.maximum(time_in, time_out)
        usd = self.links_usd[s, relays] + self.links_usd[relays, t]
        usd = usd + arrays.usd_per_s[relays] * slower
        usd = usd + arrays.usd_per_s[s] * time_in + arrays.usd_per_s[t] * time_out
        cheap = relays[np.argsort(usd, kind="stable")[:CHEAP_RELAYS]]
        fast = relays[np.argsort(slower, kind="stable")[:FAST_RELAYS]]
        first = {(s, int(r)) for r in (*cheap, *fast)} | {(int(r), t) for r in (*cheap, *fast)}
        return sorted(first | ({(s, t)} if allowed[s, t] else set()))

    # Growing.

    def take_in(self, i: int, j: int) -> None:
        """Add a link's flow, and its ends where they are new."""
        arrays = self._arrays
        src, dst = arrays.regions[i], arrays.regions[j]
        for end in (src, dst):
            if end not in self.vms:
                self._add_region(end)
        time, rows = 1.0 / float(arrays.gbps[i, j]), self.vm_rows
        terms = [(self.balance[src], 1.0), (self.balance[dst], -1.0)]
        for rule, region, coefficient in (
            ("vm_out_time", src, time),
            ("vm_in_time", dst, time),
            ("vm_egress", src, 1.0),
            ("vm_ingress", dst, 1.0),
        ):
            if (rule, region) in rows:
                terms.append((rows[rule, region], coefficient))
        if arrays.crosses[i, j] and ("vm_egress_public", src) in rows:
            terms.append((rows["vm_egress_public", src], 1.0))
        for row, mask in zip(self.required, self._masks, strict=True):
            if mask[1] == j and (isinstance(mask[0], slice) or mask[0] == i):
                terms.append((row, 1.0))
        usd = float(self.links_usd[i, j])
        if self._usd_limited:
            terms.append((self.ceiling["usd"], usd))
        self.flow[i, j] = self.model.add_variable(
            f"flow[{src},{dst}]", terms, cost=self._ask.weights.usd * usd
        )

    def _add_region(self, region: str) -> None:
        """A region's rows and VMs, by what is asked now."""
        model, at = self.model, self._arrays.index[region]
        self.balance[region] = model.add_row(f"balance[{region}]", 0.0, 0.0)
        terms = []
        for k, rule in enumerate(VM_ROWS):
            if self._needed[rule][at]:
                row = self.vm_rows[rule, region] = model.add_row(f"{rule}[{region}]", upper=0.0)
                self._cells.append(k * len(self._arrays.regions) + at)
                terms.append((row, -float(self._arrays.per_vm[k, at])))
        self.vms[region] = model.add_variable(f"vms[{region}]", terms)
        if self._usd_limited:
            model.set_coefficient(self.ceiling["usd"], self.vms[region], float(self.rates.usd[at]))
        self._price(region)
        self._bound(region)

    def rents(self, duals: Sequence[float]) -> Floats:
        """What a unit of each VM row is worth by the duals; (rows of VM_ROWS, n), 0 without one."""
        found = np.zeros_like(self._arrays.per_vm)
        worth = -np.array(duals)[list(self.vm_rows.values())]
        found.flat[self._cells] = np.maximum(worth, 0.0)
        return found

    # Asking.

    def ask(self, ask: Ask) -> None:
        """Set objective, ceilings and bounds."""
        model, before = self.model, self._ask
        self._ask = ask
        if ask.weights.usd != before.weights.usd:
            for (i, j), variable in self.flow.items():
                model.set_cost(variable, ask.weights.usd * float(self.links_usd[i, j]))
        model.set_cost(self.throughput, -1.0 if ask.maximise_throughput else 0.0)
        if ask.maximise_throughput:
            model.bound_variable(self.throughput, 0.0, math.inf)
        else:
            model.bound_variable(self.throughput, 1.0, 1.0)
        model.bound_variable(self.pace, 0.0 if ask.boxes else 1.0, 1.0)
        self._limit("usd", ask.usd_ceiling)
        self._limit("gco2e", ask.gco2e_ceiling)
        if ask.usd_ceiling is not None and not self._usd_limited:
            self._usd_limited = True
            row = self.ceiling["usd"]
            for (i, j), variable in self.flow.items():
                model.set_coefficient(row, variable, float(self.links_usd[i, j]))
            for region, variable in self.vms.items():
                at = self._arrays.index[region]
                model.set_coefficient(row, variable, float(self.rates.usd[at]))
        if self._priced_by(ask) != self._priced_by(before):
            for region in self.vms:
                self._price(region)
        for region in self.vms:
            self._bound(region)

    def _limit(self, kind: str, ceiling: float | None) -> None:
        """(7), or no such row."""
        row = self.ceiling[kind]
        if ceiling is None or ceiling > self._beyond:
            self.model.bound_row(row, -math.inf, math.inf)
            return
        self.model.set_coefficient(row, self.throughput, -ceiling)
        self.model.bound_row(row, -math.inf, 0.0)

    def _priced_by(self, ask: Ask) -> tuple[Weights, float, float | None, Collection[str]]:
        """What VMs' prices depend on; the goal only where the time before they are ready counts."""
        goal_gbps = ask.goal_gbps if self.topology.job.provisioning else 0.0
        return ask.weights, goal_gbps, ask.gco2e_ceiling, ask.counted_apart

    def _price(self, region: str) -> None:
        ask, at = self._ask, self._arrays.index[region]
        goal_gbps = 0.0 if region in ask.counted_apart else ask.goal_gbps
        self.model.set_cost(self.vms[region], self.rates.of(at, ask.weights, goal_gbps))
        if ask.gco2e_ceiling is not None:
            rate = self.rates.of(at, Weights(gco2e=1.0), ask.goal_gbps)
            self.model.set_coefficient(self.ceiling["gco2e"], self.vms[region], rate)

    def _bound(self, region: str) -> None:
        model, ask = self.model, self._ask
        least, most = ask.least.get(region, 0.0), ask.most.get(region, math.inf)
        model.bound_variable(self.vms[region], least / ask.unit, most / ask.unit)
        if not ask.boxes and not self._most_rows and not self._least_rows:
            return
        low, high = ask.boxes.get(region, (0, -1))
        self._box(self._most_rows, "most", region, high if high >= 0 else None, least=False)
        self._box(self._least_rows, "least", region, low or None, least=True)

    def _box(
        self, rows: dict[str, int], name: str, region: str, count: int | None, *, least: bool
    ) -> None:
        """(8) from one side, in units of `unit` VMs; no such row for None."""
        model, ask = self.model, self._ask
        if count is None or (least and ask.fixed):
            if region in rows:
                model.bound_row(rows[region], -math.inf, math.inf)
            return
        if region not in rows:
            rows[region] = model.add_row(f"{name}[{region}]")
            model.set_coefficient(rows[region], self.vms[region], 1.0)
        model.set_coefficient(rows[region], self.pace, -count / ask.unit)
        if least:
            model.bound_row(rows[region], 0.0, math.inf)
        else:
            model.bound_row(rows[region], 0.0 if ask.fixed else -math.inf, 0.0)
