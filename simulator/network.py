"""The fluid network: one SimPy process that sleeps until the next chunks are through.

Connections that begin equal chunks together are a cohort (`cohorts.py`): one event for all of
them. Rates are solved again only when a count, a link or what lives changes.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import simpy

from datasets.errors import NeverEnds
from simulator.cohorts import TIE, Cohorts
from simulator.feeds import Feed
from simulator.record import Hop, Record, Span
from simulator.resources import LinkEnds, Resources
from simulator.routes import Bundle, Route
from simulator.stations import Stations, Unit


class Network:
    """Moves the feeds' chunks over the bundles, and records what happens.

    `routes`, `bundles` and `feeds` may grow (`add`). Chunks are numbered over all feeds.
    """

    def __init__(
        self,
        env: simpy.Environment,
        *,
        overhead_s: Sequence[float] | None,
        stations: Stations,
    ) -> None:
        self.env = env
        self.record = Record()
        self.routes: list[Route] = []
        self.bundles: list[Bundle] = []
        self.feeds: list[Feed] = []
        self.expected = 0  # control events that may still set things going
        self.solves = 0
        self.most_gbps = 0.0  # the highest rate at which sources have sent, all together
        self._overhead_s = overhead_s
        self._resources: Resources | None = None
        self._stations = stations
        self._process: simpy.Process | None = None
        self._feed_of: list[Feed] = []  # by route
        self._other_roots: dict[int, tuple[int, ...]] = {}  # where a tree's hops are apart
        self._of_route: list[list[int]] = []
        self._by_edge: dict[tuple[int, int], list[int]] = {}
        self._order: list[int] = []  # bundles that ask feeds, the fastest first
        self._asking: dict[Feed, list[int]] = {}  # the same by feed
        self._open: list[bool] = []
        self._carries_s: list[float] = []  # from when on connections carry bytes
        self._free: list[int] = []
        self._retired: list[int] = []
        self._busy: list[int] = []
        self._solved: list[int] = []
        self._cohorts = Cohorts()
        self._delayed: list[tuple[float, int, int, Unit]] = []
        self._going_on: dict[int, deque[Unit]] = {}  # chunks begun whose next record is to be sent
        self._count = 0
        self._touched: set[int] = set()
        self._stale = True
        self._again: set[int] = set()

    # --- What control does to it.

    def start(self) -> simpy.Process:
        """Begin; the process ends when nothing is left to move."""
        self._process = self.env.process(self._run())
        return self._process

    def add(
        self,
        routes: Sequence[Route],
        bundles: Sequence[Bundle],
        feeds: Sequence[Feed],
        resources: Resources,
    ) -> None:
        """More routes (shut until `open`) with their bundles, each route's feed, and all rows."""
        for route, feed in zip(routes, feeds, strict=True):
            number = len(self.routes)
            self.routes.append(route)
            self._feed_of.append(feed)
            self._of_route.append([])
            if feed not in self.feeds:
                self.feeds.append(feed)
            self._stations.add(number, route)
            if self._stations.apart:
                self._other_roots[number] = route.children(-1)[1:]
        for bundle in bundles:
            at = len(self.bundles)
            self.bundles.append(bundle)
            self._of_route[bundle.route].append(at)
            for edge in bundle.edges:
                self._by_edge.setdefault((bundle.route, edge), []).append(at)
            self._open.append(False)
            self._carries_s.append(0.0)
            for counts in (self._free, self._retired, self._busy, self._solved):
                counts.append(0)
            self._cohorts.add(self.env.now)
        self._resources = resources
        self._order = sorted(
            (at for at, bundle in enumerate(self.bundles) if self._asks(at)),
            key=lambda at: self._chunk_s(self.bundles[at]),
        )
        self._asking = {
            feed: [at for at in self._order if self._feed_of[self.bundles[at].route] is feed]
            for feed in self.feeds
        }
        self._stale = True

    def open(self, bundles: Iterable[int]) -> None:
        """The connections of these bundles are opened now; bytes cross after their start-up."""
        feeds = []
        for at in bundles:
            self._carries_s[at] = self.env.now + self.bundles[at].opens_s
            if not self._open[at]:
                self._open[at] = True
                self._free[at] = self.bundles[at].connections - self._busy[at]
            feeds.append(self._feed_of[self.bundles[at].route])
        for feed in dict.fromkeys(feeds):
            self._renewed(feed)
        self.wake()

    def shut(self, number: int) -> None:
        """The route takes no more chunks; those under way go on."""
        for at in self._of_route[number]:
            if self._asks(at):
                self._open[at] = False
                self._free[at] = self._retired[at] = 0
        self._renewed(self._feed_of[number])
        self.wake()

    def lose(self, broken: Mapping[int, frozenset[int]]) -> dict[int, list[tuple[int, int]]]:
        """Edges (positions) of routes are gone: chunks under way there are lost, the routes shut.

        What is already beyond the last broken edge of a chain goes on, where chunks are whole
        there. Returns each route's lost chunks as ranges [first, end), not yet put back.
        """
        lost = {number: self._lost_by(number, edges) for number, edges in broken.items()}
        for feed in dict.fromkeys(self._feed_of[number] for number in broken):
            self._renewed(feed)
        self.wake()
        return lost

    def _lost_by(self, number: int, broken: frozenset[int]) -> list[tuple[int, int]]:
        route = self.routes[number]
        whole = self._stations.whole
        kept = (
            {edge for edge in range(len(route.edges)) if edge > max(broken)}
            if route.is_chain and whole
            else set()
        )
        units: list[Unit] = []
        for at in self._of_route[number]:
            if set(self.bundles[at].edges) <= kept:
                continue
            units += self._dropped(at)
        units += self._stations.lose(number, kept)
        for edge in kept:
            crossing = [
                unit for at in self._by_edge[number, edge] for unit in self._cohorts.under_way(at)
            ]
            self._stations.recount(number, edge, crossing)
        lost = sorted({chunk for unit in units for chunk in range(unit.first, unit.end)})
        self._stations.forget(number, lost)
        self._again.update(lost)
        return _ranges(lost)

    def _dropped(self, at: int) -> list[Unit]:
        """A bundle is gone: what it carried, or was about to."""
        units = [*self._cohorts.drop(at), *self._going_on.pop(at, ())]
        units += [unit for _, _, of, unit in self._delayed if of == at]
        self._delayed = [entry for entry in self._delayed if entry[2] != at]
        heapq.heapify(self._delayed)
        self._open[at] = False
        self._free[at] = self._retired[at] = self._busy[at] = 0
        self._touched.add(at)
        return units

    def put_back(self, feed: Feed, ranges: Iterable[tuple[int, int]]) -> None:
        """Lost chunks are to be carried again."""
        feed.put_back(ranges)
        self._renewed(feed)
        self.wake()

    def fail(self, feed: Feed, reason: str) -> None:
        """A feed's chunks that are left are given up: nothing can carry them."""
        feed.give_up()
        self.record.failures.setdefault(feed.job, (self.env.now, reason))
        for number in feed.routes:
            for at in self._of_route[number]:
                self._dropped(at)
            self._stations.lose(number, set())
        self.wake()

    def set_links(
        self, rates: Iterable[tuple[LinkEnds, float]], factors: Mapping[LinkEnds, float]
    ) -> None:
        """From now on the links are these, with so much of each left by other traffic."""
        if self._resources is not None:
            for ends, gbps in rates:
                self._resources.set_link(ends, gbps)
            if factors:
                self._resources.set_noise(factors)
        self._stale = True
        self.wake()

    def wake(self) -> None:
        """Look again at what is to be done at this instant."""
        process = self._process
        if process is not None and process.is_alive and self.env.active_process is not process:
            process.interrupt()

    def is_open(self, number: int) -> bool:
        """Whether any connection of the route takes chunks."""
        return any(self._open[at] for at in self._of_route[number] if self._asks(at))

    def bundles_of_route(self, number: int) -> Sequence[int]:
        """Its bundles, by number."""
        return self._of_route[number]

    # --- The process.

    def _run(self) -> Generator[Any, Any, None]:
        while any(feed.pending for feed in self.feeds):
            self._assign(self.env.now)
            if self._stale:
                self._solve(self.env.now)
            wake_s = self._next_s()
            if not np.isfinite(wake_s) and not self.expected:
                raise NeverEnds(self._stuck())
            try:
                if np.isfinite(wake_s):
                    yield self.env.timeout(max(0.0, wake_s - self.env.now))
                else:
                    yield self.env.event()  # until control interrupts
            except simpy.Interrupt:
                continue
            self._due(wake_s)

    def _stuck(self) -> str:
        """Which lane stands still, and since when."""
        for at, busy in enumerate(self._busy):
            if busy and not self._cohorts.rate[at] > 0:
                route = self.routes[self.bundles[at].route]
                return (
                    f"The simulation never ends: the lane {self._way(route)} stands at 0 Gbit/s "
                    f"from {self.env.now:g} s on, and nothing changes after that."
                )
        shut = next((n for n in range(len(self.routes)) if not self.is_open(n)), 0)
        return (
            f"The simulation never ends: at {self.env.now:g} s chunks are missing and no lane is "
            f"left for them ({self._way(self.routes[shut])} and its like open no more)."
        )

    @staticmethod
    def _way(route: Route) -> str:
        return " to ".join([route.edges[0][0], *(dst for _, dst in route.edges)])

    def _next_s(self) -> float:
        soonest_s = self._cohorts.next_s()
        return min(soonest_s, self._delayed[0][0]) if self._delayed else soonest_s

    def _due(self, now_s: float) -> None:
        """Everything that ends at this instant, and chunks whose overhead is over."""
        for at, end_s, unit in self._cohorts.through(now_s):
            self._busy[at] -= unit.end - unit.first
            if unit.is_last:
                self._free[at] += unit.end - unit.first
            else:
                self._going_on.setdefault(at, deque()).append(self._stations.next_unit(unit))
            self._touched.add(at)
            self._arrived(at, unit, end_s)
        while self._delayed and self._delayed[0][0] <= now_s * (1 + TIE):
            _, _, at, unit = heapq.heappop(self._delayed)
            self._flow(at, unit, now_s)

    def _arrived(self, at: int, unit: Unit, now_s: float) -> None:
        """A unit has crossed the bundle's edges: on to the next ones, or it is there."""
        bundle = self.bundles[at]
        number, edges = bundle.route, bundle.edges
        feed = self._feed_of[number]
        stations = self._stations
        if not stations.apart:
            count = unit.end - unit.first
            self.record.received.append(Hop(now_s, unit.first, count, at, edges))
            self.record.acknowledged.append(Span(now_s, unit.first, count, at))
            feed.done(count)
            return
        route = self.routes[number]
        for first, end in stations.whole_at(number, edges, unit):
            self.record.received.append(Hop(now_s, first, end - first, at, edges))
            for first_there, end_there in stations.everywhere(number, edges, first, end):
                count = end_there - first_there
                self.record.acknowledged.append(Span(now_s, first_there, count, at))
                feed.done(count)
        if len(edges) < len(route.edges):
            stations.leave(number, edges[0], unit)
            for child in route.children(edges[0]):
                stations.enter(number, child, unit)

    def _flow(self, at: int, unit: Unit, now_s: float) -> None:
        """A cohort begins to carry its unit."""
        self._cohorts.begin(at, unit, self._stations.gigabits(unit), now_s)
        self._busy[at] += unit.end - unit.first
        self._touched.add(at)

    # --- Handing out.

    def _assign(self, now_s: float) -> None:
        """Free connections take what they may: of chunks begun, of the feeds, of the relays."""
        if self._going_on:
            self._go_on(now_s)
        for feed in self.feeds:
            if feed.left():
                self._hand_out(feed, now_s)
        if not self._stations.empty:
            self._relay()
        if self._touched:
            busy, solved = self._busy, self._solved
            if any(busy[at] != solved[at] for at in self._touched):
                self._stale = True
            self._touched.clear()

    def _hand_out(self, feed: Feed, now_s: float) -> None:
        """The fastest lanes first; where chunks are fewer than free connections, one each in turn.

        As racing connections would share them. A connection that declines is done until something
        changes, as the executor's. One whose relay has no room waits.
        """
        free = self._free
        asking = [at for at in self._asking[feed] if free[at] and self._open[at]]
        one_each = len(asking) > 1 and feed.left() < sum(free[at] for at in asking)
        while asking:
            again = []
            for at in asking:
                number = self.bundles[at].route
                most = 1 if one_each else free[at]
                head = feed.head(number) if self._stations.bounded else -1
                if head >= 0:
                    most = min(most, self._room(at, self._stations.first_unit(head, head + 1)))
                    if most == 0:
                        continue
                first, count = feed.take(number, most)
                if count == 0:
                    self._retired[at] += free[at]
                    free[at] = 0
                    continue
                self._begin(at, self._stations.first_unit(first, first + count), now_s)
                if free[at]:
                    again.append(at)
            asking = again

    def _begin(self, at: int, unit: Unit, now_s: float) -> None:
        """Connections of a bundle at the source take the chunks of `unit`."""
        count = unit.end - unit.first
        self._free[at] -= count
        number = self.bundles[at].route
        self.record.began.append(Span(now_s, unit.first, count, at))
        if self._again:
            for first, end in _ranges(sorted(self._again & set(range(unit.first, unit.end)))):
                self.record.resent.append(Span(now_s, first, end - first, at))
        if self._stations.apart:
            self._stations.reserve(number, self.bundles[at].edges, unit)
            for edge in self._other_roots[number]:
                for piece in self._stations.every_unit(unit):
                    self._stations.enter(number, edge, piece)
        self._set_out(at, unit, 0.0 if self._overhead_s is None else self._overhead_s[unit.first])

    def _set_out(self, at: int, unit: Unit, overhead_s: float = 0.0) -> None:
        """A cohort sends its unit: once its connections carry anything, after the overhead."""
        when_s = max(self.env.now, self._carries_s[at]) + overhead_s
        if when_s > self.env.now:
            self._count += 1
            heapq.heappush(self._delayed, (when_s, self._count, at, unit))
        else:
            self._flow(at, unit, when_s)

    def _relay(self) -> None:
        """Connections of later hops take what waits at their relay, where the next has room."""
        for (number, edge), bundles in self._by_edge.items():
            for at in bundles:
                if self._asks(at):
                    break
                while self._free[at] and self._open[at]:
                    unit = self._stations.head(number, edge)
                    if unit is None:
                        break
                    most = min(self._free[at], self._room(at, unit))
                    if most == 0:
                        break
                    taken = self._stations.take(number, edge, most)
                    self._free[at] -= taken.end - taken.first
                    self._stations.reserve(number, (edge,), taken)
                    self._set_out(at, taken)

    def _go_on(self, now_s: float) -> None:
        """Connections in the middle of a chunk send its next record, where there is room."""
        for at in sorted(self._going_on):
            waiting = self._going_on[at]
            bundle = self.bundles[at]
            while waiting:
                unit = waiting[0]
                count = min(unit.end - unit.first, self._room(at, unit))
                if not count:
                    break
                sent = unit._replace(end=unit.first + count)
                self._stations.reserve(bundle.route, bundle.edges, sent)
                self._flow(at, sent, now_s)
                if sent.end < unit.end:
                    waiting[0] = unit._replace(first=sent.end)
                else:
                    waiting.popleft()
            if not waiting:
                del self._going_on[at]

    def _room(self, at: int, unit: Unit) -> int:
        """For how many chunks of `unit` the relays after the bundle's edges have room."""
        bundle = self.bundles[at]
        return self._stations.room(bundle.route, bundle.edges, unit)

    # --- Rates.

    def _solve(self, now_s: float) -> None:
        if self._resources is None:
            return
        busy = np.array(self._busy, dtype=np.float64)
        self._cohorts.set_rates(self._resources.rates(busy).tolist(), now_s)
        self._solved = list(self._busy)
        self.solves += 1
        sent = sum(self._busy[at] * self._cohorts.rate[at] for at in self._order if self._busy[at])
        self.most_gbps = max(self.most_gbps, sent)
        self._stale = False

    # --- Small things.

    def _asks(self, at: int) -> bool:
        """Whether the bundle takes chunks from a feed, and not from a relay."""
        return 0 in self.bundles[at].edges

    def _chunk_s(self, bundle: Bundle) -> float:
        """How long one of its connections takes for a Gbit while all are busy."""
        return bundle.connections / min(
            bundle.lane_gbps, bundle.connections * bundle.connection_gbps
        )

    def _renewed(self, feed: Feed) -> None:
        """What lives has changed: the feed's rules look at that, and who declined may ask again."""
        feed.lanes_are([number for number in range(len(self.routes)) if self.is_open(number)])
        for at in self._asking[feed]:
            if self._open[at]:
                self._free[at] += self._retired[at]
                self._retired[at] = 0


def _ranges(chunks: Sequence[int]) -> list[tuple[int, int]]:
    """Sorted numbers as ranges [first, end)."""
    if not chunks:
        return []
    numbers = np.array(chunks, dtype=np.int64)
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    parts = np.split(numbers, breaks)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]
