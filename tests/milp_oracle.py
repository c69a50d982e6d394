"""DESIGN.md's unicast model once more, in whole VMs, by SciPy's HiGHS: an oracle for tests alone.

Written from the formulation, sharing nothing with `planner/lp`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix

from datasets.matrix import Matrix
from planner.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What HiGHS found: USD a second, Gbit/s, and the least that the objective can be."""

    usd_per_s: float
    gbps: float
    objective: float
    bound: float


def cheapest(
    matrix: Matrix, job: Job, *, goal_gbps: float, usd_per_gigabit: float, whole: bool = True
) -> Answer | None:
    """Minimise USD a second less `usd_per_gigabit` × Gbit/s, at `goal_gbps` or more.

    If that is not negative, nothing costs less than `usd_per_gigabit` a gigabit (Dinkelbach, On
    nonlinear fractional programming, 1967). With 0 the plan at exactly the goal. None: infeasible.
    """
    s, t = job.source, job.destination
    regions = [r for r in matrix.region_ids if r not in job.forbid]
    links = [
        e
        for e in matrix.links
        if e.src in regions and e.dst in regions and e.dst != s and e.src != t
    ]
    at = {r: len(links) + k for k, r in enumerate(regions)}
    speed = len(links) + len(regions)
    rows: list[tuple[dict[int, float], float, float]] = []
    for r in regions:
        vm = matrix.vm(r)
        out = [k for k, e in enumerate(links) if e.src == r]
        into = [k for k, e in enumerate(links) if e.dst == r]
        balance = {**dict.fromkeys(out, 1.0), **dict.fromkeys(into, -1.0)}
        if r == s:
            balance[speed] = -1.0
        if r == t:
            balance[speed] = 1.0
        rows.append((balance, 0.0, 0.0))
        public = [k for k in out if links[k].dst.split(":")[0] != r.split(":")[0]]
        for terms, per_vm in (
            ({k: 1.0 / links[k].gbps for k in out}, 1.0),
            ({k: 1.0 / links[k].gbps for k in into}, 1.0),
            (dict.fromkeys(public, 1.0), vm.egress_public_gbps),
            (dict.fromkeys(out, 1.0), vm.egress_gbps),
            (dict.fromkeys(into, 1.0), vm.ingress_gbps),
        ):
            if terms:
                rows.append(({**terms, at[r]: -per_vm}, -np.inf, 0.0))
    row, column, value = zip(
        *((k, v, c) for k, (terms, _, _) in enumerate(rows) for v, c in terms.items()), strict=True
    )
    cost = np.zeros(speed + 1)
    cost[: len(links)] = [e.usd_per_gb / 8 for e in links]
    for r in regions:
        cost[at[r]] = matrix.vm(r).usd_per_hour / 3600
    objective = cost.copy()
    objective[speed] = -usd_per_gigabit
    least, most = np.zeros(speed + 1), np.full(speed + 1, np.inf)
    for r in regions:
        limit = job.vm_limit
        if r in job.quotas:
            limit = min(limit, job.quotas[r] // matrix.vm(r).vcpus)
        most[at[r]] = limit
    least[speed] = goal_gbps
    if usd_per_gigabit == 0:
        most[speed] = goal_gbps
    integral = np.zeros(speed + 1)
    if whole:
        integral[len(links) : speed] = 1
    found = milp(
        objective,
        integrality=integral,
        bounds=Bounds(least, most),
        constraints=LinearConstraint(
            coo_matrix((value, (row, column)), shape=(len(rows), speed + 1)).tocsc(),
            [low for _, low, _ in rows],
            [high for _, _, high in rows],
        ),
        options={"mip_rel_gap": 1e-7, "time_limit": 60},
    )
    if found.x is None:
        return None
    return Answer(
        usd_per_s=float(cost @ found.x),
        gbps=float(found.x[speed]),
        objective=float(found.fun),
        bound=float(found.mip_dual_bound) if whole else float(found.fun),
    )
