"""ron: all bytes by way of the one relay of lowest latency, where that beats the direct link's.

Source: Andersen, Balakrishnan, Kaashoek and Morris, Resilient Overlay Networks, SOSP 2001: a
single intermediate hop, picked by measured latency. Skyplane (NSDI '23) compares with it too.
"""

from __future__ import annotations

from itertools import pairwise

from datasets.matrix import Matrix
from planner.job import Job
from planner.paths import lowest_rtt_relay
from planner.plan import Plan
from planner.topology import topology
from planner.unicast import ROUNDED_UP, plan_over


def ron(matrix: Matrix, job: Job) -> Plan:
    """The Plan over one path. Raises: InfeasibleJob where that does not do."""
    full = topology(matrix, job)
    relay = lowest_rtt_relay(full.links, full.source, full.destination)
    hops = [full.source, *([relay] if relay else []), full.destination]
    note = f"Lowest latency by way of {relay}." if relay else "No relay has a lower latency."
    return plan_over(
        full.on(pairwise(hops)), full, strategy="ron", effort=ROUNDED_UP, notes=(note,)
    )
