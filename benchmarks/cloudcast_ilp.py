"""Cloudcast's integer programme, from the paper, at our objective and constraints: the peer.

For each of P partitions and each link a binary says whether the partition crosses it; a unit of
flow to each destination makes those links a way there. Links carry goal/P a partition; VMs are
whole; DESIGN.md's rows (VM time, caps, limits) and costs.
Source: Wooders et al., Cloudcast: high-throughput, cost-aware overlay multicast in the cloud
(NSDI '24), the formulation of its planner: binaries a partition and edge, flow conservation to each
destination, integer VMs. Solved by SCIP through OR-Tools, within a time limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ortools.linear_solver import pywraplp

from datasets.matrix import Matrix
from datasets.regions import cloud_of
from datasets.units import usd_per_s_of_flow, usd_per_s_of_vm
from planner.job import Job

_MILLI = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class IlpAnswer:
    """What the programme came to within its time: USD a gigabit, and whether that is proven."""

    usd_per_gigabit: float
    proven: bool


def cloudcast_ilp(matrix: Matrix, job: Job, *, partitions: int, limit_s: float) -> IlpAnswer | None:
    """The least cost at exactly the job's goal in that many partitions; None if none was found."""
    goal = job.goal_gbps or 0.0
    solver: Any = pywraplp.Solver.CreateSolver("SCIP")
    solver.set_time_limit(round(limit_s * _MILLI))
    links = {(e.src, e.dst): e for e in matrix.links if e.dst != job.source}
    vms = {r: solver.IntVar(0, job.vm_limit, f"vms[{r}]") for r in matrix.region_ids}
    crosses = {
        (p, ends): solver.BoolVar(f"crosses[{p},{ends}]")
        for p in range(partitions)
        for ends in links
    }
    for p in range(partitions):
        for destination in job.destinations:
            way = {ends: solver.NumVar(0, 1, "") for ends in links}
            for ends in links:
                solver.Add(way[ends] <= crosses[p, ends])
            for region in matrix.region_ids:
                leaves = sum(way[ends] for ends in links if ends[0] == region)
                comes = sum(way[ends] for ends in links if ends[1] == region)
                needed = (region == job.source) - (region == destination)
                solver.Add(leaves - comes == needed)
    each = goal / partitions
    flow = {ends: sum(crosses[p, ends] for p in range(partitions)) * each for ends in links}
    for region in matrix.region_ids:
        vm = matrix.vm(region)
        out = [ends for ends in links if ends[0] == region]
        into = [ends for ends in links if ends[1] == region]
        public = [ends for ends in out if cloud_of(ends[1]) != cloud_of(region)]
        solver.Add(sum(flow[e] * (1 / links[e].gbps) for e in out) <= vms[region])
        solver.Add(sum(flow[e] * (1 / links[e].gbps) for e in into) <= vms[region])
        solver.Add(sum(flow[e] for e in public) <= vm.egress_public_gbps * vms[region])
        solver.Add(sum(flow[e] for e in out) <= vm.egress_gbps * vms[region])
        solver.Add(sum(flow[e] for e in into) <= vm.ingress_gbps * vms[region])
    egress = sum(flow[e] * usd_per_s_of_flow(1.0, links[e].usd_per_gb) for e in links)
    hours = sum(vms[r] * usd_per_s_of_vm(matrix.vm(r).usd_per_hour) for r in vms)
    solver.Minimize(egress + hours)
    status = solver.Solve()
    if status not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        return None
    return IlpAnswer(
        usd_per_gigabit=float(solver.Objective().Value()) / goal,
        proven=status == pywraplp.Solver.OPTIMAL,
    )


def steiner_milp(matrix: Matrix, job: Job, *, limit_s: float) -> float | None:
    """USD a GB of the cheapest tree by egress, as a programme of one partition; None in no time."""
    solver: Any = pywraplp.Solver.CreateSolver("SCIP")
    solver.set_time_limit(round(limit_s * _MILLI))
    links = {(e.src, e.dst): e for e in matrix.links if e.dst != job.source}
    out: dict[str, list[tuple[str, str]]] = {region: [] for region in matrix.region_ids}
    into: dict[str, list[tuple[str, str]]] = {region: [] for region in matrix.region_ids}
    for ends in links:
        out[ends[0]].append(ends)
        into[ends[1]].append(ends)
    crosses = {ends: solver.BoolVar("") for ends in links}
    for destination in job.destinations:
        way = {ends: solver.NumVar(0, 1, "") for ends in links}
        for ends in links:
            solver.Add(way[ends] <= crosses[ends])
        for region in matrix.region_ids:
            leaves = sum(way[ends] for ends in out[region])
            comes = sum(way[ends] for ends in into[region])
            solver.Add(leaves - comes == (region == job.source) - (region == destination))
    solver.Minimize(sum(crosses[ends] * e.usd_per_gb for ends, e in links.items()))
    status = solver.Solve()
    if status not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        return None
    return float(solver.Objective().Value())
