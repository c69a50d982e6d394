"""overlay: every link, any number of relays: DESIGN.md's linear relaxation, VMs rounded up."""

from __future__ import annotations

from datasets.matrix import Matrix
from planner.job import Job
from planner.plan import Plan
from planner.topology import topology
from planner.unicast import plan_over


def overlay(matrix: Matrix, job: Job) -> Plan:
    """The Plan over all links. Raises: InfeasibleJob, with the most that any plan can do."""
    full = topology(matrix, job)
    return plan_over(full, full, strategy="overlay")
