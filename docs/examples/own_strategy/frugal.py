"""frugal: no link that is dearer than the direct one. A strategy of one's own, in one file."""

from datasets.matrix import Matrix
from planner.job import Job
from planner.plan import Plan
from planner.topology import topology
from planner.unicast import plan_over


def frugal(matrix: Matrix, job: Job) -> Plan:
    """The Plan over links at the direct link's price or less."""
    full = topology(matrix, job)
    direct = matrix.link(job.source, job.destination)
    most = direct.usd_per_gb if direct is not None else 0.0
    return plan_over(full.only(lambda link: link.usd_per_gb <= most), full, strategy="frugal")
