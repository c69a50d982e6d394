"""Does calibrating help? Runs drawn by seed and executed here, fitted on half, judged on the rest.

`python -m experiments.calibration_study [--count 32] [--seed 1] [--json]`. Plans, wall times, chunk
sizes and connections vary, so that there is something to fit; half of the Runs, every second one,
are not fitted. What is fitted is this machine and the local provider, not the world.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from datasets.canonical import Json
from datasets.cli import matrix_options
from datasets.epochs import MatrixChoice, load_matrix
from datasets.matrix import Matrix
from executor.ledger import Ledger, open_ledger
from executor.local_run import Choices, execute_locally
from executor.probe import measure_gbps
from executor.scale import LEAST_CHUNK_BYTES, MOST_CHUNK_BYTES, Scale, scale_for
from experiments.calibrate_cli import print_calibration
from experiments.calibration_runs import calibrate_recorded, usable
from experiments.fidelity import draw_plans
from experiments.pipeline import workload
from planner.plan import Plan
from simulator.calibrate import error_of
from simulator.calibration import Calibration
from simulator.recorded import Recorded, read_recorded

# Short runs are where start-up shows; long ones where what grows with the bytes would.
WALLS_S = (0.5, 1.0, 2.0, 3.0)
CHUNK_FACTORS = (0.5, 1.0, 2.0, 4.0)
CONNECTIONS = (1, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One Run to execute: a Plan, and how it is scaled."""

    plan: Plan
    wall_s: float
    chunk_factor: float
    connections: int

    def scale(self, machine_gbps: float) -> Scale:
        """The local scale, with other chunks and connections than it would have by itself."""
        usual = scale_for(self.plan, machine_gbps=machine_gbps, wall_s=self.wall_s)
        chunk_bytes = round(usual.chunk_bytes * self.chunk_factor)
        chunk_bytes = min(max(chunk_bytes, LEAST_CHUNK_BYTES), MOST_CHUNK_BYTES)
        return replace(
            usual,
            chunk_bytes=chunk_bytes,
            record_bytes=min(usual.record_bytes, chunk_bytes),
            connections=self.connections,
        )


def draw(matrix: Matrix, *, count: int, seed: int) -> tuple[Draw, ...]:
    """`count` Runs by `seed`; walls, chunks and connections are each drawn anew."""
    rng = np.random.default_rng(seed)
    return tuple(
        Draw(
            plan=plan,
            wall_s=float(rng.choice(WALLS_S)),
            chunk_factor=float(rng.choice(CHUNK_FACTORS)),
            connections=int(rng.choice(CONNECTIONS)),
        )
        for plan in draw_plans(matrix, count=count, seed=seed).plans
    )


def execute(
    draws: Sequence[Draw], *, ledger: Ledger, choices: Choices, runs: Path, seed: int
) -> Iterator[Recorded]:
    """Execute each in turn on this machine. Raises: whatever the executor raises."""
    machine_gbps = measure_gbps()
    for each in draws:
        scale = each.scale(machine_gbps)
        with workload(ledger, each.plan.id, scale.moved_bytes, seed=seed) as folder:
            _, written = execute_locally(
                each.plan,
                source=folder / "source",
                destination=folder / "arrived",
                ledger=ledger,
                scale=scale,
                choices=choices,
                runs=runs,
                quiet=True,
            )
        yield read_recorded(written)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The Runs, and the calibration that half of them gave."""

    fitted: tuple[Recorded, ...]
    held_out: tuple[Recorded, ...]
    calibration: Calibration

    def as_json(self) -> dict[str, Json]:
        """The calibration, and a row a Run that was not fitted."""
        rows: list[Json] = []
        for run in usable(self.held_out).runs:
            rows.append(
                {
                    "run": run.run_id,
                    "executed_s": run.wall_s,
                    "error_before": error_of(run, run.world),
                    "error_after": error_of(run, self.calibration.applied_to(run.world)),
                }
            )
        return {"calibration": self.calibration.as_json(), "held_out": rows}


def study(recorded: Sequence[Recorded]) -> Study:
    """Fit on every second Run, judge on the others. Raises: InputError if too few can be used."""
    fitted, held_out = tuple(recorded[0::2]), tuple(recorded[1::2])
    return Study(
        fitted=fitted,
        held_out=held_out,
        calibration=calibrate_recorded(fitted, held_out=held_out),
    )


@click.command()
@matrix_options
@click.option("--count", default=32, show_default=True, type=click.IntRange(4, 1000))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--provider", default="loopback", show_default=True)
@click.option("--port", default=7400, show_default=True, type=click.IntRange(1024, 65534))
@click.option("--runs", default="runs", type=click.Path(path_type=Path))
@click.option("--brief", is_flag=True, help="No line a Run.")
@click.option("--json", "as_json", is_flag=True)
def main(
    *,
    choice: MatrixChoice,
    count: int,
    brief: bool,
    seed: int,
    provider: str,
    port: int,
    runs: Path,
    as_json: bool,
) -> None:
    """Draw Runs by seed, execute them here, calibrate on half, and judge on the other half."""
    draws = draw(load_matrix(choice), count=count, seed=seed)
    choices = Choices(provider=provider, port=port, work_conserving=False, dispatch="dynamic")
    recorded: list[Recorded] = []
    with open_ledger() as ledger:
        for each in execute(draws, ledger=ledger, choices=choices, runs=runs, seed=seed):
            recorded.append(each)
            if not brief:
                click.echo(_line(len(recorded), draws[len(recorded) - 1], each), err=as_json)
    found = study(recorded)
    told = found.as_json()
    if as_json:
        click.echo(json.dumps(told))
        return
    print_calibration(found.calibration)
    rows: Any = () if brief else told["held_out"]
    for row in rows:
        click.echo(
            f"  {row['run'][:10]}  {row['executed_s']:6.3f} s  before {row['error_before']:+.2%}"
            f"  after {row['error_after']:+.2%}"
        )
    click.echo("Runs not fitted, simulated against executed, on the wall clock. " + _LIMITS)


_LIMITS = "This fits the machine and the local provider, not the world."


def _line(number: int, each: Draw, recorded: Recorded) -> str:
    bound = " (processor bound)" if recorded.cpu_bound else ""
    return (
        f"{number:3d} {each.plan.strategy:8s} {len(each.plan.lanes)} lanes, {each.wall_s:g} s, "
        f"{each.connections} connections, chunks x{each.chunk_factor:g}: "
        f"{recorded.run.outcome.wall_s:.3f} s{bound}"
    )


if __name__ == "__main__":
    from experiments.cli import exit_with

    exit_with(lambda: main(standalone_mode=False))
