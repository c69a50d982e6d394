"""Every case that `make bench` runs, a subject at a time."""

from __future__ import annotations

from benchmarks import fluid, gateway, ledger, solve
from benchmarks.spec import BenchSpec


def specs() -> tuple[BenchSpec, ...]:
    """Every case, in the order of a transfer's life. Raises: ValueError on a name used twice."""
    found = (*solve.SPECS, *fluid.SPECS, *gateway.SPECS, *ledger.SPECS)
    names = [spec.name for spec in found]
    if len(set(names)) != len(names):
        raise ValueError(f"two cases have one name: {names}")
    return found
