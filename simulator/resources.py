"""What bundles share: the time and the caps of every VM, lanes' paces, links that change, stores.

A flow of F on a link that a pair of VMs carries at B takes F/B of the sender's time out and F/B of
the receiver's time in (DESIGN.md, the unicast model): so a link's own capacity needs no row, unless
it changes. A link that became slower holds its own flows up; it takes no more of its VMs' time. One
that became faster takes less of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from datasets.matrix import Link, Vm
from datasets.regions import cloud_of, region_of_gateway
from planner.plan import Plan
from simulator.fluid import Array, max_min_rates
from simulator.routes import (
    Bundle,
    Route,
    bundles_of,
    capacity_gbps,
    connections_between,
    routes_of,
)
from simulator.sharing import Sharing
from simulator.world import World

LinkEnds = tuple[str, str]
# Above so many bundles rates are repaired where something changed, not found anew; with fewer
# the one is as fast as the other.
MOST_DENSE = 512


class Resources:
    """Rows of what is shared, a column a bundle; `rates` gives the max-min fair rates.

    `usage` (resources, bundles) is what a Gbit/s of a connection takes, `capacity` (resources,)
    what there is, in real units. `chunk_gigabits` is the mean chunk, which a store's limit of
    requests counts by.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        bundles: Sequence[Bundle],
        plans: Sequence[Plan],
        world: World,
        *,
        varying: frozenset[LinkEnds] = frozenset(),
        chunk_gigabits: float = 1.0,
    ) -> None:
        self._index: dict[tuple[str, ...], int] = {}
        self._capacity: list[float] = []
        self._cells: dict[tuple[int, int], float] = {}
        self._timed: list[tuple[int, int, LinkEnds]] = []
        self._link_rows: dict[LinkEnds, list[int]] = {}
        self._base: dict[LinkEnds, float] = {}
        self._now: dict[LinkEnds, float] = {}
        vms = [{region.id: region.vm for region in plan.regions} for plan in plans]
        for column, bundle in enumerate(bundles):
            route = routes[bundle.route]
            plan = plans[route.job]
            self._bundle(column, bundle, route, plan, vms[route.job], world, varying)
            self._store(column, bundle, route, world, chunk_gigabits)
        self._columns = len(bundles)
        self._usage: Array | None = None
        self._sharing: Sharing | None = None
        self._counts: list[int] = []
        self.capacity: Array = np.array(self._capacity)
        self._weight: Array = np.array([bundle.weight for bundle in bundles])
        self._weighted = bool((self._weight != 1.0).any())
        self._connection_gbps: Array = np.array([bundle.connection_gbps for bundle in bundles])
        self._lane_gbps: Array = np.array(
            [bundle.lane_gbps if bundle.alone else np.inf for bundle in bundles]
        )
        self._links_of = [
            [_ends(routes[bundle.route].links[edge]) for edge in bundle.edges] for bundle in bundles
        ]
        self._paced = not world.work_conserving
        self._noise: Array = np.ones(len(bundles))

    @property
    def names(self) -> tuple[str, ...]:
        """Each row in words, its gateways last."""
        return tuple(" ".join(key) for key in self._index)

    @property
    def usage(self) -> Array:
        """(resources, bundles), as of now."""
        if self._usage is None:
            self._usage = np.zeros((len(self._capacity), self._columns))
            for (row, column), amount in self._amounts().items():
                self._usage[row, column] = amount
        return self._usage

    def set_link(self, ends: LinkEnds, gbps: float) -> None:
        """From now on each VM pair carries `gbps` over the link between two regions."""
        if self._now.get(ends) == gbps or ends not in self._link_rows:
            return
        before, self._now[ends] = self._now[ends], gbps
        for row in self._link_rows[ends]:
            self.capacity[row] = gbps
            if self._sharing is not None:
                self._sharing.set_capacity(row, gbps)
        if max(before, gbps) > self._base[ends]:
            self._usage = self._sharing = None  # its VMs' time counts otherwise now

    def set_noise(self, factors: Mapping[LinkEnds, float]) -> None:
        """Other traffic leaves every connection over a link so much of what it had.

        A link's own rate is set by `set_link`; a planned pace is never exceeded.
        """
        self._noise = np.array(
            [min(factors.get(ends, 1.0) for ends in links) for links in self._links_of]
        )

    def rates(self, busy: Array) -> Array:
        """(bundles,) Gbit/s of one connection of each, `busy` (bundles,) of them at work."""
        if self._columns > MOST_DENSE and bool((self._noise == 1.0).all()):
            return self._repaired(busy)
        usage = self.usage
        pace = np.minimum(self._noise, 1.0) if self._paced else self._noise
        ceiling = np.minimum(
            self._connection_gbps * self._noise, self._lane_gbps * pace / np.maximum(busy, 1.0)
        )
        if not self._weighted:
            return max_min_rates(usage, self.capacity, ceiling, busy)
        # All levels rise together; a rate is weight times level.
        level = max_min_rates(usage * self._weight, self.capacity, ceiling / self._weight, busy)
        rates: Array = level * self._weight
        return rates

    def _row(self, capacity: float, *key: str) -> int:
        at = self._index.get(key)
        if at is None:
            at = self._index[key] = len(self._capacity)
            self._capacity.append(capacity)
        return at

    def _use(self, column: int, amount: float, capacity: float, *key: str) -> int:
        row = self._row(capacity, *key)
        self._cells[row, column] = self._cells.get((row, column), 0.0) + amount
        return row

    def _bundle(
        self,
        column: int,
        bundle: Bundle,
        route: Route,
        plan: Plan,
        vms: Mapping[str, Vm],
        world: World,
        varying: frozenset[LinkEnds],
    ) -> None:
        for edge in bundle.edges:
            (src, dst), link = route.edges[edge], route.links[edge]
            gbps = capacity_gbps(link, plan, world)
            ends = (link.src, link.dst)
            timed = 0.0 if ends in varying else 1.0 / gbps
            out = self._use(column, timed, 1.0, "connection time out of", src)
            into = self._use(column, timed, 1.0, "connection time into", dst)
            sender, receiver = vms[link.src], vms[link.dst]
            self._use(column, 1.0, sender.egress_gbps, "egress of", src)
            self._use(column, 1.0, receiver.ingress_gbps, "ingress of", dst)
            if plan.crosses_clouds(link.src, link.dst):
                self._use(column, 1.0, sender.egress_public_gbps, "egress to other clouds of", src)
            if ends in varying:
                row = self._use(column, 1.0, gbps, "link", src, "to", dst)
                if row not in self._link_rows.setdefault(ends, []):
                    self._link_rows[ends].append(row)
                self._base[ends] = self._now[ends] = gbps
                self._timed += [(out, column, ends), (into, column, ends)]
        if not bundle.alone:
            edges = ",".join(str(edge) for edge in bundle.edges)
            lane = f"job {route.job} lane {route.lane} hop {edges}"
            self._use(column, 1.0, route.gbps, "planned rate of", lane)

    def _store(
        self, column: int, bundle: Bundle, route: Route, world: World, chunk_gigabits: float
    ) -> None:
        store = world.store
        if store is None:
            return
        places = []
        if 0 in bundle.edges:
            places.append((route.source, "reads", store.read_gbps_per_vm))
        places += [
            (route.edges[edge][1], "writes", store.write_gbps_per_vm)
            for edge in bundle.edges
            if edge in route.ends
        ]
        for gateway, what, gbps in places:
            if gbps:
                self._use(column, 1.0, gbps, f"object store {what} of", gateway)
            region = region_of_gateway(gateway)
            per_s = store.requests_per_s(cloud_of(region), reads=what == "reads")
            if per_s:
                name = f"object store requests ({what}) at"
                self._use(column, 1.0 / chunk_gigabits, per_s, name, region)

    def _amounts(self) -> dict[tuple[int, int], float]:
        """What each bundle takes of each resource that it uses, as of now."""
        amounts = dict(self._cells)
        for row, column, ends in self._timed:
            amounts[row, column] += 1.0 / max(self._base[ends], self._now[ends])
        return amounts

    def _repaired(self, busy: Array) -> Array:
        """The same rates by local repair (`sharing.py`): each lane's pace is a resource then."""
        counts = [int(count) for count in busy.tolist()]
        if self._sharing is None:
            self._sharing, self._counts = self._shared(), [0] * self._columns
        for column, (before, now) in enumerate(zip(self._counts, counts, strict=True)):
            if before != now:
                self._sharing.set_count(column, now)
        self._counts = counts
        self._sharing.solve()
        return self._sharing.rate

    def _shared(self) -> Sharing:
        paced = np.flatnonzero(np.isfinite(self._lane_gbps)).tolist()
        uses = [(column, row, amount) for (row, column), amount in self._amounts().items()]
        uses += [(column, len(self.capacity) + at, 1.0) for at, column in enumerate(paced)]
        uses.sort()
        used = np.bincount([column for column, _, _ in uses], minlength=self._columns)
        return Sharing(
            np.concatenate([self.capacity, self._lane_gbps[paced]]),
            ptr=np.concatenate([[0], np.cumsum(used)]),
            resource=[row for _, row, _ in uses],
            coefficient=[amount for _, _, amount in uses],
            cap=self._connection_gbps,
            weight=self._weight,
        )


def _ends(link: Link) -> LinkEnds:
    return link.src, link.dst


def plan_loads(plan: Plan, rates: Sequence[float]) -> Mapping[str, float]:
    """How full each VM's time and caps are if the Plan's lanes run at `rates` (Gbit/s each).

    By resource and gateway, as a share of its capacity.
    """
    world = World()
    routes = routes_of(plan, 0, world)
    bundles = bundles_of(routes, [plan], world, beside=connections_between(routes))
    resources = Resources(routes, bundles, [plan], world)
    loads = resources.usage @ np.array(rates) / resources.capacity
    return dict(zip(resources.names, loads.tolist(), strict=True))
