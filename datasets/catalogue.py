"""The published VM prices, caps and vCPUs to our tables; what was not opened is marked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from datasets.clean import CleanLink
from datasets.published import number
from datasets.regions import cloud_of
from datasets.tables import Row

UNVERIFIED = "unverified"
# A cap without an opened source is named so in the published table's own words.
_INGRESS_UNVERIFIED = re.compile(r"for ingress[^.;]*\(unverified\)")
_CAPS = ("egress_public_gbps", "egress_gbps", "ingress_gbps")


def caps_rows(published: Sequence[Mapping[str, str]]) -> list[Row]:
    """`tables/vm_caps.csv`: by cloud, the reference type first, as published."""
    rows = []
    for i, row in enumerate(published, start=1):
        unverified = ["egress_public_gbps", "egress_gbps"] if row["verified"] != "yes" else []
        if _INGRESS_UNVERIFIED.search(row["source"]) or row["verified"] != "yes":
            unverified.append("ingress_gbps")
        elif _borrows_ingress(row, published):
            unverified.append("ingress_gbps")
        for name in _CAPS:
            number(row[name], file="vm_caps", row=i, column=name)
        rows.append(
            {
                "cloud": row["cloud"],
                "vm_type": row["vm_type"],
                "vcpus": row["vcpus"],
                **{name: row[name] for name in _CAPS},
                "skyplane_egress_gbps": row["skyplane_egress_gbps"],
                "skyplane_ingress_gbps": row["skyplane_ingress_gbps"],
                "default_vcpu_quota": row["default_vcpu_quota"],
                "unverified": ";".join(unverified),
                "source": row["source"],
            }
        )
    return sorted(rows, key=lambda row: row["cloud"])  # stable: the order inside a cloud stays


def price_rows(
    published: Sequence[Mapping[str, str]], regions: Iterable[str], caps: Sequence[Row]
) -> list[Row]:
    """`tables/vm_prices.csv`: published prices, and the cloud's reference price where none is."""
    rows: list[Row] = []
    for i, row in enumerate(published, start=1):
        number(row["usd_per_hour"], file="vm_prices", row=i, column="usd_per_hour")
        rows.append(
            {
                "region": row["region"],
                "vm_type": row["vm_type"],
                "usd_per_hour": row["usd_per_hour"],
                "spot_usd_per_hour": row["spot_usd_per_hour"],
                "mark": "",
                "source": row["source"],
                "as_of": row["as_of"],
            }
        )
    known = {(row["region"], row["vm_type"]) for row in rows}
    references = {row["cloud"]: row["vm_type"] for row in reversed(caps)}
    for region in sorted(set(regions)):
        kind = references.get(cloud_of(region))
        if kind is None or (region, kind) in known:
            continue
        rows.append(
            {
                "region": region,
                "vm_type": kind,
                "usd_per_hour": reference_price(rows, cloud_of(region), kind),
                "spot_usd_per_hour": "",
                "mark": UNVERIFIED,
                "source": f"reference price of {cloud_of(region)} (its least published one)",
                "as_of": "",
            }
        )
    return sorted(rows, key=lambda row: (row["region"], row["vm_type"]))


def reference_price(rows: Sequence[Row], cloud: str, kind: str) -> str:
    """The least published on-demand price of `kind` in `cloud`, as written."""
    prices = [
        row["usd_per_hour"]
        for row in rows
        if cloud_of(row["region"]) == cloud and row["vm_type"] == kind and not row["mark"]
    ]
    return min(prices, key=float)


def vcpu_rows(published: Sequence[Mapping[str, str]]) -> list[Row]:
    """`tables/vcpus.csv`, sorted."""
    rows = [
        {
            "cloud": row["cloud_provider"],
            "vm_type": row["instance_name"],
            "vcpus": row["vcpu_cost"],
        }
        for row in published
    ]
    return sorted(rows, key=lambda row: (row["cloud"], int(row["vcpus"]), row["vm_type"]))


def region_rows(
    links: Sequence[CleanLink], prices: Sequence[Row], caps: Sequence[Row]
) -> list[Row]:
    """An epoch's `regions.csv`: the instance class most used in each region, and its price.

    A class without a price there takes the price of the cloud's reference type in that region,
    marked; a region without any takes the cloud's reference price, marked.
    """
    classes: dict[str, Counter[str]] = {}
    for link in links:
        for region, kind in ((link.src, link.src_vm), (link.dst, link.dst_vm)):
            counter = classes.setdefault(region, Counter())
            if kind and "+" not in kind:
                counter[kind] += 1
    references = {row["cloud"]: row["vm_type"] for row in reversed(caps)}
    by_type = {(row["region"], row["vm_type"]): row for row in prices}
    rows = []
    for region, counter in sorted(classes.items()):
        reference = references[cloud_of(region)]
        used = min(counter, key=lambda kind: (-counter[kind], kind)) if counter else reference
        row = by_type.get((region, used)) or by_type[region, reference]
        mark = row["mark"]
        if not mark and row["vm_type"] != used:
            mark = f"{UNVERIFIED}: price of {row['vm_type']}"
        rows.append(
            {
                "region": region,
                "vm_type": used,
                "usd_per_hour": row["usd_per_hour"],
                "mark": mark,
            }
        )
    return rows


def _borrows_ingress(row: Mapping[str, str], published: Sequence[Mapping[str, str]]) -> bool:
    """Whether the row's source says `ingress: as <type>` of a type whose own is unverified."""
    match = re.search(r"ingress: as (\S+?)[.;,]", row["source"])
    return match is not None and any(
        other["vm_type"] == match.group(1) and _INGRESS_UNVERIFIED.search(other["source"])
        for other in published
    )
