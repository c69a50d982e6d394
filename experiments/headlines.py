"""What do the matrices say of the published headlines? Every pair, best single relay and overlay.

`python -m experiments.headlines [--epochs 2022-01-29,2022-11-28] [--json] [--write]`;
`docs/headlines.md` is what this prints. `--overlay` first computes the overlay over all pairs
again, some minutes, with progress; without it, what was kept is shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np

from datasets.canonical import Json
from datasets.epochs import MatrixChoice, check_epoch, load_matrix
from datasets.matrix import COLUMNS
from datasets.regions import cloud_of
from experiments.case_study import case_study
from experiments.cli import exit_with
from experiments.headlines_overlay import keep, stored_gbps
from experiments.headlines_page import page
from experiments.relays import AllPairs, Array, all_pairs
from experiments.speedups import AS_MEASURED, ONE_RELAY, OVERLAY, Epoch, Summary, summary_of

EPOCHS = ("2022-01-29", "2022-11-28")
# How figures are read: (repair policy, within VM caps). Implausible direct samples make relays look
# tens of times faster; without caps a VM may send more than its documented limit, as some did.
VARIANTS = {
    AS_MEASURED: ("as_measured", True),
    "repaired": ("repair_implausible", True),
    "without caps": ("as_measured", False),
}
MOST_COST_RATIO = 1.25
CLOUDS = ("aws", "azure", "gcp")
PAGE = Path("docs/headlines.md")


def epoch_figures(epoch: str) -> Epoch:
    """Every figure of one epoch: by column, by variant, by pair of clouds."""
    summaries = []
    for variant, (policy, capped) in VARIANTS.items():
        by_column = {
            column: all_pairs(
                load_matrix(MatrixChoice(epoch=epoch, column=column, policy=policy)), capped=capped
            )
            for column in COLUMNS
        }
        for column, pairs in by_column.items():
            summaries += _summaries(pairs, by_column["sent"], column=column, variant=variant)
        if variant == AS_MEASURED:
            summaries += _overlay(epoch, by_column)
    return Epoch(name=epoch, summaries=tuple(summaries))


def _summaries(pairs: AllPairs, sent: AllPairs, *, column: str, variant: str) -> list[Summary]:
    """Of all pairs, and of the pairs from each cloud to each."""
    relay, best = pairs.best_relay()
    # The same relay judged by the other column: a gain that vanishes there is start-up.
    on_sent = sent.speedups_by(relay)
    within = pairs.best_within(MOST_COST_RATIO)
    measured = ~np.isnan(pairs.direct.gbps)
    clouds = np.array([cloud_of(region) for region in pairs.regions])
    found = []
    for src, dst in (("any", "any"), *((a, b) for a in CLOUDS for b in CLOUDS)):
        chosen = measured.copy()
        if src != "any":
            chosen &= (clouds == src)[:, None] & (clouds == dst)[None, :]
        if not chosen.any():
            continue
        found.append(
            summary_of(
                route=ONE_RELAY,
                column=column,
                variant=variant,
                src=src,
                dst=dst,
                speedups=_at(best, chosen),
                on_sent=_at(on_sent, chosen),
                within=_at(within, chosen),
            )
        )
    return found


def _overlay(epoch: str, by_column: Mapping[str, AllPairs]) -> list[Summary]:
    """Of all pairs, the most that any plan of one VM a region does; what it costs is not known."""
    speedups = {
        column: stored_gbps(epoch, column) / pairs.direct.gbps
        for column, pairs in by_column.items()
    }
    found = []
    for column, pairs in by_column.items():
        measured = ~np.isnan(pairs.direct.gbps)
        found.append(
            summary_of(
                route=OVERLAY,
                column=column,
                variant=AS_MEASURED,
                src="any",
                dst="any",
                speedups=_at(speedups[column], measured),
                on_sent=_at(speedups["sent"], measured),
                within=None,
            )
        )
    return found


def _at(values: Array, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Array:
    """The chosen pairs' figures; a pair without a relay gains nothing."""
    found: Array = np.nan_to_num(values[chosen], nan=0.0)
    return found


def text(epochs: Sequence[str]) -> str:
    """The page."""
    return page(case_study(), [epoch_figures(epoch) for epoch in epochs])


@click.command()
@click.option("--epochs", default=",".join(EPOCHS), show_default=True)
@click.option("--json", "as_json", is_flag=True)
@click.option("--write", is_flag=True, help=f"Write {PAGE} instead of printing it.")
@click.option("--overlay", is_flag=True, help="Compute the overlay over all pairs again; minutes.")
def main(*, epochs: str, as_json: bool, write: bool, overlay: bool) -> None:
    """Reproduce the case study, and count what relays gain over all pairs."""
    names = [check_epoch(name.strip()) for name in epochs.split(",")]
    if overlay:
        for name in names:
            keep(name)
    if as_json:
        told: dict[str, Json] = {
            "case_study": [row.as_json() for row in case_study()],
            "epochs": [epoch_figures(name).as_json() for name in names],
        }
        click.echo(json.dumps(told))
    elif write:
        PAGE.write_text(text(names), encoding="utf-8")
    else:
        click.echo(text(names), nl=False)


if __name__ == "__main__":
    exit_with(lambda: main(standalone_mode=False))
