"""What does robustness buy, and cost? One plan for every epoch against plans for a single one.

`python -m experiments.robust [--pairs 20] [--seed 1] [--quantile Q] [--json]`. Each pair of regions
is planned on the newest epoch, the other compiled epochs that hold both ends being what the figures
might be instead. Goals are feasible in every epoch: half of the least of the epochs' most.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
import numpy as np
from rich.console import Console
from rich.progress import track

from datasets.canonical import Json
from datasets.cli import matrix_options
from datasets.epochs import MatrixChoice, load_matrix
from datasets.matrix import Matrix
from experiments.cli import exit_with
from planner.job import Job
from planner.robust import RobustAnswer, robust_over
from planner.strategies.robust import other_epochs
from planner.topology import topology
from planner.unicast import most_gbps

SIZE_BYTES = 10**12
GOAL_SHARE = 0.5
# Regrets up to this are the arithmetic's and the rounding's.
NO_REGRET = 1e-4
# Falling short by less than this is not told as far.
MEETS = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One pair: the robust answer beside the best plan for each epoch alone."""

    source: str
    destination: str
    goal_gbps: float | None
    answer: RobustAnswer

    @property
    def home_alone(self) -> float:
        """The worst regret of `overlay` planned on the first Matrix; inf where it falls short."""
        return self.answer.epochs[0].alone_regret

    @property
    def best_alone(self) -> float:
        """The least worst regret of any plan for a single epoch."""
        return min(row.alone_regret for row in self.answer.epochs)

    def as_json(self) -> dict[str, Json]:
        """One row; infinite regrets are null."""
        return {
            "source": self.source,
            "destination": self.destination,
            "goal_gbps": self.goal_gbps,
            "epochs": [row.epoch for row in self.answer.epochs],
            "robust": self.answer.worst_regret,
            "least": self.answer.least_regret,
            "home_alone": _finite(self.home_alone),
            "home_alone_reach": self.answer.epochs[0].alone_reach,
            "best_alone": _finite(self.best_alone),
            "price": self.answer.price_of_robustness,
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def compared(
    matrix: Matrix, *, pairs: int, seed: int, fastest: bool, quantile: float | None = None
) -> Iterator[Compared]:
    """`pairs` drawn by `seed` among those that two or more epochs hold."""
    rng = np.random.default_rng(seed)
    found = 0
    for at in rng.permutation(len(matrix.links)):
        link = matrix.links[at]
        plain = Job(source=link.src, destinations=(link.dst,), size_bytes=SIZE_BYTES)
        others = other_epochs(matrix, plain)
        if not others:
            continue
        matrices = [matrix, *others]
        goal = None if fastest else GOAL_SHARE * _least_most(matrices, plain)
        job = Job(source=link.src, destinations=(link.dst,), size_bytes=SIZE_BYTES, goal_gbps=goal)
        yield Compared(
            source=link.src,
            destination=link.dst,
            goal_gbps=goal,
            answer=robust_over(matrices, job, quantile=quantile),
        )
        found += 1
        if found == pairs:
            return


def _least_most(matrices: Sequence[Matrix], job: Job) -> float:
    """The least, over the epochs, of the most Gbit/s among the regions of the first Matrix."""
    home = matrices[0].region_ids
    return min(
        most_gbps(topology(matrix, job).among([r for r in home if r in set(matrix.region_ids)]))
        for matrix in matrices
    )


@click.command()
@matrix_options
@click.option("--pairs", default=20, show_default=True, type=click.IntRange(1, 5000))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--quantile", default=None, type=click.FloatRange(0, 1, min_open=True))
@click.option("--json", "as_json", is_flag=True)
def main(
    *, choice: MatrixChoice, pairs: int, seed: int, quantile: float | None, as_json: bool
) -> None:
    """Compare robust plans with plans for one epoch alone, over pairs drawn by seed."""
    matrix = load_matrix(choice)
    console = Console(stderr=True)
    found: dict[str, list[Compared]] = {}
    for name, fastest in (("half of the least most", False), ("fastest", True)):
        rows = compared(matrix, pairs=pairs, seed=seed, fastest=fastest, quantile=quantile)
        found[name] = list(
            track(
                rows,
                total=pairs,
                description=name,
                console=console,
                disable=not console.is_terminal,
            )
        )
    if as_json:
        click.echo(json.dumps({n: [row.as_json() for row in rows] for n, rows in found.items()}))
        return
    click.echo(f"Stated on {matrix.epoch}, {matrix.column}; {pairs} pairs, seed {seed}, 1 TB.")
    for name, each in found.items():
        click.echo(f"\n{name}\n")
        click.echo("\n".join(table(each)))
        click.echo(f"\n{summary(each)}")


def table(rows: Sequence[Compared]) -> list[str]:
    """A Markdown table, one pair a row."""
    lines = [
        "| from | to | epochs | overlay here | best single | robust | proven least | price |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        figures = (
            _percent(row.home_alone),
            _percent(row.best_alone),
            _percent(row.answer.worst_regret),
            _percent(row.answer.least_regret),
            _percent(row.answer.price_of_robustness),
        )
        epochs = sum(each.counted for each in row.answer.epochs)
        lines.append(f"| {row.source} | {row.destination} | {epochs} | {' | '.join(figures)} |")
    return lines


def summary(rows: Sequence[Compared]) -> str:
    """How many single-epoch plans fall short or regret, and what the robust ones do instead."""
    short = [row for row in rows if math.isinf(row.home_alone)]
    regret = [row for row in rows if NO_REGRET < row.home_alone < math.inf]
    reaches = [row.answer.epochs[0].alone_reach for row in rows]
    far = sum(reach < MEETS for reach in reaches)
    worst = [row.answer.worst_regret for row in rows]
    price = [row.answer.price_of_robustness for row in rows]
    gap = max(row.answer.worst_regret - row.answer.least_regret for row in rows)
    return (
        f"Overlay's plan for this epoch alone falls short of the floor in another epoch for "
        f"{len(short)} of {len(rows)} pairs ({far} of them below {MEETS:.0%} of it, the least at "
        f"{min(reaches):.0%}), and costs more than the best there for {len(regret)} others. Robust "
        f"plans never fall short where a plan exists: worst regret "
        f"median {statistics.median(worst):.2%}, largest {max(worst):.2%} (at most {gap:.2%} above "
        f"what is proven); price of robustness median {statistics.median(price):.2%}, largest "
        f"{max(price):.2%}."
    )


def _percent(value: float) -> str:
    # Adding 0 after rounding: no figure is shown as -0.00 %.
    return "falls short" if math.isinf(value) else f"{round(value, 6) + 0.0:.2%}"


if __name__ == "__main__":
    exit_with(lambda: main(standalone_mode=False))
