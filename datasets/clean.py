"""A published throughput file to tidy links: every defect handled, and every handling counted.

Self-loops and failed tests are dropped, rows of the same pair and tiers are merged to their
median, blank tiers count as premium, GCP zones are cut off, implausible samples are flagged.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from datasets import flags
from datasets.canonical import rounded
from datasets.errors import DataError
from datasets.matrix import GBPS_PLACES
from datasets.published import Published, number
from datasets.regions import check_region, cloud_of, without_zone
from datasets.units import GIGA

# The receive column is misspelt in most published files.
RECEIVED_SPELLINGS = ("throughput_received", "throughput_recieved")
SENT = "throughput_sent"

# An isolated bad sample: this low, and this many times under everything around it. A factor of
# four keeps the long, slow paths (São Paulo to Mumbai) that are slow in their neighbours too.
IMPLAUSIBLE_GBPS = 0.5
IMPLAUSIBLE_FACTOR = 4.0

Key = tuple[str, str, str, str]  # src, dst, src_tier, dst_tier


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanLink:
    """Samples of one pair and its tiers, merged."""

    src: str
    dst: str
    src_tier: str
    dst_tier: str
    src_vm: str
    dst_vm: str
    connections: str
    duration_s: str
    received_gbps: float
    sent_gbps: float
    samples: int
    spread: float
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """The tidy links of one file, sorted, and what was done to get there."""

    links: tuple[CleanLink, ...]
    received_column: str
    counts: Mapping[str, int]
    largest_spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    src_vm: str
    dst_vm: str
    connections: str
    duration_s: str
    received_gbps: float
    sent_gbps: float
    blank_tier: bool


def clean(published: Published) -> Cleaned:
    """Tidy links of a published throughput file.

    Raises: DataError where a column is missing, or a figure is not a number, with its row.
    """
    received = next((name for name in RECEIVED_SPELLINGS if name in published.columns), None)
    if received is None or SENT not in published.columns:
        raise DataError(
            f"{published.name} lacks a column: {SENT}, or {' or '.join(RECEIVED_SPELLINGS)}."
        )
    counts: Counter[str] = Counter(
        dict.fromkeys(
            (
                "self_loops_dropped",
                "failed_dropped",
                "no_figure_dropped",
                "blank_tier_rows",
                "zones_cut_rows",
                "duplicate_groups",
                "rows_merged_away",
            ),
            0,
        )
    )
    groups: dict[Key, list[_Sample]] = defaultdict(list)
    for i, row in enumerate(published.rows, start=1):
        src, dst = check_region(without_zone(row["src_region"])), without_zone(row["dst_region"])
        check_region(dst)
        counts["zones_cut_rows"] += (src, dst) != (row["src_region"], row["dst_region"])
        if src == dst:
            counts["self_loops_dropped"] += 1
            continue
        if row.get("success", "True") != "True":
            counts["failed_dropped"] += 1
            continue
        where = published.name
        if not row[received] or not row[SENT]:
            counts["no_figure_dropped"] += 1
            continue
        figures = [number(row[name], file=where, row=i, column=name) for name in (received, SENT)]
        if min(figures) <= 0:
            counts["no_figure_dropped"] += 1
            continue
        tiers = tuple(row[name].lower() for name in ("src_tier", "dst_tier"))
        blank = "" in tiers
        counts["blank_tier_rows"] += blank
        groups[src, dst, tiers[0] or "premium", tiers[1] or "premium"].append(
            _Sample(
                src_vm=row["src_instance_class"],
                dst_vm=row["dst_instance_class"],
                connections=row["iperf3_connections"],
                duration_s=row["iperf3_runtime"],
                received_gbps=figures[0] / GIGA,
                sent_gbps=figures[1] / GIGA,
                blank_tier=blank,
            )
        )
    merged = [_merged(key, samples) for key, samples in sorted(groups.items())]
    counts["duplicate_groups"] = sum(link.samples > 1 for link in merged)
    counts["rows_merged_away"] = sum(link.samples - 1 for link in merged)
    return Cleaned(
        links=tuple(_flag_implausible(merged)),
        received_column=received,
        counts=dict(counts),
        largest_spread=max((link.spread for link in merged), default=1.0),
    )


def _merged(key: Key, samples: Sequence[_Sample]) -> CleanLink:
    received = [sample.received_gbps for sample in samples]
    blank = any(sample.blank_tier for sample in samples)
    return CleanLink(
        src=key[0],
        dst=key[1],
        src_tier=key[2],
        dst_tier=key[3],
        src_vm="+".join(sorted({sample.src_vm for sample in samples})),
        dst_vm="+".join(sorted({sample.dst_vm for sample in samples})),
        connections="+".join(sorted({sample.connections for sample in samples})),
        duration_s="+".join(sorted({sample.duration_s for sample in samples})),
        received_gbps=rounded(median(received), GBPS_PLACES),
        sent_gbps=rounded(median(sample.sent_gbps for sample in samples), GBPS_PLACES),
        samples=len(samples),
        spread=rounded(max(received) / min(received), 3),
        flags=(flags.BLANK_TIER,) if blank else (),
    )


def _flag_implausible(links: Sequence[CleanLink]) -> list[CleanLink]:
    """The same links, isolated bad samples flagged; the rule is `flags.MEANING`'s."""
    figure = {_key(link): link.received_gbps for link in links}
    out: dict[Key, list[float]] = defaultdict(list)
    into: dict[Key, list[float]] = defaultdict(list)
    for link in links:
        out[_out_key(link)].append(link.received_gbps)
        into[_into_key(link)].append(link.received_gbps)
    out_median = {key: median(figures) for key, figures in out.items()}
    into_median = {key: median(figures) for key, figures in into.items()}
    flagged = []
    for link in links:
        around = [out_median[_out_key(link)], into_median[_into_key(link)]]
        reverse = figure.get((link.dst, link.src, link.dst_tier, link.src_tier))
        if reverse is not None:
            around.append(reverse)
        bad = (
            link.received_gbps <= IMPLAUSIBLE_GBPS
            and link.received_gbps * IMPLAUSIBLE_FACTOR < min(around)
        )
        flagged.append(with_flags(link, flags.IMPLAUSIBLE) if bad else link)
    return flagged


def with_flags(link: CleanLink, *more: str) -> CleanLink:
    """The link with `more` flags, sorted, each once."""
    return replace(link, flags=tuple(sorted({*link.flags, *more})))


def _key(link: CleanLink) -> Key:
    return link.src, link.dst, link.src_tier, link.dst_tier


def _out_key(link: CleanLink) -> Key:
    return link.src, cloud_of(link.dst), link.src_tier, link.dst_tier


def _into_key(link: CleanLink) -> Key:
    return cloud_of(link.src), link.dst, link.src_tier, link.dst_tier
