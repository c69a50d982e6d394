"""broadcast_overlay: the data shared among any trees, by column generation, VMs whole."""

from __future__ import annotations

from datasets.matrix import Matrix
from planner.broadcast import direct_links, plan_trees, spanning_trees, steiner_trees
from planner.job import Job
from planner.plan import Plan


def broadcast_overlay(matrix: Matrix, job: Job) -> Plan:
    """The Plan over all trees, no worse than the other strategies' trees.

    Raises: InfeasibleJob where that does not do; UnsupportedJob (requirements, carbon).
    """
    return plan_trees(
        matrix,
        job,
        strategy="broadcast_overlay",
        choices=(direct_links, spanning_trees, steiner_trees),
        any_tree=True,
    )
