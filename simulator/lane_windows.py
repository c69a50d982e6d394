"""What each lane of a Run moved in each window of time, and whether it was busy there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from datasets.events import Event
from datasets.outcome import Outcome
from datasets.units import gigabits
from planner.plan import Plan
from simulator.fluid import Array

# A window is a real second or longer, a twentieth of the Run, and three times what a chunk takes:
# less would show how chunks begin and end.
LEAST_WINDOW_S = 1.0
WINDOWS = 20
CHUNKS_A_WINDOW = 3.0
# A lane is judged where it was under way for half of a window, with next to no pause in it. What
# a lane waits between two chunks belongs to its pace; it pauses if that is a quarter of a window.
LEAST_COVER = 0.5
BUSY_SHARE = 0.95
PAUSE_SHARE = 0.25
_KEY = ["object", "chunk", "path"]
_INSTANT_S = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneWindows:
    """`edges_s` (windows + 1,) real seconds since the first chunk was read.

    The rest is (lanes, windows). `busy`: the lane was under way for long enough to be judged;
    `gbps`: its rate while it was, or over the whole window where it was not busy.
    """

    edges_s: Array
    gbps: Array
    busy: np.ndarray[Any, np.dtype[np.bool_]]


def lane_windows(
    plan: Plan, events: pd.DataFrame, result: Outcome, *, also_at_s: Sequence[float] = ()
) -> LaneWindows | None:
    """The windows of a Run of the Plan, with edges at `also_at_s` too; None if nothing arrived.

    A chunk's bytes are spread evenly between its reading and its arrival. A lane is under way from
    its first arrival (start-up is left out) to its last reading (so is the tail).
    """
    chunks = _chunks(events, result)
    if chunks.empty:
        return None
    lane = chunks["path"].to_numpy()
    began_s, ended_s = chunks["began_s"].to_numpy(), chunks["ended_s"].to_numpy()
    moved = chunks["gigabits"].to_numpy()
    width_s, edges_s = _edges(began_s, ended_s, also_at_s)
    shape = (len(plan.lanes), len(edges_s) - 1)
    gbps, busy = np.zeros(shape), np.zeros(shape, dtype=bool)
    for at in range(len(plan.lanes)):
        mine = lane == at
        if not mine.any():
            continue
        begin_s, end_s = float(ended_s[mine].min()), float(began_s[mine].max())
        inside_s = np.clip(edges_s, begin_s, max(begin_s, end_s))
        lasted_s = np.diff(inside_s)
        by = _moved_by(began_s[mine], ended_s[mine], moved[mine], inside_s)
        worked_s = np.diff(
            _worked_by(began_s[mine], ended_s[mine], inside_s, PAUSE_SHARE * width_s)
        )
        whole_s = np.diff(edges_s)
        busy[at] = (lasted_s >= LEAST_COVER * whole_s) & (worked_s >= BUSY_SHARE * lasted_s)
        gbps[at] = np.diff(by) / np.where(busy[at], np.maximum(lasted_s, _INSTANT_S), whole_s)
    return LaneWindows(edges_s=edges_s, gbps=gbps, busy=busy)


def _chunks(events: pd.DataFrame, result: Outcome) -> pd.DataFrame:
    """A row a chunk that arrived: its lane, when it was read and written, real seconds, Gbit."""
    columns = [*_KEY, "t_s"]
    read = events.loc[events["event"] == Event.CHUNK_READ.value, columns]
    done = events.loc[events["event"] == Event.CHUNK_VERIFIED.value, [*columns, "bytes"]]
    done = done.drop_duplicates(["object", "chunk"])
    both: pd.DataFrame = done.merge(
        read.drop_duplicates(_KEY, keep="last"), on=_KEY, suffixes=("", "_read")
    )
    scale = result.rate_scale / result.size_scale
    zero_s = float(read["t_s"].min()) if len(read) else 0.0
    timed: pd.DataFrame = both.assign(
        began_s=(both["t_s_read"] - zero_s) * scale,
        ended_s=(both["t_s"] - zero_s) * scale,
        gigabits=both["bytes"] * gigabits(1) / result.size_scale,
    )
    return timed


def _edges(began_s: Array, ended_s: Array, also_at_s: Sequence[float]) -> tuple[float, Array]:
    """How long a window is, and the edges of all."""
    end_s = float(began_s.max())
    if not end_s > 0:
        end_s = float(ended_s.max())
    usual_s = float(np.median(ended_s - began_s))
    width_s = max(LEAST_WINDOW_S, end_s / WINDOWS, CHUNKS_A_WINDOW * usual_s)
    count = max(1, int(end_s / width_s))
    regular = np.linspace(0.0, end_s, count + 1)
    named = [at_s for at_s in also_at_s if 0.0 < at_s < end_s]
    edges_s: Array = np.unique(np.concatenate([regular, np.array(named, dtype=np.float64)]))
    return end_s / count, edges_s


def _moved_by(began_s: Array, ended_s: Array, moved: Array, at_s: Array) -> Array:
    """Gigabits that had arrived at each of those times, chunks spread over their way."""
    times_s = np.concatenate([began_s, np.maximum(ended_s, began_s + _INSTANT_S)])
    slopes = moved / np.maximum(ended_s - began_s, _INSTANT_S)
    order = np.argsort(times_s, kind="stable")
    slope = np.cumsum(np.concatenate([slopes, -slopes])[order])
    times_s = times_s[order]
    so_far = np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(times_s))])
    by: Array = np.interp(at_s, times_s, so_far)
    return by


def _worked_by(began_s: Array, ended_s: Array, at_s: Array, pause_s: float) -> Array:
    """Seconds in which a chunk was under way, or a pause shorter than that, up to those times."""
    order = np.argsort(began_s, kind="stable")
    begin_s = began_s[order]
    end_s = np.maximum.accumulate(ended_s[order])
    new = np.concatenate([[True], begin_s[1:] > end_s[:-1] + pause_s])
    starts_s = begin_s[new]
    stops_s = end_s[np.concatenate([np.flatnonzero(new)[1:] - 1, [len(end_s) - 1]])]
    times_s = np.stack([starts_s, stops_s], axis=1).ravel()
    lasted_s = stops_s - starts_s
    so_far = np.stack([np.cumsum(lasted_s) - lasted_s, np.cumsum(lasted_s)], axis=1).ravel()
    by: Array = np.interp(at_s, times_s, so_far)
    return by
