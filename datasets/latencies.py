"""Round trips: two ping campaigns, the first preferred, and an estimate where neither has a value.

The second campaign has unreliable GCP rows. Whatever is faster than light in fibre over the great
circle is dropped and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from datasets import flags
from datasets.canonical import rounded
from datasets.errors import DataError
from datasets.matrix import RTT_PLACES
from datasets.published import Published, PublishedFolder, number
from datasets.regions import without_zone
from datasets.sphere import great_circle_km, least_rtt_ms
from datasets.tables import Row

CAMPAIGNS = ("v1", "v2")
Key = tuple[str, str, str, str]  # src, dst, src_tier, dst_tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """rtt_ms = base_ms + factor · (light in fibre over the great circle), fitted to ping v1."""

    base_ms: float
    factor: float
    pairs: int
    median_error: float  # share of the measured round trip, absolute


@dataclass(frozen=True, slots=True, kw_only=True)
class Rtt:
    """One round trip, where it is from, and what is odd about it."""

    rtt_ms: float
    source: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Both campaigns and the estimate. Raises (on `rtt`): DataError for a region without place."""

    pings: Mapping[str, Mapping[Key, float]]
    places: Mapping[str, tuple[float, float]]
    estimate: Estimate
    counts: Mapping[str, Mapping[str, int]]
    published: tuple[Published, ...]

    def rtt(self, src: str, dst: str, src_tier: str, dst_tier: str) -> Rtt:
        """Ping v1 in either direction, else v2, else these of the premium tier, else estimated."""
        wanted: list[tuple[str, str, tuple[str, ...]]] = [(src_tier, dst_tier, ())]
        if (src_tier, dst_tier) != ("premium", "premium"):
            wanted.append(("premium", "premium", (flags.PREMIUM_RTT,)))
        for tier_a, tier_b, odd in wanted:
            for campaign in CAMPAIGNS:
                pings = self.pings[campaign]
                for key in ((src, dst, tier_a, tier_b), (dst, src, tier_b, tier_a)):
                    if key in pings:
                        return Rtt(rtt_ms=pings[key], source=f"ping_{campaign}", flags=odd)
        least = _least(self.places, src, dst)
        fitted = self.estimate.base_ms + self.estimate.factor * least
        return Rtt(rtt_ms=rounded(fitted, RTT_PLACES), source="estimated", flags=())

    def rows(self) -> list[Row]:
        """`tables/latencies.csv`, sorted."""
        keys = sorted({key for pings in self.pings.values() for key in pings})
        return [
            {
                "src": key[0],
                "dst": key[1],
                "src_tier": key[2],
                "dst_tier": key[3],
                "v1_ms": _cell(self.pings["v1"].get(key)),
                "v2_ms": _cell(self.pings["v2"].get(key)),
            }
            for key in keys
        ]


def read_latencies(folder: PublishedFolder, places: Mapping[str, tuple[float, float]]) -> Latencies:
    """Both campaigns, cleaned, and the estimate fitted to the first."""
    pings: dict[str, dict[Key, float]] = {}
    counts: dict[str, dict[str, int]] = {}
    published = []
    for campaign in CAMPAIGNS:
        file = folder.raw(_campaign_file(folder, campaign))
        published.append(file)
        pings[campaign], counts[campaign] = _campaign(file, places)
    return Latencies(
        pings=pings,
        places=places,
        estimate=_fit(pings["v1"], places),
        counts=counts,
        published=tuple(published),
    )


def _campaign_file(folder: PublishedFolder, campaign: str) -> str:
    found = [
        name
        for name in folder.names
        if name.startswith("latency_") and name.endswith(f"_{campaign}")
    ]
    if len(found) != 1:
        raise DataError(f"The published files need one latency_*_{campaign}, not {len(found)}.")
    return found[0]


def _campaign(
    file: Published, places: Mapping[str, tuple[float, float]]
) -> tuple[dict[Key, float], dict[str, int]]:
    counts: Counter[str] = Counter(
        dict.fromkeys(
            (
                "no_value",
                "same_region",
                "faster_than_light",
                "faster_than_light_gcp_end",
                "merged_away",
            ),
            0,
        )
    )
    groups: dict[Key, list[float]] = {}
    for i, row in enumerate(file.rows, start=1):
        src, dst = without_zone(row["src_region"]), without_zone(row["dst_region"])
        if not row["avg_rtt"]:
            counts["no_value"] += 1
            continue
        if src == dst:
            counts["same_region"] += 1
            continue
        rtt_ms = number(row["avg_rtt"], file=file.name, row=i, column="avg_rtt")
        if rtt_ms < _least(places, src, dst):
            counts["faster_than_light"] += 1
            counts["faster_than_light_gcp_end"] += "gcp:" in f"{src} {dst}"
            continue
        key = (src, dst, row["src_tier"].lower() or "premium", row["dst_tier"].lower() or "premium")
        groups.setdefault(key, []).append(rtt_ms)
    counts["merged_away"] = sum(len(group) - 1 for group in groups.values())
    counts["rows_in"], counts["pairs_out"] = len(file.rows), len(groups)
    merged = {key: rounded(median(group), RTT_PLACES) for key, group in groups.items()}
    return merged, dict(counts)


def _fit(pings: Mapping[Key, float], places: Mapping[str, tuple[float, float]]) -> Estimate:
    """Least squares of the round trip on light's, over the premium pairs of the first campaign."""
    points = [
        (_least(places, src, dst), rtt_ms)
        for (src, dst, src_tier, dst_tier), rtt_ms in sorted(pings.items())
        if src_tier == dst_tier == "premium"
    ]
    if len(points) < 2:
        raise DataError("Ping v1 has too few values to estimate a round trip from distance.")
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 1.0
    factor = max(1.0, rounded(slope, 4))
    base_ms = max(0.0, rounded(mean_y - factor * mean_x, 3))
    errors = [abs(base_ms + factor * x - y) / y for x, y in points]
    return Estimate(
        base_ms=base_ms,
        factor=factor,
        pairs=len(points),
        median_error=rounded(median(errors), 4),
    )


def _least(places: Mapping[str, tuple[float, float]], src: str, dst: str) -> float:
    for region in (src, dst):
        if region not in places:
            raise DataError(f"coordinates.csv lacks {region}, which the measurements name.")
    return least_rtt_ms(great_circle_km(places[src], places[dst]))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.{RTT_PLACES}f}"
