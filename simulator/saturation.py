"""How a link's throughput grows with connections, from executed Runs: the a of C64·(n/64)^a.

Only lanes that nothing but their connections held can tell: not paced, fewer than 64 connections on
the hop that holds them, and neither VM full nor its time used up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from datasets.canonical import rounded
from datasets.events import Event
from datasets.outcome import Outcome
from datasets.units import gigabits
from planner.dispatch import FULL_CONNECTIONS, hop_gbps
from planner.plan import Plan
from simulator.calibration import Fitted
from simulator.resources import plan_loads

# A VM that is used for less than this share of what it can does not hold its lanes.
FREE_SHARE = 0.98
_PLACES = 6
# Steady is between these shares of the bytes.
_FROM, _TO = 0.1, 0.9
_KEY = ["job", "object", "chunk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRate:
    """A lane's steady rate over a link of `full_gbps` (at 64 connections) by `connections`."""

    run_id: str
    connections: int
    full_gbps: float
    gbps: float


def lane_rates(plan: Plan, events: pd.DataFrame, result: Outcome) -> tuple[LaneRate, ...]:
    """What an unpaced Run of the Plan tells: a row a lane that its connections alone held."""
    rates = steady_gbps(plan, events, result)
    full = _full_gateways(plan, rates)
    found = []
    for lane, gbps in zip(plan.lanes, rates, strict=True):
        hops = list(zip(lane.hops, lane.connections, strict=True))
        (src, dst), count = min(hops, key=lambda hop: hop_gbps(plan.link(*hop[0]).gbps, hop[1]))
        if count < FULL_CONNECTIONS and gbps > 0 and not full & set(lane.gateways):
            found.append(
                LaneRate(
                    run_id=str(events["run_id"].iloc[0]),
                    connections=count,
                    full_gbps=plan.link(src, dst).gbps,
                    gbps=gbps,
                )
            )
    return tuple(found)


def fit_saturation(rates: Sequence[LaneRate]) -> Fitted:
    """The exponent a by least squares through the origin; not identifiable from one n alone."""
    if not rates:
        return Fitted(
            value=None,
            reason="no lane of these Runs was held by its connections alone: they were paced "
            "below that, or had 64, or a VM was full",
        )
    if len({rate.connections for rate in rates}) < 2:
        return Fitted(
            value=None, reason="all lanes of these Runs have the same number of connections"
        )
    runs = sorted({rate.run_id for rate in rates})
    value = _slope(rates)
    others = [
        _slope(rest) for run in runs if (rest := [rate for rate in rates if rate.run_id != run])
    ]
    return Fitted(
        value=value,
        runs=len(runs),
        least=min(others, default=value),
        most=max(others, default=value),
    )


def steady_gbps(plan: Plan, events: pd.DataFrame, result: Outcome) -> list[float]:
    """Mean rate of each lane, real Gbit/s, while the middle eight tenths of the bytes arrived."""
    done = events[events["event"] == Event.CHUNK_VERIFIED.value].drop_duplicates(_KEY)
    size = done["bytes"].to_numpy(dtype=np.float64)
    moved = np.cumsum(size)
    if not len(done):
        return [0.0] * len(plan.lanes)
    first, last = np.searchsorted(moved, [_FROM * moved[-1], _TO * moved[-1]]).tolist()
    t_s = done["t_s"].to_numpy()
    lasted_s = float(t_s[last] - t_s[first]) * result.rate_scale / result.size_scale
    if not lasted_s > 0:
        return [0.0] * len(plan.lanes)
    # Connections may end in step: all that ends at an instant is on the same side of it.
    inside = (t_s > t_s[first]) & (t_s <= t_s[last])
    lanes = np.bincount(
        done["path"].to_numpy()[inside], weights=size[inside], minlength=len(plan.lanes)
    )
    return [gigabits(value) / result.size_scale / lasted_s for value in lanes.tolist()]


def _slope(rates: Sequence[LaneRate]) -> float:
    x = np.array([math.log(rate.connections / FULL_CONNECTIONS) for rate in rates])
    y = np.array([math.log(rate.gbps / rate.full_gbps) for rate in rates])
    return rounded(min(1.0, max(0.0, float(x @ y / (x @ x)))), _PLACES)


def _full_gateways(plan: Plan, rates: Sequence[float]) -> set[str]:
    """Gateways whose caps, or whose time for connections, are used up."""
    return {
        name.rpartition(" ")[2]
        for name, load in plan_loads(plan, rates).items()
        if load >= FREE_SHARE
    }
