"""Volume tiers of internet egress: how the price of a GB to other clouds falls in a month.

A Matrix's prices are those of the first tier; `average_factor` says which share of them the first
so many gigabytes cost on average. Traffic inside a cloud has one price. An account's other
traffic is not known, so a transfer starts at the first tier, in each source region by itself:
clouds that add up an account's regions make it cheaper than told here, never dearer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from datasets.tables import read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTier:
    """From `from_gb` decimal GB a month on, a GB costs `factor` of the first tier's price.

    `usd_per_gb` is that of the cloud's reference regions (North America, Europe). The first
    tier's factor is 1.
    """

    from_gb: float
    usd_per_gb: float
    factor: float


def tiers_of(cloud: str) -> tuple[PriceTier, ...]:
    """The tiers of `cloud`, the first one first; none for an unknown cloud."""
    return _tiers().get(cloud, ())


def average_factor(cloud: str, gigabytes: float) -> float:
    """Average share of the first tier's price over the first `gigabytes` of a month.

    Never rises with the volume. 1 for an unknown cloud, and for no volume.
    Raises: ValueError for a negative volume.

    >>> average_factor("nimbus", 1e6)
    1.0
    """
    if gigabytes < 0:
        raise ValueError(f"{gigabytes} GB is no volume")
    tiers = tiers_of(cloud)
    if not tiers or gigabytes <= tiers[0].from_gb:
        return 1.0
    charged = 0.0
    for tier, after in pairwise(tiers):
        charged += tier.factor * (min(gigabytes, after.from_gb) - tier.from_gb)
        if gigabytes <= after.from_gb:
            return charged / gigabytes
    last = tiers[-1]
    return (charged + last.factor * (gigabytes - last.from_gb)) / gigabytes


@lru_cache(maxsize=1)
def _tiers() -> Mapping[str, tuple[PriceTier, ...]]:
    found: dict[str, list[PriceTier]] = {}
    for row in read_rows("price_tiers"):
        tier = PriceTier(
            from_gb=float(row["from_gb"]),
            usd_per_gb=float(row["usd_per_gb"]),
            factor=float(row["factor"]),
        )
        found.setdefault(row["cloud"], []).append(tier)
    return {cloud: tuple(tiers) for cloud, tiers in found.items()}
