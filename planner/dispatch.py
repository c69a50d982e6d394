"""Which chunk goes next, and where: pure rules that the simulator and the executor both follow.

Dynamic: chunks leave one shared queue in order; whichever connection is free asks `takes_next`.
Static: `static_shares` gives each lane its number of chunks before the transfer begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from datasets.units import gigabits

if TYPE_CHECKING:  # who counts chunks needs no Plan
    from planner.plan import Lane, Plan

Dispatch = Literal["dynamic", "static"]

# A published throughput is that of 64 connections; more add nothing (Skyplane, NSDI '23, and
# DESIGN.md: linear up to 64, flat beyond).
FULL_CONNECTIONS = 64

# Two lanes whose time for a chunk differs by less than this share are equally fast: the last bits
# of an arithmetic decide nothing.
_TIE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePace:
    """What a lane is good for: its planned (or capped) rate, shared by its connections."""

    gbps: float
    connections: int

    def __post_init__(self) -> None:
        if not self.gbps > 0 or self.connections < 1:
            raise ValueError(f"a lane needs a rate and a connection, not {self}")

    def chunk_s(self, chunk_bytes: int) -> float:
        """Seconds that one connection takes for a chunk while all of them are busy."""
        return gigabits(chunk_bytes) * self.connections / self.gbps


def takes_next(
    lane: int, paces: Sequence[LanePace], chunk_bytes: int, unassigned_bytes: int
) -> bool:
    """Whether a free connection of `lane` takes the queue's next chunk.

    `unassigned_bytes` are those of the whole queue, the next chunk included. The lane leaves the
    chunk to faster ones if it would still be busy with it when they could have finished all that
    is left. A fastest lane never declines, so the queue always drains.
    """
    return unassigned_bytes >= least_unassigned_bytes(lane, paces, chunk_bytes)


def least_unassigned_bytes(lane: int, paces: Sequence[LanePace], chunk_bytes: int) -> float:
    """The smallest queue from which `lane` still takes a chunk of that size; 0: always.

    It takes one if: own time <= queue / (sum of the faster lanes' paces) + their least own time.
    Only faster lanes count: slower ones would decline too, and a thin lane that is quick at one
    chunk must not be left with a queue that the others could have shared.
    """
    return every_least_unassigned(paces, chunk_bytes)[lane]


def every_least_unassigned(paces: Sequence[LanePace], chunk_bytes: int) -> list[float]:
    """`least_unassigned_bytes` of each lane, in one pass over the lanes from the fastest on."""
    own_s = [pace.chunk_s(chunk_bytes) for pace in paces]
    order = sorted(range(len(paces)), key=own_s.__getitem__)
    least_s = own_s[order[0]] if order else 0.0
    guards = [0.0] * len(paces)
    faster, gbps = 0, 0.0  # how many of `order` are faster, and their paces' sum
    for lane in order:
        while own_s[order[faster]] < own_s[lane] * (1 - _TIE):
            gbps += paces[order[faster]].gbps
            faster += 1
        if faster:
            guards[lane] = (own_s[lane] - least_s) * gbps / gigabits(1)
    return guards


def chunk_count(object_bytes: int, chunk_bytes: int) -> int:
    """How many chunks an object has: derived, so that nobody can claim another number."""
    return -(-object_bytes // chunk_bytes)


def static_shares(chunks: int, shares: Sequence[float]) -> tuple[int, ...]:
    """`chunks` split in proportion to `shares` by largest remainder, earlier lanes first.

    >>> static_shares(10, [0.5, 0.3, 0.2]), static_shares(2, [1, 1, 1])
    ((5, 3, 2), (1, 1, 0))

    Raises: ValueError if there is no positive share.
    """
    total = sum(shares)
    if not total > 0 or min(shares) < 0:
        raise ValueError("shares must not be negative, and one must be positive")
    exact = [chunks * share / total for share in shares]
    # A share like 4.999999999 is a 5 that an arithmetic has touched.
    counts = [int(value + _TIE) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda lane: counts[lane] - exact[lane])
    for lane in by_remainder[: chunks - sum(counts)]:
        counts[lane] += 1
    return tuple(counts)


def hop_gbps(gbps: float, connections: int) -> float:
    """What `connections` carry of a link measured at `gbps`: linear up to 64, flat beyond."""
    return gbps * min(connections, FULL_CONNECTIONS) / FULL_CONNECTIONS


def lane_cap_gbps(plan: Plan, lane: Lane, work_conserving: bool) -> float:
    """The most a lane may carry: its planned rate, or what its connections carry on each hop."""
    if not work_conserving:
        return lane.gbps
    return min(
        hop_gbps(plan.link(src, dst).gbps, connections)
        for (src, dst), connections in zip(lane.hops, lane.connections, strict=True)
    )


def lane_connections(lane: Lane, connections_per_hop: int | None = None) -> int:
    """How many chunks a lane has under way at once: its widest hop's connections, or the override.

    A narrow hop carries the same flow on fewer, faster connections.
    """
    return connections_per_hop if connections_per_hop is not None else max(lane.connections)
