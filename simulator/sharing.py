"""Max-min fair rates of many flows, kept exact as flows come and go and capacities change.

A change touches few of the flows: `solve` repairs those and leaves the others alone
(`sharing_kernel.py`). `fluid.py` solves from scratch, which is simpler for a few cohorts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.compiling import kernels
from simulator.fluid import Array
from simulator.kernel_state import shares_of
from simulator.sharing_kernel import CHANGED, JOINED, note_capacity, note_count

Numbers = Sequence[float] | Array
Whole = Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]


class Sharing:
    """Flows over resources, each flow a count of equal connections; rates by `solve`.

    `capacity` is (resources,). Flows are in compressed rows: flow f uses the resources
    `resource[ptr[f]:ptr[f + 1]]`, each at most once, and takes of them `coefficient` (1 unless
    given) per unit of its rate. No connection of it runs faster than `cap[f]` (infinite unless
    given), and resources are shared so that rates over `weight[f]` (1 unless given) are max-min
    fair. At first every count is 0. `plain` forbids numba, for tests; so does TRADEWIND_SHARING.
    Raises: ValueError for shapes that do not fit, or numbers that make no sense.
    Source: Bertsekas & Gallager, Data Networks, 2nd ed., section 6.5.2.

    >>> both = Sharing([10.0, 4.0], ptr=[0, 1, 3], resource=[0, 0, 1], plain=True)
    >>> both.set_count(0, 1), both.set_count(1, 1), both.solve()
    (None, None, [0, 1])
    >>> both.rate.tolist()
    [6.0, 4.0]
    """

    def __init__(
        self,
        capacity: Numbers,
        *,
        ptr: Whole,
        resource: Whole,
        coefficient: Numbers | None = None,
        cap: Numbers | None = None,
        weight: Numbers | None = None,
        plain: bool = False,
    ) -> None:
        self.kernels = kernels(plain=plain)
        uses, flows = len(resource), len(ptr) - 1
        rows = np.asarray(ptr, dtype=np.int64)
        columns = np.asarray(resource, dtype=np.int64)
        # Adding zero turns -0.0 into 0.0, in which the two ways to run could differ.
        capacities = np.asarray(capacity, dtype=np.float64) + 0.0
        taken = _numbers(coefficient, uses, 1.0)
        caps = _numbers(cap, flows, np.inf) + 0.0
        weights = _numbers(weight, flows, 1.0)
        owner = np.repeat(np.arange(flows), np.diff(rows))
        _check(capacities, rows, columns, owner)
        share = taken * weights[owner]
        _check_numbers(capacities, caps, share, weights)
        # What one flow alone uses needs no sharing: it is a cap on all connections of that flow.
        lone = np.bincount(columns, minlength=len(capacities))[columns] == 1
        alone = np.full(flows, np.inf)
        np.minimum.at(alone, owner[lone], capacities[columns[lone]] / taken[lone])
        self._lone: dict[int, int] = dict(
            zip(columns[lone].tolist(), np.flatnonzero(lone).tolist(), strict=True)
        )
        self._rows, self._columns, self._taken, self._owner = rows, columns, taken, owner
        shared = np.bincount(owner[~lone], minlength=flows)
        self.state = shares_of(
            self.kernels.state,
            capacity=capacities,
            ptr=np.concatenate([[0], np.cumsum(shared)]),
            resource=columns[~lone],
            coefficient=taken[~lone],
            alone=alone,
            cap=caps,
            weight=weights,
        )

    def set_count(self, flow: int, count: int) -> None:
        """From the next `solve` on, `flow` has `count` equal busy connections; 0: it is absent."""
        if not 0 <= flow < len(self.state.cap):
            raise ValueError(f"there is no flow {flow}")
        if count < 0:
            raise ValueError(f"flow {flow} cannot have {count} connections")
        note_count(self.state, flow, count)

    def set_capacity(self, resource: int, capacity: float) -> None:
        """From the next `solve` on, `resource` has `capacity`; 0 stops what uses it."""
        if not 0 <= resource < len(self.state.capacity):
            raise ValueError(f"there is no resource {resource}")
        if not 0 <= capacity < np.inf:
            raise ValueError(f"resource {resource} cannot have capacity {capacity}")
        if resource not in self._lone:
            note_capacity(self.state, resource, float(capacity) + 0.0)
            return
        self.state.capacity[resource] = float(capacity) + 0.0
        flow = int(self._owner[self._lone[resource]])
        lone = [
            float(self.state.capacity[self._columns[use]]) / float(self._taken[use])
            for use in range(self._rows[flow], self._rows[flow + 1])
            if int(self._columns[use]) in self._lone
        ]
        self.state.alone[flow] = min(lone)
        note_count(self.state, flow, self.state.wanted[flow])

    def solve(self) -> list[int]:
        """Make the rates fair for what was set; returns the flows whose rate is another now.

        Costs what the changes touch: about the flows that share a bottleneck with them.
        """
        state = self.state
        self.kernels.repair(state)
        met = [*state.changed[: state.tally[CHANGED]], *state.chosen[: state.tally[JOINED]]]
        self.kernels.forget(state)
        flows = sorted({int(flow) for flow in met})
        return [flow for flow in flows if state.rate[flow] != state.was[flow]]

    @property
    def rate(self) -> Array:
        """(flows,): the rate of one connection, in the capacities' unit; 0 where none is busy.

        Infinite for a busy flow without cap that uses no resource.
        """
        return np.array(self.state.rate, dtype=np.float64)


def _numbers(given: Numbers | None, length: int, otherwise: float) -> Array:
    if given is None:
        return np.full(length, otherwise)
    found = np.asarray(given, dtype=np.float64)
    if found.shape != (length,):
        raise ValueError(f"expected {length} numbers, found {found.shape}")
    return found


def _check(capacity: Array, ptr: Any, resource: Any, owner: Any) -> None:
    if ptr[0] != 0 or ptr[-1] != len(resource) or (np.diff(ptr) < 0).any():
        raise ValueError("`ptr` must rise from 0 to the number of uses")
    if len(resource) and not (0 <= resource.min() and resource.max() < len(capacity)):
        raise ValueError("`resource` names a resource that is not there")
    if len(np.unique(owner * (len(capacity) + 1) + resource)) != len(resource):
        raise ValueError("a flow uses a resource twice: add the coefficients up")


def _check_numbers(capacity: Array, cap: Array, share: Array, weight: Array) -> None:
    if not (np.isfinite(capacity) & (capacity >= 0)).all():
        raise ValueError("capacities must be finite and not negative")
    if not (cap >= 0).all():
        raise ValueError("caps must not be negative")
    if (
        not (np.isfinite(share) & (share > 0)).all()
        or not (np.isfinite(weight) & (weight > 0)).all()
    ):
        raise ValueError("weights and coefficients must be finite and above 0")
