"""`tradewind run`: plan, simulate and execute one transfer by several strategies, side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import click

from datasets.cli import matrix_options
from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import InfeasibleJob, UnsupportedJob
from datasets.matrix import COLUMNS, Matrix
from datasets.units import check_quantity, parse_duration_s
from executor.scale import MOST_WALL_S
from planner.dispatch import Dispatch
from planner.job_options import job_of, job_options, strategy_list
from planner.plan import Plan
from planner.strategies import solve


@click.command()
@job_options
@matrix_options
@click.option(
    "--strategy",
    "names",
    default="direct,overlay",
    show_default=True,
    metavar="A,B",
    help="Which ones, with commas.",
)
@click.option("--provider", default="local", show_default=True, help="local, loopback or netns.")
@click.option("--port", default=7400, show_default=True, type=click.IntRange(1024, 65534))
@click.option("--dispatch", default="dynamic", type=click.Choice(["dynamic", "static"]))
@click.option("--work-conserving", is_flag=True, help="Lift the planned rates' caps in both.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--wall", default="8s", show_default=True, help="How long an execution may take.")
@click.option("--runs", default="runs", type=click.Path(path_type=Path), help="Where Runs go.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def run(
    *,
    choice: MatrixChoice,
    names: str,
    provider: str,
    port: int,
    dispatch: Dispatch,
    work_conserving: bool,
    seed: int,
    wall: str,
    runs: Path,
    as_json: bool,
    **asked: Any,
) -> int:
    """Plan, simulate and execute a transfer from SRC to DST on this machine.

    A scaled transfer of sample bytes is really moved by encrypted gateways; figures are in real
    units. This verifies the software, not the world.
    """
    from executor.local_run import Choices
    from executor.providers import find_provider

    wanted = strategy_list(names)
    wall_s = check_quantity(parse_duration_s(wall), name="Wall time (s)", most=MOST_WALL_S)
    find_provider(provider)
    matrix = load_matrix(choice)
    job = job_of(matrix, **asked)
    if not job.is_unicast:
        raise UnsupportedJob(
            "`tradewind run` goes from one to one; for many use `plan`, `simulate` and `execute`."
        )
    plans: list[Plan | tuple[str, InfeasibleJob]] = []
    for name in wanted:
        try:
            plans.append(solve(name, matrix, job))
        except InfeasibleJob as answer:
            plans.append((name, answer))
    choices = Choices(
        provider=provider, port=port, work_conserving=work_conserving, dispatch=dispatch
    )
    return _run_all(
        plans,
        columns=_columns(matrix, choice),
        choices=choices,
        runs=runs,
        seed=seed,
        wall_s=wall_s,
        as_json=as_json,
    )


def _columns(matrix: Matrix, choice: MatrixChoice) -> dict[str, Matrix] | None:
    """The same epoch by each column, to tell a gain from a start-up; None for a user's file."""
    if choice.file is not None:
        return None
    return {
        column: matrix if column == choice.column else load_matrix(replace(choice, column=column))
        for column in COLUMNS
    }


def _run_all(
    plans: Sequence[Plan | tuple[str, InfeasibleJob]],
    *,
    columns: dict[str, Matrix] | None,
    choices: Any,
    runs: Path,
    seed: int,
    wall_s: float,
    as_json: bool,
) -> int:
    from executor.ledger import open_ledger
    from experiments.pipeline import ThreeWay, three_way
    from experiments.three_way_table import print_three_way
    from planner.gain import gains_of

    today = date.today()
    done: list[ThreeWay | tuple[str, InfeasibleJob]] = []
    with open_ledger() as ledger:
        for plan in plans:
            if isinstance(plan, tuple):
                done.append(plan)
                continue
            done.append(
                three_way(
                    plan,
                    ledger=ledger,
                    choices=choices,
                    runs=runs,
                    seed=seed,
                    wall_s=wall_s,
                    today=today,
                    gains=None if columns is None else gains_of(columns, plan),
                    quiet=as_json,
                )
            )
    if as_json:
        click.echo(json.dumps({"runs": [_entry(entry) for entry in done]}))
    else:
        print_three_way(done, today)
    return 0 if any(not isinstance(entry, tuple) for entry in done) else 1


def _entry(entry: Any) -> Any:
    if isinstance(entry, tuple):
        name, answer = entry
        return {
            "strategy": name,
            "feasible": False,
            "most_gbps": answer.most_gbps,
            "binds": list(answer.binds),
        }
    return entry.as_json()
