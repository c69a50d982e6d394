"""The cost–throughput Pareto frontier of a pair: the relaxation exactly, whole plans along it.

One parametric programme gives the least cost at every throughput in fractional VMs
(`lp/parametric.py`). At each of N throughputs its optimum is rounded up to whole VMs and their
flows are planned anew; what another point does as fast for less is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from datasets.canonical import Json, rounded
from datasets.errors import InfeasibleJob
from datasets.matrix import Matrix
from datasets.units import gigabits
from planner.certificate import Certificate
from planner.cost import GBPS_PLACES, USD_PLACES
from planner.job import Job, LinkEnds
from planner.lp.answers import Line
from planner.lp.parametric import Curve, curve
from planner.lp.unicast import UnicastModel, whole_model
from planner.plan import Plan
from planner.realise import Bounds, realised
from planner.topology import Topology, topology
from planner.unicast import asked_of, plan_over
from planner.whole_vms import ANY_GBPS, THROUGHPUT_NOISE, Vms
from planner.whole_vms import rounded as rounded_vms

# Another point's cost lower by less than this share drops nothing.
DOMINANCE_NOISE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A plan's throughput and cost, the least that any plan of that throughput or more can cost.

    `certified` is the Plan itself where it had to be made to know its cost; `plan()` makes it.
    """

    throughput_gbps: float
    cost_usd: float
    bound_usd: float
    vms: Vms
    flows: Mapping[LinkEnds, float]
    line: Line | None
    within: Topology
    made: Plan | None = None

    def plan(self) -> Plan:
        """The Plan of this point, as if its throughput had been asked for."""
        if self.made is not None:
            return self.made
        floor_gbps = _floor_gbps(self.throughput_gbps)
        job = replace(self.within.job, goal_gbps=floor_gbps)
        certificates: tuple[Certificate, ...] = ()
        if self.line is not None:
            at = replace(self.within, job=job)
            certificates = (self.line.at.certificate(at, "usd", self.bound_usd, floor_gbps),)
        return realised(
            replace(self.within, job=job),
            strategy="overlay",
            flows=self.flows,
            vms=self.vms,
            floor_gbps=floor_gbps,
            bounds=Bounds(usd=self.bound_usd, lp_usd=self.bound_usd, certificates=certificates),
        )

    def as_json(self) -> dict[str, Json]:
        """The Plan's own figures, and the whole Plan, ready for `tradewind simulate` and `execute`.

        In whole bits a second and without dust, a Plan differs from its point in the last digits.
        """
        plan = self.plan()
        return {
            "throughput_gbps": rounded(plan.predicted.throughput_gbps, GBPS_PLACES),
            "cost_usd": rounded(plan.predicted.cost_usd.total, USD_PLACES),
            "bound_usd": rounded(plan.bound_usd, USD_PLACES),
            "plan": plan.as_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """Points by rising throughput and cost, none dominated; `knee` is one's position.

    `breakpoints` are (Gbit/s, USD) of the relaxation, where its cost rate bends; empty where the
    Job's costs are not in proportion to throughput (see `frontier`).
    """

    points: tuple[Point, ...]
    knee: int | None
    breakpoints: tuple[tuple[float, float], ...]
    most_gbps: float

    def as_json(self) -> dict[str, Json]:
        """What `tradewind frontier --json` prints."""
        return {
            "points": [point.as_json() for point in self.points],
            "knee": self.knee,
            "breakpoints": [
                {
                    "throughput_gbps": rounded(gbps, GBPS_PLACES),
                    "cost_usd": rounded(usd, USD_PLACES),
                }
                for gbps, usd in self.breakpoints
            ],
            "most_gbps": rounded(self.most_gbps, GBPS_PLACES),
        }


def frontier(matrix: Matrix, job: Job, points: int, *, certified: bool = False) -> Frontier:
    """The frontier of a Job without an objective, at `points` throughputs evenly up to the most.

    The first is where the relaxation's cost begins to rise; slower plans cost no less. Where the
    Job waits for VMs, has price tiers, a carbon ceiling or requirements, each point is a plan of
    its own and there are no breakpoints. `certified` makes each point a plan of `overlay`, proven
    to two ten-thousandths, which takes longer.

    Raises: InfeasibleJob where nothing moves; UnsupportedJob for several ends.
    """
    full = topology(matrix, job)
    if job.provisioning or job.tiered or job.requires or job.max_gco2e is not None:
        most = plan_over(full, full, strategy="overlay").predicted.throughput_gbps
        shares = [most * (1 - THROUGHPUT_NOISE) * (k + 1) / points for k in range(points)]
        ranked = _not_dominated(_one_by_one(full, shares))
        return Frontier(points=ranked, knee=_knee(ranked), breakpoints=(), most_gbps=most)
    found = curve(full)
    if found is None or found.most_gbps < ANY_GBPS:
        answer = UnicastModel(full).fastest()
        raise InfeasibleJob(asked=asked_of(job), most_gbps=answer.gbps, binds=answer.binds)
    size = gigabits(job.size_bytes)
    goals = _goals(found, points)
    made = _one_by_one(full, goals) if certified else _rounded_points(full, found, goals)
    ranked = _not_dominated(made)
    bends = [corner for corner in found.corners if corner.gbps > 0]
    return Frontier(
        points=ranked,
        knee=_knee(ranked),
        breakpoints=tuple((corner.gbps, corner.usd_per_gigabit * size) for corner in bends),
        most_gbps=found.most_gbps,
    )


def _goals(found: Curve, points: int) -> list[float]:
    """Throughputs from where the relaxation's cost begins to rise to the most."""
    most = found.most_gbps
    first = max(found.corners[1].gbps, ANY_GBPS)
    if points == 1:
        return [most]
    return [first + (most - first) * k / (points - 1) for k in range(points)]


def _rounded_points(full: Topology, found: Curve, goals: list[float]) -> list[Point]:
    """Whole plans at those throughputs or more."""
    asked = [rounded_vms(found.at(goal).vms, full.limits) for goal in goals]
    size = gigabits(full.job.size_bytes)
    used = {region for vms in asked for region in vms}
    small = whole_model(full, used)
    made: list[Point] = []
    of_vms: dict[tuple[tuple[str, int], ...], Point] = {}
    for goal, vms in zip(goals, asked, strict=True):
        name = tuple(vms.items())
        floor_gbps = goal * (1 - THROUGHPUT_NOISE)
        if name in of_vms and of_vms[name].throughput_gbps >= floor_gbps:
            continue
        whole = small.cheapest_with(vms, floor_gbps)
        if not whole.optimal:
            continue
        line = found.line(_floor_gbps(whole.gbps))
        point = Point(
            throughput_gbps=whole.gbps,
            cost_usd=whole.usd_per_gigabit * size,
            bound_usd=min(line.bound(_floor_gbps(whole.gbps)), whole.usd_per_gigabit) * size,
            vms=vms,
            flows=whole.flows,
            line=line,
            within=full,
        )
        of_vms[name] = point
        made.append(point)
    return made


def _floor_gbps(gbps: float) -> float:
    """What a plan of that throughput is asked for."""
    return rounded(gbps * (1 - THROUGHPUT_NOISE), GBPS_PLACES)


def _one_by_one(full: Topology, goals: list[float]) -> list[Point]:
    """Each point a plan of its own."""
    made = []
    for goal in goals:
        goal_gbps = _floor_gbps(goal)
        asked = replace(full, job=replace(full.job, goal_gbps=goal_gbps))
        try:
            plan = plan_over(asked, asked, strategy="overlay")
        except InfeasibleJob:
            # At the most itself, whole VMs may miss by a rounding what a carbon ceiling leaves.
            continue
        made.append(
            Point(
                throughput_gbps=plan.predicted.throughput_gbps,
                cost_usd=plan.predicted.cost_usd.total,
                bound_usd=plan.bound_usd,
                vms=plan.vms,
                flows={(flow.src, flow.dst): flow.gbps for flow in plan.flows},
                line=None,
                within=full,
                made=plan,
            )
        )
    return made


def _not_dominated(points: list[Point]) -> tuple[Point, ...]:
    """Without those that another does as fast or faster for no more."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.throughput_gbps, p.cost_usd)):
        if not kept or point.cost_usd < kept[-1].cost_usd * (1 - DOMINANCE_NOISE):
            kept.append(point)
    return tuple(reversed(kept))


def _knee(points: tuple[Point, ...]) -> int | None:
    """The point furthest below the straight line from the first to the last, axes scaled to 1.

    None for fewer than three points. Source: Satopää et al., Finding a "kneedle" in a haystack
    (2011), for an increasing convex curve.
    """
    if len(points) < 3:
        return None
    first, last = points[0], points[-1]
    wide = last.throughput_gbps - first.throughput_gbps
    high = last.cost_usd - first.cost_usd
    if wide <= 0 or high <= 0:
        return None
    below = [
        (p.throughput_gbps - first.throughput_gbps) / wide - (p.cost_usd - first.cost_usd) / high
        for p in points
    ]
    return max(range(len(points)), key=lambda k: (below[k], -k))
