"""broadcast_mst: the cheapest tree over source and destinations, without relays."""

from __future__ import annotations

from datasets.matrix import Matrix
from planner.broadcast import plan_trees, spanning_trees
from planner.job import Job
from planner.plan import Plan


def broadcast_mst(matrix: Matrix, job: Job) -> Plan:
    """The Plan over a minimum arborescence by egress of each source.

    Raises: InfeasibleJob where that does not do; UnsupportedJob (requirements, carbon).
    """
    return plan_trees(
        matrix,
        job,
        strategy="broadcast_mst",
        choices=(spanning_trees,),
        any_tree=False,
    )
