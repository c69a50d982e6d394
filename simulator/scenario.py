"""Plain network scenarios: links, flows and chunk pools as a file states them, read and checked.

A scenario knows no clouds and no plans: it is the network alone, in bytes and seconds, for holding
the arithmetic of sharing to other simulators (`scenario_run.py` plays it). What is wrong with one
is told in one sentence that says where, what, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from math import inf
from typing import Literal

from datasets.errors import InputError, UnknownName

OnFailure = Literal["restart"]
# Of a circle, how many flows are named.
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link: its capacity, when that becomes another, and when the link is down.

    `changes` are (instant, capacity from then on), `outages` (down, up), both ascending; up is
    infinite where the link never returns. `rtt_ms` is what inverse-RTT fairness adds up.
    """

    id: str
    capacity_bytes_per_s: float
    changes: tuple[tuple[float, float], ...] = ()
    outages: tuple[tuple[float, float], ...] = ()
    rtt_ms: float | None = None

    def __post_init__(self) -> None:
        for (_, up_s), (down_s, _) in zip(self.outages, self.outages[1:], strict=False):
            if down_s < up_s:
                raise InputError(
                    f"Link {self.id!r}: the outage from {down_s:g} s begins before the one that "
                    f"ends at {up_s:g} s is over; join the two."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Over which links something goes, how fast at most, and its weight in fair sharing.

    A link counts once however often it is named. `rtt_ms`, where given, stands for the links' sum.
    """

    path: tuple[str, ...]
    rate_cap_bytes_per_s: float = inf
    weight: float = 1.0
    rtt_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """So many bytes over a route, from `start_s` on and once all of `after` have ended."""

    id: str
    size_bytes: float
    route: Route
    start_s: float = 0.0
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One of a pool's connections."""

    id: str
    route: Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Equal chunks for whichever connection is free; the first listed of those takes the next.

    A chunk is a flow too: its id is that of the pool, a slash and its index.
    """

    id: str
    chunks: int
    chunk_bytes: float
    connections: tuple[Connection, ...]
    start_s: float = 0.0

    def __post_init__(self) -> None:
        if self.chunks and not self.connections:
            raise InputError(
                f"Pool {self.id!r} has {self.chunks} chunks and no connection; give it one."
            )
        _once(f"Pool {self.id!r}: connection", (each.id for each in self.connections))

    def flow_ids(self) -> list[str]:
        """Those of its chunks, in order."""
        return [f"{self.id}/{index}" for index in range(self.chunks)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A network and what moves over it. Checked as a whole: names, and that nothing waits in a
    circle. `on_failure` says what becomes of a flow whose link goes down: it begins again from its
    first byte once all its links are up."""

    links: Mapping[str, Link]
    flows: tuple[Flow, ...] = ()
    pools: tuple[Pool, ...] = ()
    on_failure: OnFailure = "restart"

    def __post_init__(self) -> None:
        chunks = [flow_id for pool in self.pools for flow_id in pool.flow_ids()]
        ids = [flow.id for flow in self.flows] + chunks
        for each in (*self.links, *(flow.id for flow in self.flows), *(p.id for p in self.pools)):
            if not each.isprintable() and not each.encode(errors="replace").decode() == each:
                raise InputError(f"The id {each!r} is no text that can be written; give another.")
        _once("Flow", iter(ids))
        _once("Pool", (pool.id for pool in self.pools))
        for where, route in self.routes():
            for link in route.path:
                if link not in self.links:
                    raise InputError(f"{where}: {_unknown('link', link, self.links)}")
        known = frozenset(ids)
        for flow in self.flows:
            for other in flow.after:
                if other not in known:
                    raise InputError(f"Flow {flow.id!r}, after: {_unknown('flow', other, known)}")
        self._check_order()

    def routes(self) -> Iterator[tuple[str, Route]]:
        """Where each stands, for messages, and the route: of the flows, then of the pools."""
        for flow in self.flows:
            yield f"Flow {flow.id!r}", flow.route
        for pool in self.pools:
            for connection in pool.connections:
                yield f"Pool {pool.id!r}, connection {connection.id!r}", connection.route

    def _check_order(self) -> None:
        """Raises: InputError naming the flows that wait for each other in a circle."""
        sorter = TopologicalSorter({flow.id: flow.after for flow in self.flows})
        try:
            sorter.prepare()
        except CycleError as error:
            names = [repr(flow_id) for flow_id in reversed(error.args[1])]
            if len(names) > _MOST_NAMED:
                left_out = f"… ({len(names) - 1 - _MOST_NAMED:,} more) …"
                names = [*names[: _MOST_NAMED - 1], left_out, names[-1]]
            circle = " waits for ".join(names)
            raise InputError(
                f"Flows wait for each other in a circle, so none of them begins: {circle}; "
                f"take one out of the `after` of another."
            ) from error


def _unknown(kind: str, name: str, known: Mapping[str, object] | frozenset[str]) -> str:
    """One sentence, with the nearest names."""
    return str(UnknownName(kind=kind, name=name, known=known))


def _once(what: str, ids: Iterator[str]) -> None:
    """Raises: InputError naming an id that stands there twice."""
    seen: set[str] = set()
    for each in ids:
        if each in seen:
            raise InputError(f"{what} {each!r} is there twice; give each an id of its own.")
        seen.add(each)
