"""broadcast_steiner: the cheapest tree by egress through any relays, exactly."""

from __future__ import annotations

from datasets.matrix import Matrix
from planner.broadcast import plan_trees, steiner_trees
from planner.job import Job
from planner.plan import Plan


def broadcast_steiner(matrix: Matrix, job: Job) -> Plan:
    """The Plan over an exact Steiner arborescence by egress of each source.

    Raises: InfeasibleJob where that does not do; UnsupportedJob (requirements, carbon).
    """
    return plan_trees(
        matrix,
        job,
        strategy="broadcast_steiner",
        choices=(steiner_trees,),
        any_tree=False,
    )
