"""OR-Tools' edge: a linear model of named variables and rows, and its outcome as a value.

The only module that imports OR-Tools' linear solvers (`spread.py` has CP-SAT). A model may be
changed and solved again; GLOP then starts from the last basis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ortools.linear_solver import pywraplp

Status = Literal["optimal", "infeasible", "unbounded", "failed"]

# How far a row or a reduced cost may be on the wrong side. Quantities here are of the order of 1
# (Gbit/s, VMs, or both in units of the goal) and plans are checked to 1e-6, so that this noise
# never shows. Preprocessing stays off: it calls a goal feasible that is four millionths beyond
# what a link carries, and a model that is solved again cannot start from its last basis.
_TIGHT = (
    "primal_feasibility_tolerance:1e-10 dual_feasibility_tolerance:1e-10 "
    "solution_feasibility_tolerance:1e-9 use_preprocessing:0"
)
# Where GLOP cannot tell at that precision: ten times its noise, still a hundredth of a plan's.
_LOOSER = (
    "primal_feasibility_tolerance:1e-9 dual_feasibility_tolerance:1e-9 "
    "solution_feasibility_tolerance:1e-8"
)
# Where only bounds changed, the last basis is still optimal but for them: what the dual simplex
# method begins from.
_BOUNDS_CHANGED = f"{_TIGHT} use_dual_simplex:1"
# Scaling by its own small programme where the usual one leaves numbers that GLOP cannot tell.
_SCALED = f"{_TIGHT} scaling_method:LINEAR_PROGRAM"

_STATUS: dict[int, Status] = {
    pywraplp.Solver.OPTIMAL: "optimal",
    pywraplp.Solver.INFEASIBLE: "infeasible",
    pywraplp.Solver.UNBOUNDED: "unbounded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a solve came to. Values, in the model's order, are empty unless it is optimal.

    `duals` has one number a row: how the objective changes with the row's bound.
    """

    status: Status
    objective: float = math.nan
    values: tuple[float, ...] = ()
    duals: tuple[float, ...] = ()


class LinearModel:
    """A linear programme to minimise; variables and rows are known by their position."""

    def __init__(self) -> None:
        self._solver: Any = pywraplp.Solver.CreateSolver("GLOP")
        if self._solver is None:
            raise RuntimeError("this OR-Tools has no GLOP")
        self._objective: Any = self._solver.Objective()
        self._objective.SetMinimization()
        self._variables: list[Any] = []
        self._rows: list[Any] = []

    def add_row(self, name: str, lower: float = -math.inf, upper: float = math.inf) -> int:
        """lower ≤ Σ coefficient·variable ≤ upper, empty so far; its position."""
        self._rows.append(self._solver.Constraint(lower, upper, name))
        return len(self._rows) - 1

    def add_variable(
        self,
        name: str,
        terms: Sequence[tuple[int, float]] = (),
        *,
        upper: float = math.inf,
        cost: float = 0.0,
    ) -> int:
        """A variable from 0 to `upper`, with its (row, coefficient) pairs; its position."""
        variable = self._solver.NumVar(0.0, upper, name)
        if cost:
            self._objective.SetCoefficient(variable, cost)
        for row, coefficient in terms:
            self._rows[row].SetCoefficient(variable, coefficient)
        self._variables.append(variable)
        return len(self._variables) - 1

    def bound_variable(self, variable: int, lower: float, upper: float) -> None:
        """Set a variable's bounds."""
        self._variables[variable].SetBounds(lower, upper)

    def bound_row(self, row: int, lower: float, upper: float) -> None:
        """Set a row's bounds."""
        self._rows[row].SetBounds(lower, upper)

    def set_coefficient(self, row: int, variable: int, value: float) -> None:
        """Set one coefficient."""
        self._rows[row].SetCoefficient(self._variables[variable], value)

    def set_cost(self, variable: int, cost: float) -> None:
        """Set one coefficient of the objective."""
        self._objective.SetCoefficient(self._variables[variable], cost)

    def optimise(self, *, bounds_changed: bool = False) -> Status:
        """Minimise; `duals`, `values` and `reduced_cost` then hold until the next change.

        `bounds_changed`: since the last optimum nothing but bounds did, so that it is near.
        """
        status = self._status(_BOUNDS_CHANGED if bounds_changed else _TIGHT, from_nothing=False)
        if status == "failed":
            # Numerical trouble, mostly brought along by the last basis.
            status = self._status(_TIGHT, from_nothing=True)
        if status == "failed":
            status = self._status(_LOOSER, from_nothing=True)
        # Last, since whether it succeeds is not the same each time.
        if status == "failed":
            status = self._status(_SCALED, from_nothing=True)
        return status

    def solve(self) -> Outcome:
        """Minimise, and read the answer."""
        return self.outcome(self.optimise())

    def outcome(self, status: Status) -> Outcome:
        """What the last minimisation, which came to `status`, answered."""
        if status != "optimal":
            return Outcome(status=status)
        return Outcome(
            status=status,
            objective=float(self._objective.Value()),
            values=tuple(map(pywraplp.Variable.solution_value, self._variables)),
            duals=self.duals(),
        )

    def duals(self) -> tuple[float, ...]:
        """How the objective changes with each row's bound."""
        return tuple(map(pywraplp.Constraint.dual_value, self._rows))

    def value(self, variable: int) -> float:
        """A variable's value."""
        return float(self._variables[variable].solution_value())

    def reduced_cost(self, variable: int) -> float:
        """How the objective changes with a variable's bound."""
        return float(self._variables[variable].reduced_cost())

    def _status(self, parameters: str, *, from_nothing: bool) -> Status:
        self._solver.SetSolverSpecificParametersAsString(parameters)
        how: Any = pywraplp.MPSolverParameters()
        if from_nothing:
            how.SetIntegerParam(
                pywraplp.MPSolverParameters.INCREMENTALITY,
                pywraplp.MPSolverParameters.INCREMENTALITY_OFF,
            )
        return _STATUS.get(self._solver.Solve(how), "failed")
