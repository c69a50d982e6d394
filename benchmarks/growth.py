"""How planning grows with the world: one certified plan on synthetic worlds of 71 to 500 regions.

    python -m benchmarks.growth         milliseconds a size, and the exponent in regions and links

Regions of `synthetic_matrix`; the median of nine seeded pairs a world, each at half of the most
that it can do: how much branch and bound a pair needs varies by far more than its world's size
does. The arrays of a Matrix are made once, before: a plan's own time is what grows.
"""

from __future__ import annotations

import statistics
import time
from functools import cache

import click
import numpy as np

from benchmarks.spec import BenchSpec, Sizes
from datasets.matrix import Matrix
from datasets.synthetic import synthetic_matrix
from planner.job import Job
from planner.strategies import solve
from planner.topology import topology
from planner.unicast import most_gbps

REGIONS = (71, 150, 300, 500)
TINY_REGIONS = 12
SEED = 5
PAIRS = 9
SHARE = 0.5
ROUNDS = 5
SIZE_BYTES = 10**12
_MILLI = 1e3


@cache
def world(regions: int) -> Matrix:
    """A complete synthetic world."""
    return synthetic_matrix(SEED, regions=regions)


@cache
def jobs(regions: int) -> tuple[Job, ...]:
    """1 TB at half the most, between pairs drawn by seed."""
    matrix = world(regions)
    rng = np.random.default_rng(SEED)
    found = []
    for _ in range(PAIRS):
        src, dst = (str(end) for end in rng.choice(matrix.region_ids, 2, replace=False))
        base = Job(source=src, destinations=(dst,), size_bytes=SIZE_BYTES)
        goal_gbps = round(SHARE * most_gbps(topology(matrix, base)), 9)
        found.append(
            Job(source=src, destinations=(dst,), size_bytes=SIZE_BYTES, goal_gbps=goal_gbps)
        )
    # What a Matrix is turned into once (arrays, the check's figures) is made here.
    solve("overlay", matrix, found[0])
    return tuple(found)


def plan_ms(regions: int) -> float:
    """Milliseconds from a Job to its checked, certified Plan: the median pair's."""
    asked, matrix = jobs(regions), world(regions)
    taken = []
    for job in asked:
        begin = time.perf_counter()
        solve("overlay", matrix, job)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken) * _MILLI


def exponent(sizes: list[int], ms: list[float]) -> float:
    """The k of time ~ size^k, by least squares on logarithms.

    >>> round(exponent([10, 100], [1.0, 100.0]), 6)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(ms), 1)[0])


def smallest_ms(regions: int) -> float:
    """What a case is held against: the smallest world, or itself where it is smaller still."""
    return plan_ms(min(regions, REGIONS[0]))


SPECS = tuple(
    BenchSpec(
        name=f"growth.{regions}",
        run=plan_ms,
        peer=smallest_ms,
        against=f"the same on {REGIONS[0]} regions",
        unit="ms a plan",
        sizes=Sizes(full=regions, tiny=TINY_REGIONS),
        of="synthetic regions",
    )
    for regions in REGIONS
)


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(1))
@click.option(
    "--regions",
    "sizes",
    multiple=True,
    type=click.IntRange(3),
    default=REGIONS,
    show_default=True,
    help="Sizes of world (repeatable).",
)
def main(rounds: int, sizes: tuple[int, ...]) -> None:
    """Milliseconds of one certified plan by size of the world, and how they grow."""
    figures: dict[int, list[float]] = {regions: [] for regions in sizes}
    for regions in sizes:
        jobs(regions)
    for _ in range(rounds):
        for regions in sizes:
            figures[regions].append(plan_ms(regions))
    medians = [statistics.median(figures[regions]) for regions in sizes]
    click.echo("regions     links   ms a plan   min–max")
    for regions, median in zip(sizes, medians, strict=True):
        own, links = figures[regions], regions * (regions - 1)
        click.echo(f"{regions:7d} {links:9,d} {median:11.1f}   {min(own):.1f}–{max(own):.1f}")
    if len(sizes) > 1:
        by_links = exponent([regions * (regions - 1) for regions in sizes], medians)
        click.echo(
            f"Time grows as regions^{exponent([*sizes], medians):.2f}, as links^{by_links:.2f}."
        )


if __name__ == "__main__":
    main()
