"""Plans beyond the first one: proven to a millionth, rounded up only, and along a frontier.

The same seeded pairs as `solve.py`. The peer of a plan is the plain linear programme alone; of a
frontier, that programme solved once for each of its points.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from benchmarks.solve import jobs, matrix, plain_ms, plain_programme, plan_ms
from benchmarks.spec import BenchSpec, Sizes
from planner.frontier import frontier
from planner.job import Job
from planner.topology import topology
from planner.unicast import ROUNDED_UP, most_gbps, plan_over

POINTS = 100
# The plain programme is solved at so many of a frontier's points, evenly, and the time multiplied:
# each is a programme of its own, so that one takes as long as another.
SOLVED_POINTS = 10
_MILLI = 1e3


def rounded_up_ms(pairs: int) -> float:
    """Mean milliseconds of the relaxation, its VMs rounded up, and no branch and bound."""
    asked = jobs(pairs)
    begin = time.perf_counter()
    for job in asked:
        full = topology(matrix(), job)
        plan_over(full, full, strategy="overlay", effort=ROUNDED_UP)
    return (time.perf_counter() - begin) / pairs * _MILLI


def frontier_ms(pairs: int) -> float:
    """Mean milliseconds of a pair's whole frontier."""
    asked = jobs(pairs)
    begin = time.perf_counter()
    for job in asked:
        frontier(matrix(), replace(job, goal_gbps=None), POINTS)
    return (time.perf_counter() - begin) / pairs * _MILLI


def plain_frontier_ms(pairs: int) -> float:
    """Mean milliseconds of the plain programme at as many goals, from those solved."""
    total_s = 0.0
    for job in jobs(pairs):
        # What the most is comes first, and is not timed.
        at = [replace(job, goal_gbps=goal) for goal in _goals(job)]
        begin = time.perf_counter()
        for one in at:
            plain_programme(one)
        total_s += time.perf_counter() - begin
    return total_s * (POINTS / SOLVED_POINTS) / pairs * _MILLI


def _goals(job: Job) -> list[float]:
    most = most_gbps(topology(matrix(), job)) * (1 - 1e-6)
    return [most * (k + 1) / SOLVED_POINTS for k in range(SOLVED_POINTS)]


SPECS = (
    BenchSpec(
        name="frontier.overlay_exact",
        run=partial(plan_ms, "overlay_exact"),
        peer=plain_ms,
        against="the linear programme alone",
        unit="ms a plan",
        sizes=Sizes(full=10, tiny=1),
        of="pairs",
    ),
    BenchSpec(
        name="frontier.rounded_up",
        run=rounded_up_ms,
        peer=plain_ms,
        against="the linear programme alone",
        unit="ms a plan",
        sizes=Sizes(full=10, tiny=1),
        of="pairs",
    ),
    BenchSpec(
        name="frontier.points",
        run=frontier_ms,
        peer=plain_frontier_ms,
        against=f"{POINTS} times the linear programme alone ({SOLVED_POINTS} are solved)",
        unit="ms a frontier",
        sizes=Sizes(full=3, tiny=1),
        of=f"pairs, {POINTS} points each",
    ),
)
