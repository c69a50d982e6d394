"""Progress of a Run: how many bytes had crossed each path by when, from the event table alone.

A chunk's bytes are spread evenly between the `chunk_read` of the attempt that arrived and its
`chunk_received` at the lane's last hop (of a tree: at every end of it). Everything is in real
units: seconds·k/b since the first chunk was read, bytes/b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from datasets.events import Event
from datasets.outcome import Outcome
from datasets.units import gigabits
from experiments.attempts import KEY, Attempts, attempts_of
from experiments.clock import real_clock
from planner.plan import Plan

Array = np.ndarray[Any, np.dtype[np.float64]]
_INSTANT_S = 1e-9
# Intervals of a whole chart, shared by the paths of a plan, so that no page grows with them.
_MOST_INTERVALS, _LEAST_INTERVALS, _ALL_INTERVALS = 200, 40, 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`curves` has, for each path or tree of the Plan (and then any other way seen, `names`),
    (times_s, gigabits so far), both rising.

    `first_s`: the first chunk was acknowledged; `empty_s`: the last chunk was read, so the queue
    was empty; `end_s`: the last chunk was acknowledged.
    """

    names: tuple[str, ...]
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

    def stacked(self, *, coarser: int = 1) -> tuple[Array, Array]:
        """(intervals + 1,) edges, and (paths + 1, intervals) sums of throughput from 0 up."""
        paths = len(self.curves)
        count = max(_LEAST_INTERVALS, min(_MOST_INTERVALS, _ALL_INTERVALS // paths)) // coarser
        edges_s: Array = np.linspace(0.0, max(self.end_s, 1e-6), count + 1)
        rates = np.array([self.gbps(path, edges_s) for path in range(paths)])
        return edges_s, np.vstack([np.zeros(count), np.cumsum(rates, axis=0)])

    def ordered(self, names: Sequence[str]) -> Progress:
        """The same with curves in the order of `names`, empty ones where it has none."""
        none: tuple[Array, Array] = (np.zeros(0), np.zeros(0))
        mine = dict(zip(self.names, self.curves, strict=True))
        return replace(
            self, names=tuple(names), curves=tuple(mine.get(name, none) for name in names)
        )


def progress_of(
    plan: Plan, events: pd.DataFrame, result: Outcome, *, attempts: Attempts | None = None
) -> Progress | None:
    """The progress of one Run of the Plan, or None where nothing arrived.

    `attempts` are the Run's, where the caller has them already.
    """
    clock = real_clock(events, result)
    attempts = attempts or attempts_of(plan, events, result)
    table, names = attempts.table, attempts.ways.names
    read = _of(events, Event.CHUNK_READ)
    done = _of(events, Event.CHUNK_ACKNOWLEDGED)
    if table.empty or done.empty:
        return None
    both = _arrivals(table, done.assign(ended_s=clock.real_s(done["t_s"])))
    if both.empty:
        return None
    way, ended_s = both["way"].to_numpy(), both["ended_s"].to_numpy()
    moved = np.array([gigabits(size) for size in (both["bytes"] / result.size_scale).tolist()])
    began_s = both["began_s"].to_numpy()
    done_s = clock.real_s(done["t_s"])
    return Progress(
        names=names,
        curves=tuple(
            _curve(began_s[mine], ended_s[mine], moved[mine])
            for mine in (way == number for number in range(len(names)))
        ),
        first_s=float(done_s.min()),
        empty_s=float(clock.real_s(read["t_s"]).max()),
        end_s=float(done_s.max()),
    )


def _arrivals(table: pd.DataFrame, done: pd.DataFrame) -> pd.DataFrame:
    """The attempt by which each chunk arrived first.

    One that no single attempt brought to every end of a tree, and that was acknowledged all the
    same, counts for its last attempt.
    """
    whole = table[table["arrived"]].sort_values("ended_s", kind="stable").drop_duplicates(KEY)
    pieced = table.drop_duplicates(KEY, keep="last").drop(columns="ended_s")
    pieced = pieced.merge(done.drop_duplicates(KEY, keep="last")[[*KEY, "ended_s"]], on=KEY)
    both: pd.DataFrame = pd.concat([whole, pieced], ignore_index=True).drop_duplicates(KEY)
    return both


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
