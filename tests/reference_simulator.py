"""A second simulator, slow and plain, to hold the real one to: every connection is an object.

It shares nothing with `simulator/` but the values (World, Plan) and the pure rules of
`planner/dispatch.py`. Time is one float, every event solves all rates anew by progressive filling
over single connections, and each chunk is handed out by itself. Real units (no scale), no noise,
no packet loss, no stores, no replanning; no gateway is lost twice, or before a Job that needs it.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from datasets.regions import region_of_gateway
from datasets.units import gigabits
from planner.dispatch import static_shares, takes_next
from planner.plan import Plan
from simulator.world import World
from tests.reference_lines import (
    Connection,
    Ends,
    Line,
    Piece,
    Pool,
    capacity_gbps,
    fill,
    lines_of,
    open_between,
    seconds_a_gigabit,
)

_DONE = 1e-9  # of a piece: so little of it left is none
_SAME = 1e-12  # of the clock: so near are one instant


@dataclass(slots=True)
class Chunk:
    """A part of one object, and how often it was begun and acknowledged."""

    size: int
    overhead_s: float
    begun: int = 0
    begun_s: float = 0.0
    acknowledged: int = 0


class Reference:
    """`run` moves everything; then `makespan_s`, `bytes_by_lane`, `failed` and the rest hold."""

    def __init__(self, plans: Sequence[Plan], world: World) -> None:
        self.plans, self.world = plans, world
        self.now = 0.0
        self.is_stuck = False  # nothing moves, and nothing will change that
        self.resent_bytes = 0
        self.slowest_chunk_s = 0.0
        self.began_s: list[float] = []
        self.acknowledged_s: list[float] = []
        self.bytes_by_lane: dict[tuple[int, int], int] = {}
        self.chunks: list[Chunk] = []
        self.lines: list[Line] = []
        self.pools: list[Pool] = []
        self._apart = world.relays == "store_and_forward" or world.relay_buffer_bytes is not None
        self._by_record = self._apart and world.relays == "cut_through"
        self._links: dict[Ends, float] = {}
        self._lost: set[str] = set()
        self._ready_s: dict[str, float] = {}
        self._began = False
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        for job, plan in enumerate(plans):
            lines = lines_of(job, plan, world, open_between(plans), apart=self._apart)
            self.lines += lines
            self.pools += [self._pool(job, plan, name, lines) for name in plan.job.sources]
            start_s = world.starts_s[job] if job < len(world.starts_s) else 0.0
            self._after(start_s, lambda job=job: self._ask_for(job))  # type: ignore[misc]

    @property
    def makespan_s(self) -> float:
        """First chunk begun to last acknowledged."""
        return max(self.acknowledged_s) - min(self.began_s) if self.acknowledged_s else 0.0

    @property
    def failed(self) -> set[int]:
        """The Jobs that were given up."""
        return {pool.job for pool in self.pools if pool.failed}

    def _pool(self, job: int, plan: Plan, source: str, lines: Sequence[Line]) -> Pool:
        own = [line for line in lines if region_of_gateway(line.source) == source]
        pool = Pool(job=job, lines=own, dynamic=self.world.dispatch == "dynamic")
        pool.parts = [] if pool.dynamic else [deque() for _ in own]
        first = len(self.chunks)
        chunk_bytes = self.world.chunk_size(plan.job)
        for size in self.world.object_sizes(plan.job):
            for offset in range(0, size, chunk_bytes):
                overhead_s = self.world.object_overhead_s if offset == 0 else 0.0
                overhead_s += self.world.chunk_overhead_s
                self.chunks.append(Chunk(min(chunk_bytes, size - offset), overhead_s))
        numbers = list(range(first, len(self.chunks)))
        pool.pending = len(numbers)
        if pool.dynamic:
            pool.queue.extend(numbers)
        else:
            self._share_out(pool, numbers, own)
        return pool

    # --- The loop.

    def run(self) -> Reference:
        while any(pool.pending for pool in self.pools):
            self._assign()
            for connection in self._connections():
                connection.rate = 0.0
            fill(self._flowing(), self.plans, self.world, self._links)
            times_s = [self.now + c.left / c.rate for c in self._flowing() if c.rate > 0]
            times_s += [c.flows_from_s for c in self._carrying() if c.flows_from_s > self.now]
            times_s += [at_s for at_s, _, _ in self._agenda[:1]]
            if not times_s:
                self.is_stuck = True
                return self
            self._advance(min(times_s))
            if self._agenda and self._agenda[0][0] <= self.now * (1 + _SAME):
                heapq.heappop(self._agenda)[2]()
        return self

    def _advance(self, to_s: float) -> None:
        flowing = self._flowing()
        for connection in flowing:
            connection.left -= connection.rate * (to_s - self.now)
        self.now = to_s
        for connection in self._carrying():
            if abs(connection.flows_from_s - to_s) <= _SAME * to_s:
                connection.flows_from_s = to_s
        for connection in flowing:
            piece = connection.carries
            if piece is not None and connection.left <= _DONE * gigabits(self._bytes(piece)):
                self._through(connection, piece)

    def _after(self, delay_s: float, what: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._agenda, (self.now + delay_s, self._number, what))

    def _connections(self) -> list[Connection]:
        return [connection for line in self.lines for connection in line.connections]

    def _carrying(self) -> list[Connection]:
        return [c for c in self._connections() if c.carries is not None]

    def _flowing(self) -> list[Connection]:
        return [c for c in self._carrying() if c.flows_from_s <= self.now]

    def _records(self, chunk: int) -> int:
        return -(-self.chunks[chunk].size // self.world.record_bytes) if self._by_record else 1

    def _bytes(self, piece: Piece) -> int:
        size = self.chunks[piece[0]].size
        if not self._by_record:
            return size
        return min(self.world.record_bytes, size - piece[1] * self.world.record_bytes)

    # --- A chunk or a record is across.

    def _through(self, connection: Connection, piece: Piece) -> None:
        line, (chunk, record) = connection.line, piece
        connection.carries = None
        if not self._apart:
            self._acknowledge(line, chunk)
            return
        if connection.asks and record + 1 < self._records(chunk):
            connection.waits_to_send = (chunk, record + 1)
        (edge,) = connection.edges
        if line.parents[edge] >= 0:
            line.held[edge] -= self._bytes(piece)
        for child in line.children(edge):
            line.waiting[child].append(piece)
        across = line.over[edge, chunk] = line.over.get((edge, chunk), 0) + 1
        if edge in line.ends and across == self._records(chunk):
            line.reached[chunk] = line.reached.get(chunk, 0) + 1
            if line.reached[chunk] == len(line.ends):
                self._acknowledge(line, chunk)

    def _acknowledge(self, line: Line, chunk: int) -> None:
        self.chunks[chunk].acknowledged += 1
        self.slowest_chunk_s = max(self.slowest_chunk_s, self.now - self.chunks[chunk].begun_s)
        self.acknowledged_s.append(self.now)
        key = (line.job, line.lane)
        self.bytes_by_lane[key] = self.bytes_by_lane.get(key, 0) + self.chunks[chunk].size
        self._pool_of(line).pending -= 1

    def _pool_of(self, line: Line) -> Pool:
        return next(pool for pool in self.pools if line in pool.lines)

    # --- Handing out.

    def _assign(self) -> None:
        for connection in self._connections():
            piece = connection.waits_to_send
            if piece is not None and self._has_room(connection, piece):
                connection.waits_to_send = None
                self._carry(connection, piece)
        for pool in self.pools:
            self._hand_out(pool)
        for connection in self._connections():
            if not connection.asks and connection.is_free:
                waiting = connection.line.waiting[connection.edges[0]]
                if waiting and self._has_room(connection, waiting[0]):
                    self._carry(connection, waiting.pop(0))

    def _has_room(self, connection: Connection, piece: Piece) -> bool:
        most = self.world.relay_buffer_bytes
        line, size = connection.line, self._bytes(piece)
        after = line.children(connection.edges[0])
        return most is None or all(line.held[child] + size <= most for child in after)

    def _carry(self, connection: Connection, piece: Piece, overhead_s: float = 0.0) -> None:
        connection.carries = piece
        connection.left = gigabits(self._bytes(piece))
        connection.flows_from_s = max(self.now, connection.carries_from_s) + overhead_s
        if self._apart:
            for child in connection.line.children(connection.edges[0]):
                connection.line.held[child] += self._bytes(piece)

    def _hand_out(self, pool: Pool) -> None:
        """Fastest teams first; where chunks are fewer than free connections, one each in turn."""
        teams = [t for line in pool.lines for t in line.teams if t[0].asks and _free(t)]
        teams.sort(key=seconds_a_gigabit)
        free = sum(len(_free(team)) for team in teams)
        most = 1 if len(teams) > 1 and pool.left < free else free
        while pool.left and pool.pending and teams:
            teams = [team for team in teams if self._takes(pool, team, most)]

    def _takes(self, pool: Pool, team: Sequence[Connection], most: int) -> bool:
        """The team takes up to so many chunks; whether it may ask again."""
        line = team[0].line
        for connection in _free(team)[:most]:
            queue = pool.queue if pool.dynamic else pool.parts[pool.lines.index(line)]
            if queue and not self._has_room(connection, (queue[0], 0)):
                return False
            if not queue or not self._may_take(pool, line, queue):
                for other in _free(team):
                    other.retired = True
                return False
            self._begin(connection, queue.popleft())
        return bool(_free(team))

    def _may_take(self, pool: Pool, line: Line, queue: Sequence[int]) -> bool:
        if not pool.dynamic:
            return True
        living = pool.living
        unassigned = sum(self.chunks[chunk].size for chunk in queue)
        paces = [each.pace for each in living]
        return takes_next(living.index(line), paces, self.chunks[queue[0]].size, unassigned)

    def _begin(self, connection: Connection, chunk: int) -> None:
        about, line = self.chunks[chunk], connection.line
        self.began_s.append(self.now)
        self.resent_bytes += about.size if about.begun else 0
        about.begun += 1
        about.begun_s = self.now
        self._carry(connection, (chunk, 0), about.overhead_s)
        if self._apart:
            for root in line.children(-1)[1:]:
                line.waiting[root] += [(chunk, at) for at in range(self._records(chunk))]

    def _share_out(self, pool: Pool, chunks: Sequence[int], lines: Sequence[Line]) -> None:
        left = deque(chunks)
        counts = static_shares(len(left), [line.pace.gbps for line in lines])
        for line, count in zip(lines, counts, strict=True):
            pool.parts[pool.lines.index(line)].extend(left.popleft() for _ in range(count))

    # --- Jobs start, lines open and close.

    def _ask_for(self, job: int) -> None:
        names = self.plans[job].gateways
        for name in names:
            if name not in self._ready_s:
                delay_s = self.world.provisioning.delay_s(name, self.world.seed)
                self._ready_s[name] = self.now + delay_s
        ready_s = max(self._ready_s[name] for name in names)
        self._after(max(0.0, ready_s - self.now), lambda: self._start(job))

    def _start(self, job: int) -> None:
        self._open([line for line in self.lines if line.job == job and not line.down])
        if self._began:
            return
        self._began = True
        for change in sorted(self.world.link_changes, key=lambda each: each.at_s):
            ends, gbps = (change.src, change.dst), change.gbps
            self._links[ends] = self._planned(ends)
            self._after(change.at_s, lambda e=ends, g=gbps: self._change(e, g))  # type: ignore[misc]
        for loss in self.world.losses:
            name = loss.gateway
            if loss.notice_s:
                early_s = max(0.0, loss.at_s - loss.notice_s)
                self._after(early_s, lambda name=name: self._notice(name))  # type: ignore[misc]
            self._after(loss.at_s, lambda name=name: self._lose(name))  # type: ignore[misc]

    def _open(self, lines: Sequence[Line]) -> None:
        for line in lines:
            line.down = line.shut = False
        for line in lines:
            for connection in line.connections:
                if not connection.open:
                    connection.open = True
                    connection.carries_from_s = self.now + connection.opens_s
        for pool in self.pools:
            if any(line in pool.lines for line in lines):
                self._renewed(pool)

    def _renewed(self, pool: Pool) -> None:
        """Who declined may ask again; in fixed shares the dead leave theirs to the living."""
        for line in pool.lines:
            for connection in line.connections:
                connection.retired = False
        living = [line for line in pool.lines if not (line.down or line.shut)]
        if pool.dynamic or not living:
            return
        orphans: list[int] = []
        for line, part in zip(pool.lines, pool.parts, strict=True):
            if line not in living:
                orphans += part
                part.clear()
        if orphans:
            self._share_out(pool, orphans, living)

    def _break(self, line: Line, broken: set[int]) -> list[int]:
        """The line is down. What is beyond its last broken edge goes on, if chunks are whole."""
        line.down = True
        kept: set[int] = set()
        if self._apart and not self._by_record and line.is_chain:
            kept = set(range(max(broken) + 1, len(line.edges)))
        lost: set[int] = set()
        for connection in line.connections:
            if not set(connection.edges) <= kept:
                pieces = (connection.carries, connection.waits_to_send)
                lost |= {piece[0] for piece in pieces if piece is not None}
                connection.close()
        for edge in range(len(line.edges)):
            if edge not in kept:
                lost |= {chunk for chunk, _ in line.waiting[edge]}
                line.waiting[edge].clear()
            crossing = [c.carries for c in line.connections if c.edges == (edge,) and c.carries]
            line.held[edge] = sum(self._bytes(p) for p in (*line.waiting[edge], *crossing))
        for chunk in lost:
            line.reached.pop(chunk, None)
            for edge in range(len(line.edges)):
                line.over.pop((edge, chunk), None)
        self._renewed(self._pool_of(line))
        return sorted(lost)

    def _put_back(self, pool: Pool, chunks: Sequence[int]) -> None:
        if pool.pending and chunks:
            if pool.dynamic:
                pool.queue.extendleft(reversed(chunks))
            else:
                living = [line for line in pool.lines if not (line.down or line.shut)]
                self._share_out(pool, chunks, living or pool.lines)
            self._renewed(pool)

    # --- Links change.

    def _planned(self, ends: Ends) -> float:
        plan = next(p for p in self.plans if any((e.src, e.dst) == ends for e in p.links))
        return capacity_gbps(plan.link(*ends), plan, self.world)

    def _change(self, ends: Ends, gbps: float | None) -> None:
        before = self._links[ends]
        now = self._links[ends] = self._planned(ends) if gbps is None else gbps
        if now == 0.0 and before > 0.0 and self.world.recovery != "none":
            self._after(self.world.detection_s, lambda: self._outage(ends))
        elif now > 0.0 and before == 0.0:
            self._open([line for line in self.lines if line.down and self._may_open(line)])

    def _may_open(self, line: Line) -> bool:
        links = {(link.src, link.dst) for link in line.links}
        whole = all(self._links.get(ends, math.inf) > 0.0 for ends in links)
        return whole and not line.gateways & self._lost

    def _outage(self, ends: Ends) -> None:
        if self._links[ends] > 0.0:
            return
        hit = [line for line in self.lines if line.uses(ends) and not line.down]
        for pool, chunks in self._break_all(
            hit, lambda line: [(link.src, link.dst) == ends for link in line.links]
        ):
            self._put_back(pool, chunks)

    def _break_all(
        self, hit: Sequence[Line], where: Callable[[Line], Sequence[bool]]
    ) -> list[tuple[Pool, list[int]]]:
        """Lines go down together; none inherits from another that dies at the same instant."""
        for line in hit:
            line.down = True
        return [
            (
                self._pool_of(line),
                self._break(line, {at for at, gone in enumerate(where(line)) if gone}),
            )
            for line in hit
        ]

    # --- VMs die.

    def _notice(self, name: str) -> None:
        for line in self.lines:
            if name in line.gateways:
                line.shut = True
                for connection in line.connections:
                    if connection.asks:
                        connection.open = connection.retired = False
                self._renewed(self._pool_of(line))

    def _lose(self, name: str) -> None:
        self._lost.add(name)
        hit = [line for line in self.lines if name in line.gateways]
        gone = self._break_all(hit, lambda line: [name in edge for edge in line.edges])
        self._after(self.world.detection_s, lambda: self._noticed(name, hit, gone))

    def _noticed(
        self, name: str, hit: Sequence[Line], gone: Sequence[tuple[Pool, list[int]]]
    ) -> None:
        for pool, chunks in gone:
            self._put_back(pool, chunks)
        if self.world.recovery == "replace":
            delay_s = self.world.provisioning.delay_s(name, self.world.seed)
            self._after(delay_s, lambda: self._replaced(name, hit))
            return
        jobs = {line.job for line in hit}
        for pool in self.pools:
            stands = any(line.is_open or not line.down for line in pool.lines)
            stands = stands or 0.0 in self._links.values()
            if pool.job in jobs and pool.pending and not (stands and self._goes_on):
                pool.failed, pool.pending = True, 0
                for line in pool.lines:  # what is given up takes nothing from the others
                    for connection in line.connections:
                        connection.close()
                    for waiting in line.waiting.values():
                        waiting.clear()

    @property
    def _goes_on(self) -> bool:
        return self.world.recovery != "none"

    def _replaced(self, name: str, hit: Sequence[Line]) -> None:
        self._lost.discard(name)
        self._open([line for line in hit if self._may_open(line)])


def _free(team: Sequence[Connection]) -> list[Connection]:
    return [connection for connection in team if connection.is_free]
