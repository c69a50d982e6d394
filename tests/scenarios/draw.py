"""Random plain scenarios, each from its seed alone, of eight families in turn.

Only `integers` and `random` of NumPy's Generator are used, whose streams do not change between
versions; a checked-in digest of all scenarios holds that. Numbers have so many digits that
unrelated instants do not coincide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
Json = dict[str, Any]

# Capacities are of this order, in bytes/s, and sizes of some seconds of it.
_CAPACITY = 100_000_000
_BYTES = 400_000_000


def drawn(seed: int) -> Json:
    """The scenario of a seed, in the format of scenario files."""
    rng = np.random.default_rng(seed)
    family = FAMILIES[seed % len(FAMILIES)]
    scenario = {"links": _links(rng), "flows": [], "pools": []}
    family(rng, scenario)
    return scenario


def _between(rng: Rng, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def _amount(rng: Rng, order: int) -> float:
    """A tenth of `order` to itself, or to ten times as much; whole, and by whole numbers alone."""
    share = _between(rng, 100, 999) * (1, 10)[_between(rng, 0, 1)]
    return float(order * share // 1000 + _between(rng, 1, 999))


def _instant(rng: Rng, most_s: float) -> float:
    return round(float(rng.random()) * most_s, 6)


def _links(rng: Rng) -> Json:
    count = _between(rng, 1, 12)
    return {f"l{at}": {"capacity": _amount(rng, _CAPACITY)} for at in range(count)}


def _path(rng: Rng, links: Json) -> list[str]:
    names = list(links)
    chosen: list[str] = []
    for _ in range(_between(rng, 1, min(4, len(names)))):
        name = names[_between(rng, 0, len(names) - 1)]
        if name not in chosen:
            chosen.append(name)
    return chosen


def _add_flows(rng: Rng, scenario: Json, most: int, *, spread_s: float) -> None:
    for at in range(_between(rng, 1, most)):
        flow = {
            "id": f"f{at}",
            "bytes": _amount(rng, _BYTES),
            "path": _path(rng, scenario["links"]),
            "start": _instant(rng, spread_s),
        }
        scenario["flows"].append(flow)


def _cap_some(rng: Rng, routes: list[Json]) -> None:
    for route in routes:
        if rng.random() < 0.6:
            route["rate_cap"] = _amount(rng, _CAPACITY // 8)


def _at_once(rng: Rng, scenario: Json) -> None:
    _add_flows(rng, scenario, 60, spread_s=0.0)


def _arriving(rng: Rng, scenario: Json) -> None:
    _add_flows(rng, scenario, 120, spread_s=60.0)


def _capped(rng: Rng, scenario: Json) -> None:
    _add_flows(rng, scenario, 60, spread_s=20.0)
    _cap_some(rng, scenario["flows"])


def _changing(rng: Rng, scenario: Json) -> None:
    _add_flows(rng, scenario, 40, spread_s=15.0)
    _change_some(rng, scenario)


def _change_some(rng: Rng, scenario: Json) -> None:
    for link in scenario["links"].values():
        if rng.random() < 0.7:
            instants = sorted(_instant(rng, 40.0) for _ in range(_between(rng, 1, 5)))
            link["changes"] = [[at_s, _amount(rng, _CAPACITY)] for at_s in instants]


def _failing(rng: Rng, scenario: Json) -> None:
    _add_flows(rng, scenario, 25, spread_s=15.0)
    _fail_some(rng, scenario)


def _fail_some(rng: Rng, scenario: Json) -> None:
    scenario["on_failure"] = "restart"
    for link in scenario["links"].values():
        if rng.random() < 0.6:
            ends = sorted(_instant(rng, 50.0) for _ in range(2 * _between(rng, 1, 2)))
            link["outages"] = [[ends[at], ends[at + 1]] for at in range(0, len(ends), 2)]


def _chained(rng: Rng, scenario: Json) -> None:
    _add_flows(rng, scenario, 60, spread_s=8.0)
    _chain_some(rng, scenario["flows"])


def _chain_some(rng: Rng, flows: list[Json]) -> None:
    for at, flow in enumerate(flows):
        if at and rng.random() < 0.7:
            earlier = {_between(rng, 0, at - 1) for _ in range(_between(rng, 1, 3))}
            flow["after"] = [f"f{other}" for other in sorted(earlier)]


def _pooled(rng: Rng, scenario: Json) -> None:
    _add_pools(rng, scenario)
    if rng.random() < 0.5:
        _add_flows(rng, scenario, 8, spread_s=10.0)


def _add_pools(rng: Rng, scenario: Json) -> None:
    """One or two pools: connections all alike, each over a link of its own, or as it comes."""
    for number in range(_between(rng, 1, 2)):
        kind = _between(rng, 0, 2)
        alike = _path(rng, scenario["links"])
        connections = []
        for at in range(_between(rng, 1, 10)):
            path = list(alike)
            if kind == 1:
                own = f"p{number}-own{at}"
                scenario["links"][own] = {"capacity": _amount(rng, _CAPACITY // 6)}
                path = [*path, own]
            elif kind == 2:
                path = _path(rng, scenario["links"])
            connections.append({"id": f"c{at}", "path": path})
        if kind != 0:
            _cap_some(rng, connections)
        scenario["pools"].append(
            {
                "id": f"p{number}",
                "chunks": _between(rng, 1, 80),
                "chunk_bytes": _amount(rng, _BYTES // 10),
                "connections": connections,
                "start": _instant(rng, 5.0),
            }
        )


def _everything(rng: Rng, scenario: Json) -> None:
    _add_flows(rng, scenario, 40, spread_s=25.0)
    _cap_some(rng, scenario["flows"])
    _chain_some(rng, scenario["flows"])
    if rng.random() < 0.5:
        _add_pools(rng, scenario)
    _change_some(rng, scenario)
    if rng.random() < 0.5:
        _fail_some(rng, scenario)


FAMILIES: tuple[Callable[[Rng, Json], None], ...] = (
    _at_once,
    _arriving,
    _capped,
    _changing,
    _failing,
    _chained,
    _pooled,
    _everything,
)
