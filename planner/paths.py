"""Paths: a flow taken apart into paths, and the relay of lowest round-trip time."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from datasets.matrix import Link

LinkEnds = tuple[str, str]

# What is left of a flow below this (Gbit/s) is arithmetic noise: a tenth of a bit a second.
LEFT_GBPS = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPath:
    """Regions in order, and the flow along them in Gbit/s."""

    hops: tuple[str, ...]
    gbps: float


def decompose(
    flows: Mapping[LinkEnds, float], source: str, destination: str
) -> tuple[FlowPath, ...]:
    """`flows` from `source` to `destination` as paths, widest first, ties by hops, then by name.

    Cycles carry nothing and are removed first. Each path empties at least one link, so there are
    at most as many paths as links. Flow that leads nowhere (noise) is left out.

    >>> [(p.hops, p.gbps) for p in decompose(
    ...     {("s", "t"): 2.0, ("s", "r"): 3.0, ("r", "t"): 3.0}, "s", "t")]
    [(('s', 'r', 't'), 3.0), (('s', 't'), 2.0)]
    """
    left = without_cycles(flows)
    paths = []
    while (hops := widest_path(left, source, destination)) is not None:
        pairs = list(pairwise(hops))
        gbps = min(left[pair] for pair in pairs)
        for pair in pairs:
            left[pair] -= gbps
            if left[pair] <= LEFT_GBPS:
                del left[pair]
        paths.append(FlowPath(hops=hops, gbps=gbps))
    return tuple(paths)


def without_cycles(flows: Mapping[LinkEnds, float]) -> dict[LinkEnds, float]:
    """The same flow less every directed cycle, each lowered until one of its links is empty."""
    left = {pair: gbps for pair, gbps in sorted(flows.items()) if gbps > LEFT_GBPS}
    while (cycle := _cycle(left)) is not None:
        gbps = min(left[pair] for pair in cycle)
        for pair in cycle:
            left[pair] -= gbps
            if left[pair] <= LEFT_GBPS:
                del left[pair]
    return left


def widest_path(
    flows: Mapping[LinkEnds, float], source: str, destination: str
) -> tuple[str, ...] | None:
    """The path whose narrowest link is widest; of those the fewest hops, then the first by name."""
    onward = _onward(flows)
    width = _width(flows, onward, source, destination)
    if width is None:
        return None
    # Breadth first over links that are wide enough, neighbours by name.
    before: dict[str, str] = {}
    reached = [source]
    for region in reached:
        for after in onward.get(region, ()):
            if flows[region, after] >= width and after not in before and after != source:
                before[after] = region
                reached.append(after)
    hops = [destination]
    while hops[-1] != source:
        hops.append(before[hops[-1]])
    return tuple(reversed(hops))


def lowest_rtt_relay(links: Iterable[Link], source: str, destination: str) -> str | None:
    """The relay of least summed RTT where that is below the direct link's RTT, else None.

    Where there is no direct link, the best relay; None if there is none either.
    """
    rtt_ms = {(link.src, link.dst): link.rtt_ms for link in links}
    sums = sorted(
        (rtt_ms[source, relay] + rtt_ms[relay, destination], relay)
        for src, relay in rtt_ms
        if src == source and (relay, destination) in rtt_ms
    )
    direct_ms = rtt_ms.get((source, destination), float("inf"))
    return sums[0][1] if sums and sums[0][0] < direct_ms else None


def _onward(flows: Mapping[LinkEnds, float]) -> dict[str, list[str]]:
    onward: dict[str, list[str]] = {}
    for src, dst in sorted(flows):
        onward.setdefault(src, []).append(dst)
    return onward


def _width(
    flows: Mapping[LinkEnds, float], onward: Mapping[str, list[str]], source: str, destination: str
) -> float | None:
    """Flow of the narrowest link on the widest path: Dijkstra's algorithm with min for the sum."""
    queue = [(-float("inf"), source)]
    done: set[str] = set()
    while queue:
        negative, region = heapq.heappop(queue)
        if region == destination:
            return -negative
        if region in done:
            continue
        done.add(region)
        for after in onward.get(region, ()):
            heapq.heappush(queue, (-min(-negative, flows[region, after]), after))
    return None


def _cycle(flows: Mapping[LinkEnds, float]) -> list[LinkEnds] | None:
    """Some directed cycle as links, or None: depth first, by name."""
    onward = _onward(flows)
    state: dict[str, int] = {}  # 1: on the way, 2: done
    for root in onward:
        if root in state:
            continue
        trail = [root]
        waiting = [iter(onward[root])]
        state[root] = 1
        while trail:
            after = next(waiting[-1], None)
            if after is None:
                state[trail.pop()] = 2
                waiting.pop()
            elif state.get(after) == 1:
                loop = [*trail[trail.index(after) :], after]
                return list(pairwise(loop))
            elif after not in state:
                state[after] = 1
                trail.append(after)
                waiting.append(iter(onward.get(after, ())))
    return None
