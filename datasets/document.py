"""`docs/data.md`, written from the compiled tables: `tradewind matrix document > docs/data.md`.

Its words stand here; every figure in it is read or computed when it is printed.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

from datasets import epochs, flags
from datasets.difference import BREAK_FACTOR, BREAK_PAIRS, difference
from datasets.epochs import MatrixChoice, load_matrix
from datasets.policies import POLICIES
from datasets.power import NETWORK_KWH_PER_GB
from datasets.tables import LINKS, REGIONS, TABLES, Column, read_packaged, read_rows
from datasets.unverified import (
    marked_carbon,
    missing_quotas,
    unverified_caps,
    unverified_vm_prices,
)

_INTRODUCTION = """\
# The data: what was measured, by whom, and what is wrong with it

This page is printed by `tradewind matrix document`; do not edit it by hand.

All throughput is from the Skyplane project's published measurements of 2022: iperf3, 64 TCP
connections, 5 s, one sample a pair, between VMs of 32 vCPUs. Prices and round trips are from the
same source. None of it was measured by us. `tradewind matrix compile FOLDER` turns the published
files into the tables of `datasets/`, the same bytes each time; the published files themselves are
not in this repository.

`received` is what the receiver read before the test ended, `sent` what the sender wrote. The
difference was in flight or buffered: `received` reads low on long paths of a 5 s test, `sent`
reads high, neither is the steady rate. `received` is the default; `min` is the lesser of the two
(in every published row that is `received`). Column, tier, repair policy and caps are options of
every command that takes a Matrix, and part of its digest.

