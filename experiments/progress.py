"""Progress of a Run: how many bytes had crossed each path by when, from the event table alone.

A chunk's bytes are spread evenly between its `chunk_read` and its `chunk_received` at the lane's
last hop. Everything is in real units: seconds·k/b since the first chunk was read, bytes/b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from datasets.events import Event
from datasets.outcome import Outcome
from datasets.units import gigabits
from planner.plan import Plan

Array = np.ndarray[Any, np.dtype[np.float64]]
_KEY = ["job", "object", "chunk"]
_INSTANT_S = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`curves` has, for each path of the Plan, (times_s, gigabits so far), both rising.

    `first_s`: the first chunk was acknowledged; `empty_s`: the last chunk was read, so the queue
    was empty; `end_s`: the last chunk was acknowledged.
    """

    curves: tuple[tuple[Array, Array], ...]
    first_s: float
    empty_s: float
    end_s: float

    def gigabits_by(self, path: int, at_s: Array) -> Array:
        """Gigabits that had crossed `path` at each of those times."""
        times_s, moved = self.curves[path]
        if not len(times_s):
            return np.zeros(len(at_s))
        by: Array = np.interp(at_s, times_s, moved)
        return by

    def gbps(self, path: int, edges_s: Array) -> Array:
        """Mean throughput of `path` in each interval between `edges_s`, Gbit/s."""
        mean: Array = np.diff(self.gigabits_by(path, edges_s)) / np.diff(edges_s)
        return mean


def progress_of(plan: Plan, events: pd.DataFrame, result: Outcome) -> Progress | None:
    """The progress of one Run of the Plan, or None where nothing arrived."""
    read = _of(events, Event.CHUNK_READ).drop_duplicates(_KEY)
    received = _of(events, Event.CHUNK_RECEIVED)
    last_hop = np.array([len(lane.hops) - 1 for lane in plan.lanes])
    lane_of = received["path"].to_numpy()
    arrived = received[received["hop"].to_numpy() == last_hop[lane_of]].drop_duplicates(_KEY)
    both = arrived.merge(read[[*_KEY, "t_s"]], on=_KEY, suffixes=("", "_read"))
    done = _of(events, Event.CHUNK_ACKNOWLEDGED)["t_s"]
    if both.empty or done.empty:
        return None
    scale = result.rate_scale / result.size_scale
    zero_s = float(read["t_s"].min())
    path_of = np.array([lane.path for lane in plan.lanes])[both["path"].to_numpy()]
    began_s = (both["t_s_read"].to_numpy() - zero_s) * scale
    ended_s = (both["t_s"].to_numpy() - zero_s) * scale
    moved = np.array([gigabits(size) for size in (both["bytes"] / result.size_scale).tolist()])
    return Progress(
        curves=tuple(
            _curve(began_s[mine], ended_s[mine], moved[mine])
            for mine in (path_of == path for path in range(len(plan.paths)))
        ),
        first_s=(float(done.min()) - zero_s) * scale,
        empty_s=(float(read["t_s"].max()) - zero_s) * scale,
        end_s=(float(done.max()) - zero_s) * scale,
    )


def _of(events: pd.DataFrame, event: Event) -> pd.DataFrame:
    rows: pd.DataFrame = events[events["event"] == event.value]
    return rows


def _curve(began_s: Array, ended_s: Array, moved: Array) -> tuple[Array, Array]:
    """The sum of ramps, one a chunk, as a piecewise linear curve."""
    lasted_s = np.maximum(ended_s - began_s, _INSTANT_S)
    slopes = moved / lasted_s
    times_s = np.concatenate([began_s, began_s + lasted_s])
    order = np.argsort(times_s, kind="stable")
    times_s = times_s[order]
    slope = np.cumsum(np.concatenate([slopes, -slopes])[order])
    steps = np.maximum(slope[:-1], 0.0) * np.diff(times_s)
    so_far = np.concatenate([[0.0], np.cumsum(steps)]) if len(times_s) else times_s
    return times_s, so_far
