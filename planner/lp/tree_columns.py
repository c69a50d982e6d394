"""Column generation over trees: a linear model with one variable a tree, made as it is needed.

    minimise   Σ_T cost(T) x_T + Σ_v c_v v
    subject to Σ_{T of source i} x_T = amount_i                       (demand[i])
               Σ_T (Σ_{e in T} a_re) x_T + Σ_v b_rv v <= 0            (each capacity row r)
               x_T >= 0, 0 <= v <= most_v

cost(T) is the sum of its links' costs, so that at rents y_r >= 0 on the rows a tree pays
cost_e + Σ_r y_r a_re on each link: the tree that pays least, an exact Steiner tree, is the column
to add, or there is none and the model holds every tree that matters. Whatever the rents, the least
that trees can pay less what the variables can earn is a bound (the Lagrangian), so a bound needs
no trust in the solver. Beyond MOST_EXACT terminals trees are found by a heuristic, and the bound
is by dual ascent: valid, and weaker.
Source: Dantzig & Wolfe, Decomposition principle for linear programs (1960); Geoffrion (1974).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from planner.lp.solve import LinearModel, Outcome
from planner.near_trees import ascent_bound, near_tree
from planner.steiner import MOST_TERMINALS, SteinerTree, steiner_tree
from planner.trees import Edges, Floats

# Exact trees for up to so many terminals (some 15 ms a tree at 71 regions), since a model finds
# some hundred of them. Up to MOST_TERMINALS (a quarter of a second), where a bound is asked for,
# the last ones are exact: this many rounds there, and three times as many with each terminal less.
MOST_EXACT = 9
SHARP_ROUNDS = 8
# A tree that pays less than the model's own by this share is worth a column.
PRICE_NOISE = 1e-9
# The share of a bound's own terms that floating point may have spoiled.
BOUND_NOISE = 1e-12
# Rounds that a model may take; those of five dozen regions and ten destinations take ten to fifty.
MOST_ROUNDS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """So much of `amount` from `root` to each of `terminals` (positions of regions)."""

    root: int
    terminals: tuple[int, ...]
    amount: float

    @property
    def exact(self) -> bool:
        """Whether its trees are always found exactly."""
        return len(self.terminals) <= MOST_EXACT

    @property
    def can_be_exact(self) -> bool:
        """Whether they can be at all."""
        return len(self.terminals) <= MOST_TERMINALS


def cheapest_tree(weights: Floats, demand: Demand, *, sharp: bool = False) -> SteinerTree | None:
    """The demand's tree of least weight, or one near it if exact ones would take too long.

    `sharp` allows a quarter of a second for it.
    """
    find = steiner_tree if demand.exact or (sharp and demand.can_be_exact) else near_tree
    return find(weights, demand.root, demand.terminals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A tree of demand number `demand`, and how much of it the model uses."""

    demand: int
    edges: Edges
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a link adds to a capacity row: those leaving `src`, entering `dst`, one link, or all.

    `per_edge` is (n,) by the other end, a number for one link, (n, n) for all; 0 for a row of the
    caller's variables alone.
    """

    row: int
    src: int | None
    dst: int | None
    per_edge: Floats

    @property
    def where(self) -> tuple[slice | int, slice | int]:
        """The links in question, as an index."""
        return (
            slice(None) if self.src is None else self.src,
            slice(None) if self.dst is None else self.dst,
        )

    def load(self, edges: Edges) -> float:
        """What a tree adds."""
        mine = [e for e in edges if self.src in (None, e[0]) and self.dst in (None, e[1])]
        if self.src is not None and self.dst is not None:
            return float(self.per_edge) * len(mine)
        if self.src is not None:
            return math.fsum(float(self.per_edge[dst]) for _, dst in mine)
        if self.dst is not None:
            return math.fsum(float(self.per_edge[src]) for src, _ in mine)
        return math.fsum(float(self.per_edge[edge]) for edge in mine)


@dataclass(slots=True, kw_only=True)
class _Variable:
    cost: float
    least: float
    most: float
    terms: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeAnswer:
    """What the model came to: its optimum, what no solution goes below, and the trees in use.

    `values` are the caller's variables by position; `paid` what a tree pays on each link at the
    last rents, (n, n).
    """

    optimal: bool
    objective: float = math.inf
    bound: float = 0.0
    columns: tuple[Column, ...] = ()
    values: dict[int, float] = field(default_factory=dict)
    duals: tuple[float, ...] = ()
    paid: Floats | None = None


class TreeModel:
    """The model over trees: the caller adds rows, variables and first trees, then minimises."""

    def __init__(self, cost: Floats, demands: Sequence[Demand]) -> None:
        self.cost = cost
        self.demands = tuple(demands)
        self._model = LinearModel()
        self._demand_rows = [
            self._model.add_row(f"demand[{at}]", lower=d.amount, upper=d.amount)
            for at, d in enumerate(self.demands)
        ]
        self._rows: list[Row] = []
        # By (source, destination) of the links they speak of: a tree loads few rows.
        self._speaking: dict[tuple[int | None, int | None], list[Row]] = {}
        self._uppers: dict[int, float] = {}
        self._variables: dict[int, _Variable] = {}
        self._columns: list[tuple[int, int, Edges]] = []  # variable, demand, links
        self._known: set[tuple[int, Edges]] = set()

    # Building.

    def add_row(
        self,
        name: str,
        per_edge: Floats | float = 0.0,
        *,
        src: int | None = None,
        dst: int | None = None,
        upper: float = 0.0,
    ) -> int:
        """A capacity row, at most `upper`; see Row. Its position."""
        at = self._model.add_row(name, upper=upper)
        row = Row(row=at, src=src, dst=dst, per_edge=np.asarray(per_edge, dtype=np.float64))
        self._uppers[at] = upper
        if row.per_edge.any():
            self._rows.append(row)
            self._speaking.setdefault((src, dst), []).append(row)
        for variable, _, edges in self._columns if row.per_edge.any() else ():
            load = row.load(edges)
            if load:
                self._model.set_coefficient(at, variable, load)
        return at

    def add_variable(
        self,
        name: str,
        terms: Sequence[tuple[int, float]],
        *,
        cost: float = 0.0,
        least: float = 0.0,
        most: float,
    ) -> int:
        """A variable of the caller's; `most` is finite, so that what it can earn is, too."""
        at = self._model.add_variable(name, terms, upper=most, cost=cost)
        self._variables[at] = _Variable(cost=cost, least=least, most=most, terms=dict(terms))
        if least:
            self._model.bound_variable(at, least, most)
        return at

    def change(
        self,
        variable: int,
        *,
        cost: float | None = None,
        bounds: tuple[float, float] | None = None,
        terms: Sequence[tuple[int, float]] = (),
    ) -> None:
        """Another cost, other bounds or coefficients for a variable."""
        known = self._variables[variable]
        if cost is not None and cost != known.cost:
            known.cost = cost
            self._model.set_cost(variable, cost)
        if bounds is not None and bounds != (known.least, known.most):
            known.least, known.most = bounds
            self._model.bound_variable(variable, *bounds)
        for row, value in terms:
            if known.terms.get(row) != value:
                known.terms[row] = value
                self._model.set_coefficient(row, variable, value)

    def bound_row(self, row: int, upper: float) -> None:
        """Another upper bound for a capacity row; inf takes the row out."""
        self._uppers[row] = upper
        self._model.bound_row(row, -math.inf, upper)

    def price_trees(self, cost: Floats) -> None:
        """Another cost of each link."""
        self.cost = cost
        for variable, _, edges in self._columns:
            self._model.set_cost(variable, self._cost_of(edges))

    def add_tree(self, demand: int, edges: Edges) -> bool:
        """A column for the tree, unless it is there already."""
        if (demand, edges) in self._known:
            return False
        self._known.add((demand, edges))
        terms = [(self._demand_rows[demand], 1.0), *self._loads(edges)]
        name = f"tree[{demand},{len(self._columns)}]"
        at = self._model.add_variable(name, terms, cost=self._cost_of(edges))
        self._columns.append((at, demand, edges))
        return True

    def _loads(self, edges: Edges) -> list[tuple[int, float]]:
        """What a tree adds to each row that it touches."""
        ends = {(None, None), *edges, *((src, None) for src, _ in edges)}
        ends |= {(None, dst) for _, dst in edges}
        touched = [row for key in ends for row in self._speaking.get(key, ())]
        loads = [(row.row, row.load(edges)) for row in touched]
        return sorted((row, load) for row, load in loads if load)

    def trees(self, demand: int) -> tuple[Edges, ...]:
        """Every tree of a demand that was found so far."""
        return tuple(edges for _, at, edges in self._columns if at == demand)

    # Asking.

    def minimise(
        self,
        *,
        admit: Callable[[Edges], None] | None = None,
        generate: bool = True,
        sharpen: bool = False,
        enough: float = PRICE_NOISE,
    ) -> TreeAnswer:
        """The optimum over every tree (over those known, without `generate`), with its bound.

        `admit` is called with each new tree, so that the caller may add its rows first. Stops
        where the bound is within the share `enough` of the optimum. `sharpen` goes on with exact
        trees where the ones near them are exhausted.
        """
        best = -math.inf
        exact = all(demand.exact for demand in self.demands)
        can_sharpen = sharpen and generate and not exact
        most = max(len(demand.terminals) for demand in self.demands)
        most_sharp = SHARP_ROUNDS * 3 ** max(0, MOST_TERMINALS - most)
        sharp_rounds = 0
        for _ in range(MOST_ROUNDS):
            outcome = self._model.solve()
            if outcome.status != "optimal":
                return TreeAnswer(optimal=False)
            rents = self._rents(outcome)
            paid = self.paid(rents)
            sharp = sharp_rounds > 0
            asked = self.demands if generate else ()
            found = [cheapest_tree(paid, demand, sharp=sharp) for demand in asked]
            if None in found:
                return TreeAnswer(optimal=False)
            trees = [tree for tree in found if tree is not None]
            added = False
            for at, tree in enumerate(trees):
                own = outcome.duals[self._demand_rows[at]]
                if tree.weight < own - PRICE_NOISE * abs(own):
                    if admit is not None:
                        admit(tree.edges)
                    added = self.add_tree(at, tree.edges) or added
            if generate and (exact or sharp or not added):
                best = max(best, self._lagrangian(rents, self._owed(paid, trees, sharp=sharp)))
            if outcome.objective - best <= enough * abs(outcome.objective):
                break
            if not sharp and added:
                continue
            if not can_sharpen or sharp_rounds >= most_sharp or (sharp and not added):
                break
            sharp_rounds += 1
        return self._answer(outcome, max(0.0, best), paid)

    def _owed(self, paid: Floats, trees: Sequence[SteinerTree], *, sharp: bool) -> float:
        """The least that all demands can pay."""
        return math.fsum(
            demand.amount
            * (
                tree.weight
                if demand.exact or (sharp and demand.can_be_exact)
                else ascent_bound(paid, demand.root, demand.terminals)
            )
            for demand, tree in zip(self.demands, trees, strict=True)
        )

    def paid(self, rents: dict[int, float]) -> Floats:
        """What a tree pays on each link: its cost, and rents to the rows it loads; (n, n)."""
        total: Floats = self.cost.copy()
        for row in self._rows:
            rent = rents.get(row.row, 0.0)
            if rent:
                total[row.where] += rent * row.per_edge
        return total

    def _rents(self, outcome: Outcome) -> dict[int, float]:
        return {
            row: max(0.0, -outcome.duals[row]) if math.isfinite(upper) else 0.0
            for row, upper in self._uppers.items()
        }

    def _lagrangian(self, rents: dict[int, float], owed: float) -> float:
        """What no solution goes below, at any rents: trees pay least, variables earn most."""
        terms = [owed]
        for variable in self._variables.values():
            rate = variable.cost + math.fsum(
                rents.get(row, 0.0) * value for row, value in variable.terms.items()
            )
            terms.append(rate * (variable.least if rate > 0 else variable.most))
        terms += [
            -rent * self._uppers[row] for row, rent in rents.items() if rent and self._uppers[row]
        ]
        return math.fsum(terms) - BOUND_NOISE * math.fsum(map(abs, terms))

    def _answer(self, outcome: Outcome, bound: float, paid: Floats) -> TreeAnswer:
        return TreeAnswer(
            optimal=True,
            objective=outcome.objective,
            bound=bound,
            columns=tuple(
                Column(demand=demand, edges=edges, value=outcome.values[at])
                for at, demand, edges in self._columns
                # Trees found in the last round are in no outcome yet.
                if at < len(outcome.values) and outcome.values[at] > 0
            ),
            values={at: outcome.values[at] for at in self._variables},
            duals=outcome.duals,
            paid=paid,
        )

    def _cost_of(self, edges: Edges) -> float:
        return math.fsum(float(self.cost[edge]) for edge in edges)
