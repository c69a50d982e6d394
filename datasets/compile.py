"""`tradewind matrix compile FOLDER`: the published files to our own tables, the same bytes again.

    published folder --clean, prices, latencies, catalogue, carbon--> epochs/<date>/, tables/

Nothing of the machine it runs on enters the output: no paths, no times.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from datasets import carbon, catalogue, flags
from datasets.canonical import Json
from datasets.clean import Cleaned, CleanLink, clean, with_flags
from datasets.errors import InputError
from datasets.latencies import Latencies, read_latencies
from datasets.prices import PriceBooks, read_price_books
from datasets.published import Published, PublishedFolder, number
from datasets.regions import cloud_of
from datasets.tables import LINKS, REGIONS, TABLES, Row, write_table

PROVENANCE_SCHEMA_VERSION = 1
# An epoch's traffic inside a cloud went over public addresses if no pair beat the public cap by
# more than this; the largest overshoot measured is 2 % (7.15 against 7 Gbit/s).
_CAP_SLACK = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """What every epoch shares."""

    prices: PriceBooks
    latencies: Latencies
    tables: Mapping[str, Sequence[Row]]


def compile_published(folder: Path) -> dict[str, bytes]:
    """Every compiled file's bytes by its path under `datasets/`, sorted.

    Raises: DataError where a published file is missing, damaged or not as expected.
    """
    published = PublishedFolder(folder)
    places = _coordinate_rows(published)
    countries = {row["region"]: row["country"] for row in places}
    points = {row["region"]: (float(row["latitude"]), float(row["longitude"])) for row in places}
    prices = read_price_books(published, countries)
    latencies = read_latencies(published, points)
    caps = catalogue.caps_rows(published.table("vm_caps"))
    vcpus = published.raw(published.named("vcpu_info_"))
    tables: dict[str, Sequence[Row]] = {
        "aws_transfer_prices": prices.aws_rows(),
        "carbon": carbon.filled(published.table("carbon"), countries),
        "coordinates": places,
        "egress_prices": prices.rows(),
        "latencies": latencies.rows(),
        "vcpus": catalogue.vcpu_rows(vcpus.rows),
        "vm_caps": caps,
        "vm_prices": catalogue.price_rows(published.table("vm_prices"), countries, caps),
    }
    world = _World(prices=prices, latencies=latencies, tables=tables)
    files = {f"tables/{name}.csv": write_table(TABLES[name], tables[name]) for name in tables}
    files["tables/provenance.json"] = _json(_tables_provenance(world, vcpus))
    for epoch, name in published.epochs().items():
        for file, data in _epoch_files(epoch, published.raw(name), world).items():
            files[f"epochs/{epoch}/{file}"] = data
    return dict(sorted(files.items()))


def write_compiled(files: Mapping[str, bytes], folder: Path) -> None:
    """Write `files` under `folder`. Raises: InputError if it cannot be written."""
    for name, data in files.items():
        target = folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except OSError as error:
            raise InputError(f"Cannot write {target}: {error.strerror}.") from error


def _epoch_files(epoch: str, published: Published, world: _World) -> dict[str, bytes]:
    cleaned = clean(published)
    public = _public_address_clouds(cleaned.links, world.tables["vm_caps"])
    rows = []
    for link in cleaned.links:
        over = _over_caps(link, public, world.tables["vm_caps"])
        rows.append(_link_row(epoch, with_flags(link, *over), world))
    regions = catalogue.region_rows(
        cleaned.links, world.tables["vm_prices"], world.tables["vm_caps"]
    )
    about = _epoch_provenance(epoch, published, cleaned, world, rows)
    about["public_address_clouds"] = sorted(public)
    about["regions"] = len(regions)
    about["vm_prices_unverified"] = sum(bool(row["mark"]) for row in regions)
    return {
        "links.csv": write_table(LINKS, rows),
        "regions.csv": write_table(REGIONS, regions),
        "provenance.json": _json(about),
    }


def _link_row(epoch: str, link: CleanLink, world: _World) -> Row:
    price = world.prices.price(epoch, link.src, link.dst)
    rtt = world.latencies.rtt(link.src, link.dst, link.src_tier, link.dst_tier)
    odd = [*rtt.flags, *(price.flags if price else (flags.NO_PRICE,))]
    if price and "standard" in (link.src_tier, link.dst_tier):
        odd.append(flags.PREMIUM_PRICE)
    link = with_flags(link, *odd)
    return {
        "src": link.src,
        "dst": link.dst,
        "src_tier": link.src_tier,
        "dst_tier": link.dst_tier,
        "src_vm": link.src_vm,
        "dst_vm": link.dst_vm,
        "connections": link.connections,
        "duration_s": link.duration_s,
        "received_gbps": f"{link.received_gbps:.9f}",
        "sent_gbps": f"{link.sent_gbps:.9f}",
        "samples": str(link.samples),
        "spread": f"{link.spread:.3f}",
        "usd_per_gb": f"{price.usd_per_gb:.4f}" if price else "",
        "price_source": price.book if price else "",
        "rtt_ms": f"{rtt.rtt_ms:.3f}",
        "rtt_source": rtt.source,
        "flags": ";".join(link.flags),
    }


def _public_address_clouds(links: Sequence[CleanLink], caps: Sequence[Row]) -> set[str]:
    """Clouds whose inside traffic stayed under the public cap, where the two caps differ."""
    public = set()
    for row in {row["cloud"]: row for row in reversed(caps)}.values():
        cap_gbps = float(row["egress_public_gbps"])
        inside = [
            link.received_gbps
            for link in links
            if cloud_of(link.src) == cloud_of(link.dst) == row["cloud"]
        ]
        differs = cap_gbps < float(row["egress_gbps"])
        if differs and inside and max(inside) <= cap_gbps * _CAP_SLACK:
            public.add(row["cloud"])
    return public


def _over_caps(link: CleanLink, public: set[str], caps: Sequence[Row]) -> list[str]:
    """Flags of a link that carried more than a documented cap of either end's VM."""
    src, dst = cloud_of(link.src), cloud_of(link.dst)
    by_type = {(row["cloud"], row["vm_type"]): row for row in caps}
    references = {row["cloud"]: row for row in reversed(caps)}
    sender = by_type.get((src, link.src_vm), references[src])
    receiver = by_type.get((dst, link.dst_vm), references[dst])
    uses_public = src != dst or src in public
    egress = sender["egress_public_gbps" if uses_public else "egress_gbps"]
    found = []
    if link.received_gbps > float(egress):
        found.append(flags.OVER_EGRESS)
    if link.received_gbps > float(receiver["ingress_gbps"]):
        found.append(flags.OVER_INGRESS)
    return found


