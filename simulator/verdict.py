"""Does the Plan keep its promise in this World, by what margin, and what binds?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from datasets.events import Event
from datasets.outcome import Outcome
from datasets.units import gigabits
from planner.plan import Plan
from simulator.resources import resources_of

# A promise is kept if makespan and cost are at most this share above what was predicted: what
# a tail of chunks costs a transfer long enough to leave its start-up behind.
TOLERANCE = 0.02
# A promise of less than a hundredth of a cent is not judged: a chunk's rounding is as much.
LEAST_USD = 1e-4
# A resource binds if it was full for this share of the time in which nine tenths of the bytes moved
# (the tail, where lanes run out of chunks, says nothing of capacity).
_FULL = 0.98
_STEADY = 0.9
_GATEWAY = re.compile(r"#\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`margin`: by what share the makespan is above the predicted one; `cost_margin` likewise."""

    keeps_promise: bool
    margin: float
    cost_margin: float
    binds: tuple[str, ...]
    words: str


def verdict(plan: Plan, events: pd.DataFrame, result: Outcome) -> Verdict:
    """The verdict on one Run of the Plan; `result` is the outcome of `events`."""
    # Not the stored figure: what takes less than its last decimal is stored as 0 s.
    promised_s = gigabits(plan.job.size_bytes) / plan.predicted.throughput_gbps
    margin = _above(result.makespan_s, promised_s)
    usd = result.egress_usd + result.vm_usd
    promised_usd = plan.predicted.cost_usd.total
    cost_margin = _above(usd, promised_usd) if promised_usd > LEAST_USD else 0.0
    keeps = result.ok and margin <= TOLERANCE and cost_margin <= TOLERANCE
    names = binds(plan, events, result)
    words = (
        f"The plan {'keeps' if keeps else 'does not keep'} its promise: it takes "
        f"{result.makespan_s:,.1f} s, {_percent(margin, 'longer', 'shorter')} than the "
        f"{plan.predicted.makespan_s:,.1f} s predicted, and costs ${usd:,.2f}, "
        f"{_percent(cost_margin, 'more', 'less')} than ${promised_usd:,.2f} "
        f"(kept: at most {TOLERANCE:.0%} above)."
    )
    return Verdict(
        keeps_promise=keeps, margin=margin, cost_margin=cost_margin, binds=names, words=words
    )


def binds(plan: Plan, events: pd.DataFrame, result: Outcome) -> tuple[str, ...]:
    """What was full while nine tenths of the bytes moved, from the event table alone.

    Resources of the VMs by region (`egress to other clouds of aws:us-east-1`), fullest first, at
    most five; or that every lane ran at its planned rate, where no VM was full.
    """
    rates = np.array(_steady_gbps(plan, events, result))
    resources = resources_of(plan, work_conserving=False, connections_per_hop=None)
    loads = resources.usage @ rates / resources.capacity
    by_region: dict[str, float] = {}
    for name, load in zip(resources.names, loads.tolist(), strict=True):
        region = _GATEWAY.sub("", name)
        by_region[region] = max(by_region.get(region, 0.0), load)
    full = sorted((-load, name) for name, load in by_region.items() if load >= _FULL)
    if full:
        return tuple(name for _, name in full[:5])
    if (rates >= _FULL * resources.lane_gbps).all():
        return ("the planned rates (pacing)",)
    return ()


def _steady_gbps(plan: Plan, events: pd.DataFrame, result: Outcome) -> Sequence[float]:
    """Mean rate of each lane, real Gbit/s, until nine tenths of the bytes had arrived."""
    key = ["job", "object", "chunk"]
    read = events.loc[events["event"] == Event.CHUNK_READ.value, [*key, "t_s"]]
    done = events.loc[events["event"] == Event.CHUNK_VERIFIED.value, [*key, "t_s", "path", "bytes"]]
    both = done.merge(read.drop_duplicates(key), on=key, suffixes=("", "_read"))
    if both.empty:
        return [0.0] * len(plan.lanes)
    moved = both["bytes"].cumsum()
    until_s = float(both.loc[moved >= _STEADY * moved.iloc[-1], "t_s"].iloc[0])
    began_s = both["t_s_read"].to_numpy()
    lasted_s = np.maximum(both["t_s"].to_numpy() - began_s, 1e-12)
    inside = np.clip((until_s - began_s) / lasted_s, 0.0, 1.0) * both["bytes"].to_numpy()
    lanes = np.bincount(both["path"].to_numpy(), weights=inside, minlength=len(plan.lanes))
    local_s = max(until_s - float(began_s.min()), 1e-12)
    return [gigabits(moved_bytes) / local_s / result.rate_scale for moved_bytes in lanes.tolist()]


def _above(value: float, promised: float) -> float:
    return value / promised - 1.0 if promised > 0 else 0.0


def _percent(margin: float, more: str, less: str) -> str:
    return f"{abs(margin):.1%} {more if margin >= 0 else less}"
