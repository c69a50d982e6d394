"""Intervals for figures of pairs of regions: a bootstrap over regions, not over pairs.

Pairs that share a region share its luck (a slow VM, a busy site), so that resampling pairs would
call intervals too narrow. Here regions are drawn with replacement; a pair counts as often as its
two ends were drawn together: the product of their multiplicities.
Source: Snijders & Borgatti, Non-parametric standard errors and tests for network statistics (1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

REPLICATES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean over pairs and its 95 % percentile interval; `pairs` is how many were averaged."""

    mean: float
    low: float
    high: float
    pairs: int


def mean_over_pairs(
    pairs: Sequence[tuple[str, str]], values: Sequence[float], *, seed: int
) -> Interval:
    """The mean of `values`, one a pair, with its interval over resampled regions.

    Replicates in which no pair has both ends are left out. Without pairs everything is nan.
    """
    if not pairs:
        return Interval(mean=float("nan"), low=float("nan"), high=float("nan"), pairs=0)
    regions = sorted({region for pair in pairs for region in pair})
    at = {region: number for number, region in enumerate(regions)}
    src = np.array([at[pair[0]] for pair in pairs])
    dst = np.array([at[pair[1]] for pair in pairs])
    figures = np.array(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    even = np.full(len(regions), 1.0 / len(regions))
    drawn = rng.multinomial(len(regions), even, size=REPLICATES)
    weights = (drawn[:, src] * drawn[:, dst]).astype(np.float64)
    counts = weights.sum(axis=1)
    means = (weights @ figures)[counts > 0] / counts[counts > 0]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, [tail, 100 - tail]) if len(means) else (np.nan, np.nan)
    return Interval(mean=float(figures.mean()), low=float(low), high=float(high), pairs=len(pairs))
