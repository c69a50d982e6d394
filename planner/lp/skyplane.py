"""A baseline: the minimum-cost model that Skyplane solves, with connections as variables.

Sets        regions r; directed links e = (i, j); source s, destination t
Parameters  B_e Gbit/s that one pair of VMs carried over K = 64 connections; price_e USD/GB;
            hour_r USD/h of a VM; public_r, egress_r, ingress_r Gbit/s of a VM; limit_r VMs;
            goal G Gbit/s
Variables   flow[i,j] = F_e >= 0 (Gbit/s);  connections[i,j] = M_e >= 0;
            vms[r] = N_r in {0..limit_r}

    minimise   sum_e F_e/8 price_e + sum_r N_r hour_r/3600        (USD a second, at the goal)
    (1)  balance[r]        sum_out F - sum_in F = G at s, -G at t, 0 elsewhere
    (2)  capacity[i,j]     F_e <= B_e M_e / K
    (3)  out_connections[r]   sum_j M_rj <= K N_r
    (4)  in_connections[r]    sum_i M_ir <= K N_r
    (5)  egress[r]         sum_j F_rj <= egress_r N_r
    (6)  egress_public[r]  sum_{j in other clouds} F_rj <= public_r N_r
    (7)  ingress[r]        sum_i F_ir <= ingress_r N_r

This is a re-implementation for comparison, not the project's code, and it takes the Matrix's
figures, so that what differs from `overlay` is the method. Two things differ from the original:
each region's VMs have their own price (there, all have one), and (6) stands beside (5), since a
Matrix knows two caps of egress. VMs are whole and connections are not, as in its release 0.3.2.
Source: Jain et al., Skyplane, NSDI '23, section 5, by way of the released planner
(skyplane/planner/solver.py and solver_ilp.py of version 0.3.2, opened; the paper was not).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ortools.linear_solver import pywraplp

from datasets.regions import cloud_of
from datasets.units import usd_per_s_of_flow, usd_per_s_of_vm
from planner.dispatch import FULL_CONNECTIONS
from planner.topology import Topology

LinkEnds = tuple[str, str]
Status = Literal["optimal", "feasible", "infeasible", "timed_out"]

# The original gives its solver a minute. A plan found by then is used and said to be unproven; it
# is the one answer of the project that may differ between machines.
TIME_LIMIT_S = 60.0
# The objective is solved in thousandths of a dollar a gigabit, so that it is of the order of 1
# to 100 and this gap is far below a cent of any transfer.
OBJECTIVE_UNIT = 1e3
RELATIVE_GAP = 1e-7
# Flows below this share of the goal are the solver's noise.
FLOW_NOISE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class SkyplaneSolution:
    """What the model answered: Gbit/s and connections of each link used, VMs of each region.

    `feasible` is an answer that the time limit cut short; `timed_out` is none by then.
    Connections are the fewest that carry the flows (K F/B): more cost nothing and mean nothing.
    """

    status: Status
    usd_per_s: float = 0.0
    flows: Mapping[LinkEnds, float] = field(default_factory=dict)
    connections: Mapping[LinkEnds, float] = field(default_factory=dict)
    vms: Mapping[str, int] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether there is an answer."""
        return self.status in ("optimal", "feasible")


