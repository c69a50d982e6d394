"""direct: the link from source to destination and nothing else; what everybody does today."""

from __future__ import annotations

from datasets.matrix import Matrix
from planner.job import Job
from planner.plan import Plan
from planner.topology import topology
from planner.unicast import ROUNDED_UP, plan_over


def direct(matrix: Matrix, job: Job) -> Plan:
    """The Plan over the direct link. Raises: InfeasibleJob where it does not do."""
    full = topology(matrix, job)
    return plan_over(full.direct(), full, strategy="direct", effort=ROUNDED_UP)
