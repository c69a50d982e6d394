"""What parts two Runs, or a prediction and a Run: seconds by cause, which sum to the whole.

The Sides come from `sides.py`, the parts from `attribution.py`. Seconds are real ones (wall·k/b).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from datasets.canonical import Json
from experiments.attribution import Part, Side, parts_between
from experiments.progress import Array
from experiments.sides import lanes_of, predicted_progress, side_of, ways_of_lanes
from experiments.ways import way_names
from planner.plan import Plan
from simulator.recorded import Recorded

_MICRO = 10**6
ALL_PATHS = "all paths together"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`parts` sum to `second_s` − `first_s`, the two makespans in real seconds.

    `same_plan`: both carry out the same lanes, so that causes are told path by path.
    """

    first: str
    second: str
    first_s: float
    second_s: float
    same_plan: bool
    parts: tuple[Part, ...]
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """By how much the second took longer."""
        return self.second_s - self.first_s

    def as_json(self) -> dict[str, Json]:
        """Seconds to the microsecond; those of the parts sum exactly to those of the whole."""
        total, parts = in_microseconds(self.seconds, [part.seconds for part in self.parts])
        return {
            "first": self.first,
            "second": self.second,
            "same_plan": self.same_plan,
            "difference_s": total / _MICRO,
            "parts": [
                {"part": part.cause, "seconds": micro / _MICRO, "why": part.why}
                for part, micro in zip(self.parts, parts, strict=True)
            ],
            "notes": list(self.notes),
        }


def in_microseconds(total_s: float, parts_s: Sequence[float]) -> tuple[int, list[int]]:
    """The total and its parts as whole microseconds; the largest part takes what rounding leaves.

    >>> in_microseconds(1.0, [1 / 3, 1 / 3, 1 / 3])
    (1000000, [333334, 333333, 333333])
    """
    total = round(total_s * _MICRO)
    parts = [round(seconds * _MICRO) for seconds in parts_s]
    if parts:
        largest = max(range(len(parts)), key=lambda at: abs(parts[at]))
        parts[largest] += total - sum(parts)
    return total, parts


def from_prediction(recorded: Recorded) -> Difference:
    """What the Run's own Plan predicted, against the Run. Raises: InputError if nothing arrived."""
    plan = recorded.plan
    return _by_lane(
        plan,
        Side(label="predicted", progress=predicted_progress(plan)),
        side_of(recorded, recorded.kind),
        cpu_bound=recorded.cpu_bound,
        notes=_clock_notes(recorded),
    )


def between(first: Recorded, second: Recorded) -> Difference:
    """One Run against another; path by path where both carry out the same lanes.

    Raises: InputError if nothing arrived in one.
    """
    labels = (first.kind, second.kind)
    if labels[0] == labels[1]:
        labels = (f"{labels[0]} first", f"{labels[1]} second")
    sides = side_of(first, labels[0]), side_of(second, labels[1])
    cpu_bound = first.cpu_bound or second.cpu_bound
    notes = tuple(dict.fromkeys((*_clock_notes(first), *_clock_notes(second))))
    one, two = first.plan, second.plan
    same = (one.lanes, one.tree_lanes) == (two.lanes, two.tree_lanes)
    if same:
        return _by_lane(one, *sides, cpu_bound=cpu_bound, notes=notes)
    together = [as_one_curve(side) for side in sides]
    return _difference(
        together[0],
        together[1],
        parts_between(together[0], together[1], (ALL_PATHS,), cpu_bound=cpu_bound),
        same_plan=False,
        notes=("The plans differ: steady rates are compared by their sum only.", *notes),
    )


def _by_lane(
    plan: Plan, first: Side, second: Side, *, cpu_bound: bool, notes: tuple[str, ...]
) -> Difference:
    """Lane by lane; ways that only a Run has (after a loss, planned anew) follow by their names."""
    lanes = len(lanes_of(plan))
    planned = way_names(plan)
    more = tuple(
        dict.fromkeys(name for side in (first, second) for name in side.progress.names[lanes:])
    )
    parts = parts_between(
        _aligned(first, lanes, more),
        _aligned(second, lanes, more),
        (*planned, *more),
        cpu_bound=cpu_bound,
        of=[*ways_of_lanes(plan), *range(len(planned), len(planned) + len(more))],
    )
    return _difference(first, second, parts, same_plan=True, notes=notes)


def _aligned(side: Side, lanes: int, more: Sequence[str]) -> Side:
    """The Side with a curve for each lane, then one for each name of `more`."""
    progress = side.progress
    beyond = dict(zip(progress.names[lanes:], progress.curves[lanes:], strict=True))
    none: tuple[Array, Array] = (np.zeros(0), np.zeros(0))
    slow = (*side.slow_gbps[:lanes], *(0.0 for _ in more)) if side.slow_gbps else ()
    curves = (*progress.curves[:lanes], *(beyond.get(name, none) for name in more))
    names = (*progress.names[:lanes], *more)
    return replace(side, slow_gbps=slow, progress=replace(progress, names=names, curves=curves))


def as_one_curve(side: Side) -> Side:
    """The Side with all its curves added up: what Runs of different plans have in common."""
    progress = side.progress
    times_s = np.unique(np.concatenate([times for times, _ in progress.curves]))
    moved = np.sum(
        [progress.gigabits_by(at, times_s) for at in range(len(progress.curves))], axis=0
    )
    whole = replace(progress, names=(ALL_PATHS,), curves=((times_s, moved),))
    return replace(side, progress=whole, slow_gbps=(), lost=())


def _difference(
    first: Side, second: Side, parts: tuple[Part, ...], *, same_plan: bool, notes: tuple[str, ...]
) -> Difference:
    return Difference(
        first=first.label,
        second=second.label,
        first_s=first.progress.end_s,
        second_s=second.progress.end_s,
        same_plan=same_plan,
        parts=parts,
        notes=notes,
    )


def _clock_notes(recorded: Recorded) -> tuple[str, ...]:
    """Start-up and tail are not scaled: what a real second of them was on the Run's clock."""
    result = recorded.run.outcome
    real = result.rate_scale / result.size_scale
    if math.isclose(real, 1.0):
        return ()
    return (
        f"The {recorded.kind} run {recorded.id[:10]} was scaled: {real:.4g} real seconds are one "
        "of its own clock; start-up and delays are not scaled, so they weigh that much more.",
    )
