"""The two sides of a difference: a Run's or a prediction's progress by lane, and what held it up.

From the event table: which lanes stayed below their siblings, which last chunks took longer than is
usual on their lane, which lanes lost a gateway, and which chunks were sent again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from datasets.errors import InputError
from datasets.events import Event
from datasets.units import gigabits
from experiments.attribution import Side, terms_of
from experiments.progress import Progress, progress_of
from experiments.ways import way_names
from planner.plan import Lane, Plan, TreeLane
from simulator.recorded import Recorded

# A lane is a straggler if it stays below this share of its fastest sibling.
SIBLING_SHARE = 0.98
# A chunk took longer than is usual if it did than this share of its lane's.
USUAL = 0.95
# A lane that carries less than this share of the whole may run dry early: it says little.
THIN_SHARE = 0.01
_KEY = ["job", "object", "chunk"]


def lanes_of(plan: Plan) -> tuple[Lane | TreeLane, ...]:
    """The Plan's lanes, of paths or of trees."""
    return plan.lanes if plan.is_unicast else plan.tree_lanes


def ways_of_lanes(plan: Plan) -> list[int]:
    """The path or tree of each lane."""
    return [lane.path if isinstance(lane, Lane) else lane.tree for lane in lanes_of(plan)]


def predicted_progress(plan: Plan) -> Progress:
    """The prediction as a Progress, a curve a lane: every lane at its planned rate throughout."""
    sources = len(plan.job.sources)  # each has bytes, and throughput, of its own
    total = sources * gigabits(plan.job.size_bytes)
    end_s = total / (sources * plan.predicted.throughput_gbps)
    lanes = lanes_of(plan)
    rate = math.fsum(lane.gbps for lane in lanes)
    times_s = np.array([0.0, end_s])
    names = way_names(plan)
    return Progress(
        names=tuple(names[way] for way in ways_of_lanes(plan)),
        curves=tuple((times_s, np.array([0.0, total * lane.gbps / rate])) for lane in lanes),
        first_s=0.0,
        empty_s=end_s,
        end_s=end_s,
    )


def by_lane(plan: Plan) -> Plan:
    """The Plan with a path or tree for each lane, so that its Progress has a curve a lane."""
    return replace(
        plan,
        paths=tuple(plan.paths[lane.path] for lane in plan.lanes),
        lanes=tuple(replace(lane, path=at) for at, lane in enumerate(plan.lanes)),
        trees=tuple(plan.trees[lane.tree] for lane in plan.tree_lanes),
        tree_lanes=tuple(replace(lane, tree=at) for at, lane in enumerate(plan.tree_lanes)),
    )


def side_of(recorded: Recorded, label: str) -> Side:
    """A Run as a Side, with a curve for each lane. Raises: InputError if nothing arrived in it.

    It is steady until the first of its lanes (but thin and lost ones) has no more to read.
    """
    run, plan = recorded.run, recorded.plan
    progress = progress_of(by_lane(plan), run.events, run.outcome)
    if progress is None or not progress.end_s > 0:
        raise InputError(f"Nothing arrived in the run {recorded.id}: there is nothing to compare.")
    lost = _lost_lanes(plan, run.events)
    progress = replace(progress, empty_s=_first_dry_s(recorded, progress, lost))
    terms = terms_of(progress)
    slow_gbps = _slow_gbps(plan, terms.rates)
    real = run.outcome.rate_scale / run.outcome.size_scale
    slow = [at for at, gbps in enumerate(slow_gbps) if gbps > 0 and at not in lost]
    slow_tail_s, lost_tail_s = _tails(plan, run.events, slow)
    return Side(
        label=label,
        progress=progress,
        slow_gbps=slow_gbps,
        slow_tail_s=min(slow_tail_s * real, max(0.0, terms.tail_s)),
        lost=lost,
        lost_tail_s=lost_tail_s * real,
    )


