"""The arithmetic of `sharing.py`: local repair of a max-min fair allocation.

These lines run as they stand, on plain lists, or compiled by numba, on NumPy arrays
(`compiling.py`); both do the same operations in the same order, so their results are the same
bytes. Hence plain loops over indices, and state passed in.

A change lets only some flows join a repair; all others keep their rates. Those that join first are
the changed flows and those whose bottleneck a changed flow uses. `_fill` shares among them what
the others leave. `_spread` then looks at every resource they use: a kept flow joins if its
bottleneck is no longer full or no longer gives it the largest level there, or if it is above the
level at which the resource froze flows that joined. Repeated until nobody joins. What remains is
max-min fair, since every flow is at its cap or has the largest level on a full resource, and
nothing else satisfies that.
Source: Bertsekas & Gallager, Data Networks, 2nd ed., section 6.5.2 (the condition and the filling).
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from simulator.indexed_heap import OUT, heap_place, heap_remove

# Levels and loads are equal within this share. Looser, a kept flow could stay wrong by as much;
# tighter, rounding of a long sum would let flows join for nothing (which costs time, never right).
TOLERANCE = 1e-13
# A running sum that fell below this share of what it was is added up anew: the rest is rounding.
_CANCELLED = 1e-3

# A resource's load is kept by adding and subtracting; after so many repairs it is added up anew.
_REPAIRS = 64
# No use, no resource: indices are unsigned, which spares compiled code a test at each access.
NONE = 0xFFFFFFFF

# Stages of a flow in a repair.
KEPT = 0
RISING = 1
FROZEN = 2

# Places in `Shares.tally`.
JOINED = 0
TOUCHED = 1
CHANGED = 2
RECAPPED = 3
TALLIES = 4


class Shares(NamedTuple):
    """All state of one allocation, each a list or an array; sizes in (flows,), (resources,) or
    (uses,), where a use is one resource of one flow: flow f has uses ptr[f] to ptr[f+1]."""

    # What never changes.
    ptr: Any  # (flows + 1,)
    resource: Any  # (uses,)
    coefficient: Any  # (uses,), of the resource per unit of rate
    share: Any  # (uses,), of the resource per unit of level: coefficient·weight
    weight: Any  # (flows,), rate = weight·level
    cap: Any  # (flows,), the most a connection may run at
    # What a caller asks for, and the answer.
    capacity: Any  # (resources,)
    alone: Any  # (flows,), the most that all its connections get of what no other flow uses
    limit: Any  # (flows,), the most that one of them may run at by that and by `cap`
    ceiling: Any  # (flows,), the same as a level
    wanted: Any  # (flows,), connections asked for; `count` once the next repair saw it
    noted: Any  # (flows,), 1 while it stands in `changed`
    changed: Any  # (flows,), the flows noted since the last repair
    recapped: Any  # (resources,), those whose capacity changed since
    stale: Any  # (resources,), 1 while it stands in `recapped`
    count: Any  # (flows,), busy connections
    rate: Any  # (flows,), of one connection
    level: Any  # (flows,)
    bottleneck: Any  # (flows,), the full resource that holds it, or NONE
    held: Any  # (resources,), how many flows it is the bottleneck of
    fair: Any  # (resources,), the level of those
    load: Any  # (resources,), of all flows
    members: Any  # (resources,), how many flows are present
    age: Any  # (resources,), repairs since `load` was added up
    # The flows present on each resource, without gaps from `base` on.
    base: Any  # (resources,)
    present: Any  # (uses,), flows
    present_use: Any  # (uses,), by which of their uses
    seat: Any  # (uses,), where each stands there
    # Of one repair.
    stage: Any  # (flows,): KEPT, RISING where it joined, FROZEN once it rises no further
    chosen: Any  # (flows,), those that joined, in order
    was: Any  # (flows,), the rate before
    seen: Any  # (resources,), 1 where a flow that joined uses it
    touched: Any  # (resources,), those, in order
    kept: Any  # (resources,), load of the flows that keep their rate
    keepers: Any  # (resources,), how many those are
    froze: Any  # (resources,), 1 where the filling made it a bottleneck
    top: Any  # (resources,), the largest level of those that joined
    room: Any  # (resources,), what the filling has left
    demand: Any  # (resources,), load per unit of level of those still rising
    demanded: Any  # (resources,), `demand` when it was last added up
    waiting: Any  # (resources,), how many are still rising
    # Heap of levels: resources first, then flows with a cap.
    heap: Any
    place: Any
    key: Any
    tally: Any  # (TALLIES,)


def note_count(s: Any, flow: int, count: int) -> None:
    """From the next repair on, `flow` has `count` busy connections."""
    s.wanted[flow] = count
    if s.noted[flow] == 0:
        s.noted[flow] = 1
        s.changed[s.tally[CHANGED]] = flow
        s.tally[CHANGED] += 1


def note_capacity(s: Any, resource: int, capacity: float) -> None:
    """From the next repair on, `resource` has `capacity`."""
    s.capacity[resource] = capacity
    if s.stale[resource] == 0:
        s.stale[resource] = 1
        s.recapped[s.tally[RECAPPED]] = resource
        s.tally[RECAPPED] += 1


def repair(s: Any) -> None:
    """Make rates fair again. Afterwards `chosen` holds those that joined, `was` their old rates.

    `changed` still holds the flows noted, for the caller to look at; `forget` empties it.
    """
    _take_changes(s)
    _fill(s)
    while _spread(s):
        _fill(s)
    for i in range(s.tally[JOINED]):
        s.stage[s.chosen[i]] = KEPT
    for i in range(s.tally[TOUCHED]):
        resource = s.touched[i]
        s.seen[resource] = 0
        s.age[resource] += 1
        if s.age[resource] >= _REPAIRS:
            s.load[resource] = _kept_load(s, resource)
            s.age[resource] = 0


def forget(s: Any) -> None:
    """Nothing is noted any more."""
    for i in range(s.tally[CHANGED]):
        s.noted[s.changed[i]] = 0
    for i in range(s.tally[RECAPPED]):
        s.stale[s.recapped[i]] = 0
    for i in range(TALLIES):
        s.tally[i] = 0


def _take_changes(s: Any) -> None:
    """Who is present changes; the flows that a change surely touches join."""
    s.tally[JOINED] = 0
    s.tally[TOUCHED] = 0
    for i in range(s.tally[CHANGED]):
        flow = s.changed[i]
        if s.count[flow] == 0 and s.wanted[flow] > 0:
            _list(s, flow)
        elif s.count[flow] > 0 and s.wanted[flow] == 0:
            _unlist(s, flow)
    for i in range(s.tally[CHANGED]):
        flow = s.changed[i]
        s.was[flow] = s.rate[flow]
        if s.wanted[flow] > 0:
            _join(s, flow)
            s.count[flow] = s.wanted[flow]
            s.limit[flow] = min(s.cap[flow], s.alone[flow] / s.count[flow])
            s.ceiling[flow] = s.limit[flow] / s.weight[flow]
        else:
            _leave(s, flow)
    for i in range(s.tally[CHANGED]):
        flow = s.changed[i]
        for use in range(s.ptr[flow], s.ptr[flow + 1]):
            _join_held(s, s.resource[use])
    for i in range(s.tally[RECAPPED]):
        resource = s.recapped[i]
        _join_held(s, resource)
        _touch(s, resource)
        # What adding and subtracting left may be much beside the new capacity.
        s.kept[resource] = _kept_load(s, resource)
        if s.kept[resource] > s.capacity[resource]:
            for seat in range(s.base[resource], s.base[resource] + s.members[resource]):
                if s.stage[s.present[seat]] == KEPT:
                    _join(s, s.present[seat])


def _list(s: Any, flow: int) -> None:
    for use in range(s.ptr[flow], s.ptr[flow + 1]):
        resource = s.resource[use]
        seat = s.base[resource] + s.members[resource]
        s.present[seat] = flow
        s.present_use[seat] = use
        s.seat[use] = seat
        s.members[resource] += 1


def _unlist(s: Any, flow: int) -> None:
    for use in range(s.ptr[flow], s.ptr[flow + 1]):
        resource, seat = s.resource[use], s.seat[use]
        s.members[resource] -= 1
        last = s.base[resource] + s.members[resource]
        s.present[seat] = s.present[last]
        s.present_use[seat] = s.present_use[last]
        s.seat[s.present_use[seat]] = seat


def _touch(s: Any, resource: int) -> None:
    """The repair looks at `resource` from now on."""
    if s.seen[resource] == 0:
        s.seen[resource] = 1
        s.touched[s.tally[TOUCHED]] = resource
        s.tally[TOUCHED] += 1
        s.kept[resource] = s.load[resource]
        s.keepers[resource] = s.members[resource]


def _join(s: Any, flow: int) -> None:
    """A present flow joins: its rate is to be found."""
    s.stage[flow] = RISING
    s.chosen[s.tally[JOINED]] = flow
    s.tally[JOINED] += 1
    s.was[flow] = s.rate[flow]
    _let_go(s, flow)
    used = s.count[flow] * s.rate[flow]
    for use in range(s.ptr[flow], s.ptr[flow + 1]):
        resource = s.resource[use]
        _touch(s, resource)
        s.kept[resource] -= s.coefficient[use] * used
        s.keepers[resource] -= 1
        if s.keepers[resource] == 0:
            s.kept[resource] = 0.0


def _leave(s: Any, flow: int) -> None:
    """A flow that is no longer present takes its load along."""
    _let_go(s, flow)
    used = s.count[flow] * s.rate[flow]
    for use in range(s.ptr[flow], s.ptr[flow + 1]):
        resource = s.resource[use]
        _touch(s, resource)
        s.kept[resource] -= s.coefficient[use] * used
        if s.keepers[resource] == 0:
            s.kept[resource] = 0.0
    s.count[flow] = 0
    s.rate[flow] = 0.0
    s.level[flow] = 0.0


def _let_go(s: Any, flow: int) -> None:
    """No resource is the bottleneck of `flow`."""
    if s.bottleneck[flow] != NONE:
        s.held[s.bottleneck[flow]] -= 1
        s.bottleneck[flow] = NONE


def _kept_load(s: Any, resource: int) -> float:
    """The load of all that did not join, added up."""
    load = 0.0
    for seat in range(s.base[resource], s.base[resource] + s.members[resource]):
        flow = s.present[seat]
        if s.stage[flow] == KEPT:
            load += s.coefficient[s.present_use[seat]] * (s.count[flow] * s.rate[flow])
    return load


def _join_held(s: Any, resource: int) -> None:
    """The flows whose bottleneck is `resource` join."""
    seat = s.base[resource]
    while s.held[resource] > 0:
        if s.bottleneck[s.present[seat]] == resource:
            _join(s, s.present[seat])
        seat += 1


def _fill(s: Any) -> None:
    """Progressive filling of those that joined, in the room that the others leave."""
    resources = len(s.capacity)
    size = 0
    for i in range(s.tally[TOUCHED]):
        resource = s.touched[i]
        s.room[resource] = s.capacity[resource] - s.kept[resource]
        s.demand[resource] = 0.0
        s.waiting[resource] = s.members[resource] - s.keepers[resource]
        s.froze[resource] = 0
    for i in range(s.tally[JOINED]):
        flow = s.chosen[i]
        s.stage[flow] = RISING
        _let_go(s, flow)
        for use in range(s.ptr[flow], s.ptr[flow + 1]):
            s.demand[s.resource[use]] += s.count[flow] * s.share[use]
        if s.ceiling[flow] < inf:
            size = heap_place(s.heap, s.place, s.key, size, resources + flow, s.ceiling[flow])
    for i in range(s.tally[TOUCHED]):
        resource = s.touched[i]
        s.demanded[resource] = s.demand[resource]
        if s.waiting[resource] > 0:
            reached = max(s.room[resource], 0.0) / s.demand[resource]
            size = heap_place(s.heap, s.place, s.key, size, resource, reached)
    left = s.tally[JOINED]
    level = 0.0
    while left > 0 and size > 0:
        item = s.heap[0]
        if item >= resources:
            size = heap_remove(s.heap, s.place, s.key, size, item)
            flow = item - resources
            if s.stage[flow] == RISING:
                level = max(level, s.ceiling[flow])
                _freeze(s, flow, s.ceiling[flow], s.limit[flow])
                left -= 1
            continue
        if s.waiting[item] == 0:
            size = heap_remove(s.heap, s.place, s.key, size, item)
            continue
        # Never below the level reached: what was frozen at it leaves no less, but for rounding.
        reached = max(max(s.room[item], 0.0) / s.demand[item], level)
        if reached > s.key[0]:
            size = heap_place(s.heap, s.place, s.key, size, item, reached)
            continue
        level = reached
        if s.keepers[item] > 0:
            before = s.tally[JOINED]
            size = _take_in(s, item, level * (1.0 + TOLERANCE), size)
            if s.tally[JOINED] > before:
                left += s.tally[JOINED] - before
                continue
        size = heap_remove(s.heap, s.place, s.key, size, item)
        s.froze[item] = 1
        s.fair[item] = level
        seat = s.base[item]
        while s.waiting[item] > 0:
            flow = s.present[seat]
            seat += 1
            if s.stage[flow] == RISING:
                _freeze(s, flow, level, level * s.weight[flow])
                s.bottleneck[flow] = item
                s.held[item] += 1
                left -= 1
    while size > 0:
        size -= 1
        s.place[s.heap[size]] = OUT
    for i in range(s.tally[JOINED]):
        flow = s.chosen[i]
        if s.stage[flow] == RISING:  # no resource and no cap: nothing holds it
            s.level[flow] = inf
            s.rate[flow] = inf


def _take_in(s: Any, resource: int, above: float, size: int) -> int:
    """Those that kept a level `above` at a resource about to freeze join while the filling goes on.

    What they give back raises the level there, so nothing that froze before was frozen wrongly:
    a resource that froze at less had taken them in then. Returns the heap's size.
    """
    for seat in range(s.base[resource], s.base[resource] + s.members[resource]):
        flow = s.present[seat]
        if s.stage[flow] != KEPT or s.level[flow] <= above:
            continue
        used = s.count[flow] * s.rate[flow]
        for use in range(s.ptr[flow], s.ptr[flow + 1]):
            other = s.resource[use]
            if s.seen[other] == 0:
                _touch(s, other)
                s.room[other] = s.capacity[other] - s.kept[other]
                s.demand[other] = 0.0
                s.demanded[other] = 0.0
                s.waiting[other] = 0
                s.froze[other] = 0
        _join(s, flow)
        for use in range(s.ptr[flow], s.ptr[flow + 1]):
            other = s.resource[use]
            s.room[other] += s.coefficient[use] * used
            s.demand[other] += s.count[flow] * s.share[use]
            s.demanded[other] = max(s.demanded[other], s.demand[other])
            s.waiting[other] += 1
            reached = max(s.room[other], 0.0) / s.demand[other]
            size = heap_place(s.heap, s.place, s.key, size, other, reached)
        if s.ceiling[flow] < inf:
            item = len(s.capacity) + flow
            size = heap_place(s.heap, s.place, s.key, size, item, s.ceiling[flow])
    return size


def _freeze(s: Any, flow: int, level: float, rate: float) -> None:
    """`flow` rises no further."""
    s.stage[flow] = FROZEN
    s.level[flow] = level
    s.rate[flow] = rate
    for use in range(s.ptr[flow], s.ptr[flow + 1]):
        resource = s.resource[use]
        s.room[resource] -= s.count[flow] * s.coefficient[use] * rate
        s.waiting[resource] -= 1
        s.demand[resource] -= s.count[flow] * s.share[use]
        if s.waiting[resource] > 0 and s.demand[resource] < _CANCELLED * s.demanded[resource]:
            _add_up_demand(s, resource)


def _add_up_demand(s: Any, resource: int) -> None:
    demand = 0.0
    for seat in range(s.base[resource], s.base[resource] + s.members[resource]):
        flow = s.present[seat]
        if s.stage[flow] == RISING:
            demand += s.count[flow] * s.share[s.present_use[seat]]
    s.demand[resource] = demand
    s.demanded[resource] = demand


def _spread(s: Any) -> bool:
    """Let those join whose rate no longer is fair beside the new ones; whether there were any."""
    before, touched = s.tally[JOINED], s.tally[TOUCHED]
    for i in range(touched):
        s.load[s.touched[i]] = s.kept[s.touched[i]]
        s.top[s.touched[i]] = 0.0
    for i in range(before):
        flow = s.chosen[i]
        used = s.count[flow] * s.rate[flow]
        for use in range(s.ptr[flow], s.ptr[flow + 1]):
            resource = s.resource[use]
            s.load[resource] += s.coefficient[use] * used
            s.top[resource] = max(s.top[resource], s.level[flow])
    for i in range(touched):
        resource = s.touched[i]
        if s.held[resource] == 0 or s.keepers[resource] == 0:
            continue
        if s.froze[resource] == 1:
            _join_unlike(s, resource)
            continue
        full = s.load[resource] >= s.capacity[resource] * (1.0 - TOLERANCE)
        if not full or s.fair[resource] < s.top[resource] * (1.0 - TOLERANCE):
            _join_held(s, resource)
    joined: bool = s.tally[JOINED] > before
    return joined


def _join_unlike(s: Any, resource: int) -> None:
    """The filling froze flows at `resource`: who kept more there joins, or was held at less."""
    above = s.fair[resource] * (1.0 + TOLERANCE)
    below = s.fair[resource] * (1.0 - TOLERANCE)
    for seat in range(s.base[resource], s.base[resource] + s.members[resource]):
        flow = s.present[seat]
        if s.stage[flow] == KEPT and (
            s.level[flow] > above or (s.level[flow] < below and s.bottleneck[flow] == resource)
        ):
            _join(s, flow)
