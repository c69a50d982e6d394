"""Speed-ups of relays over many pairs, summed up: shares that gain, geometric means, start-up."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from datasets.canonical import Json
from experiments.relays import Array

ONE_RELAY = "one relay"
OVERLAY = "overlay"
AS_MEASURED = "as measured"
# A gain counts from 1 %, 25 %, 100 % more throughput on.
GAINS = (0.01, 0.25, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Over `pairs` ordered pairs, of the best of the direct link and `route` (one relay, overlay).

    `shares` has the share of pairs that gain more than each of `GAINS`; `geometric_mean` counts a
    pair without gain as 1, `geometric_mean_within` takes relays of at most 1.25 times the direct
    cost (None for the overlay, whose cheaper plans are another question). `variant` says how
    figures were read. `start_up` has, for each of `GAINS`, the share of all pairs whose gain is
    above it here while the same relay (the overlay: its best plan there) gains at most 1 % on
    `sent`.
    """

    route: str
    column: str
    variant: str
    src: str
    dst: str
    pairs: int
    shares: tuple[float, ...]
    geometric_mean: float
    geometric_mean_within: float | None
    largest: float
    start_up: tuple[float, ...]

    def as_json(self) -> dict[str, Json]:
        """Every figure."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One epoch's summaries."""

    name: str
    summaries: tuple[Summary, ...]

    def of(
        self,
        column: str,
        *,
        route: str = ONE_RELAY,
        variant: str = AS_MEASURED,
        src: str = "any",
        dst: str = "any",
    ) -> Summary:
        """One summary. Raises: KeyError where no such pair was measured."""
        wanted = (route, column, variant, src, dst)
        for each in self.summaries:
            if (each.route, each.column, each.variant, each.src, each.dst) == wanted:
                return each
        raise KeyError(wanted)

    def as_json(self) -> dict[str, Json]:
        """Its name and summaries."""
        return {"epoch": self.name, "summaries": [each.as_json() for each in self.summaries]}


def summary_of(
    *,
    route: str,
    column: str,
    variant: str,
    src: str,
    dst: str,
    speedups: Array,
    on_sent: Array,
    within: Array | None,
) -> Summary:
    """Sum up one speed-up a pair: here, of the same relay on `sent`, and within the cost."""
    vanishes = on_sent <= 1 + GAINS[0]
    return Summary(
        route=route,
        column=column,
        variant=variant,
        src=src,
        dst=dst,
        pairs=len(speedups),
        shares=tuple(float(np.mean(speedups > 1 + gain)) for gain in GAINS),
        geometric_mean=_geometric_mean(speedups),
        geometric_mean_within=None if within is None else _geometric_mean(within),
        largest=float(speedups.max()),
        start_up=tuple(float(np.mean((speedups > 1 + gain) & vanishes)) for gain in GAINS),
    )


def _geometric_mean(speedups: Array) -> float:
    """Of the better of the relay and the direct link."""
    return float(np.exp(np.mean(np.log(np.maximum(speedups, 1.0)))))
