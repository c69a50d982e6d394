"""What a plan's relays gain over the direct link, on each measured column: is it only start-up?

`received` misses what was in flight when a 5 s test ended, which on a long path is a larger share:
part of a relay's gain there may be the test's own start-up. `sent` errs the other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from datasets.matrix import Matrix
from planner.job import Job
from planner.plan import Plan
from planner.strategies import solve
from planner.topology import topology
from planner.unicast import most_gbps

# A gain up to this is none: the studies of DESIGN.md count pairs that gain more than 1 %.
LEAST_GAIN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """Gain in throughput over direct, as a share (0.5: half as much again); None without direct.

    `start_up_dependent`: there is a gain on `received`, and none on `sent`.
    """

    received: float | None
    sent: float | None
    min: float | None

    @property
    def start_up_dependent(self) -> bool:
        """Whether the gain vanishes on `sent`; such a gain is never headlined."""
        if self.received is None or self.sent is None:
            return False
        return self.received > LEAST_GAIN >= self.sent


def gains(matrices: Mapping[str, Matrix], job: Job, strategy: str) -> Gains:
    """The gains of the plan that `strategy` makes on `received`; see `gains_of`."""
    return gains_of(matrices, solve(strategy, matrices["received"], job))


def gains_of(matrices: Mapping[str, Matrix], plan: Plan) -> Gains:
    """The gains of one plan: the same links, judged by each column.

    `matrices` has the same epoch under `received`, `sent` and `min`. Compared is the most that the
    plan's links can carry within the Job's VM limits with the most that the direct link can.
    """
    return Gains(
        received=_gain(matrices["received"], plan),
        sent=_gain(matrices["sent"], plan),
        min=_gain(matrices["min"], plan),
    )


def _gain(matrix: Matrix, plan: Plan) -> float | None:
    # VM limits and quotas alone: links are compared, not what else the Job asks.
    limits = Job(
        source=plan.job.source,
        destinations=plan.job.destinations,
        size_bytes=plan.job.size_bytes,
        vm_limit=plan.job.vm_limit,
        quotas=plan.job.quotas,
    )
    full = topology(matrix, limits)
    used = {(link.src, link.dst) for link in plan.links}
    direct_gbps = most_gbps(full.direct())
    if direct_gbps <= 0:
        return None
    return most_gbps(full.on(used)) / direct_gbps - 1
