"""Certificate: the multipliers by which anyone can prove a Plan's relaxation bound, unaided.

Rents that flows pay to VMs (one for each capacity row of a region), a weight on each of the
Job's totals, and a credit for each thing required. Whatever the numbers are (rents and weights
not negative), they prove some bound; `planner/checks.py` works it out again in exact arithmetic.
Source: Lagrangian duality; Geoffrion, Lagrangean relaxation for integer programming (1974).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from datasets.canonical import Json, rounded
from datasets.errors import DataError

Proves = Literal["usd", "gco2e", "gbps"]
# Multipliers are small (USD a gigabit and Gbit/s): significant digits, not decimals, matter. So do
# they of the goal: at the most that is feasible a bound is steep.
MULTIPLIER_PLACES = 18

# The capacity rows of a region, by the names of the formulation (planner/lp/unicast.py).
VM_ROWS = ("vm_out_time", "vm_in_time", "vm_egress_public", "vm_egress", "vm_ingress")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Multipliers that prove `value`: no plan costs (or emits) less, or none is faster.

    `value` is in USD or gCO2e of the whole transfer, or in Gbit/s. `goal_gbps` is the throughput
    at and above which it holds, None for any. `rents` is by region and row, in the unit of what is
    proven a gigabit; `usd_weight` and `gco2e_weight` weigh the cost and the carbon of a gigabit;
    `credits` has one number for each required region, then link, of the Job.
    """

    proves: Proves
    value: float
    goal_gbps: float | None
    usd_weight: float
    gco2e_weight: float
    rents: Mapping[str, Mapping[str, float]]
    credits: tuple[float, ...] = field(default=())

    def as_json(self) -> dict[str, Json]:
        """As in a Plan; rents of 0 are left out."""
        rents: dict[str, Json] = {}
        for region, by_row in sorted(self.rents.items()):
            kept: dict[str, Json] = {
                row: rounded(rent, MULTIPLIER_PLACES) for row, rent in by_row.items() if rent > 0
            }
            if kept:
                rents[region] = kept
        return {
            "proves": self.proves,
            "value": rounded(self.value, 9),
            "goal_gbps": None
            if self.goal_gbps is None
            else rounded(self.goal_gbps, MULTIPLIER_PLACES),
            "usd_weight": rounded(self.usd_weight, MULTIPLIER_PLACES),
            "gco2e_weight": rounded(self.gco2e_weight, MULTIPLIER_PLACES),
            "rents": rents,
            "credits": [rounded(credit, MULTIPLIER_PLACES) for credit in self.credits],
        }


def certificate_from_json(value: Mapping[str, object]) -> Certificate:
    """A certificate of its JSON. Raises: DataError that names what is wrong."""
    keys = {"proves", "value", "goal_gbps", "usd_weight", "gco2e_weight", "rents", "credits"}
    for key in sorted(keys ^ set(value)):
        raise DataError(f"A certificate has {'no' if key in keys else 'an unknown'} key {key!r}.")
    proves, rents, credit = value["proves"], value["rents"], value["credits"]
    if proves not in ("usd", "gco2e", "gbps"):
        raise DataError(f"A certificate proves {proves!r}; usd, gco2e and gbps are known.")
    if not isinstance(rents, dict) or not isinstance(credit, list):
        raise DataError("A certificate's rents are an object and its credits a list.")
    goal = value["goal_gbps"]
    return Certificate(
        proves=proves,
        value=_number(value["value"]),
        goal_gbps=None if goal is None else _number(goal),
        usd_weight=_number(value["usd_weight"]),
        gco2e_weight=_number(value["gco2e_weight"]),
        rents={region: _rents(by_row) for region, by_row in rents.items()},
        credits=tuple(_number(entry) for entry in credit),
    )


def _rents(value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        raise DataError("A region's rents in a certificate are an object.")
    for row in sorted(set(value) - set(VM_ROWS)):
        raise DataError(f"A certificate has rents of an unknown row {row!r}.")
    return {row: _number(rent) for row, rent in value.items()}


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"A certificate's {value!r} is not a number.")
    return float(value)
