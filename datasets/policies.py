"""Repair policies: what is done about samples flagged implausible. Named, and in the digest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from types import MappingProxyType

from datasets.canonical import rounded
from datasets.matrix import GBPS_PLACES
from datasets.regions import cloud_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One link's figure in the column and tier picked, before repair."""

    src: str
    dst: str
    gbps: float
    implausible: bool


def as_measured(samples: Sequence[Sample]) -> list[Sample]:
    """Every sample as it was measured."""
    return list(samples)


def drop_implausible(samples: Sequence[Sample]) -> list[Sample]:
    """Without the implausible samples: those links are absent."""
    return [sample for sample in samples if not sample.implausible]


def repair_implausible(samples: Sequence[Sample]) -> list[Sample]:
    """Implausible samples replaced by the least of what the plausible samples suggest.

    Suggestions: the reverse direction, the median out of the source to the destination's cloud,
    the median into the destination from the source's cloud. With none of them the link is absent.
    """
    good = {(s.src, s.dst): s.gbps for s in samples if not s.implausible}
    out: dict[tuple[str, str], list[float]] = defaultdict(list)
    into: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (src, dst), gbps in good.items():
        out[src, cloud_of(dst)].append(gbps)
        into[cloud_of(src), dst].append(gbps)
    repaired = []
    for sample in samples:
        if not sample.implausible:
            repaired.append(sample)
            continue
        around = (
            out.get((sample.src, cloud_of(sample.dst))),
            into.get((cloud_of(sample.src), sample.dst)),
        )
        suggested = [median(figures) for figures in around if figures]
        reverse = good.get((sample.dst, sample.src))
        if reverse is not None:
            suggested.append(reverse)
        if suggested:
            repaired.append(replace(sample, gbps=rounded(min(suggested), GBPS_PLACES)))
    return repaired


POLICIES: Mapping[str, Callable[[Sequence[Sample]], list[Sample]]] = MappingProxyType(
    {
        "as_measured": as_measured,
        "drop_implausible": drop_implausible,
        "repair_implausible": repair_implausible,
    }
)
