"""Every ordered pair of an epoch: the most throughput, and its cost–throughput frontier.

    python -m experiments.all_pairs [--epoch 2022-11-28] [--pairs N] [--workers 2] [-o FILE.csv]

Two processes, each with the Matrix loaded once. With -o rows are appended as they are known, so
that an interrupted command goes on where it stopped when it is run again; the finished file has
the same bytes however often that was.
"""

from __future__ import annotations

import csv
import io
import json
import signal
import sys
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TextIO

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from datasets.canonical import rounded
from datasets.epochs import MatrixChoice, check_epoch, load_matrix
from datasets.errors import DataError, InfeasibleJob, InputError
from datasets.matrix import COLUMNS, GBPS_PLACES, Matrix
from experiments.cli import exit_with
from experiments.speedups import GAINS
from planner.cost import USD_PLACES
from planner.frontier import frontier
from planner.job import Job, LinkEnds
from planner.topology import topology
from planner.unicast import most_gbps

SIZE_BYTES = 10**12
SEED = 3
# Pairs of one source that a worker takes at a time: under a second of work, so that little is
# lost to an interruption and the last worker does not keep the other waiting.
CHUNK = 12
HEAD = ("matrix", "points", "source", "destination", "direct_gbps", "most_gbps", "frontier")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """One pair: Gbit/s of its direct link and of the best plan, and the frontier's points.

    `frontier` has (Gbit/s, USD for 1 TB) by rising throughput, plans in whole VMs.
    """

    ends: LinkEnds
    direct_gbps: float
    most_gbps: float
    frontier: tuple[tuple[float, float], ...]

    def cells(self) -> list[str]:
        """As in the file, after `matrix` and `points`; a point is `Gbit/s:USD`."""
        points = " ".join(f"{gbps!r}:{usd!r}" for gbps, usd in self.frontier)
        return [*self.ends, repr(self.direct_gbps), repr(self.most_gbps), points]


def row_of(matrix: Matrix, ends: LinkEnds, points: int) -> PairRow:
    """One pair's figures, 1 TB, at the default VM limit."""
    job = Job(source=ends[0], destinations=(ends[1],), size_bytes=SIZE_BYTES)
    found = frontier(matrix, job, points)
    return PairRow(
        ends=ends,
        direct_gbps=rounded(most_gbps(topology(matrix, job).direct()), GBPS_PLACES),
        most_gbps=rounded(found.most_gbps, GBPS_PLACES),
        frontier=tuple(
            (rounded(p.throughput_gbps, GBPS_PLACES), rounded(p.cost_usd, USD_PLACES))
            for p in found.points
        ),
    )


def pairs_of(matrix: Matrix, sample: int | None) -> list[LinkEnds]:
    """Every measured pair by name, or so many of them by seed."""
    ends = [(link.src, link.dst) for link in matrix.links]
    if sample is None or sample >= len(ends):
        return ends
    drawn = np.random.default_rng(SEED).choice(len(ends), size=sample, replace=False)
    return [ends[at] for at in sorted(drawn.tolist())]


# Many at once.

_OF_WORKER: dict[str, Matrix] = {}


def _begin(choice: MatrixChoice) -> None:
    """A worker's Matrix; Ctrl-C is for the parent, which lets what was begun end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _OF_WORKER["matrix"] = load_matrix(choice)


def _rows(chunk: Sequence[LinkEnds], points: int) -> list[PairRow]:
    try:
        return [row_of(_OF_WORKER["matrix"], ends, points) for ends in chunk]
    except InfeasibleJob as error:
        # It has fields of its own, with which it does not cross to another process.
        raise DataError(f"A pair that was measured has no plan: {error}") from None


def _chunks(pairs: Sequence[LinkEnds]) -> list[list[LinkEnds]]:
    """Pairs by source, at most CHUNK together."""
    by_source: dict[str, list[LinkEnds]] = {}
    for ends in pairs:
        by_source.setdefault(ends[0], []).append(ends)
    return [
        mine[at : at + CHUNK] for mine in by_source.values() for at in range(0, len(mine), CHUNK)
    ]


def computed(
    choice: MatrixChoice, pairs: Sequence[LinkEnds], *, points: int, workers: int
) -> Generator[list[PairRow], None, None]:
    """Rows of those pairs as they are known, in no order; stopped early, ends what was begun."""
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(choice,)
    )
    try:
        for done in as_completed([pool.submit(_rows, chunk, points) for chunk in _chunks(pairs)]):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# The file.


def read_rows(path: Path, matrix: Matrix, points: int) -> dict[LinkEnds, PairRow]:
    """What a file has already; a last line that was cut short is left out.

    Raises: InputError for a file of another matrix or number of points.
    """
    if not path.exists():
        return {}
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    lines = list(csv.reader(io.StringIO(whole)))
    if lines and tuple(lines[0]) != HEAD:
        raise InputError(f"{path} is not a file of all pairs; name another one.")
    found = {}
    for digest, asked, source, destination, direct, most, curve in lines[1:]:
        if (digest, asked) != (matrix.digest, str(points)):
            raise InputError(
                f"{path} was made of another matrix or at another number of points; name another "
                "file."
            )
        pairs = [point.split(":") for point in curve.split()]
        found[source, destination] = PairRow(
            ends=(source, destination),
            direct_gbps=float(direct),
            most_gbps=float(most),
            frontier=tuple((float(gbps), float(usd)) for gbps, usd in pairs),
        )
    return found


def append_rows(file: TextIO, rows: Sequence[PairRow], matrix: Matrix, points: int) -> None:
    """Add rows at the end, and see that they are there."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([matrix.digest, points, *row.cells()] for row in rows)
    file.flush()


