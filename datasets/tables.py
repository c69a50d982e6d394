"""The schema of every compiled table, as tables themselves; and the one reader and writer.

A table is CSV, UTF-8, `\\n` line ends, sorted, with fixed decimals: the same content is the same
bytes. Blank is "not known". Packaged tables are read through `importlib.resources`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

from datasets.errors import DataError

Row = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its unit (blank for text) and what it means."""

    name: str
    unit: str
    meaning: str


def _columns(*rows: tuple[str, str, str]) -> tuple[Column, ...]:
    return tuple(Column(name=name, unit=unit, meaning=meaning) for name, unit, meaning in rows)


# Of each epoch, in `epochs/<date>/`.
LINKS = _columns(
    ("src", "", "sending region"),
    ("dst", "", "receiving region"),
    ("src_tier", "", "network tier of the sender: premium or standard (GCP alone has two)"),
    ("dst_tier", "", "network tier of the receiver"),
    ("src_vm", "", "instance class of the sender; blank where it was not published"),
    ("dst_vm", "", "instance class of the receiver"),
    ("connections", "", "TCP connections of the test"),
    ("duration_s", "s", "length of the test"),
    ("received_gbps", "Gbit/s", "what the receiver read; median of the samples"),
    ("sent_gbps", "Gbit/s", "what the sender wrote; median of the samples"),
    ("samples", "", "published rows merged into this one"),
    ("spread", "", "largest over least received figure of the samples; 1 for a single one"),
    ("usd_per_gb", "USD/GB", "egress price; blank where neither book has one"),
    ("price_source", "", "date of the price book"),
    ("rtt_ms", "ms", "round-trip time"),
    ("rtt_source", "", "ping_v1, ping_v2 or estimated"),
    ("flags", "", "what is odd about the row, words of `flags.py`, joined by a semicolon"),
)
REGIONS = _columns(
    ("region", "", "cloud:region"),
    ("vm_type", "", "instance class most used there; the cloud's reference type where blank"),
    ("usd_per_hour", "USD/h", "on demand, Linux"),
    ("mark", "", "blank: published for this region and type; otherwise why not"),
)

# In `tables/`.
EGRESS_PRICES = _columns(
    ("book", "", "date of the price book"),
    ("src", "", "sending region"),
    ("dst", "", "receiving region"),
    ("usd_per_gb", "USD/GB", "first price tier"),
    ("flags", "", "swap_suspected, price_suspected"),
)
AWS_TRANSFER_PRICES = _columns(
    ("src", "", "sending AWS region"),
    ("dst", "", "receiving AWS region, or internet"),
    ("usd_per_gb", "USD/GB", "2022-12-04"),
)
LATENCIES = _columns(
    ("src", "", "pinging region"),
    ("dst", "", "pinged region"),
    ("src_tier", "", "network tier of the pinging end"),
    ("dst_tier", "", "network tier of the pinged end"),
    ("v1_ms", "ms", "average round trip, first campaign; blank: no value"),
    ("v2_ms", "ms", "average round trip, second campaign; blank: no value, or dropped"),
)
VM_PRICES = _columns(
    ("region", "", "cloud:region"),
    ("vm_type", "", "instance class"),
    ("usd_per_hour", "USD/h", "on demand, Linux"),
    ("spot_usd_per_hour", "USD/h", "median of the zones, a moment's value"),
    ("mark", "", "unverified: the cloud's reference price, for want of the region's own"),
    ("source", "", "repository@commit path"),
    ("as_of", "", "version of the catalogue"),
)
VM_CAPS = _columns(
    ("cloud", "", "aws, azure or gcp"),
    ("vm_type", "", "instance class; a cloud's first row is its reference"),
    ("vcpus", "", "virtual CPUs"),
    ("egress_public_gbps", "Gbit/s", "out to other clouds"),
    ("egress_gbps", "Gbit/s", "out to anywhere"),
    ("ingress_gbps", "Gbit/s", "in"),
    ("skyplane_egress_gbps", "Gbit/s", "out, as Skyplane's solver assumes"),
    ("skyplane_ingress_gbps", "Gbit/s", "in, as Skyplane's solver assumes"),
    ("default_vcpu_quota", "", "vCPUs a new account may use; blank: no source opened"),
    ("unverified", "", "columns whose source was not opened, joined by a semicolon"),
    ("source", "", "where each value is from"),
)
VCPUS = _columns(
    ("cloud", "", "provider"),
    ("vm_type", "", "instance class"),
    ("vcpus", "", "virtual CPUs"),
)
COORDINATES = _columns(
    ("region", "", "cloud:region"),
    ("city", "", "as the provider names it"),
    ("country", "", "ISO 3166-1 alpha-2"),
    ("latitude", "deg", "north positive"),
    ("longitude", "deg", "east positive"),
    ("mark", "", "unverified: general knowledge, not looked up"),
)
CARBON = _columns(
    ("region", "", "cloud:region"),
    ("gco2e_per_kwh", "g/kWh", "grid intensity"),
    ("carbon_free_share", "", "hourly carbon-free share, Google only"),
    ("year", "", "of the figure; blank: the source gives none"),
    ("mark", "", "blank: published for this region; otherwise how it was filled"),
    ("source", "", "repository@commit path"),
)

