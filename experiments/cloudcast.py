"""Cloudcast's five public broadcast jobs, planned and scored by their rule and by ours.

`python -m experiments.cloudcast [--jobs FILE] [--random N --seed S] [--json]`: the rule is in
`cloudcast_score.py`, the search in `cloudcast_search.py`. By that rule the five cost 1199.169 as
stars, 1074.935 by cheapest paths, 626.245 by one exact Steiner tree a job (published as the human
best), 623.595 with its ties given to fast links; the best published total is 623.4.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from datasets.canonical import Json, rounded
from datasets.epochs import MatrixChoice, load_matrix
from datasets.regions import cloud_of, without_zone
from datasets.units import BITS_PER_BYTE
from experiments.cli import exit_with
from experiments.cloudcast_own import OwnScore, own_score
from experiments.cloudcast_score import EPOCH, BroadcastJob, Network, load_jobs, network
from experiments.cloudcast_search import Found, solve

USD_PLACES = 6
# The comparisons state totals to a tenth of a cent; the bound is rounded down to it.
TOTAL_PLACES = 3
MOST_DESTINATIONS = 7
LEAST_DESTINATIONS = 4
# The zone that the published files measured in: all but two of GCP's regions in their zone a.
ZONES = {"gcp:europe-west1": "b", "gcp:us-east1": "b"}
USUAL_ZONE = "a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A job with what was found for it, and the same trees in our own model."""

    job: BroadcastJob
    found: Found
    trees: tuple[tuple[tuple[str, str], ...], ...]
    own: OwnScore | None

    def as_json(self) -> dict[str, Json]:
        """As `--json` prints it."""
        score = self.found.score
        return {
            "name": self.job.name,
            "cost_usd": rounded(score.total_usd, USD_PLACES),
            "egress_usd": rounded(score.egress_usd, USD_PLACES),
            "vm_usd": rounded(score.vm_usd, USD_PLACES),
            "bound_usd": rounded(self.found.bound_usd, USD_PLACES),
            "seconds": score.seconds,
            "own_model": None
            if self.own is None
            else {
                "cost_usd": rounded(self.own.total_usd, USD_PLACES),
                "seconds": rounded(self.own.seconds, 2),
                "throughput_gbps": rounded(self.own.throughput_gbps, 9),
            },
            "trees": [[list(ends) for ends in tree] for tree in self.trees],
        }


def planned(job: BroadcastJob, world: Network) -> Planned:
    """Plan a job, and score its trees twice."""
    found = solve(job, world)
    plain = [
        tuple((world.regions[src], world.regions[dst]) for src, dst in tree) for tree in found.trees
    ]
    own = own_score(
        load_matrix(MatrixChoice(epoch=EPOCH)),
        plain,
        vms=job.vms_per_region,
        gigabits=job.volume_gb * BITS_PER_BYTE,
    )
    written = _written_names(job, world)
    trees = tuple(tuple((written[src], written[dst]) for src, dst in tree) for tree in plain)
    return Planned(job=job, found=found, trees=trees, own=own)


def _written_names(job: BroadcastJob, world: Network) -> dict[str, str]:
    """Each region as the job's file would write it: its own names; GCP's zone where it uses any."""
    named = {without_zone(name): name for name in (job.source, *job.destinations)}
    zoneless = any(cloud_of(plain) == "gcp" and name == plain for plain, name in named.items())
    written = {}
    for region in world.regions:
        zone = ZONES.get(region, USUAL_ZONE)
        published = f"{region}-{zone}" if cloud_of(region) == "gcp" and not zoneless else region
        written[region] = named.get(region, published)
    return written


def random_jobs(count: int, seed: int, like: BroadcastJob, world: Network) -> list[BroadcastJob]:
    """Jobs of 4 to 7 destinations, drawn by seed over all regions; all else as in `like`."""
    rng = np.random.default_rng(seed)
    jobs = []
    for at in range(count):
        ends = int(rng.integers(LEAST_DESTINATIONS, MOST_DESTINATIONS + 1)) + 1
        source, *destinations = map(str, rng.choice(world.regions, ends, replace=False))
        jobs.append(
            replace(
                like, name=f"random_{at}", source=source, destinations=tuple(sorted(destinations))
            )
        )
    return jobs


def table(results: Sequence[Planned]) -> str:
    """For people: a row a job, the total, and our own model's word on the same trees."""
    wide = max(len("total"), *(len(result.job.name) for result in results))
    lines = [
        f"{'job':<{wide}} {'cost':>9} {'bound':>9} {'gap':>7} {'egress':>9} {'VM':>6} {'time':>7}"
        f" {'trees':>5} {'own cost':>9} {'own time':>8}",
        f"{'':<{wide}} {'USD':>9} {'USD':>9} {'':>7} {'USD':>9} {'USD':>6} {'s':>7}"
        f" {'':>5} {'USD':>9} {'s':>8}",
    ]
    for result in results:
        found, score, own = result.found, result.found.score, result.own
        mine = "" if own is None else f" {own.total_usd:9.3f} {own.seconds:8.1f}"
        lines.append(
            f"{result.job.name:<{wide}} {score.total_usd:9.3f} {found.bound_usd:9.3f}"
            f" {_gap(score.total_usd, found.bound_usd):7.3%} {score.egress_usd:9.3f}"
            f" {score.vm_usd:6.3f} {score.seconds:7.2f} {len(set(result.trees)):5d}{mine}"
        )
    cost = sum(result.found.score.total_usd for result in results)
    bound = sum(result.found.bound_usd for result in results)
    worst = max(_gap(r.found.score.total_usd, r.found.bound_usd) for r in results)
    lines += [
        f"{'total':<{wide}} {cost:9.3f} {bound:9.3f} {_gap(cost, bound):7.3%}",
        "",
        f"Cost and time by the comparisons' rule (sent rates of {EPOCH}, caps shared evenly, hops",
        "free); own: the same trees in our model (received rates, VM time shared, our VM prices).",
        f"No plan can cost less than its bound; the largest gap is {worst:.3%}.",
    ]
    return "\n".join(lines)


def _gap(cost: float, bound: float) -> float:
    return max(0.0, (cost - bound) / cost)


@click.command()
@click.option(
    "--jobs",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Jobs of the same schema instead of the five.",
)
@click.option("--random", "count", type=click.IntRange(1, 5000), help="That many random jobs.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The figures and the trees.")
def main(*, file: Path | None, count: int | None, seed: int, as_json: bool) -> None:
    """Plan the five public broadcast jobs (or others) and score the trees."""
    world = network()
    jobs = list(load_jobs(file))
    if count is not None:
        jobs = random_jobs(count, seed, jobs[0], world)
    results = [planned(job, world) for job in jobs]
    if not as_json:
        click.echo(table(results))
        return
    total = sum(result.found.score.total_usd for result in results)
    click.echo(
        json.dumps(
            {
                "total_usd": rounded(total, TOTAL_PLACES),
                "bound_usd": _rounded_down(sum(r.found.bound_usd for r in results)),
                "jobs": [result.as_json() for result in results],
            }
        )
    )


def _rounded_down(usd: float) -> float:
    """A bound in tenths of a cent, never above itself."""
    return rounded(math.floor(usd * 10**TOTAL_PLACES) / 10**TOTAL_PLACES, TOTAL_PLACES)


if __name__ == "__main__":
    exit_with(lambda: main.main(standalone_mode=False))
