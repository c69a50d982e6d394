"""Max-min fair rates by progressive filling, for cohorts of equal connections."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

# A resource filled to within this share of its capacity is full, and a plan's rounding (9 decimal
# places of a rate) does not count as an overload.
_SLACK = 1e-8
_TIE = 1e-12


def max_min_rates(usage: Array, capacity: Array, ceiling: Array, count: Array) -> Array:
    """The max-min fair rate of one connection of each cohort.

    `usage` is (resources, cohorts): what one unit of rate takes of the resource; `capacity` is
    (resources,); `ceiling` (cohorts,) is the most that one connection may run at; `count`
    (cohorts,) says how many connections are busy. Returns (cohorts,), 0 where none is busy; a
    cohort that nothing holds gets `inf`. All rates rise together; a cohort stops at its ceiling or
    when a resource that it uses is full. At most one round a cohort, O(resources·cohorts) each.
    Source: Bertsekas & Gallager, Data Networks, 2nd ed., section 6.5.2.
    """
    rising = count > 0
    rates: Array = np.where(rising, ceiling, 0.0)
    demand: Array = usage * count
    if np.isfinite(rates).all() and (demand @ rates <= capacity * (1 + _SLACK)).all():
        return rates  # every cohort runs at its ceiling: a plan's own rates fit the plan's VMs
    room, level = capacity.astype(np.float64), 0.0
    while rising.any():
        weight = demand[:, rising].sum(axis=1)
        used = weight > 0
        steps = np.full(len(room), np.inf)
        steps[used] = np.maximum(room[used], 0.0) / weight[used]
        lowest = float(ceiling[rising].min())
        step = min(float(steps.min(initial=np.inf)), lowest - level)
        level = level + step
        rates[rising] = level
        if not np.isfinite(level):
            break
        room = room - weight * step
        full = used & (steps <= step * (1 + _TIE))
        full |= used & (room <= _TIE * capacity)
        rising &= ~((ceiling <= level * (1 + _TIE)) | (demand[full] > 0).any(axis=0))
    return rates