def write_rows(path: Path, rows: Sequence[PairRow], matrix: Matrix, points: int) -> None:
    """The whole file, by name of pair; complete or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(",".join(HEAD) + "\n")
        append_rows(file, sorted(rows, key=lambda row: row.ends), matrix, points)
    part.replace(path)


# What it comes to.


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Over `pairs`: gains of the best plan over the direct link; `computed` in `seconds` now.

    `shares` has the share of pairs that gain more than each of `GAINS`.
    """

    pairs: int
    computed: int
    seconds: float
    geometric_mean: float
    shares: tuple[float, ...]

    def as_json(self) -> dict[str, object]:
        """Every figure."""
        return {
            "pairs": self.pairs,
            "computed": self.computed,
            "seconds": self.seconds,
            "pairs_per_second": self.computed / self.seconds,
            "geometric_mean": self.geometric_mean,
            "shares": {f"{gain:g}": s for gain, s in zip(GAINS, self.shares, strict=True)},
        }

    def text(self) -> str:
        """Two sentences."""
        shares = ", ".join(
            f"{share:.1%} more than {gain:.0%}"
            for gain, share in zip(GAINS, self.shares, strict=True)
        )
        return (
            f"{self.pairs:,} pairs; {self.computed:,} computed in {self.seconds:.1f} s, "
            f"{self.computed / self.seconds:.1f} a second.\n"
            f"The overlay's most over the direct link's: geometric mean {self.geometric_mean:.3f}; "
            f"gains: {shares}."
        )


def totals_of(rows: Sequence[PairRow], *, computed: int, seconds: float) -> Totals:
    """Sum rows up."""
    gains = np.array([row.most_gbps / row.direct_gbps for row in rows])
    return Totals(
        pairs=len(rows),
        computed=computed,
        seconds=seconds,
        geometric_mean=float(np.exp(np.mean(np.log(gains)))),
        shares=tuple(float(np.mean(gains > 1 + gain)) for gain in GAINS),
    )


@click.command()
@click.option("--epoch", default="2022-11-28", show_default=True)
@click.option("--column", default="received", show_default=True, type=click.Choice(COLUMNS))
@click.option("--points", default=19, show_default=True, type=click.IntRange(1, 1000))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64))
@click.option("--pairs", type=click.IntRange(1), help="So many, drawn by seed, instead of all.")
@click.option("-o", "file", type=click.Path(path_type=Path, dir_okay=False), help="CSV to keep.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
def main(
    *,
    epoch: str,
    column: str,
    points: int,
    workers: int,
    pairs: int | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """Every pair's most throughput and frontier."""
    choice = MatrixChoice(epoch=check_epoch(epoch), column=column)
    matrix = load_matrix(choice)
    wanted = pairs_of(matrix, pairs)
    known = {} if file is None else read_rows(file, matrix, points)
    left = [ends for ends in wanted if ends not in known]
    begin = time.perf_counter()
    try:
        for rows in _told(choice, left, matrix=matrix, points=points, workers=workers, file=file):
            known |= {row.ends: row for row in rows}
    except KeyboardInterrupt:
        kept = f" They are in {file}; run it again to go on." if file is not None else ""
        done = sum(ends in known for ends in wanted)
        click.echo(f"Interrupted after {done:,} of {len(wanted):,} pairs.{kept}", err=True)
        sys.exit(130)
    seconds = time.perf_counter() - begin
    if file is not None:
        write_rows(file, list(known.values()), matrix, points)
    found = totals_of([known[ends] for ends in wanted], computed=len(left), seconds=seconds)
    click.echo(json.dumps(found.as_json()) if as_json else found.text())


def _told(
    choice: MatrixChoice,
    pairs: Sequence[LinkEnds],
    *,
    matrix: Matrix,
    points: int,
    workers: int,
    file: Path | None,
) -> Generator[list[PairRow], None, None]:
    """`computed`, appended to the file and told on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )
    if file is not None:
        write_rows(file, list(read_rows(file, matrix, points).values()), matrix, points)
    with bar, closing(computed(choice, pairs, points=points, workers=workers)) as found:
        task = bar.add_task("Pairs", total=len(pairs))
        for rows in found:
            if file is not None:
                with file.open("a", encoding="utf-8") as out:
                    append_rows(out, rows, matrix, points)
            bar.advance(task, len(rows))
            yield rows


if __name__ == "__main__":
    exit_with(lambda: main(standalone_mode=False))
