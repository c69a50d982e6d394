"""Strategies by name: one a file, found by the entry point `tradewind.strategies`.

A strategy is one function `(Matrix, Job) -> Plan`, here, in an installed package, or in a file of
a user's own. Whatever it gives is checked before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from datasets.errors import InputError, PlanRefused, UnknownName
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
    """The strategy of that name, or of `FILE.py:FUNCTION` (`package.module:FUNCTION`).

    Raises: UnknownName, with the nearest names; InputError for a file or function that is not
    there.
    """
    if ":" in name:
        return _from_elsewhere(name)
    registered = _registered()
    if name not in registered:
        raise UnknownName(
            kind="strategy",
            name=name,
            known=registered,
            hint=f"There are {', '.join(sorted(registered))}; FILE.py:FUNCTION names your own.",
        )
    found: Strategy = registered[name].load()
    return found


@cache
def _from_elsewhere(name: str) -> Strategy:
    where, _, function = name.rpartition(":")
    try:
        if where.endswith(".py"):
            spec = spec_from_file_location(Path(where).stem, where)
            if spec is None or spec.loader is None:
                raise ImportError(where)
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = import_module(where)
    except (ImportError, OSError, SyntaxError) as error:
        raise InputError(f"The strategy {name!r} cannot be loaded: {error}.") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise InputError(f"{where} has no function {function!r}; a strategy is FILE.py:FUNCTION.")
    made: Strategy = found
    return made


def solve(name: str, matrix: Matrix, job: Job) -> Plan:
    """The Plan of the strategy called `name`, checked, and equal to what its file will hold.

    Raises: UnknownName for a strategy or region that is not known; InfeasibleJob; UnsupportedJob;
    PlanRefused if the strategy's plan does not pass the check.
    """
    # The Job as stored, too: nine decimals of a goal must not turn a plan that meets it into one
    # that misses it.
    asked = job_from_json(job.as_json())
    plan: object = strategy(name)(matrix, asked)
    if not isinstance(plan, Plan):
        raise PlanRefused(f"The strategy {name!r} gave no Plan but {type(plan).__name__}.")
    stored = plan_from_json(plan.as_json())
    if stored.job != asked:
        raise PlanRefused(f"The strategy {name!r} gave a plan for another job.")
    check(stored, matrix)
    return stored


@cache
def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
