"""Where two Runs of a Plan part: seconds of their difference, each with its cause.

A makespan is a loss at the start, all bytes at the steady rate, and a loss in the tail:

    start  = first acknowledgement − bytes by then / steady rate
    tail   = (end − queue empty) − bytes after that / steady rate
    steady = all bytes / steady rate          (steady rate: between those two moments)

The difference of two steady terms is split over the paths by how much each is slower. The parts sum
to the whole difference. All of it comes from the two event tables. `difference.py` finds what a
Side needs beside its Progress, for any two Runs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.progress import Array, Progress

# A steady phase shorter than this share of the whole, or that moves less, says nothing of rates.
_LEAST_STEADY = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Seconds that `cause` adds to the second makespan over the first one."""

    cause: str
    seconds: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two: its Progress, and what of it was not the links'.

    `slow_gbps` has, for each curve, how much it stayed below its siblings (all 0 by default);
    `slow_tail_s` and `lost_tail_s` are what of the tail came from a straggler, and from chunks that
    were sent again; `lost` are the curves that lost a gateway or connection. `label` is the word
    for it in sentences.
    """

    label: str
    progress: Progress
    slow_gbps: Sequence[float] = ()
    slow_tail_s: float = 0.0
    lost: Collection[int] = ()
    lost_tail_s: float = 0.0

    def slow(self, curve: int) -> float:
        """Gbit/s that the curve stayed below its siblings."""
        return self.slow_gbps[curve] if self.slow_gbps else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A makespan taken apart: `start_s` + `gigabits` / (sum of `rates`) + `tail_s` is all of it."""

    start_s: float
    tail_s: float
    rates: Sequence[float]  # Gbit/s of each curve while steady
    gigabits: float

    @property
    def rate(self) -> float:
        """Gbit/s while steady."""
        return sum(self.rates)


def attribution(
    simulated: Progress, executed: Progress, names: Sequence[str], *, cpu_bound: bool
) -> tuple[Part, ...]:
    """The parts of executed − simulated makespan, in seconds; `names` are those of the paths.

    Where the CPU bound the run, what paths lost while steady is the CPU's.
    """
    parts = parts_between(
        Side(label="simulated", progress=simulated),
        Side(label="executed", progress=executed),
        names,
        cpu_bound=cpu_bound,
    )
    shown = ("straggler", "losses and recovery", "bytes")
    return tuple(part for part in parts if part.cause not in shown or abs(part.seconds) > 1e-9)


def parts_between(
    first: Side,
    second: Side,
    names: Sequence[str],
    *,
    cpu_bound: bool,
    of: Sequence[int] | None = None,
) -> tuple[Part, ...]:
    """The parts of the second makespan − the first, in seconds; they sum to it.

    `names` are those of the paths, `of` the path that each curve is of (by default its own). Where
    the CPU bound either, what lanes lost while steady is the CPU's.
    """
    one, two = terms_of(first.progress), terms_of(second.progress)
    of = range(len(names)) if of is None else of
    # bytes/two − bytes/one = bytes·(one − two)/(one·two), and one − two is a sum over curves.
    per_gbps = two.gigabits / (one.rate * two.rate)
    lost = {*first.lost, *second.lost}
    links, stragglers, losses = [0.0] * len(names), 0.0, 0.0
    for at, (path, a, b) in enumerate(zip(of, one.rates, two.rates, strict=True)):
        seconds = (a - b) * per_gbps
        if at in lost:
            losses += seconds
            continue
        slower = (second.slow(at) - first.slow(at)) * per_gbps
        stragglers += slower
        links[path] += seconds - slower
    cpu = sum(links) + stragglers if cpu_bound else 0.0
    slow_tail_s = second.slow_tail_s - first.slow_tail_s
    lost_tail_s = second.lost_tail_s - first.lost_tail_s
    return (
        Part(
            cause="start-up",
            seconds=two.start_s - one.start_s,
            why="until the first chunk is acknowledged, beyond what the steady rate would need",
        ),
        *(
            Part(
                cause=f"steady rate of {name}",
                seconds=0.0 if cpu_bound else seconds,
                why=f"{_rate(two, of, at):.4g} Gbit/s {second.label}, "
                f"{_rate(one, of, at):.4g} {first.label}",
            )
            for at, (name, seconds) in enumerate(zip(names, links, strict=True))
        ),
        Part(
            cause="straggler",
            seconds=slow_tail_s + (0.0 if cpu_bound else stragglers),
            why="lanes slower than their siblings, and last chunks slower than is usual",
        ),
        Part(
            cause="losses and recovery",
            seconds=losses + lost_tail_s,
            why="lanes that lost a gateway or connection, and chunks sent again",
        ),
        Part(
            cause="CPU",
            seconds=cpu,
            why="the machine's CPU bound the run: the steady rates are its, not the links'"
            if cpu_bound
            else "did not bind",
        ),
        Part(
            cause="tail",
            seconds=two.tail_s - one.tail_s - slow_tail_s - lost_tail_s,
            why="from the empty queue to the last acknowledgement, beyond the steady rate's need",
        ),
        Part(
            cause="bytes",
            seconds=(two.gigabits - one.gigabits) / one.rate,
            why="another number of bytes was moved",
        ),
    )


def _rate(terms: Terms, of: Sequence[int], path: int) -> float:
    return sum(rate for rate, its in zip(terms.rates, of, strict=True) if its == path)


def terms_of(progress: Progress) -> Terms:
    """A run with no time between first acknowledgement and empty queue is steady throughout."""
    from_s, to_s = progress.first_s, progress.empty_s
    by = _by(progress, from_s, to_s)
    brief = to_s - from_s <= _LEAST_STEADY * progress.end_s
    steady, whole = (sum(float(path[at] - path[0]) for path in by) for at in (1, 2))
    if brief or steady <= _LEAST_STEADY * whole:
        from_s, to_s = 0.0, progress.end_s
        by = _by(progress, from_s, to_s)
    moved = np.sum(by, axis=0)
    rates = [float(path[1] - path[0]) / (to_s - from_s) for path in by]
    rate = sum(rates)
    return Terms(
        start_s=from_s - float(moved[0]) / rate,
        tail_s=(progress.end_s - to_s) - float(moved[2] - moved[1]) / rate,
        rates=rates,
        gigabits=float(moved[2]),
    )


def _by(progress: Progress, from_s: float, to_s: float) -> list[Array]:
    """For each path, the gigabits moved at those two moments and at the end."""
    at = np.array([from_s, to_s, progress.end_s])
    return [progress.gigabits_by(path, at) for path in range(len(progress.curves))]
