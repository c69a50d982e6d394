"""Rows of the chunks' Gantt: each attempt in a slot of its connection, none upon another.

A chunk takes the first slot that is free: of its connection, which has more than one if it reads
the next chunk before the last has arrived; or of its lane, where the table names no connection.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.attempts import Attempts

MOST_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """`bars` is the attempts' table with a `row` each, top row 0, in the order of beginning.

    `lanes` are (first row, rows, (job, path)) of each lane shown; `rows` of `all_rows` are shown.
    """

    bars: pd.DataFrame
    lanes: tuple[tuple[int, int, tuple[int, int]], ...]
    rows: int
    all_rows: int


def slots_of(attempts: Attempts, *, most_rows: int = MOST_ROWS) -> Slots:
    """Every attempt in its row; above `most_rows`, some rows of each lane for all.

    Lanes keep rows in proportion (at least one each, of evenly spaced lanes where they are too
    many); rows in which a chunk was sent again are kept first.
    """
    ordered = attempts.table.assign(
        lane_way=attempts.table["way"], number=np.arange(len(attempts.table))
    ).sort_values(["job", "lane_way", "path", "connection", "number"], kind="stable")
    groups = ordered.groupby(["job", "lane_way", "path", "connection"], sort=True)
    rows = np.zeros(len(ordered), dtype=np.int64)
    lane_rows: dict[tuple[int, int], list[int]] = {}
    used = 0
    for key, places in sorted(groups.indices.items()):
        mine = ordered.iloc[places]
        slots = _first_free(mine["began_s"].tolist(), mine["ended_s"].tolist())
        rows[places] = used + np.array(slots)
        count = max(slots) + 1
        job, _, path = key[0], key[1], key[2]
        lane_rows.setdefault((int(job), int(path)), []).extend(range(used, used + count))
        used += count
    ordered = ordered.assign(row=rows)
    again = set(ordered.loc[ordered["resent"], "row"].tolist())
    kept = _kept(list(lane_rows.values()), again, most_rows)
    place = {row: at for at, row in enumerate(sorted(kept))}
    bars = ordered[ordered["row"].isin(kept)].sort_values("number").drop(columns=["number"])
    lanes = []
    for lane, its_rows in lane_rows.items():
        at = [place[row] for row in its_rows if row in kept]
        if at:
            lanes.append((at[0], len(at), lane))
    return Slots(
        bars=bars.assign(row=bars["row"].map(place)).drop(columns=["lane_way"]),
        lanes=tuple(lanes),
        rows=len(kept),
        all_rows=used,
    )


def _first_free(began_s: Sequence[float], ended_s: Sequence[float]) -> list[int]:
    """The first slot free for each, in the order of beginning; one is free when its bar ends."""
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    slots = []
    for start_s, end_s in zip(began_s, ended_s, strict=True):
        while busy and busy[0][0] <= start_s:
            heapq.heappush(free, heapq.heappop(busy)[1])
        slot = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (max(end_s, start_s), slot))
        slots.append(slot)
    return slots


def _kept(lanes: Sequence[Sequence[int]], again: set[int], most: int) -> set[int]:
    """Which rows are shown."""
    total = sum(len(rows) for rows in lanes)
    if total <= most:
        return {row for rows in lanes for row in rows}
    if len(lanes) > most:
        spaced = np.linspace(0, len(lanes) - 1, most).round().astype(int)
        return {_best(lanes[at], again)[0] for at in spaced.tolist()}
    counts = [1] * len(lanes)
    for _ in range(most - len(lanes)):  # each next row to the lane that has least of its share
        shares = [count / len(rows) for count, rows in zip(counts, lanes, strict=True)]
        counts[int(np.argmin(shares))] += 1
    return {
        row for count, rows in zip(counts, lanes, strict=True) for row in _best(rows, again)[:count]
    }


def _best(rows: Sequence[int], again: set[int]) -> list[int]:
    return sorted(rows, key=lambda row: (row not in again, row))
