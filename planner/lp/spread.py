"""Whole partitions over a pool of trees, where a region over its cap shares it evenly.

Sets        trees T of the pool; links e; regions r, of which some are paid for anyway (the ends)
Parameters  P partitions of q gigabits; price_T USD a partition; rate_e Gbit/s;
            out_r, in_r Gbit/s; usd USD a second and region
Variables   count[T] = y_T in 0..P;  used[e] in {0, 1};  relay[r] in {0, 1};  time = t (s)

    minimise   Σ_T price_T y_T + usd · (ends + Σ_r relay_r) · t
    (1)  partitions      Σ_T y_T = P
    (2)  link[e]         q Σ_{T with e} y_T <= rate_e t;   Σ_{T with e} y_T <= P used_e
    (3)  leaves[r]       either Σ_{e out of r} rate_e used_e <= out_r, or for some k: no more than k
                         links leave r, and each has q · load_e · k <= out_r t
    (4)  enters[r]       the same for links into r and in_r
    (5)  relay[r]        used_e <= relay_r for each link of a relay

(3) and (4) are pessimistic by a little: rates into a region count as they were before the senders'
caps cut them. So no order of cutting makes a plan slower than it is here.
Solved by CP-SAT, one worker, limited in its own deterministic time: the same pool gives the same
counts on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ortools.sat.python import cp_model

from planner.trees import Edge, Edges, Floats

# Integers of the model: milliseconds, and ten-millionths of a dollar.
_PER_S = 1_000
_PER_USD = 10_000_000
_PER_GBPS = 1_000_000
# Days of anything that is worth planning, in milliseconds.
_MOST_TIME = 10**10


@dataclass(frozen=True, slots=True, kw_only=True)
class Spreading:
    """What partitions are spread over, by positions of regions; see the module.

    `rate_gbps` and `usd` (a partition on a link) are (n, n), `out_gbps` and `in_gbps` (n,).
    """

    partitions: int
    gigabits: float
    usd: Floats
    rate_gbps: Floats
    out_gbps: Floats
    in_gbps: Floats
    usd_per_region_s: float
    ends: frozenset[int]


def spread(
    world: Spreading,
    pool: Sequence[Edges],
    *,
    effort_s: float,
    start: Sequence[int] | None = None,
    below_usd: float = math.inf,
) -> tuple[int, ...] | None:
    """How many partitions go by each tree of the pool; None if nothing below `below_usd` is found.

    `effort_s` is CP-SAT's deterministic time; `start` counts to begin from.
    """
    model: Any = cp_model.CpModel()
    count = [model.new_int_var(0, world.partitions, f"count[{at}]") for at in range(len(pool))]
    model.add(sum(count) == world.partitions)
    edges = sorted({edge for tree in pool for edge in tree})
    load = {e: sum(count[at] for at, tree in enumerate(pool) if e in tree) for e in edges}
    used = {e: model.new_bool_var(f"used[{e}]") for e in edges}
    time = model.new_int_var(0, _MOST_TIME, "time")
    for edge in edges:
        model.add(load[edge] <= world.partitions * used[edge])
        model.add(load[edge] * _ms(world, float(world.rate_gbps[edge])) <= time)
    for region in sorted({end for edge in edges for end in edge}):
        leaving = [edge for edge in edges if edge[0] == region]
        entering = [edge for edge in edges if edge[1] == region]
        for links, cap in ((leaving, world.out_gbps), (entering, world.in_gbps)):
            _share(model, world, links, float(cap[region]), load, used, time)
    vm = _vm_cost(model, world, edges, used, time)
    prices = [math.fsum(float(world.usd[edge]) for edge in tree) for tree in pool]
    total = sum(round(usd * _PER_USD) * y for usd, y in zip(prices, count, strict=True)) + vm
    if math.isfinite(below_usd):
        model.add(total <= math.floor(below_usd * _PER_USD))
    model.minimize(total)
    for at, value in enumerate(start or ()):
        model.add_hint(count[at], value)
    solver: Any = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.max_deterministic_time = effort_s
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    return tuple(int(solver.value(y)) for y in count)


def _ms(world: Spreading, gbps: float) -> int:
    """Milliseconds of one partition at that rate, rounded up."""
    return math.ceil(world.gigabits / gbps * _PER_S - 1e-6)


def _share(
    model: Any,
    world: Spreading,
    links: Sequence[Edge],
    cap_gbps: float,
    load: dict[Edge, Any],
    used: dict[Edge, Any],
    time: Any,
) -> None:
    """(3), (4) for one side of a region."""
    if not links:
        return
    rates = {edge: float(world.rate_gbps[edge]) for edge in links}
    if sum(rates.values()) <= cap_gbps:
        return
    # Implied by the rest, and what a relaxation needs: all that passes, at the cap.
    model.add(sum(load[edge] for edge in links) * math.floor(_ms(world, cap_gbps)) <= time + 2)
    within = model.new_bool_var("")
    model.add(
        sum(used[e] * math.ceil(rate * _PER_GBPS) for e, rate in rates.items())
        <= math.floor(cap_gbps * _PER_GBPS)
    ).only_enforce_if(within)
    ways = [within]
    for k in range(1, len(links) + 1):
        way = model.new_bool_var("")
        ways.append(way)
        model.add(sum(used[edge] for edge in links) <= k).only_enforce_if(way)
        for edge in links:
            if rates[edge] > cap_gbps / k:
                slow = _ms(world, cap_gbps / k)
                model.add(load[edge] * slow <= time).only_enforce_if(way)
    model.add_exactly_one(ways)


def _vm_cost(
    model: Any, world: Spreading, edges: Sequence[Edge], used: dict[Edge, Any], time: Any
) -> Any:
    """The VM time's cost, by (5): one of the numbers of relays there may be."""
    relays = {end for edge in edges for end in edge} - world.ends
    relay = {r: model.new_bool_var(f"relay[{r}]") for r in sorted(relays)}
    for edge in edges:
        for end in edge:
            if end in relay:
                model.add_implication(used[edge], relay[end])
    vm = model.new_int_var(0, 10**15, "vm")
    numbers = []
    for k in range(len(relay) + 1):
        chosen = model.new_bool_var(f"relays[{k}]")
        numbers.append(chosen)
        model.add(sum(relay.values()) <= k).only_enforce_if(chosen)
        # A hundredth of the unit of cost a millisecond would be lost in rounding: scale first.
        rate = round(world.usd_per_region_s * (len(world.ends) + k) / _PER_S * _PER_USD * 1_000)
        model.add(1_000 * vm >= rate * time).only_enforce_if(chosen)
    model.add_exactly_one(numbers)
    return vm
