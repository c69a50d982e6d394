"""Does the Plan keep its promise in this World, by what margin, what binds when, what if?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from datasets.canonical import Json, rounded
from datasets.errors import NeverEnds
from datasets.events import Event, detail_of
from datasets.outcome import Outcome
from datasets.regions import region_of_gateway
from datasets.units import gigabits
from planner.plan import Plan
from simulator.assumptions import GatewayLoss
from simulator.fluid import Array
from simulator.resources import plan_loads
from simulator.simulate import history_of
from simulator.trials import Trials
from simulator.upsets import Replan
from simulator.world import World

# A promise is kept if makespan and cost are at most this share above what was predicted: what
# a tail of chunks costs a transfer long enough to leave its start-up behind.
TOLERANCE = 0.02
# A promise of less than a hundredth of a cent is not judged: a chunk's rounding is as much.
LEAST_USD = 1e-4
_CLOSE = 0.001
# A resource binds if it was full for this share of the time in which nine tenths of the bytes moved
# (the tail, where lanes run out of chunks, says nothing of capacity).
_FULL = 0.98
_STEADY = 0.9
# So many equal parts of the transfer are looked at for what binds when.
_PARTS = 10
_MOST_NAMED = 5
_GATEWAY = re.compile(r"#\d+\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`margin`: by what share the makespan is above the predicted one; `cost_margin` likewise."""

    keeps_promise: bool
    margin: float
    cost_margin: float
    binds: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What was full in one part of the transfer (real seconds since the first byte was read)."""

    from_s: float
    until_s: float
    gbps: float
    binds: tuple[str, ...]

    def as_json(self) -> dict[str, Json]:
        """As `tradewind simulate --json` shows it."""
        return {
            "from_s": rounded(self.from_s, 6),
            "until_s": rounded(self.until_s, 6),
            "gbps": rounded(self.gbps, 9),
            "binds": list(self.binds),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LostRelay:
    """What it costs if one VM of a relay dies at half of the transfer; None: it then fails."""

    gateway: str
    at_s: float
    more_s: float | None
    more_usd: float | None

    def as_json(self) -> dict[str, Json]:
        """As `tradewind simulate --json` shows it."""
        return {
            "gateway": self.gateway,
            "at_s": rounded(self.at_s, 6),
            "more_s": None if self.more_s is None else rounded(self.more_s, 6),
            "more_usd": None if self.more_usd is None else rounded(self.more_usd, 8),
        }


def promised_s(plan: Plan) -> float:
    """The makespan that a Plan promises.

    Not the stored figure: what takes less than its last decimal is stored as 0 s.
    """
    return gigabits(plan.job.size_bytes) / plan.predicted.throughput_gbps


def verdict(
    plan: Plan, events: pd.DataFrame, result: Outcome, *, reason: str | None = None
) -> Verdict:
    """The verdict on one Run of the Plan; `result` is the outcome of `events`.

    `reason` says why it failed, where the events of one Job of several do not.
    """
    promise_s = promised_s(plan)
    margin = _above(result.makespan_s, promise_s)
    usd = result.cost_usd
    promised_usd = plan.predicted.cost_usd.total
    cost_margin = _above(usd, promised_usd) if promised_usd > LEAST_USD else 0.0
    keeps = result.ok and margin <= TOLERANCE and cost_margin <= TOLERANCE
    words = (
        f"The plan {'keeps' if keeps else 'does not keep'} its promise: it takes "
        f"{result.makespan_s:,.1f} s, {_percent(margin, 'longer', 'shorter')} than the "
        f"{plan.predicted.makespan_s:,.1f} s predicted, and costs ${usd:,.2f}, "
        f"{_percent(cost_margin, 'more', 'less')} than ${promised_usd:,.2f} "
        f"(kept: at most {TOLERANCE:.0%} above)."
    )
    if not result.ok:
        why = _reason(events) if reason is None else reason
        words = f"The plan does not keep its promise: the transfer fails ({why})."
    return Verdict(
        keeps_promise=keeps,
        margin=margin,
        cost_margin=cost_margin,
        binds=binds(plan, events, result),
        words=words,
    )


def _reason(events: pd.DataFrame) -> str:
    ended = events.loc[events["event"] == Event.RUN_ENDED.value, "detail"]
    return str(detail_of(str(ended.iloc[-1])).get("reason", "not said")) if len(ended) else ""


def binds(plan: Plan, events: pd.DataFrame, result: Outcome) -> tuple[str, ...]:
    """What was full while nine tenths of the bytes moved, from the event table alone.

    Resources of the VMs by region (`egress to other clouds of aws:us-east-1`), fullest first, at
    most five; or that every lane ran at its planned rate, where no VM was full.
    """
    moved = _Moved(plan, events, result)
    if moved.is_empty:
        return ()
    return _full(plan, moved.rates(0.0, moved.steady_s), [])


def binds_when(plan: Plan, events: pd.DataFrame, result: Outcome) -> tuple[Binding, ...]:
    """The same in each tenth of the transfer, and links that are below the Plan's figure there."""
    moved = _Moved(plan, events, result)
    if moved.is_empty:
        return ()
    changes = _changes(events, result, moved.zero_s)
    edges = np.linspace(0.0, moved.end_s, _PARTS + 1).tolist()
    found = []
    for from_s, until_s in itertools.pairwise(edges):
        rates = moved.rates(from_s, until_s)
        now = {ends: gbps for at_s, ends, gbps in changes if at_s <= (from_s + until_s) / 2}
        slow = [
            f"link {src} to {dst} at {gbps:.4g} Gbit/s"
            for (src, dst), gbps in now.items()
            if gbps < plan.link(src, dst).gbps
        ]
        found.append(
            Binding(from_s=from_s, until_s=until_s, gbps=sum(rates), binds=_full(plan, rates, slow))
        )
    return tuple(found)


