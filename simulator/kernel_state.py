"""The state that kernels work on, as arrays or as plain lists: everything empty and idle at first.

`as_state` makes the container of an array. Indices are unsigned and short, flags shorter still:
what a repair touches stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from simulator.flow_kernel import LANE_TALLIES, Lanes
from simulator.sharing_kernel import NONE, TALLIES, Shares

Array = np.ndarray[Any, Any]
AsState = Callable[[Array], Any]


def shares_of(
    as_state: AsState,
    *,
    capacity: Array,
    ptr: Array,
    resource: Array,
    coefficient: Array,
    alone: Array,
    cap: Array,
    weight: Array,
) -> Shares:
    """The state of `Sharing`, of whose arguments these are checked arrays; nobody is present."""
    resources, uses, flows = len(capacity), len(resource), len(cap)
    owner = np.repeat(np.arange(flows), np.diff(ptr))
    users = np.bincount(resource, minlength=resources)

    def whole(length: int) -> Any:
        return as_state(np.zeros(length, dtype=np.int64))

    def flags(length: int) -> Any:
        return as_state(np.zeros(length, dtype=np.uint8))

    def index(values: Array) -> Any:
        return as_state(np.asarray(values, dtype=np.uint32))

    def none(length: int) -> Any:
        return index(np.full(length, NONE))

    def real(length: int) -> Any:
        return as_state(np.zeros(length))

    return Shares(
        ptr=index(ptr),
        resource=index(resource),
        coefficient=as_state(coefficient),
        share=as_state(coefficient * weight[owner]),
        weight=as_state(weight),
        cap=as_state(cap),
        capacity=as_state(capacity),
        alone=as_state(alone),
        limit=real(flows),
        ceiling=real(flows),
        wanted=whole(flows),
        noted=flags(flows),
        changed=index(np.zeros(flows)),
        recapped=index(np.zeros(resources)),
        stale=flags(resources),
        count=whole(flows),
        rate=real(flows),
        level=real(flows),
        bottleneck=none(flows),
        held=whole(resources),
        fair=real(resources),
        load=real(resources),
        members=whole(resources),
        age=whole(resources),
        base=index(np.cumsum(users) - users),
        present=none(uses),
        present_use=none(uses),
        seat=none(uses),
        stage=flags(flows),
        chosen=index(np.zeros(flows)),
        was=real(flows),
        seen=flags(resources),
        touched=index(np.zeros(resources)),
        kept=real(resources),
        keepers=whole(resources),
        froze=flags(resources),
        top=real(resources),
        room=real(resources),
        demand=real(resources),
        demanded=real(resources),
        waiting=whole(resources),
        heap=index(np.zeros(resources + flows)),
        place=none(resources + flows),
        key=real(resources + flows),
        tally=whole(TALLIES),
    )


def lanes_of(
    as_state: AsState,
    *,
    lanes: int,
    lane: Sequence[int] | Array,
    size: Sequence[float] | Array,
    told: Sequence[int],
    arrivals: Sequence[tuple[float, int]],
) -> Lanes:
    """The state of `FlowNetwork`, of whose arguments these are; nothing is under way."""
    transfers = len(lane)
    tell = np.zeros(transfers, dtype=np.uint8)
    tell[list(told)] = 1
    coming = sorted(arrivals)

    def index(values: Sequence[int] | Array) -> Any:
        return as_state(np.asarray(values, dtype=np.uint32))

    def none(length: int) -> Any:
        return index(np.full(length, NONE))

    return Lanes(
        served=as_state(np.zeros(lanes)),
        since=as_state(np.zeros(lanes)),
        top=none(lanes),
        busy=as_state(np.zeros(lanes, dtype=np.int64)),
        order=none(lanes),
        place=none(lanes),
        ends=as_state(np.full(lanes, np.inf)),
        lane=index(lane),
        size=as_state(np.asarray(size, dtype=np.float64)),
        many=as_state(np.ones(transfers, dtype=np.int64)),
        tell=as_state(tell),
        goal=as_state(np.zeros(transfers)),
        left=none(transfers),
        right=none(transfers),
        finish=as_state(np.full(transfers, np.nan)),
        begins=as_state(np.array([instant for instant, _ in coming], dtype=np.float64)),
        arrivals=index([transfer for _, transfer in coming]),
        told=none(transfers),
        tally=as_state(np.zeros(LANE_TALLIES, dtype=np.int64)),
    )
