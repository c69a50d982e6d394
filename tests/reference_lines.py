"""What the reference simulator moves chunks over: connections, lines of them, and their rates.

Part of `tests/reference_simulator.py`, which says what it is for.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from datasets.matrix import Link
from datasets.regions import cloud_of, region_of_gateway
from planner.dispatch import LanePace
from planner.plan import Lane, Plan, TreeLane
from simulator.world import World

Ends = tuple[str, str]
# (chunk, which of its records); where whole chunks are passed on, the only one is 0.
Piece = tuple[int, int]
Row = tuple[object, ...]

_FULL = 1e-9  # of a capacity: so little left of it is nothing, as sums are rounded
_SAME = 1e-12


@dataclass(slots=True, eq=False)
class Connection:
    """One connection over `edges` (positions) of its line, and what it carries, if anything."""

    line: Line
    edges: tuple[int, ...]
    cap_gbps: float
    weight: float
    opens_s: float
    open: bool = False
    retired: bool = False
    carries: Piece | None = None
    carries_from_s: float = 0.0  # its start-up is over then
    flows_from_s: float = 0.0  # later than now: an overhead or its start-up is not over
    left: float = 0.0  # gigabits of what it carries
    rate: float = 0.0
    waits_to_send: Piece | None = None  # in the middle of a chunk, until the relay has room

    @property
    def asks(self) -> bool:
        """Whether it takes chunks from the source, and not from a relay."""
        return 0 in self.edges

    @property
    def is_free(self) -> bool:
        idle = self.carries is None and self.waits_to_send is None
        return self.open and not self.retired and idle

    def close(self) -> None:
        self.open = self.retired = False
        self.carries = self.waits_to_send = None
        self.rate = 0.0


@dataclass(slots=True, eq=False)
class Line:
    """A lane of a Plan, chain or tree; `teams` are connections that are alike."""

    job: int
    lane: int
    source: str
    edges: tuple[Ends, ...]
    links: tuple[Link, ...]
    parents: tuple[int, ...]
    ends: tuple[int, ...]
    pace: LanePace
    teams: list[list[Connection]] = field(default_factory=list)
    waiting: dict[int, list[Piece]] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    over: dict[Piece, int] = field(default_factory=dict)  # records of (edge, chunk) across
    reached: dict[int, int] = field(default_factory=dict)  # at how many ends a chunk is
    down: bool = False
    shut: bool = False

    @property
    def is_chain(self) -> bool:
        return self.parents == tuple(range(-1, len(self.parents) - 1))

    @property
    def gateways(self) -> set[str]:
        return {gateway for edge in self.edges for gateway in edge}

    @property
    def connections(self) -> list[Connection]:
        return [connection for team in self.teams for connection in team]

    @property
    def is_open(self) -> bool:
        return any(c.open for c in self.connections if c.asks)

    def uses(self, ends: Ends) -> bool:
        return any((link.src, link.dst) == ends for link in self.links)

    def children(self, edge: int) -> list[int]:
        return [at for at, parent in enumerate(self.parents) if parent == edge]


@dataclass(slots=True, eq=False)
class Pool:
    """The chunks of one source of a Job, in one queue, or in a part for each line."""

    job: int
    lines: list[Line]
    dynamic: bool
    queue: deque[int] = field(default_factory=deque)
    parts: list[deque[int]] = field(default_factory=list)
    pending: int = 0
    failed: bool = False

    @property
    def left(self) -> int:
        return len(self.queue) + sum(len(part) for part in self.parts)

    @property
    def living(self) -> list[Line]:
        return [line for line in self.lines if line.is_open]


def capacity_gbps(link: Link, plan: Plan, world: World) -> float:
    """Received, or that over what the start-up leaves of the test, at most the VMs' caps."""
    ramp = world.ramp
    if ramp is None or not ramp.test_s:
        return link.gbps
    start_up_s = ramp.base_s + ramp.rtts * link.rtt_ms / 1000.0
    sender, receiver = plan.vm(link.src), plan.vm(link.dst)
    cap = min(sender.egress_gbps, receiver.ingress_gbps)
    if cloud_of(link.src) != cloud_of(link.dst):
        cap = min(cap, sender.egress_public_gbps)
    return max(link.gbps, min(cap, link.gbps * ramp.test_s / (ramp.test_s - start_up_s)))


def open_between(plans: Sequence[Plan]) -> dict[Ends, int]:
    """Connections of all Plans between each two gateways."""
    beside: dict[Ends, int] = {}
    for plan in plans:
        lanes: Sequence[Lane | TreeLane] = plan.lanes or plan.tree_lanes
        for lane in lanes:
            for edge, count in zip(_edges(lane), lane.connections, strict=True):
                beside[edge] = beside.get(edge, 0) + count
    return beside


def lines_of(
    job: int, plan: Plan, world: World, beside: Mapping[Ends, int], *, apart: bool
) -> list[Line]:
    """The lanes of a Plan with all their connections, shut."""
    lanes: Sequence[Lane | TreeLane] = plan.lanes or plan.tree_lanes
    found = []
    for number, lane in enumerate(lanes):
        line = _line(job, number, lane, plan, world)
        caps = [
            _cap_gbps(link, plan, world, beside[ends])
            for ends, link in zip(line.edges, line.links, strict=True)
        ]
        if apart:
            for edge in range(len(line.edges)):
                count = world.connections_per_hop or lane.connections[edge]
                _connect(line, (edge,), count, caps[edge], world)
        else:
            _connect(line, tuple(range(len(line.edges))), line.pace.connections, min(caps), world)
        found.append(line)
    return found


