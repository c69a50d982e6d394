"""The clock of `flow_network.py`: which transfers end next, and when, as rates change under them.

A lane is one flow of the sharing: all its connections run at one rate, so a lane has *served* each
of them as much since it last stood idle, and a transfer that begins now ends when that sum has
grown by its size (its *goal*). A lane keeps its transfers in a skew heap by goal; a heap over lanes
tells the next end. These lines run plain or compiled, as those of `sharing_kernel.py` do.
Source of the skew heap: Sleator & Tarjan, Self-adjusting heaps, SIAM J. Computing 15(1), 1986.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from simulator.indexed_heap import heap_place, heap_remove
from simulator.sharing_kernel import CHANGED, JOINED, NONE, RECAPPED, forget, note_count, repair

# What happens within this share of the clock happens at one instant: ends that are equal but for
# rounding are told together, so that who is served next does not hang on the last bit.
INSTANT = 1e-12

# Places in `Lanes.tally`.
LANES_IN = 0
ARRIVED = 1
TOLD = 2
FINISHED = 3
EVENTS = 4
REPAIRED = 5
LANE_TALLIES = 6


class Lanes(NamedTuple):
    """All state of one flow network beside its `Shares`; sizes in (lanes,) or (transfers,)."""

    served: Any  # (lanes,), by each connection, as of `since`
    since: Any  # (lanes,), when the rate last changed
    top: Any  # (lanes,), the transfer of the least goal, or NONE
    busy: Any  # (lanes,), connections
    # The heap of lanes by when the next transfer of each ends.
    order: Any
    place: Any
    ends: Any
    lane: Any  # (transfers,)
    size: Any  # (transfers,), of one connection
    many: Any  # (transfers,), connections that move as much in lockstep
    tell: Any  # (transfers,), 1 where somebody waits for its end
    goal: Any  # (transfers,)
    left: Any  # (transfers,)
    right: Any  # (transfers,)
    finish: Any  # (transfers,), when it ended
    begins: Any  # (arrivals,), ascending
    arrivals: Any  # (arrivals,), the transfers that begin then, by themselves
    told: Any  # (transfers,), those that `advance` tells of
    tally: Any  # (LANE_TALLIES,)


def begin(s: Any, n: Any, transfer: int, now: float) -> None:
    """`transfer` begins on its lane at `now`."""
    lane = n.lane[transfer]
    if n.busy[lane] == 0:
        n.served[lane] = 0.0
        n.since[lane] = now
        n.goal[transfer] = n.size[transfer]
    else:
        served = n.served[lane] + s.rate[lane] * (now - n.since[lane])
        n.goal[transfer] = served + n.size[transfer]
    n.left[transfer] = NONE
    n.right[transfer] = NONE
    n.top[lane] = _meld(n, n.top[lane], transfer)
    n.busy[lane] += n.many[transfer]
    note_count(s, lane, n.busy[lane])


def advance(s: Any, n: Any, now: float, until: float) -> float:
    """Let time pass until a transfer of which somebody must be told ends, or to `until`.

    Returns the instant reached, at which nothing of what changed is repaired yet: whatever else
    happens there comes in the same repair. `told` then holds `tally[TOLD]` transfers. Infinite if
    nothing will ever end and `until` is infinite.
    """
    n.tally[TOLD] = 0
    while True:
        if s.tally[CHANGED] > 0 or s.tally[RECAPPED] > 0:
            _repair(s, n, now)
        instant = until
        if n.tally[LANES_IN] > 0:
            instant = min(instant, max(now, n.ends[0]))
        if n.tally[ARRIVED] < len(n.begins):
            instant = min(instant, max(now, n.begins[n.tally[ARRIVED]]))
        if instant == inf:
            return inf
        now = instant
        limit = now * (1.0 + INSTANT)
        n.tally[EVENTS] += 1
        while n.tally[LANES_IN] > 0 and n.ends[0] <= limit:
            _end(s, n, n.order[0], now)
        while n.tally[ARRIVED] < len(n.begins) and n.begins[n.tally[ARRIVED]] <= limit:
            begin(s, n, n.arrivals[n.tally[ARRIVED]], now)
            n.tally[ARRIVED] += 1
        if n.tally[TOLD] > 0 or now >= until:
            return now


def _repair(s: Any, n: Any, now: float) -> None:
    """Fair rates again, and with them the ends of the lanes that they or a change touch."""
    repair(s)
    n.tally[REPAIRED] += s.tally[JOINED]
    for i in range(s.tally[JOINED]):
        lane = s.chosen[i]
        if s.rate[lane] != s.was[lane]:
            n.served[lane] += s.was[lane] * (now - n.since[lane])
            n.since[lane] = now
            if s.noted[lane] == 0:
                _time(s, n, lane)
    for i in range(s.tally[CHANGED]):
        _time(s, n, s.changed[i])
    forget(s)


def _time(s: Any, n: Any, lane: int) -> None:
    """Say anew when the next transfer of `lane` ends."""
    end = inf
    if n.busy[lane] > 0 and s.rate[lane] > 0.0:
        left = n.goal[n.top[lane]] - n.served[lane]
        end = n.since[lane] + max(left, 0.0) / s.rate[lane]
    if end < inf:
        n.tally[LANES_IN] = heap_place(n.order, n.place, n.ends, n.tally[LANES_IN], lane, end)
    else:
        n.tally[LANES_IN] = heap_remove(n.order, n.place, n.ends, n.tally[LANES_IN], lane)


def _end(s: Any, n: Any, lane: int, now: float) -> None:
    """The transfers of `lane` whose goal is reached end at `now`."""
    reached = n.goal[n.top[lane]]
    n.served[lane] = reached
    n.since[lane] = now
    while n.top[lane] != NONE and n.goal[n.top[lane]] <= reached * (1.0 + INSTANT):
        transfer = n.top[lane]
        n.top[lane] = _meld(n, n.left[transfer], n.right[transfer])
        n.busy[lane] -= n.many[transfer]
        n.finish[transfer] = now
        if n.tell[transfer] == 1:
            n.told[n.tally[TOLD]] = transfer
            n.tally[TOLD] += 1
        else:
            n.tally[FINISHED] += 1
    note_count(s, lane, n.busy[lane])
    n.tally[LANES_IN] = heap_remove(n.order, n.place, n.ends, n.tally[LANES_IN], lane)


def _meld(n: Any, one: int, other: int) -> int:
    """One skew heap of two, NONE being none; the root. O(log transfers), amortised."""
    if one == NONE:
        return other
    if other == NONE:
        return one
    if n.goal[other] < n.goal[one]:
        one, other = other, one
    root = one
    while True:
        rest = n.right[one]
        n.right[one] = n.left[one]
        if rest == NONE:
            n.left[one] = other
            return root
        if n.goal[other] < n.goal[rest]:
            rest, other = other, rest
        n.left[one] = rest
        one = rest
