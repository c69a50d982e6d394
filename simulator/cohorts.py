"""Cohorts on their bundles: what is under way, and when the next of it is through at given rates.

All busy connections of a bundle run at the same rate. Those that begin equal chunks together are a
cohort: it ends when the bundle has served one connection as many gigabits as stood at its start
plus its chunk.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from simulator.stations import Unit

# Cohorts that end within this share of the clock end together.
TIE = 1e-12
_NEVER_S = float("inf")


class Cohorts:
    """By bundle: the rate of one connection (Gbit/s) and the units that its connections carry."""

    def __init__(self) -> None:
        self.rate: list[float] = []
        self._served: list[float] = []  # gigabits of one connection, as of `_since_s`
        self._since_s: list[float] = []
        self._ends_s: list[float] = []
        self._units: list[list[tuple[float, int, Unit]]] = []
        self._heap: list[tuple[float, int]] = []
        self._count = 0

    def add(self, now_s: float) -> None:
        """One more bundle."""
        self.rate.append(0.0)
        self._served.append(0.0)
        self._since_s.append(now_s)
        self._ends_s.append(_NEVER_S)
        self._units.append([])

    def begin(self, at: int, unit: Unit, gigabits: float, now_s: float) -> None:
        """Connections of bundle `at` begin to carry `unit`, each `gigabits`."""
        served = self._served[at] + self.rate[at] * (now_s - self._since_s[at])
        self._count += 1
        heapq.heappush(self._units[at], (served + gigabits, self._count, unit))
        self._schedule(at)

    def next_s(self) -> float:
        """When the next cohort is through; infinite if none is under way that moves."""
        heap, ends_s = self._heap, self._ends_s
        while heap and ends_s[heap[0][1]] != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else _NEVER_S

    def through(self, now_s: float) -> list[tuple[int, float, Unit]]:
        """(bundle, when, unit) of all that is through by `now_s`, in the order of bundles."""
        limit_s = now_s * (1 + TIE)
        heap, ends_s = self._heap, self._ends_s
        ending = set()
        while heap and heap[0][0] <= limit_s:
            end_s, at = heapq.heappop(heap)
            if ends_s[at] == end_s:
                ending.add(at)
        found = []
        for at in sorted(ending):
            units = self._units[at]
            end_s, level = ends_s[at], units[0][0]
            self._served[at], self._since_s[at] = level, end_s
            while units and units[0][0] <= level * (1 + TIE):
                found.append((at, end_s, heapq.heappop(units)[2]))
            self._schedule(at)
        return found

    def set_rates(self, rates: Sequence[float], now_s: float) -> None:
        """From now on one connection of each bundle runs at so many Gbit/s."""
        for at, rate in enumerate(rates):
            before = self.rate[at]
            if rate != before:
                self._served[at] += before * (now_s - self._since_s[at])
                self._since_s[at] = now_s
                self.rate[at] = rate
                self._schedule(at)

    def under_way(self, at: int) -> list[Unit]:
        """What bundle `at` carries."""
        return [unit for _, _, unit in self._units[at]]

    def drop(self, at: int) -> list[Unit]:
        """Bundle `at` is gone: what it carried."""
        units = self.under_way(at)
        self._units[at] = []
        self._served[at] = self.rate[at] = 0.0
        self._ends_s[at] = _NEVER_S
        return units

    def _schedule(self, at: int) -> None:
        units, rate = self._units[at], self.rate[at]
        if not units or not rate > 0:
            self._ends_s[at] = _NEVER_S
            return
        end_s = self._since_s[at] + (units[0][0] - self._served[at]) / rate
        if end_s != self._ends_s[at]:
            self._ends_s[at] = end_s
            heapq.heappush(self._heap, (end_s, at))
