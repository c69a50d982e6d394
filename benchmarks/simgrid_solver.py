"""Plays plain scenarios in SimGrid; it runs inside SimGrid's own environment, as a program.

    python simgrid_solver.py < scenarios.json

Reads a JSON list of scenarios (the format of `tradewind simulate --network`) and prints a line
of JSON for each: `{"finish": {flow: s}, "ties": …, "build_s": …, "play_s": …}`, the last two in
CPU seconds, or `{"error": …}`. `ties` counts where a pool's dispatch is open, because connections
of different paths come free at once. Each scenario has a process of its own, since SimGrid has one
engine a process.

It is the leanest form that its Python binding allows: one actor for everything, communications
between hosts without mailboxes, hosts shared among paths so that the table of routes is as small
as can be, and waiting only for those flows of which something hangs on the end.
Sharing is SimGrid's CM02 without what models TCP: no cross traffic, no window, all factors 1.
"""

from __future__ import annotations

import ctypes
import heapq
import importlib
import json
import math
import os
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

CONFIG = (
    "network/model:CM02",
    "network/crosstraffic:0",
    "network/TCP-gamma:0",
    "network/bandwidth-factor:1",
    "network/latency-factor:1",
    "network/weight-S:0",
    "precision/timing:1e-9",
    "precision/work-amount:1e-6",
)

# Connections from which on a pool has an actor each.
MANY = 500
# Instants are one within this share of the time.
TIE = 1e-7


def load() -> Any:
    """The binding, whose library must be there for all before it is imported."""
    site = Path(sysconfig.get_path("platlib"))
    (library,) = site.glob("libsimgrid.so.[0-9]*")
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    return importlib.import_module("simgrid")


class Platform:
    """Links as they are, and for each path and cap a pair of hosts with a route over it."""

    def __init__(self, simgrid: Any, scenario: dict[str, Any]) -> None:
        self.engine = simgrid.Engine(["tradewind", "--log=root.thres:critical"])
        for each in CONFIG:
            self.engine.set_config(each)
        zone = self.engine.netzone_root.add_netzone_full("all")
        self.capacity: dict[str, float] = {}
        self.largest: dict[str, float] = {}
        self.links: dict[str, Any] = {}
        for name, about in scenario["links"].items():
            link = self._link(simgrid, zone, name, about)
            self.links[name] = link
        ways = {way_of(each) for each in routes(scenario)}
        # The binding cannot limit the rate of a communication between hosts. A fat pipe does: a
        # link that gives its capacity to each communication over it.
        caps = sorted({cap for _, cap in ways if cap < math.inf})
        pipes = {cap: zone.add_link(f"cap {cap!r}", cap) for cap in caps}
        for pipe in pipes.values():
            pipe.set_sharing_policy(simgrid.Link.SharingPolicy.FATPIPE, None)
        count = 2
        while count * (count - 1) < len(ways):
            count += 1
        hosts = [zone.add_host(f"host {at}", 1.0) for at in range(count)]
        self.director = zone.add_host("director", 1.0)
        pairs = ((one, other) for one in hosts for other in hosts if one is not other)
        self.ends = {}
        for (path, cap), (one, other) in zip(sorted(ways), pairs, strict=False):
            route = [self.links[name] for name in path] + ([pipes[cap]] if cap in pipes else [])
            zone.add_route(one, other, [simgrid.LinkInRoute(link) for link in route], False)
            self.ends[path, cap] = (one, other)
        zone.seal()

    def _link(self, simgrid: Any, zone: Any, name: str, about: dict[str, Any]) -> Any:
        """A link. One whose capacity changes has the largest as its bandwidth, and a rule.

        SimGrid bounds a communication for good by the least bandwidth on its way when it began, so
        that a flow would not gain by a link that grows later. The rule gives the capacity that is.
        """
        capacities = [float(about["capacity"]), *(float(c) for _, c in about.get("changes") or ())]
        link = zone.add_link(f"link {name}", max(capacities))
        self.capacity[name] = capacities[0]
        self.largest[name] = max(capacities)
        if len(capacities) > 1:
            policy = simgrid.Link.SharingPolicy.NONLINEAR
            link.set_sharing_policy(policy, lambda _, __: self.capacity[name])
        return link

    def change(self, name: str, capacity: float) -> None:
        """The link has another capacity from now on; stating its bandwidth has it shared anew."""
        self.capacity[name] = capacity
        self.links[name].set_bandwidth(self.largest[name])


