"""How simulated makespans respond to a World's parameters, and the values of the least error.

What is minimised is the mean over Runs of |simulated − executed| / executed makespan, each counted
up to a cap: what a Run lost by something that is no parameter (a busy processor, a straggler) must
not pull start-up to itself. W, a simulated makespan on the run's clock, is linear in the ramp-up
t0 = base + rtts·RTT, so for given other parameters the best base is what is missing of one of the
Runs, or 0: all are tried. `rtts` and the overhead of a chunk are found by golden section on the
error that is left; W is simulated on a grid of overheads and interpolated between.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from datasets.canonical import rounded
from planner.dispatch import chunk_count, lane_connections
from planner.plan import Plan
from simulator.assumptions import Ramp
from simulator.simulate import history_of
from simulator.world import World

_PLACES = 6
# Overheads that are simulated, in seconds of the run's clock.
OVERHEADS_S = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
# A Run tells overhead from start-up only beside one with this many times its chunks a connection.
CHUNKS_APART = 2.0
MOST_RTTS = 20.0
_PROBE_S = 0.01
# A Run in which a probe of start-up shows by less than this share of it says nothing of it.
_SHOWS = 0.5
# An error beyond this, or beyond this many times the median before the fit, counts as that much.
CAP = 0.01
CAP_MEDIANS = 2.0
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_STEPS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An executed Run and what simulating it gave: W by overhead, and its slopes in the ramp-up."""

    wall_s: float
    by_overhead_s: tuple[float, ...]
    base_slope: float
    rtt_slope_s: float
    chunks_each: float

    def simulated_s(self, overhead_s: float) -> float:
        """W without ramp-up, at that overhead."""
        walls = self.by_overhead_s
        for at, (low, high) in enumerate(itertools.pairwise(OVERHEADS_S)):
            if overhead_s <= high:
                share = (overhead_s - low) / (high - low)
                return walls[at] + share * (walls[at + 1] - walls[at])
        return walls[-1]


def response_of(plan: Plan, world: World, *, wall_s: float, delayed: bool) -> Response:
    """How simulating a Run that took `wall_s` responds; `delayed`: links had the Plan's RTTs."""
    walls = tuple(
        simulated_wall_s(plan, replace(world, chunk_overhead_s=overhead_s))
        for overhead_s in OVERHEADS_S
    )

    def slope(ramp: Ramp, unit: float) -> float:
        return (simulated_wall_s(plan, replace(world, ramp=ramp)) - walls[0]) / unit

    connections = sum(lane_connections(lane, world.connections_per_hop) for lane in plan.lanes)
    sizes = world.object_sizes(plan.job)
    chunk_bytes = world.chunk_size(plan.job, connections=connections)
    return Response(
        wall_s=wall_s,
        by_overhead_s=walls,
        base_slope=slope(Ramp(base_s=_PROBE_S, test_s=0.0), _PROBE_S),
        rtt_slope_s=slope(Ramp(base_s=0.0, rtts=1.0, test_s=0.0), 1.0) if delayed else 0.0,
        chunks_each=sum(chunk_count(size, chunk_bytes) for size in sizes) / connections,
    )


def simulated_wall_s(plan: Plan, world: World) -> float:
    """From when the connections stand to the last acknowledgement, on the run's clock."""
    history = history_of(plan, world)
    last_s = max(span.t_s for span in history.record.acknowledged)
    return (last_s - history.started_s[0]) * history.wall_per_real


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Values, or None with the reason for each that is missing."""

    runs: int
    base_s: float | None
    rtts: float | None
    overhead_s: float | None
    reasons: Mapping[str, str]


def values_of(seen: Sequence[Response]) -> Values:
    """The values of the least error over those Runs, each None where they do not tell it."""
    reasons: dict[str, str] = {}
    has_base = any(run.base_slope > _SHOWS for run in seen)
    if not has_base:
        reasons["base_s"] = "start-up does not show in the makespan of any of these Runs"
    rtts_apart = len({round(run.rtt_slope_s, 9) for run in seen if run.rtt_slope_s > 0}) > 1
    if not rtts_apart:
        reasons["rtts"] = (
            "these Runs' links have no round-trip times, or all the same one: what grows with it "
            "cannot be told from the rest"
        )
    counts = [run.chunks_each for run in seen]
    if max(counts) < CHUNKS_APART * min(counts):
        reasons["overhead_s"] = (
            "these Runs have about as many chunks a connection: what each costs cannot be told "
            "from start-up"
        )
    elif all(run.by_overhead_s[-1] <= run.by_overhead_s[0] for run in seen):
        reasons["overhead_s"] = "planned rates, not chunks, set the pace of all these Runs"

    def left(overhead_s: float, rtts: float) -> list[tuple[float, Response]]:
        return [
            (run.wall_s - run.simulated_s(overhead_s) - rtts * run.rtt_slope_s, run) for run in seen
        ]

    cap = max(
        CAP, CAP_MEDIANS * statistics.median(abs(m) / run.wall_s for m, run in left(0.0, 0.0))
    )

    def error(overhead_s: float, rtts: float) -> float:
        return _best_base(left(overhead_s, rtts), cap, fitted=has_base)[0]

    def best_rtts(overhead_s: float) -> float:
        if not rtts_apart:
            return 0.0
        return _golden(lambda rtts: error(overhead_s, rtts), MOST_RTTS)

    overhead_s = 0.0
    if "overhead_s" not in reasons:
        overhead_s = min(
            (
                _golden(lambda value: error(value, best_rtts(value)), high, low)
                for low, high in itertools.pairwise(OVERHEADS_S)
            ),
            key=lambda value: error(value, best_rtts(value)),
        )
    rtts = best_rtts(overhead_s)
    return Values(
        runs=len(seen),
        base_s=rounded(_best_base(left(overhead_s, rtts), cap, fitted=True)[1], _PLACES)
        if has_base
        else None,
        rtts=rounded(rtts, _PLACES) if rtts_apart else None,
        overhead_s=None if "overhead_s" in reasons else rounded(overhead_s, _PLACES),
        reasons=reasons,
    )


def _best_base(
    missing: Sequence[tuple[float, Response]], cap: float, *, fitted: bool
) -> tuple[float, float]:
    """(error, base ≥ 0) of the least error; base 0 if it is not `fitted`. The least one, in ties.

    The error is linear between what is missing of one Run and of the next, and its valleys are at
    such points.
    """
    bases = {0.0}
    if fitted:
        bases |= {
            max(0.0, seconds / run.base_slope)
            for seconds, run in missing
            if run.base_slope > _SHOWS
        }

    def error(base_s: float) -> float:
        return statistics.fmean(
            min(cap, abs(seconds - base_s * run.base_slope) / run.wall_s)
            for seconds, run in missing
        )

    return min((error(base_s), base_s) for base_s in bases)


def _golden(error: Callable[[float], float], high: float, low: float = 0.0) -> float:
    """The minimum of a function of one valley in [low, high]; an end, if that is as good."""
    ends = (low, high)
    for _ in range(_STEPS):
        step = _GOLDEN * (high - low)
        if error(high - step) <= error(low + step):
            high = low + step
        else:
            low = high - step
    return min((*ends, (low + high) / 2), key=error)
