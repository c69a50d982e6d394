"""one_hop: the direct link and every path of one relay, together."""

from __future__ import annotations

from datasets.matrix import Matrix
from planner.job import Job
from planner.plan import Plan
from planner.topology import topology
from planner.unicast import ROUNDED_UP, plan_over


def one_hop(matrix: Matrix, job: Job) -> Plan:
    """The Plan over links that touch an end. Raises: InfeasibleJob where they do not do."""
    full = topology(matrix, job)
    return plan_over(full.one_relay(), full, strategy="one_hop", effort=ROUNDED_UP)