def _epoch_provenance(
    epoch: str, published: Published, cleaned: Cleaned, world: _World, rows: Sequence[Row]
) -> dict[str, Json]:
    flagged = Counter(flag for row in rows for flag in row["flags"].split(";") if flag)
    pairs = {(row["src"], row["dst"]) for row in rows}
    book = world.prices.book_of(epoch)
    return {
        "schema_version": PROVENANCE_SCHEMA_VERSION,
        "epoch": epoch,
        "source": dict(published.origin()),
        "columns": {"received": cleaned.received_column, "sent": "throughput_sent"},
        "unit_published": "bit/s",
        "unit": "Gbit/s",
        "rows_in": len(published.rows),
        "rows_out": len(rows),
        "pairs": len(pairs),
        "handled": dict(cleaned.counts),
        "largest_spread": cleaned.largest_spread,
        "flagged": {flag: flagged.get(flag, 0) for flag in flags.MEANING},
        "tiers": dict(Counter(f"{row['src_tier']}-{row['dst_tier']}" for row in rows)),
        "prices": {
            "book": book,
            "rows_by_book": dict(Counter(row["price_source"] or "none" for row in rows)),
            "aws_transfer_check": dict(world.prices.cross_check(book)),
        },
        "rtt": {"rows_by_source": dict(Counter(row["rtt_source"] for row in rows))},
        "left_behind": "paths of log files, tags and CPU shares",
    }


def _tables_provenance(world: _World, vcpus: Published) -> dict[str, Json]:
    prices, latencies, tables = world.prices, world.latencies, world.tables
    marks = {
        name: sum(bool(row["mark"]) for row in tables[name])
        for name in ("carbon", "coordinates", "vm_prices")
    }
    suspected = Counter(row["flags"] for row in tables["egress_prices"] if row["flags"])
    return {
        "schema_version": PROVENANCE_SCHEMA_VERSION,
        "sources": {
            file.name: dict(file.origin())
            for file in (*prices.published, *latencies.published, vcpus)
        },
        "rows": {name: len(rows) for name, rows in tables.items()},
        "egress_prices": {
            "same_region_rows_dropped": prices.same_region_rows,
            "suspected": dict(suspected),
            "books_disagree": _books_disagree(prices),
            "aws_transfer_check": {date: dict(prices.cross_check(date)) for date in prices.books},
        },
        "latencies": {
            "campaigns": {name: dict(counts) for name, counts in latencies.counts.items()},
            "estimate": dict(asdict(latencies.estimate)),
        },
        "marked": dict(marks),
    }


def _books_disagree(prices: PriceBooks) -> int:
    """Pairs that two books price differently."""
    seen: dict[tuple[str, str], set[float]] = {}
    for book in prices.books.values():
        for pair, usd_per_gb in book.items():
            seen.setdefault(pair, set()).add(usd_per_gb)
    return sum(len(found) > 1 for found in seen.values())


def _coordinate_rows(published: PublishedFolder) -> list[Row]:
    rows = []
    for i, row in enumerate(published.table("coordinates"), start=1):
        for name in ("latitude", "longitude"):
            number(row[name], file="coordinates", row=i, column=name)
        rows.append(
            {
                **{name: row[name] for name in ("region", "city", "country")},
                "latitude": f"{float(row['latitude']):.2f}",
                "longitude": f"{float(row['longitude']):.2f}",
                "mark": catalogue.UNVERIFIED,
            }
        )
    return sorted(rows, key=lambda row: row["region"])


def _json(value: Mapping[str, Json]) -> bytes:
    """Readable and deterministic: sorted keys, two spaces, a last newline."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False).encode() + b"\n"
