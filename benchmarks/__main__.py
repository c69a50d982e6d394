"""`python -m benchmarks`: rounds of every case and its peer in turn; a table, and no verdict."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.page import write_block
from benchmarks.peers import PeerFailed
from benchmarks.registry import on_demand, specs
from benchmarks.simgrid_venv import SimgridMissing
from benchmarks.skyplane_venv import PeerMissing
from benchmarks.spec import BenchSpec, Measure

ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The figures of one case, a round each; `peers` is empty where it has none."""

    spec: BenchSpec
    size: int
    runs: tuple[float, ...]
    peers: tuple[float, ...]
    failed: str = ""  # the peer, and why
    broken: str = ""  # ours, and why

    @property
    def ratios(self) -> tuple[float, ...]:
        """Run over peer, each within its own round."""
        return tuple(run / peer for run, peer in zip(self.runs, self.peers, strict=False))


def measure(chosen: Sequence[BenchSpec], *, rounds: int, tiny: bool) -> list[Measured]:
    """Every case once a round, its peer beside it; who goes first alternates.

    A peer that fails is not asked again, nor is a case of ours: the table says why.
    """
    sizes = [spec.sizes.tiny if tiny else spec.sizes.full for spec in chosen]
    runs: list[list[float]] = [[] for _ in chosen]
    peers: list[list[float]] = [[] for _ in chosen]
    failed = [spec.missing for spec in chosen]
    broken = ["" for _ in chosen]
    for at, spec in enumerate(chosen):  # what is imported or loaded once is paid for here
        broken[at] = _tried([], spec.run, spec.sizes.tiny)
    for number in range(rounds):
        order = list(enumerate(chosen))
        for at, spec in order if number % 2 == 0 else reversed(order):
            click.echo(f"round {number + 1} of {rounds}: {spec.name}", err=True)
            for ours in (True, False) if number % 2 == 0 else (False, True):
                if broken[at]:
                    continue
                if ours:
                    broken[at] = _tried(runs[at], spec.run, sizes[at])
                elif spec.peer is not None and not failed[at]:
                    why = _tried(peers[at], spec.peer, sizes[at])
                    failed[at] = f"failed in round {number + 1}: {why}" if why else ""
    return [
        # Ratios are within rounds: what was measured before a failure has no fair partner.
        Measured(
            spec=spec,
            size=sizes[at],
            runs=() if broken[at] else tuple(runs[at]),
            peers=() if broken[at] or failed[at] else tuple(peers[at]),
            failed=failed[at],
            broken=broken[at],
        )
        for at, spec in enumerate(chosen)
    ]


def _tried(figures: list[float], measure_one: Measure, size: int) -> str:
    """One figure more; or why there is none."""
    try:
        figures.append(measure_one(size))
    except PeerFailed as error:
        return str(error)
    return ""


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
            "none" if entry.broken else _median(entry.runs),
            _range(entry.runs),
            "none" if entry.failed else _median(entry.peers),
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
@click.option(
    "--write",
    "page",
    type=click.Path(path_type=Path),
    help="Put what is printed into the page's block of the one subject.",
)
def main(rounds: int, only: tuple[str, ...], tiny: bool, as_json: bool, page: Path | None) -> None:
    """Measure every case beside its reference; figures of this machine, at this hour."""
    subjects = {name.partition(".")[0] for name in only}
    if page is not None and len(subjects) != 1:
        raise click.UsageError("--write wants the one subject that --only names")
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
                "failed": entry.failed,
                "broken": entry.broken,
            }
            for entry in found
        ]
        click.echo(json.dumps({"benchmarks": told}))
        return
    # A row of the widest case; narrower terminals fold it.
    screen = Console(highlight=False, width=96, record=page is not None)
    screen.print(table_of(found))
    screen.print(f"{rounds} rounds, interleaved. ratio: figure over peer, each within its round.")
    for entry in found:
        peer = f"; peer: {entry.spec.against}" if entry.spec.against else ""
        peer += f"; {entry.failed}" if entry.failed else ""
        peer += f"; not measured: {entry.broken}" if entry.broken else ""
        screen.print(f"{entry.spec.name}: {entry.size:,} {entry.spec.of}{peer}", markup=False)
    if page is not None:
        names = " ".join(f"--only {name}" for name in only)
        command = f"python -m benchmarks {names} --rounds {rounds}{' --tiny' * tiny}"
        write_block(page, subjects.pop(), command, screen.export_text())
    if any(entry.broken and not entry.spec.missing for entry in found):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
