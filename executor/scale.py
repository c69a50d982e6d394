"""The local provider's scale: b·bytes at k·rates, so that a run is short and the machine keeps up.

The sum of the rates over all hops stays well below what the machine was measured to carry, so that
the network sets the pace and not the processor. Real seconds are wall seconds × k/b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from datasets.canonical import Json
from datasets.units import MEBIBYTE, bytes_per_s
from executor.ways import ways_of
from planner.plan import Plan

# A run's wall time, if the machine allows it; and the share of the machine's measured rate that the
# hops together may use: with more, wake-ups come late and the processor shows in the figures.
WALL_S = 8.0
MOST_WALL_S = 30.0
MACHINE_SHARE = 0.05
MOST_MACHINE_SHARE = 0.35
# What a sample transfer moves at most: enough to leave start-up behind, little to write.
MOST_SAMPLE_BYTES = 192 * MEBIBYTE
CONNECTIONS = 2
# A chunk takes the slowest lane no more than this share of the run, for the tail to stay small.
CHUNK_SHARE = 0.004
RECORD_S = 0.01
# A lane counts as slow only if it carries this share of a lane's average.
COUNTED_SHARE = 0.1
LEAST_CHUNK_BYTES = 64 * 1024
MOST_CHUNK_BYTES = 8 * MEBIBYTE
LEAST_RECORD_BYTES = 16 * 1024
MOST_RECORD_BYTES = MEBIBYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How a local run relates to the real transfer."""

    rate_scale: float  # k
    size_scale: float  # b
    moved_bytes: int
    chunk_bytes: int
    record_bytes: int
    connections: int
    machine_gbps: float

    def with_chunks_of(self, chunk_bytes: int) -> Scale:
        """The same in chunks of another size: that of an attempt that is gone on from."""
        record_bytes = math.gcd(chunk_bytes, self.record_bytes)
        return replace(self, chunk_bytes=chunk_bytes, record_bytes=record_bytes)

    def as_json(self) -> dict[str, Json]:
        """As in a manifest."""
        return {
            "rate_scale": self.rate_scale,
            "size_scale": self.size_scale,
            "moved_bytes": self.moved_bytes,
            "chunk_bytes": self.chunk_bytes,
            "record_bytes": self.record_bytes,
            "connections": self.connections,
            "machine_gbps": round(self.machine_gbps, 3),
        }


def hop_sum_gbps(plan: Plan) -> float:
    """The sum of all rates on all hops: what the machine has to carry at k = 1."""
    return sum(way.gbps * len(way.edges) for way in ways_of(plan))


def scale_for(
    plan: Plan, *, machine_gbps: float, moved_bytes: int | None = None, wall_s: float = WALL_S
) -> Scale:
    """The scale of a local run of `plan`.

    With `moved_bytes` the whole source is moved, whatever it takes (b is its share of the Job);
    without, a sample is moved for about `wall_s` seconds.
    """
    total_gbps = plan.predicted.throughput_gbps
    rate = min(1.0, MACHINE_SHARE * machine_gbps / hop_sum_gbps(plan))
    if moved_bytes is None:
        sample = bytes_per_s(total_gbps * rate) * wall_s
        if sample > MOST_SAMPLE_BYTES:
            rate *= MOST_SAMPLE_BYTES / sample
            sample = MOST_SAMPLE_BYTES
        moved = max(min(int(sample), plan.job.size_bytes), 1)
    else:
        moved = moved_bytes
        needed = moved / bytes_per_s(total_gbps) / MOST_WALL_S
        most = MOST_MACHINE_SHARE * machine_gbps / hop_sum_gbps(plan)
        rate = min(max(rate, needed), max(most, rate))
    connections = CONNECTIONS
    # Lanes of next to nothing leave the tail to the others (planner/dispatch.py).
    ways = ways_of(plan)
    least_gbps = COUNTED_SHARE * total_gbps / len(ways)
    slowest = min(way.gbps for way in ways if way.gbps >= least_gbps) * rate
    seconds = max(moved, 1) / bytes_per_s(total_gbps * rate)
    chunk = bytes_per_s(slowest) * seconds * CHUNK_SHARE / connections
    chunk_bytes = _power_of_two(chunk, LEAST_CHUNK_BYTES, MOST_CHUNK_BYTES)
    record = bytes_per_s(slowest) * RECORD_S
    record_bytes = _power_of_two(record, LEAST_RECORD_BYTES, min(MOST_RECORD_BYTES, chunk_bytes))
    return Scale(
        rate_scale=rate,
        size_scale=moved / plan.job.size_bytes if moved else 1.0,
        moved_bytes=moved,
        chunk_bytes=chunk_bytes,
        record_bytes=record_bytes,
        connections=connections,
        machine_gbps=machine_gbps,
    )


def _power_of_two(value: float, least: int, most: int) -> int:
    """The largest power of two up to `value`, within bounds that are powers of two."""
    size = least
    while size * 2 <= min(value, most):
        size *= 2
    return size
