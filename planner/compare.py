"""Strategies side by side on one Job; what a strategy cannot do is an answer too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from datasets.canonical import Json, rounded
from datasets.errors import InfeasibleJob, UnsupportedJob
from datasets.matrix import Matrix
from planner.cost import GBPS_PLACES
from planner.job import Job
from planner.plan import Plan
from planner.strategies import solve


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One strategy's Plan, or why it has none: there is none, or it is for other Jobs."""

    strategy: str
    plan: Plan | None
    infeasible: InfeasibleJob | None
    unsupported: str = ""

    def as_json(self) -> dict[str, Json]:
        """The Plan's own keys (`plan` is its id), or the answer of an infeasible Job."""
        if self.plan is not None:
            return {**self.plan.as_json(), "plan": self.plan.id}
        if self.unsupported:
            return {"strategy": self.strategy, "feasible": False, "unsupported": self.unsupported}
        if self.infeasible is None:
            raise ValueError("a row has a plan or a reason")
        return {"strategy": self.strategy, **infeasible_json(self.infeasible)}


def compare(names: Iterable[str], matrix: Matrix, job: Job) -> tuple[Row, ...]:
    """A row a strategy, in the order given.

    Raises: UnknownName; UnsupportedJob if the Job is for none of them.
    """
    rows = tuple(_row(name, matrix, job) for name in names)
    if rows and all(row.unsupported for row in rows):
        raise UnsupportedJob(rows[0].unsupported)
    return rows


def infeasible_json(answer: InfeasibleJob) -> dict[str, Json]:
    """What `--json` prints where there is no plan."""
    return {
        "feasible": False,
        "most_gbps": rounded(answer.most_gbps, GBPS_PLACES),
        "binds": list(answer.binds),
    }


def _row(name: str, matrix: Matrix, job: Job) -> Row:
    try:
        return Row(strategy=name, plan=solve(name, matrix, job), infeasible=None)
    except InfeasibleJob as answer:
        return Row(strategy=name, plan=None, infeasible=answer)
    except UnsupportedJob as answer:
        return Row(strategy=name, plan=None, infeasible=None, unsupported=str(answer))