def _edges(lane: Lane | TreeLane) -> tuple[Ends, ...]:
    return lane.hops if isinstance(lane, Lane) else lane.edges


def _line(job: int, number: int, lane: Lane | TreeLane, plan: Plan, world: World) -> Line:
    edges = _edges(lane)
    links = tuple(plan.link(src, dst) for src, dst in edges)
    receivers = [dst for _, dst in edges]
    gbps = lane.gbps
    if world.work_conserving:
        gbps = min(
            capacity_gbps(link, plan, world) * (min(count, 64) / 64) ** world.saturation
            for link, count in zip(links, lane.connections, strict=True)
        )
    at_once = world.connections_per_hop or max(lane.connections)
    return Line(
        job=job,
        lane=number,
        source=edges[0][0],
        edges=edges,
        links=links,
        parents=tuple(receivers.index(src) if src in receivers else -1 for src, _ in edges),
        ends=tuple(
            at
            for at, dst in enumerate(receivers)
            if region_of_gateway(dst) in plan.job.destinations
        ),
        pace=LanePace(gbps=gbps, connections=at_once),
        waiting={at: [] for at in range(len(edges))},
        held=dict.fromkeys(range(len(edges)), 0),
    )


def _cap_gbps(link: Link, plan: Plan, world: World, beside: int) -> float:
    if world.connections_per_hop is not None:
        return math.inf
    share = float((min(beside, 64) / 64) ** (world.saturation - 1.0))
    return capacity_gbps(link, plan, world) / 64 * share


def _connect(line: Line, edges: tuple[int, ...], count: int, cap: float, world: World) -> None:
    size, drawn = count, [1.0]
    if world.stragglers is not None:
        size = world.stragglers.group
        names = [f"{src}>{dst}" for src, dst in (line.edges[edge] for edge in edges)]
        drawn = world.stragglers.factors(world.seed, -(-count // size), *names)
        cap = line.pace.gbps / count if cap == math.inf else cap
    rtts = [line.links[edge].rtt_ms for edge in edges]
    weight = 1.0 if world.fairness == "maxmin" else 100.0 / sum(rtts)
    opens_s = 0.0
    if world.ramp is not None:
        opens_s = world.ramp.base_s + world.ramp.rtts * max(rtts) / 1000.0
    for at, factor in enumerate(drawn):
        team = [
            Connection(line, edges, cap * factor, weight, opens_s)
            for _ in range(min(size, count - at * size))
        ]
        line.teams.append(team)


def seconds_a_gigabit(team: Sequence[Connection]) -> float:
    """How long one of the team takes for a Gbit while they alone are busy."""
    most = min(team[0].line.pace.gbps, len(team) * team[0].cap_gbps)
    return len(team) / most


def fill(
    flowing: Iterable[Connection], plans: Sequence[Plan], world: World, now: Mapping[Ends, float]
) -> None:
    """Set all rates: they rise together; one stops at its cap, or where something is full.

    `now` has the rate of links that have changed.
    """
    rising = set(flowing)
    capacity: dict[Row, float] = {}
    uses: dict[Row, dict[Connection, float]] = {}
    for connection in rising:
        for row, amount, most in _rows(connection, plans, world, now):
            capacity[row] = most
            mine = uses.setdefault(row, {})
            mine[connection] = mine.get(connection, 0.0) + amount * connection.weight
    left, level = dict(capacity), 0.0
    while rising:
        demand = {row: math.fsum(a for c, a in uses[row].items() if c in rising) for row in uses}
        used = [row for row in uses if demand[row] > 0]
        step = min(
            [max(left[row], 0.0) / demand[row] for row in used]
            + [c.cap_gbps / c.weight - level for c in rising]
        )
        level += step
        for row in used:
            left[row] -= step * demand[row]
        full = [row for row in used if left[row] <= _FULL * capacity[row]]
        stopped = {c for row in full for c in uses[row] if c in rising}
        stopped |= {c for c in rising if c.cap_gbps / c.weight <= level * (1 + _SAME)}
        for connection in stopped:
            connection.rate = connection.weight * level
        rising -= stopped


def _rows(
    connection: Connection, plans: Sequence[Plan], world: World, now: Mapping[Ends, float]
) -> list[tuple[Row, float, float]]:
    """(what, how much of it a Gbit/s takes, how much there is) for one connection."""
    line, plan = connection.line, plans[connection.line.job]
    rows: list[tuple[Row, float, float]] = [
        (("pace", id(line), connection.edges), 1.0, line.pace.gbps)
    ]
    for edge in connection.edges:
        (src, dst), link = line.edges[edge], line.links[edge]
        base = capacity_gbps(link, plan, world)
        current = now.get((link.src, link.dst), base)
        share = 1.0 / max(base, current)
        sender, receiver = plan.vm(src), plan.vm(dst)
        rows += [
            (("time out", src), share, 1.0),
            (("time in", dst), share, 1.0),
            (("egress", src), 1.0, sender.egress_gbps),
            (("ingress", dst), 1.0, receiver.ingress_gbps),
        ]
        if cloud_of(link.src) != cloud_of(link.dst):
            rows.append((("public egress", src), 1.0, sender.egress_public_gbps))
        if (link.src, link.dst) in now:
            rows.append((("link", src, dst), 1.0, current))
    return rows
