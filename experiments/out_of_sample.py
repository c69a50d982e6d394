"""How do plans fare on another day's figures? Planned on one epoch, judged on the other.

`python -m experiments.out_of_sample [--pairs 60] [--seed 1] [--workers 2] [--json] [--write]`;
`docs/out_of_sample.md` is what this prints.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from experiments.cli import exit_with
from experiments.out_of_sample_check import agreement
from experiments.out_of_sample_page import page
from experiments.out_of_sample_trials import COLUMNS, Trial, distinct_columns, questions, run

PAGE = Path("docs/out_of_sample.md")


@click.command()
@click.option("--pairs", default=60, show_default=True, type=click.IntRange(1, 3080))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--column", "columns", multiple=True, default=COLUMNS, type=click.Choice(COLUMNS))
@click.option(
    "--check",
    default=6,
    show_default=True,
    type=click.IntRange(0, 100),
    help="Pairs whose plans are simulated too.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option("--json", "as_json", is_flag=True, help="Every trial, as JSON.")
@click.option("--write", is_flag=True, help=f"Write {PAGE} instead of printing it.")
def main(
    *,
    pairs: int,
    seed: int,
    columns: tuple[str, ...],
    check: int,
    workers: int,
    as_json: bool,
    write: bool,
) -> None:
    """Plan on one epoch, judge on the other, in both directions."""
    asked = questions(count=pairs, seed=seed, columns=distinct_columns(columns))
    console = Console(stderr=True)
    found: list[Trial] = []
    for done in track(
        run(asked, workers=workers),
        total=len(asked),
        description="Planning",
        console=console,
        disable=not console.is_terminal,
    ):
        found += done
    if as_json:
        click.echo(json.dumps([asdict(trial) for trial in found]))
        return
    compared = agreement(count=check, seed=seed)
    command = f"python -m experiments.out_of_sample --pairs {pairs} --seed {seed}"
    text = page(found, compared, columns=columns, command=command, seed=seed)
    if write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)


if __name__ == "__main__":
    exit_with(lambda: main(standalone_mode=False))
