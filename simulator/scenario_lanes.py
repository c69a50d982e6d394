"""The lanes of a scenario: what goes over one route shares alike, as one flow of a `Sharing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Literal

from datasets.errors import InputError
from simulator.scenario import Link, Route, Scenario
from simulator.sharing import Sharing

Fairness = Literal["maxmin", "inverse_rtt"]
# Beyond these a round trip is a slip: a picosecond, and eleven days.
LEAST_RTT_MS, MOST_RTT_MS = 1e-9, 1e9


def is_instant(route: Route) -> bool:
    """Whether nothing holds what goes there: it is through as it begins."""
    return not route.path and route.rate_cap_bytes_per_s == inf


class Lanes:
    """Which lane each transfer uses, what a lane uses, and whether all its links are up.

    `of_transfer` and `named` (where a route stands, for messages) are in the order of the flows,
    then of each pool's connections; `waiting` holds the transfers of each lane that wait for its
    links. Raises: InputError where inverse-RTT fairness lacks an RTT.
    """

    def __init__(self, scenario: Scenario, fairness: Fairness) -> None:
        self._links = list(scenario.links.values())
        places = {link.id: at for at, link in enumerate(self._links)}
        lanes: dict[tuple[tuple[int, ...], float, float], int] = {}
        self.of_transfer: list[int] = []
        for where, route in scenario.routes():
            weight = route.weight
            if fairness == "inverse_rtt" and route.path:
                weight /= _rtt_ms(where, route, scenario.links)
            path = tuple(sorted(places[link] for link in route.path))
            key = (path, route.rate_cap_bytes_per_s, weight)
            self.of_transfer.append(lanes.setdefault(key, len(lanes)))
        self._lanes = list(lanes)
        self.waiting: list[list[int]] = [[] for _ in self._lanes]
        self._down = [0] * len(self._lanes)
        self._down_since_s: dict[int, float] = {}
        self._using: list[list[int]] = [[] for _ in self._links]
        for lane, (path, _, _) in enumerate(self._lanes):
            for link in path:
                self._using[link].append(lane)

    def sharing(self, plain: bool) -> Sharing:
        """One resource a link, one flow a lane; all idle."""
        ptr, resource = [0], list[int]()
        for path, _, _ in self._lanes:
            resource += path
            ptr.append(len(resource))
        return Sharing(
            [link.capacity_bytes_per_s for link in self._links],
            ptr=ptr,
            resource=resource,
            cap=[cap for _, cap, _ in self._lanes],
            weight=[weight for _, _, weight in self._lanes],
            plain=plain,
        )

    def is_up(self, lane: int) -> bool:
        """Whether all its links are."""
        return self._down[lane] == 0

    def go_down(self, link: int, now_s: float) -> Sequence[int]:
        """The link is down; the lanes that were up until now."""
        self._down_since_s[link] = now_s
        for lane in self._using[link]:
            self._down[lane] += 1
        return [lane for lane in self._using[link] if self._down[lane] == 1]

    def come_up(self, link: int) -> Sequence[int]:
        """The link is up again; the lanes that are with it."""
        del self._down_since_s[link]
        for lane in self._using[link]:
            self._down[lane] -= 1
        return [lane for lane in self._using[link] if self._down[lane] == 0]

    def why_still(self, lane: int, sharing: Sharing) -> tuple[str, float]:
        """Why nothing moves on the lane, as far as it is of the lane; since when, 0 if always."""
        path, cap, _ = self._lanes[lane]
        if cap == 0:
            return "its rate_cap is 0", 0.0
        for link in path:
            if link in self._down_since_s:
                return f"link {self._links[link].id!r} stays down", self._down_since_s[link]
        for link in path:
            if sharing.state.capacity[link] == 0:
                return f"link {self._links[link].id!r} has capacity 0 from then on", 0.0
        return "its rate is too small for any clock", 0.0


def _rtt_ms(where: str, route: Route, links: Mapping[str, Link]) -> float:
    """The route's own RTT, or the sum of its links'."""
    if route.rtt_ms is not None:
        total = route.rtt_ms
    else:
        total = 0.0
        for link in route.path:
            rtt_ms = links[link].rtt_ms
            if rtt_ms is None:
                raise InputError(
                    f"{where}: inverse-RTT fairness needs its RTT, and link {link!r} states none; "
                    f'give the link an "rtt_ms", or the flow.'
                )
            total += rtt_ms
    if total <= 0:
        raise InputError(
            f"{where}: its RTT is 0 ms, and inverse-RTT fairness divides by it; give a longer one."
        )
    if not LEAST_RTT_MS <= total <= MOST_RTT_MS:
        raise InputError(
            f"{where}: its RTT is {total:g} ms; give one from {LEAST_RTT_MS:g} to {MOST_RTT_MS:g}."
        )
    return total
