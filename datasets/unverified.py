"""What no opened source states: listed from the marks in the tables, never typed by hand."""

from __future__ import annotations

from datasets.epochs import check_epoch
from datasets.tables import REGIONS, parse_table, read_packaged, read_rows


def unverified_caps() -> tuple[str, ...]:
    """VM caps without an opened source: `gcp n2-standard-32: ingress_gbps 32`."""
    return tuple(
        f"{row['cloud']} {row['vm_type']}: {name} {row[name]}"
        for row in read_rows("vm_caps")
        for name in row["unverified"].split(";")
        if name
    )


def unverified_vm_prices(epoch: str) -> tuple[str, ...]:
    """Regions of `epoch` whose VM price is the cloud's reference, or another type's."""
    data = read_packaged("epochs", check_epoch(epoch), "regions.csv")
    return tuple(
        f"{region}: {vm_type} {usd_per_hour} USD/h ({mark})"
        for region, vm_type, usd_per_hour, mark in parse_table(REGIONS, data, where="regions.csv")
        if mark
    )


def marked_carbon() -> tuple[str, ...]:
    """Regions whose carbon figure is borrowed or a mean."""
    return tuple(
        f"{row['region']}: {row['gco2e_per_kwh']} g/kWh ({row['mark']})"
        for row in read_rows("carbon")
        if row["mark"]
    )


def missing_quotas() -> tuple[str, ...]:
    """VM types for whose default quota no source was opened."""
    return tuple(
        f"{row['cloud']} {row['vm_type']}"
        for row in read_rows("vm_caps")
        if not row["default_vcpu_quota"]
    )
