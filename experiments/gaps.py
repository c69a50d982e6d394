"""What rounding to whole VMs leaves: the gaps of `overlay` over pairs drawn by seed.

`python -m experiments.gaps [--pairs 40] [--seed 7]`; the figures of planner/README.md.
"""

from __future__ import annotations

import statistics

import click
import numpy as np

from datasets.epochs import MatrixChoice, load_matrix
from datasets.matrix import Matrix
from planner.job import Job
from planner.strategies import solve

SIZE_BYTES = 10**12
SHARES = (0.2, 0.5, 0.95)


def gaps(matrix: Matrix, *, pairs: int, seed: int, share: float) -> list[float]:
    """The gap of each pair's plan at `share` of the most that is feasible for it."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(pairs):
        source, destination = map(str, rng.choice(matrix.region_ids, 2, replace=False))
        fastest = Job(source=source, destinations=(destination,), size_bytes=SIZE_BYTES)
        most_gbps = solve("overlay", matrix, fastest).predicted.throughput_gbps
        job = Job(
            source=source,
            destinations=(destination,),
            size_bytes=SIZE_BYTES,
            goal_gbps=most_gbps * share,
        )
        found.append(solve("overlay", matrix, job).gap)
    return found


@click.command()
@click.option("--pairs", default=40, show_default=True, type=click.IntRange(1, 5000))
@click.option("--seed", default=7, show_default=True, type=click.IntRange(0))
def main(*, pairs: int, seed: int) -> None:
    """Print the median and the largest gap at each share of the most that is feasible."""
    matrix = load_matrix(MatrixChoice())
    for share in SHARES:
        found = gaps(matrix, pairs=pairs, seed=seed, share=share)
        click.echo(
            f"{share:4.0%} of the most: median gap {statistics.median(found):.3%}, "
            f"largest {max(found):.3%} ({pairs} pairs, epoch {matrix.epoch}, {matrix.column})"
        )


if __name__ == "__main__":
    main()
