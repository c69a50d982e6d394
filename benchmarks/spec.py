"""A case: what is measured, in which unit, and what it is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# One measurement at a size: a figure in the case's unit.
Measure = Callable[[int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What one measurement is of, in the case's own count: `full` is pinned, `tiny` for tests."""

    full: int
    tiny: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSpec:
    """One case. `peer` does by plain means what `run` does; `against` says by which.

    `unit` is that of both figures; the ratio shown is run's over peer's.
    """

    name: str
    run: Measure
    peer: Measure | None
    against: str
    unit: str
    sizes: Sizes
    of: str
    # Why the peer is not here, where it is not: a row that says so, never a row less.
    missing: str = ""

    def __post_init__(self) -> None:
        if (self.peer is None) != (not self.against):
            raise ValueError(f"{self.name}: a peer and what it is come together")
