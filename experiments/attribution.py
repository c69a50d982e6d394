"""Where executed and simulated part: seconds of their difference, each with its cause.

A makespan is a loss at the start, all bytes at the steady rate, and a loss in the tail:

    start  = first acknowledgement − bytes by then / steady rate
    tail   = (end − queue empty) − bytes after that / steady rate
    steady = all bytes / steady rate          (steady rate: between those two moments)

The difference of two steady terms is split over the paths by how much each is slower. The parts sum
to the whole difference. All of it comes from the two event tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.progress import Array, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Seconds that `cause` adds to the executed makespan over the simulated one."""

    cause: str
    seconds: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    start_s: float
    tail_s: float
    rates: Sequence[float]  # Gbit/s of each path while steady
    gigabits: float

    @property
    def rate(self) -> float:
        return sum(self.rates)


def attribution(
    simulated: Progress, executed: Progress, names: Sequence[str], *, cpu_bound: bool
) -> tuple[Part, ...]:
    """The parts of executed − simulated makespan, in seconds; `names` are those of the paths.

    Where the CPU bound the run, what paths lost while steady is the CPU's.
    """
    sim, real = _terms(simulated), _terms(executed)
    # bytes/real − bytes/sim = bytes·(sim − real)/(sim·real), and sim − real is a sum over paths.
    per_gbps = real.gigabits / (sim.rate * real.rate)
    slower = [(s - r) * per_gbps for s, r in zip(sim.rates, real.rates, strict=True)]
    parts = [
        Part(
            cause="start-up",
            seconds=real.start_s - sim.start_s,
            why="until the first chunk is acknowledged, beyond what the steady rate would need",
        )
    ]
    for name, seconds, s, r in zip(names, slower, sim.rates, real.rates, strict=True):
        parts.append(
            Part(
                cause=f"steady rate of {name}",
                seconds=0.0 if cpu_bound else seconds,
                why=f"{r:.4g} Gbit/s executed, {s:.4g} simulated",
            )
        )
    parts.append(
        Part(
            cause="CPU",
            seconds=sum(slower) if cpu_bound else 0.0,
            why="the machine's CPU bound the run: the steady rates are its, not the links'"
            if cpu_bound
            else "did not bind",
        )
    )
    parts.append(
        Part(
            cause="tail",
            seconds=real.tail_s - sim.tail_s,
            why="from the empty queue to the last acknowledgement, beyond the steady rate's need",
        )
    )
    other = (real.gigabits - sim.gigabits) / sim.rate
    if abs(other) > 1e-9:
        parts.append(Part(cause="bytes", seconds=other, why="another number of bytes was moved"))
    return tuple(parts)


def _terms(progress: Progress) -> _Terms:
    """A run with no time between first acknowledgement and empty queue is steady throughout."""
    from_s, to_s = progress.first_s, progress.empty_s
    by = _by(progress, from_s, to_s)
    if to_s <= from_s or not sum(path[1] - path[0] for path in by) > 0:
        from_s, to_s = 0.0, progress.end_s
        by = _by(progress, from_s, to_s)
    moved = np.sum(by, axis=0)
    rates = [float(path[1] - path[0]) / (to_s - from_s) for path in by]
    rate = sum(rates)
    return _Terms(
        start_s=from_s - float(moved[0]) / rate,
        tail_s=(progress.end_s - to_s) - float(moved[2] - moved[1]) / rate,
        rates=rates,
        gigabits=float(moved[2]),
    )


def _by(progress: Progress, from_s: float, to_s: float) -> list[Array]:
    """For each path, the gigabits moved at those two moments and at the end."""
    at = np.array([from_s, to_s, progress.end_s])
    return [progress.gigabits_by(path, at) for path in range(len(progress.curves))]
