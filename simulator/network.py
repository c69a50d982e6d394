"""The fluid network: one SimPy process that sleeps until the next chunks are through.

All busy connections of a lane run at the same rate, so a lane is one flow with a count. Connections
that begin equal chunks together are a cohort and end together: one event for all of them. A
cohort ends when the lane has served one connection as many gigabits as stood at its start plus
its chunk; rates are solved again only when a count or a link changes.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import simpy

from datasets.units import gigabits
from planner.dispatch import LanePace
from simulator.chunks import Chunks, IntArray, Queue
from simulator.fluid import Array, max_min_rates
from simulator.resources import Resources

# Lanes whose chunks end within this share of the clock end together.
_TIE = 1e-12


class Network:
    """Moves the queue's chunks over the lanes, and notes when each began and was through.

    `lane`, `began_s` and `ended_s` are (chunks,): filled in as the transfer goes.
    """

    def __init__(
        self,
        env: simpy.Environment,
        *,
        chunks: Chunks,
        queue: Queue,
        paces: Sequence[LanePace],
        resources: Resources,
        size_scale: float,
    ) -> None:
        self._env = env
        self._queue = queue
        self._resources = resources
        self._gigabits = [gigabits(size) / size_scale for size in chunks.size_bytes.tolist()]
        lanes = len(paces)
        self._connections: IntArray = np.array([pace.connections for pace in paces])
        self._free = self._connections.copy()
        # Asked first: the lane that is fastest at a chunk.
        self._order = sorted(range(lanes), key=lambda lane: paces[lane].chunk_s(1))
        self._busy: IntArray = np.zeros(lanes, dtype=np.int64)
        self._rate: Array = np.zeros(lanes)  # Gbit/s of one connection
        self._served: Array = np.zeros(lanes)  # gigabits of one connection, as of `_since_s`
        self._since_s: Array = np.zeros(lanes)
        self._ends_s: Array = np.full(lanes, np.inf)
        self._cohorts: list[list[tuple[float, int, int]]] = [[] for _ in range(lanes)]
        self._stale = True
        self.lane: IntArray = np.full(len(chunks), -1, dtype=np.int64)
        self.began_s: Array = np.zeros(len(chunks))
        self.ended_s: Array = np.zeros(len(chunks))
        self.solves = 0

    def run(self) -> Generator[Any, Any, None]:
        """The process: hand out chunks, sleep until the next are through or a link changes."""
        self._since_s[:] = self._env.now
        self._assign(self._env.now)
        while any(self._cohorts):
            if self._stale:
                self._solve(self._env.now)
            wake_s = float(self._ends_s.min())
            try:
                yield self._env.timeout(max(0.0, wake_s - self._env.now))
            except simpy.Interrupt:
                continue  # a link changed, and with it the rates
            for lane in np.flatnonzero(self._ends_s <= wake_s * (1 + _TIE)).tolist():
                self._finish(lane)
            self._assign(wake_s)

    def change(self, resources: Resources) -> None:
        """From now on the links are these; whoever calls it interrupts the process."""
        self._resources = resources
        self._stale = True

    def _finish(self, lane: int) -> None:
        """The lane's next cohort is through."""
        ends_s = float(self._ends_s[lane])
        level, first, count = heapq.heappop(self._cohorts[lane])
        self.ended_s[first : first + count] = ends_s
        self._served[lane], self._since_s[lane] = level, ends_s
        self._free[lane] += count
        while self._cohorts[lane] and self._cohorts[lane][0][0] <= level * (1 + _TIE):
            _, first, count = heapq.heappop(self._cohorts[lane])
            self.ended_s[first : first + count] = ends_s
            self._free[lane] += count
        self._next_end(lane)

    def _next_end(self, lane: int) -> None:
        cohorts = self._cohorts[lane]
        if cohorts and self._rate[lane] > 0:
            left = cohorts[0][0] - self._served[lane]
            self._ends_s[lane] = self._since_s[lane] + left / self._rate[lane]
        else:
            self._ends_s[lane] = np.inf

    def _assign(self, now_s: float) -> None:
        """Free connections take what they may, the fastest lanes first.

        Where there are fewer chunks than free connections, lanes take one each in turn, as
        racing connections would. A connection that declines is done for good, as the executor's.
        """
        left = self._queue.left()
        asking = [lane for lane in self._order if self._free[lane]] if left else []
        one_each = len(asking) > 1 and left < sum(self._free[lane] for lane in asking)
        while asking:
            again = []
            for lane in asking:
                most = 1 if one_each else int(self._free[lane])
                first, count = self._queue.take(lane, most)
                if count == 0:
                    self._connections[lane] -= self._free[lane]
                    self._free[lane] = 0
                    continue
                self._begin(lane, first, count, now_s)
                if self._free[lane]:
                    again.append(lane)
            asking = again
        busy = self._connections - self._free
        if (busy != self._busy).any():
            self._busy, self._stale = busy, True

    def _begin(self, lane: int, first: int, count: int, now_s: float) -> None:
        """A cohort begins `count` equal chunks from `first` on."""
        served = self._served[lane] + self._rate[lane] * (now_s - self._since_s[lane])
        level = float(served) + self._gigabits[first]
        heapq.heappush(self._cohorts[lane], (level, first, count))
        self._free[lane] -= count
        self.lane[first : first + count] = lane
        self.began_s[first : first + count] = now_s
        self._next_end(lane)

    def _solve(self, now_s: float) -> None:
        self._served += self._rate * (now_s - self._since_s)
        self._since_s[:] = now_s
        busy = self._busy.astype(np.float64)
        self._rate = max_min_rates(
            self._resources.usage, self._resources.capacity, self._resources.ceiling(busy), busy
        )
        self.solves += 1
        for lane in range(len(self._cohorts)):
            self._next_end(lane)
        self._stale = False
