"""Planning: seeded pairs of the epoch of 28 November 2022, one strategy at a time.

The goal of each pair is what its direct link was measured at. The peer is the linear programme
alone, over all links, written the plain way: what a plan takes beyond it is rounding, the bound,
realisation and the check.
"""

from __future__ import annotations

import time
from functools import cache, partial
from typing import Any

import numpy as np
from ortools.linear_solver import pywraplp

from benchmarks.spec import BenchSpec, Sizes
from datasets.epochs import MatrixChoice, load_matrix
from datasets.matrix import Matrix
from datasets.units import usd_per_s_of_flow, usd_per_s_of_vm
from planner.job import Job
from planner.strategies import solve
from planner.topology import topology

EPOCH = "2022-11-28"
SEED = 3
_MILLI = 1e3


@cache
def matrix() -> Matrix:
    """The measured Matrix, loaded once."""
    return load_matrix(MatrixChoice(epoch=EPOCH))


@cache
def jobs(pairs: int) -> tuple[Job, ...]:
    """1 TB at the direct link's rate, between pairs drawn by seed."""
    rng = np.random.default_rng(SEED)
    drawn = rng.choice(len(matrix().links), size=pairs, replace=False)
    links = [matrix().links[at] for at in drawn.tolist()]
    return tuple(
        Job(source=e.src, destinations=(e.dst,), size_bytes=10**12, goal_gbps=e.gbps) for e in links
    )


def plan_ms(strategy: str, pairs: int) -> float:
    """Mean milliseconds from a Job to its checked Plan."""
    asked = jobs(pairs)
    begin = time.perf_counter()
    for job in asked:
        solve(strategy, matrix(), job)
    return (time.perf_counter() - begin) / pairs * _MILLI


def plain_ms(pairs: int) -> float:
    """Mean milliseconds to build and solve the linear programme over all links, and no more."""
    asked = jobs(pairs)
    begin = time.perf_counter()
    for job in asked:
        plain_programme(job)
    return (time.perf_counter() - begin) / pairs * _MILLI


def plain_programme(job: Job) -> float:
    """USD a second at the goal: DESIGN.md's rows by OR-Tools' own expressions."""
    world = topology(matrix(), job)
    solver: Any = pywraplp.Solver.CreateSolver("GLOP")
    flow = {(e.src, e.dst): solver.NumVar(0, solver.infinity(), "") for e in world.links}
    vms = {r: solver.NumVar(0, limit, "") for r, limit in world.limits.items()}
    for r in world.limits:
        out = [e for e in world.links if e.src == r]
        into = [e for e in world.links if e.dst == r]
        needed = {job.source: job.goal_gbps, job.destination: -(job.goal_gbps or 0.0)}.get(r, 0.0)
        vm = world.vm(r)
        public = [e for e in out if e.src.split(":")[0] != e.dst.split(":")[0]]
        leaves = sum(flow[e.src, e.dst] for e in out)
        comes = sum(flow[e.src, e.dst] for e in into)
        solver.Add(leaves - comes == needed)
        solver.Add(sum(flow[e.src, e.dst] / e.gbps for e in out) <= vms[r])
        solver.Add(sum(flow[e.src, e.dst] / e.gbps for e in into) <= vms[r])
        solver.Add(sum(flow[e.src, e.dst] for e in public) <= vm.egress_public_gbps * vms[r])
        solver.Add(leaves <= vm.egress_gbps * vms[r])
        solver.Add(comes <= vm.ingress_gbps * vms[r])
    egress = sum(flow[e.src, e.dst] * usd_per_s_of_flow(1.0, e.usd_per_gb) for e in world.links)
    hours = sum(vms[r] * usd_per_s_of_vm(world.vm(r).usd_per_hour) for r in vms)
    solver.Minimize(egress + hours)
    if solver.Solve() != pywraplp.Solver.OPTIMAL:
        raise RuntimeError(f"the plain programme found no plan for {job}")
    return float(solver.Objective().Value())


def _spec(strategy: str) -> BenchSpec:
    return BenchSpec(
        name=f"solve.{strategy}",
        run=partial(plan_ms, strategy),
        peer=plain_ms,
        against="the linear programme alone",
        unit="ms a plan",
        sizes=Sizes(full=10, tiny=1),
        of="pairs",
    )


SPECS = tuple(_spec(strategy) for strategy in ("direct", "one_hop", "overlay"))
