"""`python -m benchmarks`: rounds of every case and its peer in turn; a table, and no verdict."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.registry import on_demand, specs
from benchmarks.simgrid_venv import SimgridMissing
from benchmarks.skyplane_venv import PeerMissing
from benchmarks.spec import BenchSpec

ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The figures of one case, a round each; `peers` is empty where it has none."""

    spec: BenchSpec
    size: int
    runs: tuple[float, ...]
    peers: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Run over peer, each within its own round."""
        return tuple(run / peer for run, peer in zip(self.runs, self.peers, strict=False))


def measure(chosen: Sequence[BenchSpec], *, rounds: int, tiny: bool) -> list[Measured]:
    """Every case once a round, its peer beside it; who goes first alternates."""
    sizes = [spec.sizes.tiny if tiny else spec.sizes.full for spec in chosen]
    runs: list[list[float]] = [[] for _ in chosen]
    peers: list[list[float]] = [[] for _ in chosen]
    for spec in chosen:  # what is imported or loaded once is paid for here
        spec.run(spec.sizes.tiny)
    for number in range(rounds):
        order = list(enumerate(chosen))
        for at, spec in order if number % 2 == 0 else reversed(order):
            click.echo(f"round {number + 1} of {rounds}: {spec.name}", err=True)
            pair = [(runs[at], spec.run), (peers[at], spec.peer)]
            for figures, one in pair if number % 2 == 0 else reversed(pair):
                if one is not None:
                    figures.append(one(sizes[at]))
    return [
        Measured(spec=spec, size=size, runs=tuple(own), peers=tuple(others))
        for spec, size, own, others in zip(chosen, sizes, runs, peers, strict=True)
    ]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _range(figures: Sequence[float]) -> str:
    return f"{_figure(min(figures))}–{_figure(max(figures))}" if figures else ""


def _median(figures: Sequence[float]) -> str:
    return _figure(statistics.median(figures)) if figures else ""


def table_of(found: Sequence[Measured]) -> Table:
    """One row a case: its figures, its peer's median, and the ratio within the rounds."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("case", no_wrap=True)
    for column in ("median", "min–max", "peer", "ratio", "min–max"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for entry in found:
        table.add_row(
            entry.spec.name,
            _median(entry.runs),
            _range(entry.runs),
            _median(entry.peers),
            _median(entry.ratios),
            _range(entry.ratios),
            entry.spec.unit,
        )
    return table


def _chosen(only: Sequence[str]) -> list[BenchSpec]:
    """The cases of those names or subjects, all of them if there are none."""
    every = [*specs(), *(spec for name in only for spec in on_demand(name.split(".")[0]))]
    every = list({spec.name: spec for spec in every}.values())
    chosen = [spec for spec in every if not only or {spec.name, spec.name.split(".")[0]} & {*only}]
    if not chosen:
        names = ", ".join(spec.name for spec in every)
        raise click.BadParameter(f"no case is called so; there are {names}", param_hint="--only")
    return chosen


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(1))
@click.option("--only", multiple=True, metavar="NAME", help="A case or a subject (repeatable).")
@click.option("--tiny", is_flag=True, help="At the sizes of the tests: shows that it runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rounds: int, only: tuple[str, ...], tiny: bool, as_json: bool) -> None:
    """Measure every case beside its reference; figures of this machine, at this hour."""
    try:
        chosen = _chosen(only)
        found = measure(chosen, rounds=rounds, tiny=tiny)
    except (PeerMissing, SimgridMissing) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        told = [
            {
                "name": entry.spec.name,
                "unit": entry.spec.unit,
                "size": entry.size,
                "of": entry.spec.of,
                "against": entry.spec.against,
                "runs": entry.runs,
                "peers": entry.peers,
            }
            for entry in found
        ]
        click.echo(json.dumps({"benchmarks": told}))
        return
    screen = Console(highlight=False)
    screen.print(table_of(found))
    screen.print(f"{rounds} rounds, interleaved. ratio: figure over peer, each within its round.")
    for entry in found:
        peer = f"; peer: {entry.spec.against}" if entry.spec.against else ""
        screen.print(f"{entry.spec.name}: {entry.size:,} {entry.spec.of}{peer}", markup=False)


if __name__ == "__main__":
    main()
