"""The control side of a simulation: gateways come up, lanes open, break and open again.

What upsets a transfer, and what is done about it, is in `upsets.py`. Each process that may still
set things going counts as expected, so that the network can tell waiting from standing still for
ever. Times inside are real seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import simpy

from datasets.events import Event
from datasets.regions import region_of_gateway
from planner.plan import Plan
from simulator.feeds import Feed
from simulator.network import Network
from simulator.record import Record
from simulator.resources import LinkEnds, Resources
from simulator.routes import (
    Route,
    bundles_of,
    capacity_gbps,
    connections_between,
    pace_of,
    routes_of,
)
from simulator.vm_spans import VmSpans
from simulator.world import World

Process = Generator[Any, Any, None]
Ranges = list[tuple[int, int]]


class Control:
    """Gateways and lanes. `plans` change where one is planned anew; `started_s` by Job."""

    def __init__(
        self,
        env: simpy.Environment,
        *,
        plans: list[Plan],
        routes: Sequence[Sequence[Route]],
        world: World,
        network: Network,
        feeds: Sequence[dict[str, Feed]],
        chunk_gigabits: float,
        when_moving: Callable[[], None],
    ) -> None:
        self.env = env
        self.plans = plans
        self.world = world
        self.network = network
        self.feeds = feeds
        self.started_s: list[float | None] = [None] * len(plans)
        self.vms = VmSpans()
        self.moving: simpy.Process | None = None
        self.lost: set[str] = set()
        self.rates: dict[LinkEnds, float] = {}  # of links that changed
        self.factors: dict[LinkEnds, float] = {}  # what other traffic leaves
        self._chunk_gigabits = chunk_gigabits
        self._when_moving = when_moving
        self._ready_s: dict[str, float] = {}
        self._coming: set[str] = set()
        self._routes: list[list[int]] = [[] for _ in plans]
        self._down: set[int] = set()  # lanes that are broken, or could not open
        self._over: set[int] = set()  # lanes that take nothing any more
        self._beside = connections_between([route for own in routes for route in own])
        for job in range(len(plans)):
            self._join(job, routes[job])
        for job in range(len(plans)):
            self.expect(self._transfer(job))

    @property
    def record(self) -> Record:
        """Where it writes what happens."""
        return self.network.record

    @property
    def is_over(self) -> bool:
        """Whether all is moved, or given up."""
        return self.moving is not None and not self.moving.is_alive

    def expect(self, process: Process) -> simpy.Process:
        """Run a process that may still set things going."""
        self.network.expected += 1

        def counted() -> Process:
            try:
                yield from process
            finally:
                self.network.expected -= 1
                self.network.wake()

        return self.env.process(counted())

    def noticed(self) -> simpy.Event:
        """When what happens now has been noticed."""
        return self.env.timeout(self.world.detection_s * self.world.real_per_wall)

    def feed_of(self, number: int) -> Feed:
        """Where a route takes its chunks from."""
        route = self.network.routes[number]
        return self.feeds[route.job][region_of_gateway(route.source)]

    # --- Jobs and gateways.

    def _transfer(self, job: int) -> Process:
        """Ask for the Job's gateways at its start; move when all of them are ready."""
        starts_s = self.world.starts_s
        yield self.env.timeout(starts_s[job] if job < len(starts_s) else 0.0)
        gateways = self.plans[job].gateways
        for name in self.lost & {*gateways}:
            self._ready_s.pop(name, None)  # another Job lost it: it is asked for again
        yield from self.ready(gateways, job)
        self.started_s[job] = self.env.now
        self.vms.begin(job, self.plans[job], self.env.now)
        self.lost -= {*gateways}
        self.open(self._routes[job])
        if self.moving is None:
            self.moving = self.network.start()
            self._when_moving()

    def ready(self, names: Iterable[str], job: int, *, again: bool = False) -> Process:
        """Ask for gateways, each once (unless `again`), and wait until all of them are ready."""
        world = self.world
        names = list(names)
        for name in names:
            if again or name not in self._ready_s:
                self.record.note(self.env.now, Event.GATEWAY_REQUESTED.value, job=job, gateway=name)
                delay_s = world.provisioning.delay_s(name, world.seed) * world.real_per_wall
                self._ready_s[name] = self.env.now + delay_s
                self._coming.add(name)
        for name in sorted(names, key=lambda each: (self._ready_s[each], each)):
            if self._ready_s[name] > self.env.now:
                yield self.env.timeout(self._ready_s[name] - self.env.now)
            if name in self._coming:
                self._coming.remove(name)
                self.record.note(self.env.now, Event.GATEWAY_READY.value, job=job, gateway=name)

    # --- Lanes.

    def _join(self, job: int, routes: Sequence[Route]) -> list[int]:
        """Routes of a Job's Plan join the network, shut until they open: their numbers there."""
        network = self.network
        first = len(network.routes)
        numbers = list(range(first, first + len(routes)))
        feeds = [self.feeds[job][region_of_gateway(route.source)] for route in routes]
        for feed in dict.fromkeys(feeds):
            own = [n for n, its in zip(numbers, feeds, strict=True) if its is feed]
            feed.join(own, [pace_of(routes[n - first], self.world) for n in own])
        bundles = bundles_of(routes, self.plans, self.world, first=first, beside=self._beside)
        resources = Resources(
            [*network.routes, *routes],
            [*network.bundles, *bundles],
            self.plans,
            self.world,
            varying=self._varying(),
            chunk_gigabits=self._chunk_gigabits,
        )
        network.add(routes, bundles, feeds, resources)
        self.tell_links()
        self._routes[job] += numbers
        return numbers

    def join_anew(self, job: int, lanes: int) -> list[int]:
        """The lanes of a Job's Plan from number `lanes` on join; those before take nothing more."""
        routes = routes_of(self.plans[job], job, self.world)[lanes:]
        for ends, count in connections_between(routes).items():
            self._beside[ends] = max(count, self._beside.get(ends, 0))
        before = list(self._routes[job])
        numbers = self._join(job, routes)
        self._over.update(before)
        for number in before:
            self.network.shut(number)
        return numbers

    def _may_open(self, number: int) -> bool:
        """Whether its gateways live, its links carry anything, and its Plan is the Job's."""
        route = self.network.routes[number]
        return (
            number not in self._over
            and not route.gateways & self.lost
            and all(self.rates.get((link.src, link.dst), 1.0) > 0.0 for link in route.links)
        )

    def open(self, numbers: Iterable[int]) -> None:
        """Lanes open their connections, those that can; the others are down until they can."""
        network = self.network
        opening = []
        for number in numbers:
            if self._may_open(number):
                self._down.discard(number)
                opening.append(number)
            else:
                self._down.add(number)
        for number in opening:
            self._connected(number)
        network.open(at for number in opening for at in network.bundles_of_route(number))

    def reopen(self) -> None:
        """Something is mended: lanes that are down and can open do, of Jobs that have begun."""
        self.open(
            number
            for number in sorted(self._down)
            if self.started_s[self.network.routes[number].job] is not None
            and self._may_open(number)
        )

    def _connected(self, number: int) -> None:
        """Each hop of a route has its rule and its connections."""
        route = self.network.routes[number]
        for hop, (src, dst) in enumerate(route.edges):
            self.record.note(
                self.env.now,
                Event.CONNECTION_OPEN.value,
                job=route.job,
                path=route.lane,
                hop=hop,
                src=src,
                dst=dst,
                count=self.world.connections_per_hop or route.connections[hop],
            )

    def jobs_with(self, gateway: str) -> list[int]:
        """Jobs that have begun and whose lanes pass a gateway, broken or not."""
        return sorted(
            {
                route.job
                for number, route in enumerate(self.network.routes)
                if gateway in route.gateways
                and number not in self._over
                and self.started_s[route.job] is not None
            }
        )

    def break_lanes(
        self, is_broken: Callable[[Route], frozenset[int]]
    ) -> list[tuple[Feed, Ranges]]:
        """Every lane with broken edges (positions) is down; what each lost, not put back yet.

        Lanes of Jobs that have not begun break when they would open.
        """
        broken = {}
        for number, route in enumerate(self.network.routes):
            edges = is_broken(route)
            begun = self.started_s[route.job] is not None
            if edges and begun and number not in self._down:
                broken[number] = edges
        for number, edges in broken.items():
            route = self.network.routes[number]
            for edge in sorted(edges):
                src, dst = route.edges[edge]
                self.record.note(
                    self.env.now,
                    Event.CONNECTION_LOST.value,
                    job=route.job,
                    path=route.lane,
                    hop=edge,
                    src=src,
                    dst=dst,
                    gateway=src,
                )
        self._down.update(broken)
        ranges = self.network.lose(broken)
        return [(self.feed_of(number), lost) for number, lost in ranges.items()]

    def may_move(self, feed: Feed) -> bool:
        """Whether a lane of the feed is open, or may open without anything being done."""
        if self.started_s[feed.job] is None or any(rate == 0.0 for rate in self.rates.values()):
            return True
        return any(self.network.is_open(number) for number in feed.routes)

    # --- Links.

    def _varying(self) -> frozenset[LinkEnds]:
        """Links whose capacity may change."""
        if self.world.noise is not None:
            return frozenset((link.src, link.dst) for plan in self.plans for link in plan.links)
        return frozenset((change.src, change.dst) for change in self.world.link_changes)

    def planned(self, ends: LinkEnds) -> float:
        """What the first Plan that uses a link has it carry."""
        plan = next(p for p in self.plans if ends in {(link.src, link.dst) for link in p.links})
        return capacity_gbps(plan.link(*ends), plan, self.world)

    def tell_links(self) -> None:
        """The network hears what every varying link carries now, and what noise leaves of it."""
        told = []
        for plan in self.plans:
            for link in plan.links:
                ends = (link.src, link.dst)
                if ends in self.rates or ends in self.factors:
                    gbps = self.rates.get(ends, capacity_gbps(link, plan, self.world))
                    told.append((ends, gbps * self.factors.get(ends, 1.0)))
        self.network.set_links(told, self.factors)
