"""tradewind frontier and explain: parse, call, render."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import click

from datasets.cli import matrix_options
from datasets.edits import Edits, edited
from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import InfeasibleJob
from datasets.matrix import COLUMNS, Matrix
from planner.compare import infeasible_json
from planner.job_options import (
    changed,
    job_of,
    job_options,
    open_job_of,
    open_job_options,
    what_if_options,
)
from planner.plan import Plan
from planner.strategies import strategy


@click.command()
@open_job_options
@what_if_options
@matrix_options
@click.option(
    "--points",
    default=19,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="At how many throughputs, evenly up to the most.",
)
@click.option("--certified", is_flag=True, help="Prove each point as overlay does; slower.")
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), help="Draw it: .svg, .png, .pdf."
)
@click.option("--json", "as_json", is_flag=True, help='{"points": […]}, each with its whole plan.')
def frontier(
    *,
    choice: MatrixChoice,
    edits: Edits,
    points: int,
    certified: bool,
    picture: Path | None,
    as_json: bool,
    **asked: Any,
) -> int:
    """Cost against throughput from SRC to DST: every plan that no other beats in both."""
    from planner.frontier import frontier as frontier_of

    matrix = changed(load_matrix(choice), edits, asked)
    job = open_job_of(matrix, **asked)
    try:
        found = frontier_of(matrix, job, points, certified=certified)
    except InfeasibleJob as answer:
        if not as_json:
            raise
        click.echo(json.dumps(infeasible_json(answer)))
        return answer.exit_status
    if picture is not None:
        from planner.frontier_picture import draw

        draw(found, job, matrix.ref(), picture)
    if as_json:
        click.echo(json.dumps(found.as_json()))
        return 0
    from planner.frontier_render import frontier_sentences, frontier_table
    from planner.render import age, console

    screen = console()
    measured = age(matrix.ref(), date.today())
    screen.print(f"{measured[:1].upper()}{measured[1:]}.", markup=False)
    if edits:
        screen.print(f"What if: {edits}.", markup=False)
    for said in frontier_sentences(found, job):
        screen.print(said, markup=False)
    screen.print(frontier_table(found))
    return 0


@click.command()
@job_options
@what_if_options
@matrix_options
@click.option("--strategy", "name", default="overlay", show_default=True, help="Which one plans.")
@click.option("--json", "as_json", is_flag=True, help="Every figure and sentence as JSON.")
def explain(*, choice: MatrixChoice, edits: Edits, name: str, as_json: bool, **asked: Any) -> int:
    """Why this plan from SRC to DST: what limits are worth, the runner-up, what could change it."""
    from planner.explain import explain as explained
    from planner.explain_words import as_json as explanation_json
    from planner.explain_words import sentences

    strategy(name)
    matrix = changed(load_matrix(choice), edits, asked)
    job = job_of(matrix, **asked)
    try:
        found = explained(matrix, job, name)
    except InfeasibleJob as answer:
        if not as_json:
            raise
        click.echo(json.dumps(infeasible_json(answer)))
        return answer.exit_status
    gains = _gains(found.plan, matrix, choice, edits)
    if as_json:
        click.echo(json.dumps(explanation_json(found, gains)))
        return 0
    from planner.render import console, sentence

    screen = console()
    screen.print(sentence(found.plan, date.today()), markup=False)
    if edits:
        screen.print(f"What if: {edits}.", markup=False)
    for heading, said in sentences(found, gains):
        screen.print(f"\n[bold]{heading}[/bold]")
        for one in said:
            screen.print(f"- {one}", markup=False)
    return 0


def _gains(plan: Plan, matrix: Matrix, choice: MatrixChoice, edits: Edits) -> Any:
    """What the relays gain on each column; None without relays or without other columns."""
    from planner.gain import gains_of

    if not plan.relays or choice.file is not None:
        return None
    matrices = {
        column: matrix
        if column == choice.column
        else edited(load_matrix(replace(choice, column=column)), edits)
        for column in COLUMNS
    }
    return gains_of(matrices, plan)
