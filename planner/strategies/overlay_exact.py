"""overlay_exact: every link, and branch and bound until the plan is proven the best there is."""

from __future__ import annotations

from datasets.matrix import Matrix
from planner.job import Job
from planner.lp.whole import Effort
from planner.plan import Plan
from planner.topology import topology
from planner.unicast import plan_over

# A millionth, or the bound that so many relaxations reach (a few milliseconds each).
EXACT = Effort(gap=1e-6, most_nodes=10_000)


def overlay_exact(matrix: Matrix, job: Job) -> Plan:
    """The Plan over all links, proven to a millionth, or with the bound that was reached.

    Its notes say which. Raises: InfeasibleJob, with the most that any plan can do.
    """
    full = topology(matrix, job)
    return plan_over(full, full, strategy="overlay_exact", effort=EXACT)
