"""broadcast_direct: a star of direct links from each source, and nothing else."""

from __future__ import annotations

from datasets.matrix import Matrix
from planner.broadcast import direct_links, plan_trees
from planner.job import Job
from planner.plan import Plan


def broadcast_direct(matrix: Matrix, job: Job) -> Plan:
    """The Plan over the direct links.

    Raises: InfeasibleJob where that does not do; UnsupportedJob (requirements, carbon).
    """
    return plan_trees(
        matrix,
        job,
        strategy="broadcast_direct",
        choices=(direct_links,),
        any_tree=False,
    )
