"""Planning what is missing anew, over the gateways that still live, while bytes move.

The rules are those of `planner/recovery.py`, which the simulator follows too; here no gateway can
be made, so only regions that have one may be used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from datasets.canonical import Json
from datasets.epochs import MatrixChoice, epoch_names, load_matrix
from datasets.errors import InfeasibleJob, InputError
from datasets.matrix import Matrix
from datasets.regions import region_of_gateway
from planner.plan import Plan
from planner.recovery import remaining_job
from planner.strategies import solve

# resend: what a lost lane had under way goes by the others; replan: that, and lanes of a new plan.
Recovery = Literal["resend", "replan"]
# (the Plan, the gateways it has lost, the bytes that are missing) to the Plan of what is left.
Replan = Callable[[Plan, Sequence[str], int], Plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anew:
    """The plan of what is missing, over gateways by their own names, or why there is none.

    `plan_id` is that of the plan as it was solved.
    """

    plan: Plan | None
    plan_id: str = ""
    why: str = ""

    def as_detail(self) -> dict[str, Json]:
        """As the event table has it."""
        if self.plan is None:
            return {"plan": None, "why": self.why}
        return {"plan": self.plan_id, "gbps": self.plan.predicted.throughput_gbps}


def plan_anew(
    plan: Plan, replan: Replan | None, *, lost: Sequence[str], missing_bytes: int
) -> Anew:
    """Ask for a plan of what is missing, and hold it to the gateways that are there."""
    if replan is None:
        return Anew(plan=None, why="no matrix was given to plan on")
    try:
        found = replan(plan, lost, missing_bytes)
    except (InfeasibleJob, InputError) as answer:
        return Anew(plan=None, why=str(answer))
    names = _names(found, sorted({*plan.gateways} - {*lost}))
    strange = sorted({*found.gateways} - names.keys())
    if strange:
        return Anew(plan=None, why=f"the new plan needs {strange[0]}, which is not there")
    return Anew(plan=_renamed(found, names), plan_id=found.id)


def _names(plan: Plan, living: Sequence[str]) -> dict[str, str]:
    """The living gateway for each that a plan names, in order within a region, while there are."""
    names: dict[str, str] = {}
    for region in plan.vms:
        wanted = [name for name in plan.gateways if region_of_gateway(name) == region]
        there = [name for name in living if region_of_gateway(name) == region]
        names.update(zip(wanted, there, strict=False))
    return names


def _renamed(plan: Plan, names: Mapping[str, str]) -> Plan:
    return replace(
        plan,
        lanes=tuple(
            replace(lane, gateways=tuple(names[name] for name in lane.gateways))
            for lane in plan.lanes
        ),
        tree_lanes=tuple(
            replace(lane, edges=tuple((names[src], names[dst]) for src, dst in lane.edges))
            for lane in plan.tree_lanes
        ),
    )


def over_the_living(matrix: Matrix) -> Replan:
    """Plans by a plan's own strategy on `matrix`, over the regions that have a gateway left."""

    def replan(plan: Plan, lost: Sequence[str], missing_bytes: int) -> Plan:
        job = plan.job
        quotas = dict(job.quotas)
        for region, count in plan.vms.items():
            quotas[region] = count * plan.vm(region).vcpus
        job = replace(job, quotas=quotas)
        for region in sorted({region_of_gateway(name) for name in lost}):
            mine = [name for name in lost if region_of_gateway(name) == region]
            job = remaining_job(job, missing_bytes=missing_bytes, lost=mine, vm=plan.vm(region))
        within = tuple(region for region in plan.vms if region not in job.forbid)
        return solve(plan.strategy, matrix, replace(job, within=within))

    return replan


def matrix_of(plan: Plan, file: Path | None) -> Matrix:
    """The Matrix that a plan was made on, or the one in `file`. Raises: InputError."""
    made = plan.matrix
    if file is None and made.epoch not in epoch_names():
        raise InputError(
            f"The plan was made on a matrix of its own ({made.epoch}); name it by --matrix FILE."
        )
    if file is not None:
        return load_matrix(MatrixChoice(file=file))
    return load_matrix(
        MatrixChoice(
            epoch=made.epoch,
            column=made.column,
            tier=made.tier,
            policy=made.policy,
            caps=made.caps,
        )
    )