def routes(scenario: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything that has a path."""
    pools = scenario.get("pools", [])
    return [*scenario.get("flows", []), *(each for pool in pools for each in pool["connections"])]


def way_of(each: dict[str, Any]) -> tuple[tuple[str, ...], float]:
    """Its links, each once, and its cap."""
    cap = each.get("rate_cap")
    return tuple(dict.fromkeys(each["path"])), math.inf if cap is None else float(cap)


class Director:
    """The actor that starts every communication and waits for those that matter."""

    def __init__(self, simgrid: Any, scenario: dict[str, Any], platform: Platform) -> None:
        self.simgrid, self.ends = simgrid, platform.ends
        self.finish: dict[str, float] = {}
        self.quiet: list[tuple[str, Any]] = []
        self.waited = simgrid.ActivitySet()
        self.doing: dict[Any, tuple[str, Any]] = {}
        self.due: list[tuple[float, int, str, Any]] = []  # instant, order, what, of which
        self.number = 0
        self.flows = {flow["id"]: flow for flow in scenario.get("flows", [])}
        self.needs = {name: set(flow.get("after") or ()) for name, flow in self.flows.items()}
        self.dependents: dict[str, list[str]] = {}
        for name, needed in self.needs.items():
            for other in sorted(needed):
                self.dependents.setdefault(other, []).append(name)
        self.outages = {
            name: sorted(about.get("outages") or ()) for name, about in scenario["links"].items()
        }
        # The binding takes a profile of one link only, so the changes of links are due like flows.
        self.platform = platform
        for name, about in scenario["links"].items():
            for instant, capacity in sorted(about.get("changes") or ()):
                self.plan(instant, "capacity", (name, float(capacity)))
            for down, up in self.outages[name]:
                self.plan(down, "down", name)
                self.plan(up, "up", name)
        self.failing = {name for name, outages in self.outages.items() if outages}
        for name, flow in self.flows.items():
            if not self.needs[name]:
                self.plan(flow.get("start") or 0.0, "flow", name)
        self.pools = scenario.get("pools", [])
        self.sent = [0] * len(self.pools)
        self.freed: list[tuple[float, Any]] = [(-math.inf, None)] * len(self.pools)
        self.ties = 0
        for at, pool in enumerate(self.pools):
            for connection in range(len(pool["connections"])):
                self.plan(pool.get("start") or 0.0, "connection", (at, connection))

    def plan(self, instant: float, what: str, which: Any) -> None:
        """Something is to begin at the instant."""
        self.number += 1
        heapq.heappush(self.due, (instant, self.number, what, which))

    def __call__(self) -> None:
        engine, actor = self.simgrid.Engine, self.simgrid.this_actor
        while self.due or self.doing:
            while self.due and self.due[0][0] <= engine.clock:
                _, _, what, which = heapq.heappop(self.due)
                self.begin(what, which)
            if self.doing:
                self.wait(self.due[0][0] if self.due else math.inf)
            elif self.due:
                actor.sleep_until(self.due[0][0])
        for name, communication in self.quiet:
            communication.wait()
            self.finish[name] = communication.finish_time

    def wait(self, until: float) -> None:
        """Until one ends that something hangs on, or to the instant."""
        try:
            if until < math.inf:
                left = max(0.0, until - self.simgrid.Engine.clock)
                done = self.waited.wait_any_for(left)
            else:
                done = self.waited.wait_any()
        except self.simgrid.TimeoutException:
            return
        except self.simgrid.NetworkFailureException:
            while self.waited.has_failed_activities():
                failed = self.waited.get_failed_activity()
                self.again(*self.doing.pop(failed))
            return
        self.ended(*self.doing.pop(done))

    def change(self, what: str, which: Any) -> None:
        """A link has another capacity, goes down or comes up."""
        if what == "capacity":
            self.platform.change(*which)
        elif what == "down":
            self.platform.links[which].turn_off()
        else:
            self.platform.links[which].turn_on()

    def begin(self, what: str, which: Any) -> None:
        """A flow, a free connection, or one of these again after its link was down."""
        if what in ("capacity", "down", "up"):
            self.change(what, which)
            return
        if what == "connection":
            at, connection = which
            pool = self.pools[at]
            if self.sent[at] == pool["chunks"]:
                return
            which = (at, connection, self.sent[at])
            self.sent[at] += 1
            what = "chunk"
        flow = self.flows[which] if what == "flow" else self.pools[which[0]]
        route = flow if what == "flow" else flow["connections"][which[1]]
        size = flow["bytes"] if what == "flow" else flow["chunk_bytes"]
        path, cap = way_of(route)
        if size == 0 or not path:
            raise ValueError("a flow without bytes or without links is no communication")
        up_s = self.up_s(path)
        if up_s > self.simgrid.Engine.clock:
            self.plan(up_s, what, which)
            return
        communication = self.simgrid.Comm.sendto_init(*self.ends[path, cap])
        communication.set_payload_size(int(size))
        communication.start()
        matters = what == "chunk" or which in self.dependents or self.failing & {*path}
        if matters:
            self.waited.push(communication)
            self.doing[communication] = (what, which)
        else:
            self.quiet.append((which, communication))

    def ended(self, what: str, which: Any) -> None:
        """What hung on it begins."""
        name = which if what == "flow" else f"{self.pools[which[0]]['id']}/{which[2]}"
        self.finish[name] = self.simgrid.Engine.clock
        if what == "chunk":
            self.note_tie(which[0], which[1])
            self.begin("connection", which[:2])
        for other in self.dependents.get(name, ()):
            self.needs[other].discard(name)
            if not self.needs[other]:
                self.plan(self.flows[other].get("start") or 0.0, "flow", other)

    def note_tie(self, pool: int, connection: int) -> None:
        """Count when connections of different ways are free at once: which goes first is open."""
        now = float(self.simgrid.Engine.clock)
        way = way_of(self.pools[pool]["connections"][connection])
        before, other = self.freed[pool]
        self.ties += way != other and now - before <= TIE * now
        self.freed[pool] = (now, way)

    def again(self, what: str, which: Any) -> None:
        """It failed, and begins from its first byte when its links are up."""
        self.begin(what, which)

    def up_s(self, path: tuple[str, ...]) -> float:
        """When all links are up, from now on."""
        now, found = float(self.simgrid.Engine.clock), 0.0
        again = True
        while again:
            again = False
            at = max(now, found)
            for name in path:
                for down, up in self.outages[name]:
                    if down - 1e-9 <= at < up:
                        found, again = up, True
                        at = up
        return found


def by_actors(simgrid: Any, scenario: dict[str, Any], platform: Platform) -> dict[str, float]:
    """Begin one large pool, and nothing else, with an actor a connection: the leanest for many.

    Waiting for any of thousands of communications takes longer than thousands of actors do.
    Returns the finish times, which are there when the engine has run.
    """
    (pool,) = scenario["pools"]
    finish: dict[str, float] = {}
    left = iter(range(pool["chunks"]))
    size = int(pool["chunk_bytes"])

    def actor(ends: tuple[Any, Any]) -> Any:
        def carry() -> None:
            for chunk in left:
                communication = simgrid.Comm.sendto_init(*ends)
                communication.set_payload_size(size)
                communication.start()
                communication.wait()
                finish[f"{pool['id']}/{chunk}"] = simgrid.Engine.clock

        return carry

    for at, connection in enumerate(pool["connections"]):
        platform.director.add_actor(f"connection {at}", actor(platform.ends[way_of(connection)]))
    return finish


def is_one_pool(scenario: dict[str, Any]) -> bool:
    """Whether it is a pool of many connections from the start on, over links that never change."""
    pools = scenario.get("pools", [])
    changing = any(
        link.get("changes") or link.get("outages") for link in scenario["links"].values()
    )
    return (
        len(pools) == 1
        and not scenario.get("flows")
        and not changing
        and not pools[0].get("start")
        and len(pools[0]["connections"]) >= MANY
    )


def answer(simgrid: Any, scenario: dict[str, Any]) -> dict[str, Any]:
    """Play one scenario in this process, which can play no other after it."""
    begin = time.process_time()
    platform = Platform(simgrid, scenario)
    if is_one_pool(scenario):
        finish, ties = by_actors(simgrid, scenario, platform), None
    else:
        director = Director(simgrid, scenario, platform)
        platform.director.add_actor("director", director)
        finish, ties = director.finish, director
    built = time.process_time()
    platform.engine.run()
    played = time.process_time()
    return {
        "finish": finish,
        "ties": 0 if ties is None else ties.ties,
        "build_s": built - begin,
        "play_s": played - built,
    }


def in_a_process(simgrid: Any, scenario: dict[str, Any]) -> str:
    """The same in a child, as a line of JSON."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            text = json.dumps(answer(simgrid, scenario))
        except Exception as error:  # whatever it is, the parent must hear of it
            text = json.dumps({"error": f"{type(error).__name__}: {error}"})
        with os.fdopen(write, "w") as pipe:
            pipe.write(text)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return text or json.dumps({"error": f"SimGrid's process ended with status {status}"})


def main() -> None:
    """Answer every scenario on stdin."""
    simgrid = load()
    for scenario in json.load(sys.stdin):
        sys.stdout.write(in_a_process(simgrid, scenario) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