A file of your own (`--matrix FILE`) holds figures that are picked already: there column, tier and
policy are refused, and `--caps` fills the VM caps that it leaves out. An untouched JSON export
loads back with its epoch, choice and digest; edited, it is called `<epoch> (edited)`. CSV and
Parquet, and a JSON without a digest, do not say what they are, and are called
`<name> (user file)`: an export in those formats loads back with equal figures and another digest.
"""

_COORDINATES = (
    "city as the provider names it; its position from general knowledge, not looked up (unverified)"
)

_TIERS = """\
GCP has two network tiers, AWS and Azure one, which counts as premium. A `premium` Matrix takes
rows with both ends premium. A `standard` Matrix takes rows whose GCP ends are all standard; a pair
that was not measured so is absent rather than filled from the other tier. Its prices are the
premium ones (the price books know no other), flagged `premium_price`.
"""

_TIERED = """\
The average price of a transfer's bytes to other clouds falls as its volume crosses these limits
(`--tiered`). Factors are of each cloud's reference regions and are used everywhere: dearer regions
fall less. Limits are decimal; AWS's own are in binary TB. Free allowances are not counted.
"""

_POWER = """\
Watts are of a vCPU at rest and at full load. A gateway counts as busy by half, as the source
assumes of servers (`datasets/power.py`). A vCPU's carbon is its watts × PUE × its region's grid
(`carbon.csv`); memory, disks and making the machine are not in it. Bytes on the network are told
apart, as a range, and enter no sum.
"""

_PROVISIONING = """\
Seconds from asking for a VM to logging in to it, as others measured them (`--provisioning`). Our
gateway's own start is not in them, and nobody measured all three clouds in one way.
"""

_STORES = """\
Requests a second that a store allows, and what a thousand of them cost, for simulations that are
asked to count them (`simulate --store`). What one VM reads or writes a second is not published.
"""

_VM_BILLING = """\
VMs are charged by the second; some clouds charge a least time (`simulate --least-vm-billing`).
"""

_PRICES = """\
Epochs before June 2022 take the book of 2022-05-10, later ones that of 2023-02-06; a pair that the
book lacks takes the other one's price, flagged `other_book`; with neither, the link is absent.
Prices are of the first tier of volume, some rounded to the cent. Suspected ones are flagged and
used as published.
"""


def data_page() -> str:
    """The whole page. Raises: DataError where a compiled table is missing."""
    parts = [
        _INTRODUCTION,
        "## Epochs\n",
        _epochs_table(),
        "\n## Where each figure is from\n",
        _sources_table(),
        "\n## What was dropped, merged and flagged\n",
        _defects_table(),
        "\nWhat each flag means (`tradewind matrix show EPOCH --flag NAME` lists the rows):\n",
        _list(f"`{flag}`: {meaning}." for flag, meaning in flags.MEANING.items()),
        "\n## Repair policies\n",
        _list(f"`{name}`: {_first_paragraph(policy)}" for name, policy in POLICIES.items()),
        "\n`repair_implausible` takes as suggestions the reverse direction, the median out of the",
        "source to the destination's cloud, and the median into the destination from the source's",
        "cloud.",
        "\n## Tiers\n",
        _TIERS,
        "## Prices\n",
        _PRICES,
        _prices_facts(),
        "\n## Volume tiers\n",
        _TIERED,
        _plain_table("price_tiers"),
        "\n## Power\n",
        _POWER,
        _plain_table("power"),
        _network_energy(),
        "\n## Provisioning\n",
        _PROVISIONING,
        _plain_table("provisioning"),
        "\n## Object stores\n",
        _STORES,
        _plain_table("object_stores"),
        "\n## Least VM time\n",
        _VM_BILLING,
        _plain_table("vm_billing"),
        "\n## Round trips\n",
        _latency_facts(),
        "\n## Structural breaks\n",
        "Every pair of epochs between which the median pair of two clouds changed by a factor of",
        f"{BREAK_FACTOR:g} or more, over at least {BREAK_PAIRS} pairs of regions.\n",
        _breaks(),
        "\n## VM caps\n",
        _caps_table(),
        "\n## Unverified\n",
        "No source was opened for these; they are used, and marked, until somebody does.\n",
        _unverified(),
        "\n## Schemas\n",
        "Blank means not known. `datasets/tables.py` holds these tables.\n",
        _schemas(),
    ]
    return "\n".join(part.rstrip("\n") if part.endswith("\n\n") else part for part in parts) + "\n"


def _epochs_table() -> str:
    rows = []
    for name in epochs.epoch_names():
        about = epochs.provenance(name)
        matrix = load_matrix(MatrixChoice(epoch=name))
        standard = sum(
            row.usd_per_gb is not None and epochs.in_tier(row, "standard")
            for row in epochs.epoch_links(name)
        )
        rows.append(
            (
                name,
                len(matrix.regions),
                f"{about['rows_in']:,}",
                f"{about['rows_out']:,}",
                f"{len(matrix.links):,}",
                f"{standard:,}",
                about["prices"]["book"],
            )
        )
    head = ("epoch", "regions", "rows in", "rows out", "links", "links, standard", "price book")
    return _markdown(head, rows)


def _sources_table() -> str:
    rows = []
    abouts = [epochs.provenance(name)["source"] for name in epochs.epoch_names()]
    for source in (*abouts, *_tables_provenance()["sources"].values()):
        rows.append(
            (
                source["file"],
                f"{source['repository']}@{source['commit']} `{source['path']}`",
                f"{source['rows']:,}",
                source["licence"],
                f"`{source['sha256'][:16]}…`",
            )
        )
    others = sorted(
        {
            (name, row["source"].split(" (")[0])
            for name in ("vm_prices", "carbon")
            for row in read_rows(name)
            if "@" in row["source"] and not row["source"].startswith("proxy")
        }
    )
    more = [(name, source, "", "Apache-2.0", "") for name, source in others]
    for row in read_rows("vm_caps"):
        source = row["source"].replace("|", "\\|")
        more.append((f"vm_caps, {row['cloud']} {row['vm_type']}", source, "1", "facts only", ""))
    for name in ("price_tiers", "power", "provisioning", "object_stores", "vm_billing"):
        of_cloud = {row["cloud"]: row["source"] for row in read_rows(name)}
        for cloud, source in of_cloud.items():
            rows_of = sum(row["cloud"] == cloud for row in read_rows(name))
            more.append((f"{name}, {cloud}", source, str(rows_of), "facts only", ""))
    places = f"{len(read_rows('coordinates')):,}"
    more.append(("coordinates", _COORDINATES, places, "facts only", ""))
    return _markdown(("file", "source", "rows", "licence", "SHA-256"), [*rows, *more])


def _defects_table() -> str:
    names = epochs.epoch_names()
    abouts = [epochs.provenance(name) for name in names]
    rows: list[tuple[object, ...]] = []
    for key in abouts[0]["handled"]:
        rows.append((key.replace("_", " "), *(f"{about['handled'][key]:,}" for about in abouts)))
    rows.append(("largest spread of duplicates", *(about["largest_spread"] for about in abouts)))
    for flag in flags.MEANING:
        rows.append((f"`{flag}`", *(f"{about['flagged'][flag]:,}" for about in abouts)))
    for source in ("ping_v1", "ping_v2", "estimated"):
        counts = (about["rtt"]["rows_by_source"].get(source, 0) for about in abouts)
        rows.append((f"round trip from {source}", *(f"{count:,}" for count in counts)))
    rows.append(("VM prices unverified", *(about["vm_prices_unverified"] for about in abouts)))
    return _markdown(("rows", *names), rows)


def _prices_facts() -> str:
    about = _tables_provenance()["egress_prices"]
    lines = [
        f"The two books disagree on {about['books_disagree']} of the pairs they share.",
        *(
            f"Book of {book}: {check['disagree']} of {check['pairs']} AWS pairs disagree with "
            "AWS's own transfer prices of 2022-12-04."
            for book, check in about["aws_transfer_check"].items()
        ),
        *(
            f"`{flag}`: {count} prices in the two books."
            for flag, count in about["suspected"].items()
        ),
        f"{about['same_region_rows_dropped']} prices inside one region were left out.",
    ]
    return _list(lines)


def _latency_facts() -> str:
    about = _tables_provenance()["latencies"]
    estimate, v1, v2 = about["estimate"], about["campaigns"]["v1"], about["campaigns"]["v2"]
    return "\n".join(
        (
            "The average of ping, first campaign preferred, in either direction.",
            f"Ping v1 has {v1['no_value']:,} rows without a value. Of ping v2,",
            f"{v2['faster_than_light']} rows are faster than light in fibre (200,000 km/s) over",
            f"the great circle, {v2['faster_than_light_gcp_end']} of them with a GCP end; they",
            "were dropped. Its other GCP rows are used where v1 has none, and remain doubtful.",
            "A missing round trip is estimated as",
            f"{estimate['base_ms']} ms + {estimate['factor']} × light in fibre over the great",
            f"circle: least squares over {estimate['pairs']:,} pairs of ping v1, median error",
            f"{estimate['median_error']:.0%}.",
        )
    )


def _breaks() -> str:
    columns = ("received", "sent")
    matrices = {
        (name, column): load_matrix(MatrixChoice(epoch=name, column=column))
        for name in epochs.epoch_names()
        for column in columns
    }
    lines = []
    for before, after in itertools.combinations(epochs.epoch_names(), 2):
        for column in columns:
            found = difference(matrices[before, column], matrices[after, column])
            lines += [f"{before} to {after}: {line}." for line in found.sentences()]
    public = [
        f"{name}: traffic inside {', '.join(epochs.provenance(name)['public_address_clouds'])} "
        "stayed under the public cap, so that cap holds there in this epoch."
        for name in epochs.epoch_names()
        if epochs.provenance(name)["public_address_clouds"]
    ]
    return _list([*lines, *public])


def _caps_table() -> str:
    head = ("cloud", "type", "vCPUs", "to other clouds", "out", "in", "Skyplane out", "Skyplane in")
    names = (
        "cloud",
        "vm_type",
        "vcpus",
        "egress_public_gbps",
        "egress_gbps",
        "ingress_gbps",
        "skyplane_egress_gbps",
        "skyplane_ingress_gbps",
    )
    return _markdown(head, [tuple(row[name] for name in names) for row in read_rows("vm_caps")])


def _plain_table(name: str) -> str:
    """A table without its sources, which stand under "Where each figure is from"."""
    shown = [c for c in TABLES[name] if c.name not in ("source", "verified")]
    head = [f"{c.name} ({c.unit})" if c.unit else c.name for c in shown]
    return _markdown(head, [tuple(row[c.name] for c in shown) for row in read_rows(name)])


def _network_energy() -> str:
    least, most = NETWORK_KWH_PER_GB
    return (
        f"\nEnergy of the network: {least:g} to {most:g} kWh a GB, at the mean of both ends' grids."
    )


def _unverified() -> str:
    prices = sorted({line for name in epochs.epoch_names() for line in unverified_vm_prices(name)})
    places = [row for row in read_rows("coordinates") if row["mark"]]
    return "\n".join(
        (
            "VM caps (Gbit/s):\n",
            _list(unverified_caps()),
            "\nDefault vCPU quotas, left blank:\n",
            _list(missing_quotas()),
            "\nVM prices:\n",
            _list(prices),
            "\nCarbon, borrowed or a mean:\n",
            _list(marked_carbon()),
            f"\nCoordinates: all {len(places)}, cities from general knowledge, good to tens of",
            "kilometres; no ping contradicts them but the rows dropped above.",
        )
    )


def _schemas() -> str:
    schemas: list[tuple[str, Sequence[Column]]] = [
        ("epochs/<date>/links.csv", LINKS),
        ("epochs/<date>/regions.csv", REGIONS),
        *((f"tables/{name}.csv", schema) for name, schema in TABLES.items()),
    ]
    parts = []
    for name, schema in schemas:
        rows = [(f"`{column.name}`", column.unit, column.meaning) for column in schema]
        parts.append(f"`{name}`\n\n{_markdown(('column', 'unit', 'meaning'), rows)}\n")
    return "\n".join(parts).rstrip("\n")


def _tables_provenance() -> dict[str, Any]:
    about: dict[str, Any] = json.loads(read_packaged("tables", "provenance.json"))
    return about


def _first_paragraph(function: object) -> str:
    return (function.__doc__ or "").split("\n\n")[0].strip()


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "- none"


def _markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)
