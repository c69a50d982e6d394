"""The same Plan in many draws of a World: how makespan and cost spread, and what slack buys.

A seed draws the same noise for every plan on every link (`simulator/draws.py`), so that two
plans' trials are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from datasets.canonical import Json, rounded
from datasets.errors import InputError
from planner.plan import Plan
from simulator.simulate import history_of
from simulator.upsets import Replan
from simulator.world import World

PERCENTILES = (5, 50, 95)
# Shares of the promised makespan that a promise may be relaxed by.
SLACKS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
MOST_TRIALS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """`makespan_s` and `cost_usd` (trials,), real units; `failed` counts those that did not end.

    `assumed` says what was drawn. Figures are of those that ended.
    """

    makespan_s: tuple[float, ...]
    cost_usd: tuple[float, ...]
    failed: int
    assumed: str

    def percentiles(self, values: Sequence[float]) -> dict[str, float]:
        """P5, P50 and P95 (linear between order statistics); empty without any trial."""
        if not values:
            return {}
        found = np.percentile(values, PERCENTILES).tolist()
        return {f"p{at}": value for at, value in zip(PERCENTILES, found, strict=True)}

    def kept(self, promised_s: float, slack: float) -> float:
        """The share of all trials that take at most (1 + slack) of the promise."""
        within = sum(value <= promised_s * (1.0 + slack) for value in self.makespan_s)
        return within / (len(self.makespan_s) + self.failed)

    def as_json(self, promised_s: float) -> dict[str, Json]:
        """As in `simulate --json` and a manifest."""
        return {
            "trials": len(self.makespan_s) + self.failed,
            "failed": self.failed,
            "assumed": self.assumed,
            "makespan_s": _rounded(self.percentiles(self.makespan_s)),
            "cost_usd": _rounded(self.percentiles(self.cost_usd)),
            "kept_within_slack": {f"{slack:g}": self.kept(promised_s, slack) for slack in SLACKS},
        }


def run_trials(
    plans: Sequence[Plan],
    world: World,
    count: int,
    *,
    replan: Replan | None = None,
    observe: Callable[[int], None] = lambda done: None,
) -> Trials:
    """Simulate with the seeds `world.seed` to `world.seed + count - 1`.

    `observe` hears how many are done. Raises: InputError for a number out of range.
    """
    if not 1 <= count <= MOST_TRIALS:
        raise InputError(f"{count} trials are out of range; from 1 to {MOST_TRIALS:,}.")
    makespans, costs, failed = [], [], 0
    for number in range(count):
        history = history_of(plans, replace(world, seed=world.seed + number), replan=replan)
        if history.ok:
            makespans.append(history.makespan_s)
            costs.append(history.outcome().cost_usd)
        else:
            failed += 1
        observe(number + 1)
    return Trials(
        makespan_s=tuple(makespans),
        cost_usd=tuple(costs),
        failed=failed,
        assumed=world.assumed,
    )


def _rounded(values: dict[str, float]) -> dict[str, Json]:
    return {name: rounded(value, 6) for name, value in values.items()}