def _first_dry_s(recorded: Recorded, progress: Progress, lost: Collection[int]) -> float:
    """When the first lane of some weight read its last chunk, in real seconds."""
    lanes = lanes_of(recorded.plan)
    least_gbps = THIN_SHARE * math.fsum(lane.gbps for lane in lanes)
    counted = [at for at, lane in enumerate(lanes) if lane.gbps >= least_gbps and at not in lost]
    events, result = recorded.run.events, recorded.run.outcome
    read = events[events["event"] == Event.CHUNK_READ.value]
    last_s = read[read["path"].isin(counted)].groupby("path")["t_s"].max()
    if not len(last_s):
        return progress.empty_s
    zero_s = float(read["t_s"].min())
    return (float(last_s.min()) - zero_s) * result.rate_scale / result.size_scale


def _slow_gbps(plan: Plan, rates: Sequence[float]) -> tuple[float, ...]:
    """How much each lane stayed below the fastest of its path, in proportion to what was planned.

    Lanes of one path cross the same links, so the fastest one tells what those carried. 0 for
    curves that are no lane of the Plan.
    """
    lanes, ways = lanes_of(plan), ways_of_lanes(plan)
    shares = [rate / lane.gbps for rate, lane in zip(rates, lanes, strict=False)]
    best: dict[int, float] = {}
    for share, way in zip(shares, ways, strict=True):
        best[way] = max(best.get(way, 0.0), share)
    slow = [
        (best[way] - share) * lane.gbps if share < SIBLING_SHARE * best[way] else 0.0
        for share, way, lane in zip(shares, ways, lanes, strict=True)
    ]
    return (*slow, *(0.0 for _ in rates[len(lanes) :]))


def _lost_lanes(plan: Plan, events: pd.DataFrame) -> frozenset[int]:
    """Lanes that lost a gateway or a connection."""
    gateways = set(events.loc[events["event"] == Event.GATEWAY_LOST.value, "gateway"])
    broken = events.loc[events["event"] == Event.CONNECTION_LOST.value, "path"]
    passing = (at for at, lane in enumerate(lanes_of(plan)) if gateways & set(lane.gateways))
    return frozenset({*passing, *(int(lane) for lane in broken if lane >= 0)})


def _tails(plan: Plan, events: pd.DataFrame, slow: Collection[int]) -> tuple[float, float]:
    """(straggler, recovery): what of the end came from those, in seconds of the Run's clock.

    Recovery: from the last acknowledgement of a chunk that was sent once, to the end. Straggler:
    how much earlier those would have ended, had none of them taken longer than nineteen in twenty
    of its lane did while the queue was not yet empty, and no `slow` lane longer than its siblings.
    """
    read = events[events["event"] == Event.CHUNK_READ.value]
    acked = events[events["event"] == Event.CHUNK_ACKNOWLEDGED.value].drop_duplicates(_KEY)
    resent = events.loc[events["event"] == Event.CHUNK_RESENT.value, _KEY].drop_duplicates()
    chunks = acked[[*_KEY, "path", "t_s"]].merge(
        read.drop_duplicates(_KEY, keep="last")[[*_KEY, "t_s"]], on=_KEY, suffixes=("", "_read")
    )
    end_s = float(chunks["t_s"].max())
    chunks = chunks.merge(resent, on=_KEY, how="left", indicator=True)
    once = chunks[chunks["_merge"] == "left_only"]
    if once.empty:
        return 0.0, 0.0
    ended_s, began_s = once["t_s"].to_numpy(), once["t_s_read"].to_numpy()
    lane = once["path"].to_numpy()
    full = ended_s <= float(read["t_s"].max())
    usual_end_s = ended_s.copy()
    for number in np.unique(lane).tolist():
        mine = lane == number
        if (mine & full).any():
            usual_s = np.quantile((ended_s - began_s)[mine & full], USUAL)
            usual_end_s[mine] = np.minimum(ended_s, began_s + usual_s)[mine]
    ways = ways_of_lanes(plan)
    for number in slow:
        siblings = [at for at, way in enumerate(ways) if way == ways[number] and at not in slow]
        beside = np.isin(lane, siblings)
        if beside.any():
            mine = lane == number
            usual_end_s[mine] = np.minimum(usual_end_s[mine], usual_end_s[beside].max())
    once_end_s = float(ended_s.max())
    return once_end_s - float(usual_end_s.max()), end_s - once_end_s
