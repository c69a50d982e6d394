"""Compiled epochs: which there are, and how a choice of figures becomes a Matrix.

`links.csv` of an epoch holds both columns, both tiers and every flag; a `MatrixChoice` picks one
column and one tier and names the repair policy and the table of VM caps. No pandas here: planning
must start in a moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from datasets import flags
from datasets.errors import InputError, UnknownName
from datasets.instances import CAPS, caps_of, vm_of
from datasets.matrix import COLUMNS, TIERS, Link, Matrix, RegionVm
from datasets.policies import POLICIES, Sample
from datasets.regions import cloud_of
from datasets.tables import LINKS, REGIONS, parse_table, read_packaged

DEFAULT_EPOCH = "2022-11-28"
_INDEX = {column.name: i for i, column in enumerate(LINKS)}
PREMIUM, STANDARD = "premium", "standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixChoice:
    """Which figures a Matrix takes: an epoch, or a user's own `file`.

    Raises: UnknownName for a column, tier, policy or caps that is not known; InputError for a
    column, tier or policy other than the default with a file, whose figures are picked already.
    """

    epoch: str = DEFAULT_EPOCH
    column: str = "received"
    tier: str = PREMIUM
    policy: str = "as_measured"
    caps: str = "documented"
    file: Path | None = None

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("column", self.column, COLUMNS),
            ("tier", self.tier, TIERS),
            ("policy", self.policy, tuple(POLICIES)),
            ("caps", self.caps, CAPS),
        ):
            if name not in known:
                raise UnknownName(
                    kind=kind, name=name, known=known, hint=f"There are {', '.join(known)}."
                )
        picked = [
            f"--{kind} {name}"
            for kind, name, usual in (
                ("column", self.column, COLUMNS[0]),
                ("tier", self.tier, PREMIUM),
                ("policy", self.policy, "as_measured"),
            )
            if name != usual
        ]
        if self.file is not None and picked:
            raise InputError(
                f"The figures in {self.file} are picked already; without effect on them, and to be "
                f"left out: {' '.join(picked)}."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochLink:
    """One row of an epoch's `links.csv`, parsed."""

    src: str
    dst: str
    src_tier: str
    dst_tier: str
    received_gbps: float
    sent_gbps: float
    samples: int
    spread: float
    usd_per_gb: float | None
    price_source: str
    rtt_ms: float
    rtt_source: str
    flags: tuple[str, ...]

    def gbps(self, column: str) -> float:
        """The figure of `column`: received, sent, or the lesser of the two."""
        if column == "received":
            return self.received_gbps
        return self.sent_gbps if column == "sent" else min(self.received_gbps, self.sent_gbps)


def epoch_names() -> tuple[str, ...]:
    """The compiled epochs, oldest first."""
    folder = resources.files("datasets").joinpath("epochs")
    return tuple(sorted(entry.name for entry in folder.iterdir() if entry.name[:1].isdigit()))


def check_epoch(epoch: str) -> str:
    """`epoch` if it is compiled. Raises: UnknownName, with the nearest names."""
    names = epoch_names()
    if epoch not in names:
        raise UnknownName(
            kind="epoch", name=epoch, known=names, hint=f"There are {', '.join(names)}."
        )
    return epoch


def provenance(epoch: str) -> Mapping[str, Any]:
    """The epoch's `provenance.json`: source, counts, what was dropped, merged, flagged and why."""
    found: Mapping[str, Any] = json.loads(
        read_packaged("epochs", check_epoch(epoch), "provenance.json")
    )
    return found


def epoch_links(epoch: str) -> Iterator[EpochLink]:
    """Every row of the epoch, both tiers, sorted by source, destination and tiers."""
    where = f"epochs/{epoch}/links.csv"
    data = read_packaged("epochs", check_epoch(epoch), "links.csv")
    for row in parse_table(LINKS, data, where=where):
        price = row[_INDEX["usd_per_gb"]]
        marks = row[_INDEX["flags"]]
        yield EpochLink(
            src=row[0],
            dst=row[1],
            src_tier=row[2],
            dst_tier=row[3],
            received_gbps=float(row[_INDEX["received_gbps"]]),
            sent_gbps=float(row[_INDEX["sent_gbps"]]),
            samples=int(row[_INDEX["samples"]]),
            spread=float(row[_INDEX["spread"]]),
            usd_per_gb=float(price) if price else None,
            price_source=row[_INDEX["price_source"]],
            rtt_ms=float(row[_INDEX["rtt_ms"]]),
            rtt_source=row[_INDEX["rtt_source"]],
            flags=tuple(marks.split(";")) if marks else (),
        )


def in_tier(link: EpochLink, tier: str) -> bool:
    """Whether a Matrix of `tier` takes this row.

    `premium`: both ends premium. `standard`: every GCP end standard; AWS and Azure have one tier,
    which counts as premium. A pair that was not measured so is absent: tiers are never mixed.
    """
    return link.src_tier == _tier_at(link.src, tier) and link.dst_tier == _tier_at(link.dst, tier)


def _tier_at(region: str, tier: str) -> str:
    return tier if cloud_of(region) == "gcp" else PREMIUM


def region_vms(epoch: str, *, caps: str) -> dict[str, RegionVm]:
    """Each region of the epoch with its VM: the type measured, its price, its caps."""
    public = provenance(epoch)["public_address_clouds"]
    data = read_packaged("epochs", epoch, "regions.csv")
    found = {}
    for region, vm_type, usd_per_hour, _ in parse_table(REGIONS, data, where="regions.csv"):
        cloud = cloud_of(region)
        limits = caps_of(cloud, vm_type, caps=caps, public_addresses=cloud in public)
        found[region] = RegionVm(id=region, vm=vm_of(vm_type, float(usd_per_hour), limits))
    return found


def load_matrix(choice: MatrixChoice) -> Matrix:
    """The Matrix of `choice`. Links without a price are absent, and so are regions without a link.

    Raises: UnknownName for an epoch that is not compiled; InputError for a tier that it lacks;
    DataError for a user's file that is not a matrix.
    """
    if choice.file is not None:
        from datasets.user_matrix import read_user_matrix

        return read_user_matrix(choice.file, caps=choice.caps)
    rows = {
        (row.src, row.dst): row
        for row in epoch_links(choice.epoch)
        if row.usd_per_gb is not None and in_tier(row, choice.tier)
    }
    samples = [
        Sample(
            src=row.src,
            dst=row.dst,
            gbps=row.gbps(choice.column),
            implausible=flags.IMPLAUSIBLE in row.flags,
        )
        for row in rows.values()
    ]
    links = []
    for sample in POLICIES[choice.policy](samples):
        row = rows[sample.src, sample.dst]
        links.append(
            Link(
                src=sample.src,
                dst=sample.dst,
                gbps=sample.gbps,
                usd_per_gb=row.usd_per_gb or 0.0,
                rtt_ms=row.rtt_ms,
            )
        )
    if not links:
        raise InputError(
            f"Nothing was measured on the {choice.tier} tier on {choice.epoch}; "
            "use --tier premium, or another epoch."
        )
    used = {end for link in links for end in (link.src, link.dst)}
    vms = region_vms(choice.epoch, caps=choice.caps)
    return Matrix(
        epoch=choice.epoch,
        column=choice.column,
        tier=choice.tier,
        policy=choice.policy,
        caps=choice.caps,
        regions=tuple(vms[region] for region in sorted(used)),
        links=tuple(links),
    )
