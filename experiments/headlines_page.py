"""The page of the headlines: the case study, what relays gain over all pairs, and words."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from datasets.matrix import COLUMNS
from experiments.case_study import (
    DESTINATION,
    PUBLISHED,
    PUBLISHED_COLUMN,
    PUBLISHED_EPOCH,
    RELAYS,
    SOURCE,
    CaseRow,
)
from experiments.speedups import AS_MEASURED, GAINS, OVERLAY, Epoch, Summary

CLOUDS = ("aws", "azure", "gcp")
COMMAND = "python -m experiments.headlines"


def page(rows: Sequence[CaseRow], epochs: Sequence[Epoch]) -> str:
    """The whole page, Markdown."""
    parts = [
        _head(epochs),
        _case(rows),
        *(_epoch(epoch) for epoch in epochs),
        _words(rows, epochs),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _head(epochs: Sequence[Epoch]) -> str:
    names = ",".join(epoch.name for epoch in epochs)
    last = epochs[-1]
    received, sent = last.of("received"), last.of("sent")
    overlay, overlay_sent = (last.of(column, route=OVERLAY) for column in ("received", "sent"))
    answer = f"""
        On {last.name} the best single relay carries over 25 % more than the direct link for
        {received.shares[1]:.0%} of {received.pairs:,} ordered pairs on `received`, and for
        {sent.shares[1]:.0%} on `sent`; the geometric mean of the speed-up is
        {received.geometric_mean:.2f} and {sent.geometric_mean:.2f}. The overlay (any paths and
        relays) reaches {overlay.geometric_mean:.2f} and {overlay_sent.geometric_mean:.2f}. One VM a
        region, within its documented caps; the direct link where no relay is faster. Figures of
        2022, 5 s each."""
    lines = [
        "# The published headlines, from the matrices",
        "",
        f"This page is printed by `{COMMAND} --epochs {names}`; do not edit it by hand.",
        "",
        _wrapped(answer),
    ]
    return "\n".join(lines)


def _wrapped(text: str, *, item: bool = False) -> str:
    """A paragraph, or a list's item, of at most 100 columns."""
    return textwrap.fill(
        " ".join(text.split()),
        width=100,
        initial_indent="- " if item else "",
        subsequent_indent="  " if item else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _case(rows: Sequence[CaseRow]) -> str:
    lines = [
        f"## The case study: {SOURCE} to {DESTINATION}",
        "",
        _wrapped(
            "Published (Skyplane, NSDI '23): "
            + "; ".join(
                f"{gbps:g} {'directly' if not relay else f'by way of {relay}'}"
                + (f" ({speedup:g} times, {cost:g} times the cost)" if relay else "")
                for relay, (gbps, speedup, cost) in PUBLISHED.items()
            )
            + f""". They are `{PUBLISHED_COLUMN}` of {PUBLISHED_EPOCH} in units of 2^30 bits a
            second: the column Gibit/s. *egress* compares egress prices, *cost* egress and
            VM time, one VM a region; published columns are empty where nothing was published."""
        ),
        "",
        "| epoch | column | route | Gbit/s | Gibit/s | published | speed-up | published | egress | "
        "cost | published |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        ours = (row.epoch, row.column) == (PUBLISHED_EPOCH, PUBLISHED_COLUMN)
        published = PUBLISHED[row.relay]
        figures = [f"{each:.2f}" if ours else "" for each in published]
        lines.append(
            f"| {row.epoch} | {row.column} | {row.relay or 'direct'} | {row.gbps:.2f} | "
            f"{row.binary_gbps:.2f} | {figures[0]} | {row.speedup:.2f} | {figures[1]} | "
            f"{row.egress_ratio:.2f} | {row.cost_ratio:.2f} | {figures[2]} |"
        )
    return "\n".join(lines)


def _epoch(epoch: Epoch) -> str:
    lines = [
        f"## All pairs of {epoch.name}",
        "",
        _wrapped("""
            Share of ordered pairs whose best single relay gains more than 1, 25, 100 % of
            throughput; geometric mean of the better of relay and direct link, and of that among
            relays of at most 1.25 times the direct cost (egress and VM time). *overlay*: the most
            throughput of any plan, however many paths and relays, whatever it costs. *start-up*:
            share of all pairs that gain more than 1 and 25 % here, and at most 1 % on `sent` by the
            same relay (the overlay: by its best plan there). *without caps*: VMs send what they
            sent in the test, above their documented limits too; within them many direct links on
            `sent` already carry the most."""),
        "",
        "| column | route, figures | pairs | > 1 % | > 25 % | > 100 % | mean | mean, cost ≤ 1.25 | "
        "largest | start-up > 1 % | > 25 % |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    variants = dict.fromkeys(each.variant for each in epoch.summaries)
    for variant in variants:
        lines += [_row(epoch.of(column, variant=variant)) for column in COLUMNS]
    lines += [_row(epoch.of(column, route=OVERLAY)) for column in COLUMNS]
    lines += ["", f"By pair of clouds, {AS_MEASURED} (from the row to the column): > 25 % · mean."]
    for column in COLUMNS:
        lines += [
            "",
            f"| {column} | " + " | ".join(f"to {cloud}" for cloud in CLOUDS) + " |",
            "| --- | ---: | ---: | ---: |",
        ]
        for src in CLOUDS:
            cells = [epoch.of(column, src=src, dst=dst) for dst in CLOUDS]
            shown = " | ".join(f"{c.shares[1]:.0%} · {c.geometric_mean:.2f}" for c in cells)
            lines.append(f"| from {src} | {shown} |")
    return "\n".join(lines)


def _row(each: Summary) -> str:
    shares = " | ".join(f"{share:.1%}" for share in each.shares)
    start_up = " | ".join(f"{share:.1%}" for share in each.start_up[: len(GAINS) - 1])
    within = each.geometric_mean_within
    return (
        f"| {each.column} | {each.route}, {each.variant} | {each.pairs:,} | {shares} | "
        f"{each.geometric_mean:.3f} | {'' if within is None else f'{within:.3f}'} | "
        f"{each.largest:.1f} | "
        f"{start_up} |"
    )


def _words(rows: Sequence[CaseRow], epochs: Sequence[Epoch]) -> str:
    items = [*_of_the_case(rows), *_of_all_pairs(epochs[-1])]
    return "\n".join(
        [
            "## Where the data does not support a headline",
            "",
            *(_wrapped(item, item=True) for item in items),
            "",
            _wrapped("""
                By pair of clouds, and repaired or without caps, paths of at most one relay only:
                the overlay is never slower, so that those shares are lower bounds of its own."""),
        ]
    )


def _of_the_case(rows: Sequence[CaseRow]) -> tuple[str, ...]:
    found = {(row.epoch, row.column, row.relay): row for row in rows}
    near, far = (found[PUBLISHED_EPOCH, PUBLISHED_COLUMN, relay] for relay in RELAYS)
    received, far_received = (found[PUBLISHED_EPOCH, "received", relay] for relay in RELAYS)
    before = [
        row
        for row in rows
        if row.epoch < PUBLISHED_EPOCH and (row.column, row.relay) == (far.column, far.relay)
    ]
    earlier = "".join(
        f" On {row.epoch} {row.relay} gave {row.speedup:.2f} times, not {far.speedup:.2f}: one "
        "sample of 5 s is no property of a path."
        for row in before
    )
    return (
        f"""**The case study reproduces**, with a Gbit of 2^30 bits, on the column that counts what
        the sender wrote: {near.speedup:.2f} and {far.speedup:.2f} times. On `received`
        {near.relay} gives {received.speedup:.2f} times, because the direct path's figure falls
        most there: the gain depends on the column, in either direction.{earlier}""",
        f"""**The cost ratio of {far.relay} does not reproduce**: the price book gives
        {far.egress_ratio:.2f} times the egress ({far.cost_ratio:.2f} with VM time),
        {PUBLISHED[far.relay][2]} is published. That of {near.relay} ({near.egress_ratio:.2f})
        does, by egress prices alone; with VM time it is {near.cost_ratio:.2f}. With VM time at the
        throughput of `received` the two are {received.cost_ratio:.2f} and
        {far_received.cost_ratio:.2f}: no one convention that was tried gives both.""",
    )


def _of_all_pairs(epoch: Epoch) -> tuple[str, ...]:
    received, sent = epoch.of("received"), epoch.of("sent")
    aws, aws_sent = (epoch.of(column, src="aws", dst="aws") for column in ("received", "sent"))
    repaired = epoch.of("received", variant="repaired")
    start_up = received.start_up[1] / received.shares[1] if received.shares[1] else 0.0
    return (
        f"""**Gains are not what a 5 s test on `received` says.** Of the pairs of {epoch.name} that
        gain over 25 % there, {start_up:.0%} gain at most 1 % on `sent` by the same relay:
        splitting a long path splits its start-up loss too. From AWS to AWS {aws.shares[1]:.0%} of
        pairs gain over 25 % on `received` and {aws_sent.shares[1]:.1%} on `sent`. `sent` errs the
        other way (it counts what was only buffered); what a long transfer sees is in neither
        column.""",
        f"""**The largest speed-ups are bad samples.** {received.largest:.0f} times on `received`
        becomes {repaired.largest:.0f} when implausible samples are repaired; the geometric mean
        moves from {received.geometric_mean:.3f} to {repaired.geometric_mean:.3f} only.""",
        f"""**Speed costs.** Within 1.25 times the direct cost the geometric mean is
        {received.geometric_mean_within:.2f} (`received`) and {sent.geometric_mean_within:.2f}
        (`sent`), against {received.geometric_mean:.2f} and {sent.geometric_mean:.2f} at any
        cost.""",
        """**System headlines cannot come out of matrices.** Skyplane's 4.6 and 5.0 times (NSDI
        '23) compare with the clouds' own transfer services; Cloudcast's 61.5 % cheaper and 2.3
        times faster (NSDI '24) with vendors' replication services. No matrix holds what those
        services do; nothing here confirms or refutes them.""",
    )
