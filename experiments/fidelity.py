"""How faithful is the thread? Plans drawn by seed, each predicted, simulated and executed here.

`python -m experiments.fidelity [--plans 10] [--seed 1] [--json]`. It verifies the software, not
the world: the local links are shaped to the figures that the plans were made from.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import click
import numpy as np

from datasets.canonical import Json
from datasets.cli import matrix_options
from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import InfeasibleJob
from datasets.matrix import Matrix
from executor.ledger import open_ledger
from executor.local_run import Choices
from experiments.pipeline import ThreeWay, error_of, three_way
from planner.job import Job
from planner.plan import Plan
from planner.strategies import solve

SIZE_BYTES = 10**12
STRATEGIES = ("overlay", "one_hop", "ron", "direct")
# At least half of the plans have relays and several paths: what the overlay is for.
RELAYED_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The plans, and how many draws were infeasible or not wanted any more."""

    plans: tuple[Plan, ...]
    infeasible: int
    passed_over: int


def draw_plans(matrix: Matrix, *, count: int, seed: int) -> Drawn:
    """`count` plans for pairs, strategies, VM limits and goals drawn by `seed`.

    An infeasible draw is drawn again and counted; so is one without relays once half of the
    plans have none.
    """
    rng = np.random.default_rng(seed)
    plans: list[Plan] = []
    plain = infeasible = passed_over = 0
    while len(plans) < count:
        try:
            plan = _draw(matrix, rng)
        except InfeasibleJob:
            infeasible += 1
            continue
        if is_overlay(plan):
            plans.append(plan)
        elif plain < count * (1 - RELAYED_SHARE):
            plain += 1
            plans.append(plan)
        else:
            passed_over += 1
    return Drawn(plans=tuple(plans), infeasible=infeasible, passed_over=passed_over)


def _draw(matrix: Matrix, rng: np.random.Generator) -> Plan:
    source, destination = (str(name) for name in rng.choice(matrix.region_ids, 2, replace=False))
    goal = round(float(rng.uniform(1.0, 20.0)), 3)
    return solve(
        str(rng.choice(STRATEGIES)),
        matrix,
        Job(
            source=source,
            destinations=(destination,),
            size_bytes=SIZE_BYTES,
            goal_gbps=goal,
            vm_limit=int(rng.integers(1, 3)),
        ),
    )


def is_overlay(plan: Plan) -> bool:
    """Whether it has relays, and two or more paths."""
    return bool(plan.relays) and len(plan.paths) >= 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """All runs, and the medians over those that the processor did not bind."""

    runs: tuple[ThreeWay, ...]
    drawn: Drawn

    @property
    def counted(self) -> tuple[ThreeWay, ...]:
        """The runs that the network and not the processor set the pace of."""
        return tuple(run for run in self.runs if not run.cpu_bound)

    def median_error(self, error: Callable[[ThreeWay], float]) -> float:
        """The median of the absolute errors. Raises: statistics.StatisticsError without any."""
        return statistics.median(abs(error(run)) for run in self.counted)

    def as_json(self) -> dict[str, Json]:
        """The summary, and a row a run."""
        return {
            "plans": len(self.runs),
            "overlays": sum(is_overlay(run.plan) for run in self.runs),
            "infeasible_draws": self.drawn.infeasible,
            "passed_over": self.drawn.passed_over,
            "cpu_bound": len(self.runs) - len(self.counted),
            "median_simulated_error": self.median_error(simulated_error),
            "median_executed_error": self.median_error(executed_error),
            "worst_simulated_error": max(abs(simulated_error(run)) for run in self.counted),
            "worst_executed_error": max(abs(executed_error(run)) for run in self.counted),
            "runs": [
                {
                    **run.as_json(),
                    "simulated_error": simulated_error(run),
                    "executed_error": executed_error(run),
                }
                for run in self.runs
            ],
        }


def simulated_error(run: ThreeWay) -> float:
    """Simulated throughput against predicted."""
    return error_of(run.simulated.outcome.throughput_gbps, run.plan.predicted.throughput_gbps)


def executed_error(run: ThreeWay) -> float:
    """Executed throughput against simulated."""
    return error_of(run.executed.outcome.throughput_gbps, run.simulated.outcome.throughput_gbps)


def measure(
    drawn: Drawn, *, choices: Choices, runs: Path, wall_s: float, seed: int, today: date
) -> Iterator[ThreeWay]:
    """Simulate and execute each plan in turn."""
    with open_ledger() as ledger:
        for plan in drawn.plans:
            yield three_way(
                plan,
                ledger=ledger,
                choices=choices,
                runs=runs,
                seed=seed,
                wall_s=wall_s,
                today=today,
                quiet=True,
            )


@click.command()
@matrix_options
@click.option("--plans", default=10, show_default=True, type=click.IntRange(1, 1000))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--wall-s", default=6.0, show_default=True, type=click.FloatRange(0.5, 30.0))
@click.option("--provider", default="local", show_default=True)
@click.option("--port", default=7400, show_default=True, type=click.IntRange(1024, 65534))
@click.option("--runs", default="runs", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def main(
    *,
    choice: MatrixChoice,
    plans: int,
    seed: int,
    wall_s: float,
    provider: str,
    port: int,
    runs: Path,
    as_json: bool,
) -> None:
    """Draw plans by seed; predict, simulate and execute each on this machine."""
    drawn = draw_plans(load_matrix(choice), count=plans, seed=seed)
    choices = Choices(provider=provider, port=port, work_conserving=False, dispatch="dynamic")
    done = []
    for run in measure(
        drawn, choices=choices, runs=runs, wall_s=wall_s, seed=seed, today=date.today()
    ):
        done.append(run)
        click.echo(_line(len(done), run), err=as_json)
    found = Fidelity(runs=tuple(done), drawn=drawn)
    if as_json:
        click.echo(json.dumps(found.as_json()))
        return
    told = found.as_json()
    click.echo(
        f"{plans} plans, {told['overlays']} with relays and several paths; "
        f"{drawn.infeasible} infeasible draws drawn again; {told['cpu_bound']} left out as bound "
        "by the processor."
    )
    click.echo(
        f"Median error of throughput: simulated against predicted "
        f"{found.median_error(simulated_error):.2%}, executed against simulated "
        f"{found.median_error(executed_error):.2%}. This verifies the software, not the world."
    )


def _line(number: int, run: ThreeWay) -> str:
    plan = run.plan
    return (
        f"{number:3d} {plan.strategy:8s} {plan.job.source} to {plan.job.destination}: "
        f"{len(plan.paths)} paths, {len(plan.relays)} relays, "
        f"{plan.predicted.throughput_gbps:.4g} Gbit/s, simulated {simulated_error(run):+.2%}, "
        f"executed {executed_error(run):+.2%}{' (processor bound)' if run.cpu_bound else ''}"
    )


if __name__ == "__main__":
    from experiments.cli import exit_with

    exit_with(lambda: main(standalone_mode=False))