def cheapest(
    topology: Topology, goal_gbps: float, time_limit_s: float = TIME_LIMIT_S
) -> SkyplaneSolution:
    """The model's answer at `goal_gbps`, by SCIP. Raises: RuntimeError if SCIP is not there."""
    solver: Any = pywraplp.Solver.CreateSolver("SCIP")
    if solver is None:
        raise RuntimeError("this OR-Tools has no SCIP")
    links, regions = topology.links, sorted(topology.limits)
    infinity = solver.infinity()
    flow = {(e.src, e.dst): solver.NumVar(0.0, infinity, f"flow[{e.src},{e.dst}]") for e in links}
    count = {
        (e.src, e.dst): solver.NumVar(0.0, infinity, f"connections[{e.src},{e.dst}]") for e in links
    }
    vms = {r: solver.IntVar(0, topology.limits[r], f"vms[{r}]") for r in regions}

    def row(name: str, lower: float, upper: float, terms: list[tuple[Any, float]]) -> None:
        made = solver.Constraint(lower, upper, name)
        for variable, coefficient in terms:
            made.SetCoefficient(variable, coefficient)

    for e in links:  # (2)
        ends = (e.src, e.dst)
        room = e.gbps / FULL_CONNECTIONS
        row(f"capacity[{e.src},{e.dst}]", -infinity, 0.0, [(flow[ends], 1.0), (count[ends], -room)])
    leaving: dict[str, list[LinkEnds]] = {r: [] for r in regions}
    entering: dict[str, list[LinkEnds]] = {r: [] for r in regions}
    for e in links:
        leaving[e.src].append((e.src, e.dst))
        entering[e.dst].append((e.src, e.dst))
    needed = {topology.source: goal_gbps, topology.destination: -goal_gbps}
    for r in regions:
        vm, out, into = topology.vm(r), leaving[r], entering[r]
        public = [ends for ends in out if cloud_of(ends[1]) != cloud_of(r)]
        net = needed.get(r, 0.0)
        row(  # (1)
            f"balance[{r}]",
            net,
            net,
            [*((flow[e], 1.0) for e in out), *((flow[e], -1.0) for e in into)],
        )
        for name, terms, per_vm in (  # (3) to (7)
            ("out_connections", [count[e] for e in out], float(FULL_CONNECTIONS)),
            ("in_connections", [count[e] for e in into], float(FULL_CONNECTIONS)),
            ("egress", [flow[e] for e in out], vm.egress_gbps),
            ("egress_public", [flow[e] for e in public], vm.egress_public_gbps),
            ("ingress", [flow[e] for e in into], vm.ingress_gbps),
        ):
            if terms:
                each = [(variable, 1.0) for variable in terms]
                row(f"{name}[{r}]", -infinity, 0.0, [*each, (vms[r], -per_vm)])
    unit = OBJECTIVE_UNIT / goal_gbps
    objective = solver.Objective()
    for e in links:
        price = usd_per_s_of_flow(1.0, e.usd_per_gb)
        objective.SetCoefficient(flow[e.src, e.dst], price * unit)
    for r in regions:
        price = usd_per_s_of_vm(topology.vm(r).usd_per_hour)
        objective.SetCoefficient(vms[r], price * unit)
    objective.SetMinimization()
    status = _solved(solver, time_limit_s)
    if status not in ("optimal", "feasible"):
        return SkyplaneSolution(status=status)
    flows = {
        ends: variable.solution_value()
        for ends, variable in flow.items()
        if variable.solution_value() > FLOW_NOISE * goal_gbps
    }
    gbps = {(e.src, e.dst): e.gbps for e in links}
    counts = {r: round(variable.solution_value()) for r, variable in vms.items()}
    return SkyplaneSolution(
        status=status,
        usd_per_s=float(objective.Value()) / unit,
        flows=flows,
        connections={ends: FULL_CONNECTIONS * f / gbps[ends] for ends, f in flows.items()},
        vms={r: n for r, n in counts.items() if n > 0},
    )


def _solved(solver: Any, time_limit_s: float) -> Status:
    solver.SetTimeLimit(round(time_limit_s * 1000))
    how: Any = pywraplp.MPSolverParameters()
    how.SetDoubleParam(pywraplp.MPSolverParameters.RELATIVE_MIP_GAP, RELATIVE_GAP)
    status = solver.Solve(how)
    if status == pywraplp.Solver.OPTIMAL:
        return "optimal"
    if status == pywraplp.Solver.FEASIBLE:
        return "feasible"
    return "infeasible" if status == pywraplp.Solver.INFEASIBLE else "timed_out"