PRICE_TIERS = _columns(
    ("cloud", "", "aws, azure or gcp"),
    ("from_gb", "GB", "the tier begins at this volume of a month, decimal"),
    ("usd_per_gb", "USD/GB", "to the internet, from the cloud's reference regions"),
    ("factor", "", "share of the first tier's price"),
    ("source", "", "where the tier is from"),
    ("verified", "", "yes: the source was opened; no: it was not"),
)
POWER = _columns(
    ("cloud", "", "aws, azure or gcp"),
    ("min_w_per_vcpu", "W", "of an idle vCPU"),
    ("max_w_per_vcpu", "W", "of a busy vCPU"),
    ("pue", "", "power usage effectiveness: at the meter over at the servers"),
    ("source", "", "where each value is from"),
    ("verified", "", "yes: the source was opened; no: it was not"),
)
PROVISIONING = _columns(
    ("cloud", "", "aws, azure or gcp"),
    ("typical_s", "s", "from request to ssh, mean or median as the source has it"),
    ("slow_s", "s", "the same of the slowest that the source tells of; blank: it tells of none"),
    ("source", "", "where each value is from"),
    ("verified", "", "yes: the source was opened; no: it was not"),
)
OBJECT_STORES = _columns(
    ("cloud", "", "aws, azure or gcp"),
    ("reads_per_s", "1/s", "read requests a second, for each scope"),
    ("writes_per_s", "1/s", "write requests a second, for each scope"),
    ("scope", "", "what the limits hold for"),
    ("usd_per_1000_reads", "USD", "a thousand read requests; blank: no source opened"),
    ("usd_per_1000_writes", "USD", "a thousand write requests; blank: no source opened"),
    ("source", "", "where each value is from"),
    ("verified", "", "yes: the source was opened; no: it was not"),
)
VM_BILLING = _columns(
    ("cloud", "", "aws, azure or gcp"),
    ("least_s", "s", "a VM is charged at least this long; by the second after that"),
    ("source", "", "where each value is from"),
    ("verified", "", "yes: the source was opened; no: it was not"),
)

TABLES: Mapping[str, tuple[Column, ...]] = MappingProxyType(
    {
        "egress_prices": EGRESS_PRICES,
        "aws_transfer_prices": AWS_TRANSFER_PRICES,
        "latencies": LATENCIES,
        "vm_prices": VM_PRICES,
        "vm_caps": VM_CAPS,
        "vcpus": VCPUS,
        "coordinates": COORDINATES,
        "carbon": CARBON,
        "price_tiers": PRICE_TIERS,
        "power": POWER,
        "provisioning": PROVISIONING,
        "object_stores": OBJECT_STORES,
        "vm_billing": VM_BILLING,
    }
)


def write_table(schema: Sequence[Column], rows: Iterable[Row]) -> bytes:
    """The table's bytes, rows in the order given. Raises: DataError on a row of other columns."""
    names = [column.name for column in schema]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        if set(row) != set(names):
            raise DataError(f"a row has the columns {sorted(row)}, not {sorted(names)}")
        writer.writerow([row[name] for name in names])
    return out.getvalue().encode()


def parse_table(schema: Sequence[Column], data: bytes, *, where: str) -> list[list[str]]:
    """Rows as lists in the schema's order. Raises: DataError if the header is another one."""
    reader = csv.reader(io.StringIO(data.decode()))
    names = [column.name for column in schema]
    if next(reader, None) != names:
        raise DataError(f"{where} does not start with the columns {', '.join(names)}.")
    return list(reader)


def read_packaged(*parts: str) -> bytes:
    """A packaged file of this floor. Raises: DataError if it is not there."""
    try:
        return resources.files("datasets").joinpath(*parts).read_bytes()
    except OSError as error:
        raise DataError(
            f"datasets/{'/'.join(parts)} is missing; `tradewind matrix compile FOLDER` makes it."
        ) from error


def read_rows(name: str) -> list[Row]:
    """The rows of `tables/<name>.csv`, as mappings."""
    schema = TABLES[name]
    names = [column.name for column in schema]
    rows = parse_table(schema, read_packaged("tables", f"{name}.csv"), where=f"tables/{name}.csv")
    return [dict(zip(names, row, strict=True)) for row in rows]
