"""What `tradewind matrix` answers: each answer as JSON, and as text that fits 80 columns."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from datasets import epochs, flags
from datasets.canonical import Json, rounded
from datasets.coordinates import city
from datasets.difference import Difference
from datasets.epochs import EpochLink, MatrixChoice, load_matrix
from datasets.errors import InputError
from datasets.matrix import Matrix
from datasets.regions import cloud_of
from datasets.unverified import unverified_caps, unverified_vm_prices

PAGE_COLUMNS = 80
Answer = dict[str, Any]


def epoch_rows() -> list[dict[str, Json]]:
    """One entry an epoch: what its default Matrix holds, and `rows` of both tiers."""
    rows: list[dict[str, Json]] = []
    for name in epochs.epoch_names():
        about = epochs.provenance(name)
        choice = MatrixChoice(epoch=name)
        matrix, flagged = load_matrix(choice), _flagged(choice)
        rows.append(
            {
                "epoch": name,
                "clouds": " ".join(sorted({cloud_of(region) for region in matrix.region_ids})),
                "regions": len(matrix.regions),
                "links": len(matrix.links),
                "rows": about["rows_out"],
                "implausible": flagged[flags.IMPLAUSIBLE],
                "no_price": flagged[flags.NO_PRICE],
                "price_book": about["prices"]["book"],
                "digest": matrix.digest,
                "default": name == epochs.DEFAULT_EPOCH,
            }
        )
    return rows


def ls_page(rows: Sequence[dict[str, Json]]) -> str:
    """The epochs as a table."""
    table = _table("epoch", "clouds", right=("regions", "links", "implausible"), left=("prices",))
    for row in rows:
        table.add_row(
            f"{row['epoch']}{' *' if row['default'] else ''}",
            str(row["clouds"]),
            f"{row['regions']}",
            f"{row['links']:,}",
            f"{row['implausible']}",
            str(row["price_book"]),
        )
    return _page(
        table,
        "* the default. One 5 s sample a pair, 64 connections, in 2022; premium tier.",
    )


def epoch_answer(choice: MatrixChoice) -> Answer:
    """An epoch: provenance, medians by pair of clouds, and what is unverified."""
    matrix = load_matrix(choice)
    return {
        "epoch": choice.epoch,
        "digest": matrix.digest,
        "column": choice.column,
        "tier": choice.tier,
        "policy": choice.policy,
        "caps": choice.caps,
        "regions": len(matrix.regions),
        "links": len(matrix.links),
        "absent": _absent(choice, matrix),
        "cloud_pairs": _cloud_pairs(matrix),
        "region_list": [_region_entry(matrix, region) for region in matrix.region_ids],
        "flags": dict(flags.MEANING),
        "flagged": _flagged(choice),
        "unverified": {
            "vm_caps": list(unverified_caps()),
            "vm_prices": list(unverified_vm_prices(choice.epoch)),
        },
        "provenance": dict(epochs.provenance(choice.epoch)),
    }


def epoch_page(answer: Answer) -> str:
    """`epoch_answer` for people."""
    about, source = answer["provenance"], answer["provenance"]["source"]
    medians = _table("from", "to", right=("links", "median Gbit/s", "least", "most", "$/GB"))
    for pair in answer["cloud_pairs"]:
        medians.add_row(
            pair["src_cloud"],
            pair["dst_cloud"],
            f"{pair['links']:,}",
            f"{pair['median_gbps']:.3g}",
            f"{pair['least_gbps']:.3g}",
            f"{pair['most_gbps']:.3g}",
            f"{pair['median_usd_per_gb']:.4f}",
        )
    counted = _table("flag", right=("rows",), left=(f"meaning ({answer['tier']} tier)",))
    for flag, count in answer["flagged"].items():
        if count:
            counted.add_row(flag, f"{count:,}", flags.MEANING[flag])
    vms = _table("region", "city", "VM", right=("$/h", "pub", "out", "in"))
    for region in answer["region_list"]:
        vm = region["vm"]
        caps = (vm[name] for name in ("egress_public_gbps", "egress_gbps", "ingress_gbps"))
        vms.add_row(
            region["id"],
            (region["city"] or "")[:11],
            vm["type"],
            f"{vm['usd_per_hour']:.3f}",
            *(f"{cap:g}" for cap in caps),
        )
    handled = ", ".join(f"{name} {n}" for name, n in about["handled"].items() if n) or "nothing"
    unverified = answer["unverified"]
    return _page(
        f"{answer['epoch']}: {answer['links']:,} links between {answer['regions']} regions "
        f"({answer['column']}, {answer['tier']}, {answer['policy']}, {answer['caps']} caps)",
        f"digest {answer['digest']}",
        f"source {source['repository']}@{source['commit']} {source['path']}, "
        f"{source['licence']}; {source['rows']:,} rows",
        f"handled: {handled}",
        "absent: " + ", ".join(f"{name} {count}" for name, count in answer["absent"].items()),
        "",
        medians,
        counted,
        "Caps in Gbit/s: to other clouds, to anywhere, in.",
        vms,
        f"Unverified (no source opened), {len(unverified['vm_caps'])} caps: "
        + "; ".join(unverified["vm_caps"]),
        f"Unverified, {len(unverified['vm_prices'])} VM prices:",
        *(f"  {line}" for line in unverified["vm_prices"]),
    )


def region_answer(choice: MatrixChoice, src: str) -> Answer:
    """Every link out of `src`. Raises: UnknownName."""
    matrix = load_matrix(choice)
    vm = matrix.vm(src)
    odd = {(row.src, row.dst): row.flags for row in _rows(choice)}
    return {
        "epoch": choice.epoch,
        "src": src,
        "city": city(src),
        "vm": vm.as_json(),
        "links": [
            {**link.as_json(), "flags": list(odd[link.src, link.dst])}
            for link in sorted(matrix.links, key=lambda link: -link.gbps)
            if link.src == src
        ],
    }


def region_page(answer: Answer) -> str:
    """`region_answer` for people, the fastest first."""
    table = _table("to", right=("Gbit/s", "$/GB", "RTT ms"), left=("flags",))
    for link in answer["links"]:
        table.add_row(
            link["dst"],
            f"{link['gbps']:.3f}",
            f"{link['usd_per_gb']:.4f}",
            f"{link['rtt_ms']:.1f}",
            " ".join(link["flags"]),
        )
    return _page(f"{answer['epoch']}, from {answer['src']} ({answer['city'] or '?'})", table)


def link_answer(choice: MatrixChoice, src: str, dst: str) -> Answer:
    """Everything known of one pair: the Matrix's link and every row, all tiers.

    Raises: UnknownName for a region; InputError where nothing was measured.
    """
    matrix = load_matrix(choice)
    matrix.vm(src)
    matrix.vm(dst)
    rows = [row for row in epochs.epoch_links(choice.epoch) if (row.src, row.dst) == (src, dst)]
    if not rows:
        raise InputError(f"Nothing was measured from {src} to {dst} on {choice.epoch}.")
    link = matrix.link(src, dst)
    return {
        "epoch": choice.epoch,
        "src": src,
        "dst": dst,
        "link": link.as_json() if link else None,
        "rows": [_row_json(row) for row in rows],
    }


def link_page(answer: Answer) -> str:
    """`link_answer` for people: one column a row of tiers."""
    rows = answer["rows"]
    table = _table("", right=[f"{row['src_tier']} to {row['dst_tier']}" for row in rows])
    for name in rows[0]:
        if name in ("src", "dst", "src_tier", "dst_tier", "flags"):
            continue
        table.add_row(name, *("" if row[name] is None else str(row[name]) for row in rows))
    table.add_row("flags", *(" ".join(row["flags"]) or "none" for row in rows))
    link = answer["link"]
    words = (
        "absent from this Matrix"
        if link is None
        else f"{link['gbps']:.4g} Gbit/s, ${link['usd_per_gb']:.4f}/GB, {link['rtt_ms']:.1f} ms"
    )
    return _page(f"{answer['epoch']}, {answer['src']} to {answer['dst']}: {words}", table)


def flagged_answer(choice: MatrixChoice, flag: str) -> Answer:
    """Every row of the epoch with `flag`, all tiers, and how many a Matrix of the tier counts."""
    rows = [row for row in epochs.epoch_links(choice.epoch) if flag in row.flags]
    return {
        "epoch": choice.epoch,
        "flag": flag,
        "meaning": flags.MEANING[flag],
        "tier": choice.tier,
        "on_tier": _flagged(choice)[flag],
        "rows": [_row_json(row) for row in rows],
    }


def flagged_page(answer: Answer) -> str:
    """`flagged_answer` for people."""
    table = _table("from", "to", right=("Gbit/s", "$/GB", "tiers"))
    for row in answer["rows"]:
        price = row["usd_per_gb"]
        table.add_row(
            row["src"],
            row["dst"],
            f"{row['received_gbps']:.3f}",
            "" if price is None else f"{price:.4f}",
            f"{row['src_tier'][0]}-{row['dst_tier'][0]}",
        )
    title = (
        f"{answer['epoch']}: {len(answer['rows'])} rows flagged {answer['flag']}, "
        f"{answer['on_tier']} of them on the {answer['tier']} tier"
    )
    return _page(title, answer["meaning"], table)


def diff_page(found: Difference, others: Sequence[Difference]) -> str:
    """Two epochs for people; the structural breaks first, those of `others` columns after."""
    table = _table("from", "to", right=("pairs", "before", "after", "ratio", "within 10 %"))
    for change in found.changes:
        table.add_row(
            change.src_cloud,
            change.dst_cloud,
            f"{change.pairs:,}",
            f"{change.before_gbps:.3g}",
            f"{change.after_gbps:.3g}",
            f"{change.ratio:.2f}{' !' if change.is_break else ''}",
            f"{change.within_tenth:.0%}",
        )
    breaks = [f"Structural break: {line}." for line in found.sentences()]
    breaks += [f"Also: {line}." for other in others for line in other.sentences()]
    return _page(
        f"{found.before.epoch} to {found.after.epoch}: {found.pairs:,} pairs in both",
        *(breaks or ["No structural break."]),
        table,
        f"Medians, Gbit/s, {found.after.column}; ratio is the median of each pair's.",
        f"Regions gone: {', '.join(found.regions_gone) or 'none'}.",
        f"Regions new: {', '.join(found.regions_new) or 'none'}.",
        f"Prices changed on {found.prices_changed} pairs.",
    )


def _rows(choice: MatrixChoice) -> list[EpochLink]:
    return [row for row in epochs.epoch_links(choice.epoch) if epochs.in_tier(row, choice.tier)]


def _flagged(choice: MatrixChoice) -> dict[str, int]:
    """Rows by flag, on the tier of `choice`. One without a price is in no Matrix: that flag alone.

    Rows that the policy then drops or repairs are counted.
    """
    counts = Counter(
        flag
        for row in _rows(choice)
        for flag in (row.flags if row.usd_per_gb is not None else (flags.NO_PRICE,))
    )
    return {flag: counts[flag] for flag in flags.MEANING}


def _absent(choice: MatrixChoice, matrix: Matrix) -> dict[str, int]:
    """Pairs of the epoch that are not in the Matrix, and why."""
    every = {(row.src, row.dst) for row in epochs.epoch_links(choice.epoch)}
    of_tier = _rows(choice)
    unpriced = sum(row.usd_per_gb is None for row in of_tier)
    return {
        "not measured on this tier": len(every) - len(of_tier),
        "without a price": unpriced,
        "dropped by the policy": len(of_tier) - unpriced - len(matrix.links),
    }


def _cloud_pairs(matrix: Matrix) -> list[dict[str, Json]]:
    groups: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for link in matrix.links:
        groups[cloud_of(link.src), cloud_of(link.dst)].append((link.gbps, link.usd_per_gb))
    return [
        {
            "src_cloud": src,
            "dst_cloud": dst,
            "links": len(figures),
            "median_gbps": rounded(median(gbps for gbps, _ in figures), 6),
            "least_gbps": rounded(min(gbps for gbps, _ in figures), 6),
            "most_gbps": rounded(max(gbps for gbps, _ in figures), 6),
            "median_usd_per_gb": rounded(median(usd for _, usd in figures), 6),
        }
        for (src, dst), figures in sorted(groups.items())
    ]


def _region_entry(matrix: Matrix, region: str) -> dict[str, Json]:
    return {"id": region, "city": city(region), "vm": matrix.vm(region).as_json()}


def _row_json(row: EpochLink) -> dict[str, Json]:
    return {
        "src": row.src,
        "dst": row.dst,
        "src_tier": row.src_tier,
        "dst_tier": row.dst_tier,
        "received_gbps": row.received_gbps,
        "sent_gbps": row.sent_gbps,
        "samples": row.samples,
        "spread": row.spread,
        "usd_per_gb": row.usd_per_gb,
        "price_source": row.price_source,
        "rtt_ms": row.rtt_ms,
        "rtt_source": row.rtt_source,
        "flags": list(row.flags),
    }


def _table(*first: str, right: Iterable[str], left: Iterable[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in first:  # names of regions and the like stay whole
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right")
    for name in left:
        table.add_column(name, overflow="fold")
    return table


def _page(*parts: Table | str) -> str:
    """Text and tables as they would stand on an 80-column terminal, without colour."""
    out = io.StringIO()
    console = Console(file=out, width=PAGE_COLUMNS, color_system=None, highlight=False)
    for part in parts:
        console.print(part, markup=False) if isinstance(part, str) else console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n"))
