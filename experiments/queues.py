"""Queues at relays: bytes received as a whole chunk by one hop, and not yet by the next.

From the event table alone, in real units. A relay of a tree holds a chunk until every branch that
leaves it has the chunk; a chunk that never gets further is held until it is given up.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.attempts import Attempts
from experiments.clock import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """`relays` are the gateways that pass something on; `held` has, for those that ever hold a
    whole chunk, (real seconds, bytes held from then on).
    """

    relays: tuple[str, ...]
    held: Mapping[str, tuple[Array, Array]]
    end_s: float

    def peak_bytes(self, gateway: str) -> float:
        """The most that it ever holds."""
        return float(self.held[gateway][1].max())

    def most_bytes(self, gateway: str, edges_s: Array) -> Array:
        """The most that it holds in each interval between `edges_s`."""
        at_s, held = self.held[gateway]
        first = np.searchsorted(at_s, edges_s, "left")
        before = np.concatenate([[0.0], held])  # before[n]: after n changes
        return np.array([before[low : high + 1].max() for low, high in itertools.pairwise(first)])


def queues_of(attempts: Attempts, *, size_scale: float) -> Queues:
    """What each relay of a Run holds over time; `size_scale` is the b of its outcome."""
    changes: dict[str, list[tuple[Array, Array]]] = {}
    for (job, path), lane in attempts.ways.lanes.items():
        received = attempts.received
        here = received[(received["job"] == job) & (received["path"] == path)]
        by_hop = here.pivot(index="attempt", columns="hop", values="at_s")
        for hop, (_, gateway) in lane.edges.items():
            if lane.children(hop):
                found = _held(attempts, by_hop, hop, lane.children(hop))
                changes.setdefault(gateway, []).extend(found)
    held = {}
    for gateway, found in sorted(changes.items()):
        at_s = np.concatenate([times for times, _ in found]) if found else np.zeros(0)
        sizes = np.concatenate([each for _, each in found]) if found else np.zeros(0)
        if len(at_s):
            order = np.lexsort((sizes, at_s))  # what leaves at a moment makes room first
            held[gateway] = (at_s[order], np.cumsum(sizes[order]) / size_scale)
    return Queues(relays=tuple(sorted(changes)), held=held, end_s=attempts.end_s)


def _held(
    attempts: Attempts, by_hop: pd.DataFrame, hop: int, children: tuple[int, ...]
) -> list[tuple[Array, Array]]:
    """(times, change in bytes) of what one hop brought: in, and out again."""
    if hop not in by_hop:
        return []
    came_s = by_hop[hop].dropna()
    passed_s = by_hop.reindex(index=came_s.index, columns=list(children))
    rows = attempts.table.loc[came_s.index]
    left_s = passed_s.max(axis=1, skipna=False).fillna(rows["ended_s"]).to_numpy()
    stays = left_s > came_s.to_numpy()
    sizes = rows["bytes"].to_numpy(dtype=np.float64)[stays]
    return [(came_s.to_numpy()[stays], sizes), (left_s[stays], -sizes)]
