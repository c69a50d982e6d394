"""The most that given lanes carry together: one small linear programme.

Sets        lanes l; resources r (a gateway's time or cap)
Parameters  use_rl: what 1 Gbit/s on lane l takes of resource r; capacity_r; cap_l Gbit/s;
            price_l USD a gigabit
Variables   lane[l] = x_l in 0..cap_l (Gbit/s)

    (1)  resource[r]   sum_l use_rl x_l <= capacity_r
    maximise           sum_l x_l - TIE sum_l price_l x_l   (of equally fast answers, the cheapest)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planner.lp.solve import LinearModel

# USD a gigabit are of the order of 0.01: a weight that settles ties and loses no bit a second.
TIE = 1e-6


def most_over_lanes(
    use: Mapping[str, Mapping[int, float]],
    capacity: Mapping[str, float],
    caps_gbps: Sequence[float],
    usd_per_gigabit: Sequence[float],
) -> tuple[float, ...]:
    """Gbit/s of each lane, most in all; see the formulation above.

    Raises: RuntimeError if the solver fails: zero on every lane is always feasible.
    """
    model = LinearModel()
    rows = {
        name: model.add_row(f"resource[{name}]", upper=capacity[name])
        for name, lanes in sorted(use.items())
        # A resource that all its lanes at their caps do not fill needs no row.
        if sum(amount * caps_gbps[at] for at, amount in lanes.items()) > capacity[name]
    }
    for at, (cap, price) in enumerate(zip(caps_gbps, usd_per_gigabit, strict=True)):
        terms = [(row, use[name][at]) for name, row in rows.items() if at in use[name]]
        model.add_variable(f"lane[{at}]", terms, upper=cap, cost=TIE * price - 1.0)
    found = model.solve()
    if found.status != "optimal":
        raise RuntimeError(f"the lanes' linear programme ended as {found.status}")
    return tuple(max(0.0, value) for value in found.values)
