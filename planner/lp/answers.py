"""What the unicast model answers: values, and what proves them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from planner.certificate import Certificate
from planner.job import LinkEnds
from planner.lp.bound import BOUND_NOISE, Multipliers
from planner.lp.solve import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What some multipliers prove of the cheapest at every throughput: a line under its cost rate.

    No plan of G Gbit/s or more costs less than `per_gigabit` − `excess` / G a gigabit. `at` are the
    multipliers.
    """

    per_gigabit: float
    excess: float
    at: Multipliers

    def bound(self, gbps: float) -> float:
        """The least USD (or gCO2e) a gigabit at `gbps` or more."""
        noise = BOUND_NOISE * (abs(self.per_gigabit) + self.excess / gbps)
        return max(0.0, self.per_gigabit - self.excess / gbps - noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corner:
    """An optimum of `cheapest`: throughput, USD a gigabit, VMs, and the line that proves it."""

    gbps: float
    usd_per_gigabit: float
    vms: Mapping[str, float]
    line: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What the model answered: throughput, flows and VMs (fractional unless they were fixed).

    `cost_per_gigabit` is what was minimised (USD, or gCO2e where the Job minimises that), and
    `usd_per_gigabit` the USD; `least_per_gigabit` is the solver's word for what nothing within the
    same boxes goes below. `bound_per_gigabit` is the dual bound of `cheapest`: no plan at the
    goal or above costs less; `certificate` proves it, or for `fastest` the throughput (where the
    multipliers are needed). `binds` names what limits `fastest`.
    """

    status: Status
    gbps: float = 0.0
    cost_per_gigabit: float = math.inf
    usd_per_gigabit: float = math.inf
    flows: Mapping[LinkEnds, float] = field(default_factory=dict)
    vms: Mapping[str, float] = field(default_factory=dict)
    bound_per_gigabit: float = 0.0
    least_per_gigabit: float = 0.0
    bound_gbps: float = math.inf
    line: Line | None = None
    certificate: Certificate | None = None
    binds: tuple[str, ...] = ()

    @property
    def optimal(self) -> bool:
        """Whether there is an answer."""
        return self.status == "optimal"
