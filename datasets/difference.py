"""Two epochs side by side, and the structural breaks between them: figures, not opinions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from datasets.canonical import Json, rounded
from datasets.matrix import Matrix
from datasets.regions import cloud_of

# A break: the median pair of two clouds changed by this factor or more, over this many pairs.
BREAK_FACTOR = 2.0
BREAK_PAIRS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudPairChange:
    """Links from one cloud to another that both epochs measured."""

    src_cloud: str
    dst_cloud: str
    pairs: int
    before_gbps: float  # median
    after_gbps: float  # median
    ratio: float  # median of each pair's after / before
    within_tenth: float  # share of pairs that changed by less than 10 %

    @property
    def is_break(self) -> bool:
        """Whether this is a change of structure rather than noise."""
        far = self.ratio >= BREAK_FACTOR or self.ratio <= 1 / BREAK_FACTOR
        return far and self.pairs >= BREAK_PAIRS

    def as_json(self) -> dict[str, Json]:
        """As in `tradewind matrix diff --json`."""
        return {
            "src_cloud": self.src_cloud,
            "dst_cloud": self.dst_cloud,
            "pairs": self.pairs,
            "before_gbps": rounded(self.before_gbps, 6),
            "after_gbps": rounded(self.after_gbps, 6),
            "ratio": rounded(self.ratio, 4),
            "within_tenth": rounded(self.within_tenth, 4),
            "break": self.is_break,
        }

    def sentence(self, column: str) -> str:
        """The change in words; `column` says on which figures."""
        word = "rose" if self.ratio > 1 else "fell"
        times = self.ratio if self.ratio > 1 else 1 / self.ratio
        return (
            f"{self.src_cloud} to {self.dst_cloud} {word} {times:.1f} times on {column} "
            f"(median of {self.pairs} pairs; {self.before_gbps:.3g} to "
            f"{self.after_gbps:.3g} Gbit/s)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What changed from one Matrix to another."""

    before: Matrix
    after: Matrix
    changes: tuple[CloudPairChange, ...]
    regions_gone: tuple[str, ...]
    regions_new: tuple[str, ...]
    prices_changed: int
    pairs: int

    @property
    def breaks(self) -> tuple[CloudPairChange, ...]:
        """The structural breaks, the largest first."""
        found = [change for change in self.changes if change.is_break]
        return tuple(sorted(found, key=lambda change: -max(change.ratio, 1 / change.ratio)))

    def sentences(self) -> list[str]:
        """The structural breaks in words."""
        return [change.sentence(self.after.column) for change in self.breaks]

    def as_json(self) -> dict[str, Json]:
        """As in `tradewind matrix diff --json`."""
        return {
            "before": self.before.epoch,
            "after": self.after.epoch,
            "column": self.after.column,
            "pairs": self.pairs,
            "regions_gone": list(self.regions_gone),
            "regions_new": list(self.regions_new),
            "prices_changed": self.prices_changed,
            "changes": [change.as_json() for change in self.changes],
            "breaks": self.sentences(),
        }


def difference(before: Matrix, after: Matrix) -> Difference:
    """Compare the links that both have, by pair of clouds."""
    groups: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    prices_changed = 0
    for link in before.links:
        other = after.link(link.src, link.dst)
        if other is None:
            continue
        groups[cloud_of(link.src), cloud_of(link.dst)].append((link.gbps, other.gbps))
        prices_changed += link.usd_per_gb != other.usd_per_gb
    changes = tuple(
        CloudPairChange(
            src_cloud=src,
            dst_cloud=dst,
            pairs=len(figures),
            before_gbps=median(a for a, _ in figures),
            after_gbps=median(b for _, b in figures),
            ratio=median(b / a for a, b in figures),
            within_tenth=sum(abs(b / a - 1) < 0.1 for a, b in figures) / len(figures),
        )
        for (src, dst), figures in sorted(groups.items())
    )
    return Difference(
        before=before,
        after=after,
        changes=changes,
        regions_gone=tuple(sorted(set(before.region_ids) - set(after.region_ids))),
        regions_new=tuple(sorted(set(after.region_ids) - set(before.region_ids))),
        prices_changed=prices_changed,
        pairs=sum(len(figures) for figures in groups.values()),
    )
