"""Strategies by name: one a file, found by the entry point `tradewind.strategies`.

A strategy is one function `(Matrix, Job) -> Plan`. Whatever it gives is checked before anybody
sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from datasets.errors import UnknownName
from datasets.matrix import Matrix
from planner.checks import check
from planner.job import Job, job_from_json
from planner.plan import Plan, plan_from_json

Strategy = Callable[[Matrix, Job], Plan]

GROUP = "tradewind.strategies"


def strategy_names() -> tuple[str, ...]:
    """The names of every registered strategy, sorted."""
    return tuple(sorted(_registered()))


def strategy(name: str) -> Strategy:
    """The strategy of that name. Raises: UnknownName, with the nearest names."""
    registered = _registered()
    if name not in registered:
        raise UnknownName(
            kind="strategy",
            name=name,
            known=registered,
            hint=f"There are {', '.join(sorted(registered))}.",
        )
    found: Strategy = registered[name].load()
    return found


def solve(name: str, matrix: Matrix, job: Job) -> Plan:
    """The Plan of the strategy called `name`, checked, and equal to what its file will hold.

    Raises: UnknownName for a strategy or region that is not known; InfeasibleJob; UnsupportedJob;
    PlanRefused if the strategy's plan does not pass the check.
    """
    # The Job as stored, too: nine decimals of a goal must not turn a plan that meets it into one
    # that misses it.
    plan = strategy(name)(matrix, job_from_json(job.as_json()))
    stored = plan_from_json(plan.as_json())
    check(stored, matrix)
    return stored


def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