def _full(plan: Plan, rates: Sequence[float], slow: Sequence[str]) -> tuple[str, ...]:
    by_region: dict[str, float] = {}
    for name, load in plan_loads(plan, rates).items():
        region = _GATEWAY.sub("", name)
        by_region[region] = max(by_region.get(region, 0.0), load)
    full = sorted((-load, name) for name, load in by_region.items() if load >= _FULL)
    if full or slow:
        return (*slow, *(name for _, name in full))[:_MOST_NAMED]
    paces = [lane.gbps for lane in plan.lanes] + [lane.gbps for lane in plan.tree_lanes]
    if all(rate >= _FULL * pace for rate, pace in zip(rates, paces, strict=True)):
        return ("the planned rates (pacing)",)
    return ()


def _changes(
    events: pd.DataFrame, result: Outcome, zero_s: float
) -> list[tuple[float, tuple[str, str], float]]:
    """(real seconds since the first byte, link, Gbit/s) of each change of a link."""
    rows = events[events["event"] == Event.LINK_CHANGED.value]
    scale = result.rate_scale / result.size_scale
    return [
        (
            (t_s - zero_s) * scale,
            (region_of_gateway(src), region_of_gateway(dst)),
            float(detail_of(detail)["gbps"]),
        )
        for t_s, src, dst, detail in zip(
            rows["t_s"], rows["src"], rows["dst"], rows["detail"], strict=True
        )
    ]


class _Moved:
    """When each chunk moved over which lane; real seconds since the first was read."""

    def __init__(self, plan: Plan, events: pd.DataFrame, result: Outcome) -> None:
        key = ["job", "object", "chunk"]
        read = events.loc[events["event"] == Event.CHUNK_READ.value, [*key, "t_s"]]
        done = events.loc[
            events["event"] == Event.CHUNK_ACKNOWLEDGED.value, [*key, "t_s", "path", "bytes"]
        ].drop_duplicates(key)
        both = done.merge(read.drop_duplicates(key, keep="last"), on=key, suffixes=("", "_read"))
        self.lanes = len(plan.lanes) + len(plan.tree_lanes)
        known = both["path"].to_numpy() < self.lanes
        both = both[known]
        self.is_empty = both.empty
        if both.empty:
            return
        scale = result.rate_scale / result.size_scale
        self.zero_s = float(read["t_s"].min())
        self._began_s = (both["t_s_read"].to_numpy() - self.zero_s) * scale
        ended_s = (both["t_s"].to_numpy() - self.zero_s) * scale
        self._lasted_s = np.maximum(ended_s - self._began_s, 1e-12)
        self._bytes = both["bytes"].to_numpy() / result.size_scale
        self._lane = both["path"].to_numpy()
        self.end_s = float(ended_s.max())
        moved = np.cumsum(self._bytes)
        self.steady_s = float(ended_s[moved >= _STEADY * moved[-1]][0])

    def rates(self, from_s: float, until_s: float) -> list[float]:
        """Mean Gbit/s of each lane between two instants, each chunk's bytes evenly spread."""
        from_share: Array = np.clip((from_s - self._began_s) / self._lasted_s, 0.0, 1.0)
        until_share: Array = np.clip((until_s - self._began_s) / self._lasted_s, 0.0, 1.0)
        inside = (until_share - from_share) * self._bytes
        by_lane = np.bincount(self._lane, weights=inside, minlength=self.lanes)
        return [gigabits(each) / max(until_s - from_s, 1e-12) for each in by_lane.tolist()]


def lost_relays(
    plans: Sequence[Plan], world: World, whole: Outcome, *, replan: Replan | None = None
) -> tuple[LostRelay, ...]:
    """For each relay region of the first Plan: its first VM dies at half of that Plan's makespan.

    What more that Plan takes; `whole` is its outcome without the loss, recovery is the World's.
    """
    at_s = whole.makespan_s / 2
    found = []
    dead = {loss.gateway for loss in world.losses}
    for region in plans[0].relays:
        living = (name for name in plans[0].gateways if name not in dead)
        gateway = next((name for name in living if region_of_gateway(name) == region), None)
        if gateway is None:
            continue  # lost anyway, or VMs that no lane uses
        loss = GatewayLoss(at_s=at_s, gateway=gateway)
        more_s = more_usd = None
        try:
            history = history_of(plans, replace(world, losses=(*world.losses, loss)), replan=replan)
        except NeverEnds:
            history = None
        if history is not None and 0 not in history.record.failures:
            after = history.outcome(job=0)
            more_s, more_usd = after.makespan_s - whole.makespan_s, after.cost_usd - whole.cost_usd
        found.append(LostRelay(gateway=gateway, at_s=at_s, more_s=more_s, more_usd=more_usd))
    return tuple(found)


def slack_words(trials: Trials, promise_s: float) -> str:
    """What slack buys, in one sentence."""
    kept = trials.kept(promise_s, TOLERANCE)
    needed = trials.percentiles(trials.makespan_s).get("p95")
    if needed is None:
        return "No trial ended."
    return (
        f"Within {TOLERANCE:.0%} of the promise in {kept:.0%} of {len(trials.makespan_s)} trials; "
        f"95 % of them need {max(0.0, needed / promise_s - 1):.1%} of slack "
        f"({trials.assumed})."
    )


def _above(value: float, promised: float) -> float:
    return value / promised - 1.0 if promised > 0 else 0.0


def _percent(margin: float, more: str, less: str) -> str:
    """With a place more where the first one would hide on which side of the limit it is."""
    places = 2 if abs(abs(margin) - TOLERANCE) < _CLOSE else 1
    return f"{abs(margin):.{places}%} {more if margin >= 0 else less}"
