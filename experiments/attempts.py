"""Attempts: each time that a chunk set out along a lane, when, and whether it arrived.

From the event table alone, in real seconds. Progress, the chunks' Gantt and the queues at relays
are read off these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from datasets.events import Event
from datasets.outcome import Outcome
from experiments.clock import real_clock
from experiments.ways import Ways, ways_of
from planner.plan import Plan

KEY = ["job", "object", "chunk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """`table` has a row an attempt, in the order of their beginning: `job`, `object`, `chunk`,
    `path` (the lane), `way`, `connection`, `bytes`, `began_s`, `ended_s`, `arrived` (every end of
    the lane has it; else `ended_s` is when it was given up) and `resent` (not the first attempt).

    `received` has, for each attempt and hop, the first time that the hop's receiver had it all:
    `attempt` (a row number of `table`), `job`, `path`, `hop`, `at_s`. `end_s`: the table's end.
    """

    ways: Ways
    table: pd.DataFrame
    received: pd.DataFrame
    end_s: float


def attempts_of(plan: Plan, events: pd.DataFrame, result: Outcome) -> Attempts:
    """Every attempt of a Run of the Plan, in real seconds since the first chunk was read."""
    clock = real_clock(events, result)
    ways = ways_of(plan, events)
    end_s = float(clock.real_s(events["t_s"].tail(1))[0]) if len(events) else 0.0
    begun = _begun(events, float(events["t_s"].max()) if len(events) else 0.0)
    received = events.loc[
        events["event"] == Event.CHUNK_RECEIVED.value, ["t_s", *KEY, "path", "hop"]
    ]
    received = pd.merge_asof(
        received.sort_values("t_s", kind="stable"),
        begun[["t_s", *KEY, "path", "attempt"]],
        on="t_s",
        by=[*KEY, "path"],
    )
    received = received.dropna(subset=["attempt"]).astype({"attempt": "int64"})
    received = received.drop_duplicates(["attempt", "hop"]).reset_index(drop=True)
    at_end = received.merge(_leaves(ways), on=["job", "path", "hop"])
    ends = at_end.groupby("attempt").agg(
        last_s=("t_s", "max"), there=("hop", "size"), leaves=("leaves", "first")
    )
    ends = ends[ends["there"] == ends["leaves"]]["last_s"].reindex(begun["attempt"])
    arrived = ends.notna().to_numpy()
    lanes = zip(begun["job"].tolist(), begun["path"].tolist(), strict=True)
    table = begun[[*KEY, "path", "connection", "bytes", "resent"]].assign(
        way=[ways.lanes[lane].way for lane in lanes],
        began_s=clock.real_s(begun["t_s"]),
        ended_s=clock.real_s(pd.Series(np.where(arrived, ends.to_numpy(), begun["given_up_s"]))),
        arrived=arrived,
    )
    received = received.assign(at_s=clock.real_s(received["t_s"]))
    return Attempts(
        ways=ways,
        table=table,
        received=received[["attempt", "job", "path", "hop", "at_s"]],
        end_s=end_s,
    )


def _begun(events: pd.DataFrame, end_s: float) -> pd.DataFrame:
    """Beginnings in the order of time, numbered, with when each would have been given up.

    A chunk sent again begins when it is read again; where no such row follows, at `chunk_resent`.
    """
    read, resent = Event.CHUNK_READ.value, Event.CHUNK_RESENT.value
    rows = events.loc[
        events["event"].isin([read, resent]),
        ["t_s", "event", *KEY, "path", "connection", "bytes"],
    ].sort_values(KEY, kind="stable")
    again = (rows["event"] == resent).to_numpy()
    before = _same_chunk(rows, 1)
    together = again & before & (rows["t_s"] == rows["t_s"].shift(1)).to_numpy()
    rows, again = rows[~together], again[~together]
    after = _same_chunk(rows, -1)
    given_up_s = np.where(after, rows["t_s"].shift(-1), end_s)
    announced = again & after & (rows["event"].shift(-1) == read).to_numpy()
    rows = rows.assign(given_up_s=given_up_s, resent=again)[~announced]
    rows["resent"] |= rows.groupby(KEY).cumcount() > 0
    begun: pd.DataFrame = rows.sort_values("t_s", kind="stable", ignore_index=True)
    begun["attempt"] = np.arange(len(begun))
    return begun


def _same_chunk(rows: pd.DataFrame, step: int) -> np.ndarray:
    """Whether the row `step` before is of the same chunk."""
    same: np.ndarray = (rows[KEY] == rows[KEY].shift(step)).all(axis=1).to_numpy()
    return same


def _leaves(ways: Ways) -> pd.DataFrame:
    """The hops that end each lane, and how many of them it has."""
    rows = [
        (job, path, hop, len(lane.leaves))
        for (job, path), lane in ways.lanes.items()
        for hop in lane.leaves
    ]
    leaves: pd.DataFrame = pd.DataFrame(
        rows, columns=["job", "path", "hop", "leaves"], dtype="int64"
    )
    return leaves
