"""tradewind plan, compare and check: parse, call, render."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path as FilePath
from typing import Any

import click

from datasets.cli import matrix_options
from datasets.edits import WHAT_IF, Edits
from datasets.epochs import MatrixChoice, epoch_names, load_matrix
from datasets.errors import InfeasibleJob, InputError
from datasets.matrix import COLUMNS, Matrix
from planner.compare import compare as compare_strategies
from planner.compare import infeasible_json
from planner.job_options import changed, job_of, job_options, strategy_list, what_if_options
from planner.plan import Plan, save_plan
from planner.strategies import solve, strategy

ONE_TO_ONE = "direct,ron,one_hop,overlay"
ONE_TO_MANY = "broadcast_direct,broadcast_mst,broadcast_steiner,broadcast_overlay"


@click.command()
@job_options
@what_if_options
@matrix_options
@click.option(
    "--strategy",
    "name",
    default=None,
    metavar="NAME",
    help="Which one plans [default: overlay; broadcast_overlay for several ends].",
)
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON on standard output.")
@click.option(
    "-o", "--output", type=click.Path(path_type=FilePath), help="Also write the plan file."
)
@click.option(
    "--export",
    "simulator",
    type=click.Choice(["simgrid", "ns3"]),
    help="Also write it as a network and flows for another simulator.",
)
@click.option(
    "--export-to",
    "folder",
    type=click.Path(path_type=FilePath, file_okay=False),
    help="The folder that --export makes [default: PLAN-ID-SIMULATOR here].",
)
def plan(
    *,
    choice: MatrixChoice,
    edits: Edits,
    name: str | None,
    as_json: bool,
    output: FilePath | None,
    simulator: str | None,
    folder: FilePath | None,
    **asked: Any,
) -> int:
    """Plan one transfer from SRC to each DST by one strategy."""
    if name is not None:
        strategy(name)
    matrix = changed(load_matrix(choice), edits, asked)
    job = job_of(matrix, **asked)
    name = name or ("overlay" if job.is_unicast else "broadcast_overlay")
    if folder is not None and simulator is None:
        raise InputError("--export-to names a folder for --export simgrid or ns3; give that too.")
    try:
        made = solve(name, matrix, job)
    except InfeasibleJob as answer:
        if not as_json:
            raise
        click.echo(json.dumps(infeasible_json(answer)))
        return answer.exit_status
    if simulator is not None:
        folder = folder or FilePath(f"{made.id}-{simulator}")
        written = _export(made, simulator, folder)
        click.echo(f"Wrote {', '.join(sorted(written))} to {folder}.", err=True)
    if output is not None:
        save_plan(made, output)
    if as_json:
        click.echo(json.dumps(made.as_json()))
    else:
        _show(made, matrix, choice, edits)
    return 0


@click.command()
@job_options
@what_if_options
@matrix_options
@click.option(
    "--strategy",
    "names",
    default=None,
    metavar="A,B,C",
    help="Which ones, with commas [default: direct,ron,one_hop,overlay; the broadcast ones for "
    "several ends].",
)
@click.option("--json", "as_json", is_flag=True, help='{"rows": […]}, one a strategy.')
def compare(
    *, choice: MatrixChoice, edits: Edits, names: str | None, as_json: bool, **asked: Any
) -> int:
    """Plan one transfer from SRC to each DST by several strategies, one row each."""
    matrix = changed(load_matrix(choice), edits, asked)
    job = job_of(matrix, **asked)
    wanted = strategy_list(names or (ONE_TO_ONE if job.is_unicast else ONE_TO_MANY))
    rows = compare_strategies(wanted, matrix, job)
    feasible = any(row.plan is not None for row in rows)
    if as_json:
        click.echo(json.dumps({"rows": [row.as_json() for row in rows]}))
        return 0 if feasible else 1
    from planner.render import age, console, rows_table

    screen = console()
    measured = age(matrix.ref(), date.today())
    screen.print(f"{measured[:1].upper()}{measured[1:]}.", markup=False)
    if edits:
        screen.print(f"What if: {edits}.", markup=False)
    screen.print(rows_table(rows))
    for row in rows:
        said = row.unsupported or row.infeasible
        if said:
            screen.print(f"{row.strategy}: {said}", markup=False)
    return 0 if feasible else 1


@click.command()
@click.argument("file", metavar="PLAN", type=click.Path(path_type=FilePath))
@click.option(
    "--matrix",
    "matrix_file",
    type=click.Path(path_type=FilePath),
    help="The file that the plan was made on, if it was one of your own.",
)
@click.option("--json", "as_json", is_flag=True, help="What each certificate proves, as JSON.")
def check(*, file: FilePath, matrix_file: FilePath | None, as_json: bool) -> int:
    """Judge a plan file: every rule, and its bounds from their multipliers, without a solver."""
    from planner.check_bound import proven
    from planner.checks import check as check_plan
    from planner.checks import load_checked_plan

    loaded = load_checked_plan(file)
    matrix = load_matrix(_choice_of(loaded, matrix_file))
    check_plan(loaded, matrix)
    proofs = [
        {
            "proves": one.proves,
            "value": one.value,
            "recomputed": float(proven(one, loaded, matrix)),
        }
        for one in loaded.certificates
    ]
    bounds = {
        "bound_usd": loaded.bound_usd,
        "bound_gbps": loaded.bound_gbps,
        "bound_gco2e": loaded.bound_gco2e,
    }
    if as_json:
        click.echo(
            json.dumps({"plan": loaded.id, "holds": True, "proofs": proofs, "stated": bounds})
        )
        return 0
    click.echo(f"The plan {loaded.id} holds on the matrix it was made on.")
    if not proofs:
        click.echo("It carries no multipliers: its bounds are the solver's word.")
    kinds = {"usd": "USD at least", "gco2e": "gCO2e at least", "gbps": "Gbit/s at most"}
    for proof in proofs:
        stated = bounds[f"bound_{proof['proves']}"]
        click.echo(
            f"Its multipliers prove {proof['recomputed']:.9g} {kinds[str(proof['proves'])]}; "
            f"{stated:.9g} is stated, what lies between by the solver's word."
        )
    return 0


def _choice_of(plan: Plan, file: FilePath | None) -> MatrixChoice:
    """The Matrix that a plan was made on. Raises: InputError where that cannot be had again."""
    ref = plan.matrix
    if file is not None:
        return MatrixChoice(file=file, caps=ref.caps)
    if WHAT_IF in ref.policy:
        raise InputError(
            f"The plan was made on a matrix that is nowhere ({ref.policy}); plan without what-if "
            "options to have one that can be checked."
        )
    if ref.epoch not in epoch_names():
        raise InputError(
            f"The plan was made on a matrix of your own, {ref.epoch!r}; name it with --matrix FILE."
        )
    return MatrixChoice(
        epoch=ref.epoch, column=ref.column, tier=ref.tier, policy=ref.policy, caps=ref.caps
    )


def _export(made: Plan, simulator: str, folder: FilePath) -> tuple[str, ...]:
    """Write a plan's export; the names of the files."""
    from planner.exports import export_ns3, export_simgrid

    files = export_simgrid(made) if simulator == "simgrid" else export_ns3(made)
    try:
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot write the export to {folder}: {error.strerror}.") from error
    return tuple(files)


def _show(made: Plan, matrix: Matrix, choice: MatrixChoice, edits: Edits) -> None:
    """For people. Rich is imported here: `--json` starts without it."""
    from planner.gain import gains_of
    from planner.render import carbon_sentence, console, gain_sentence, plan_tables, sentence

    screen = console()
    screen.print(sentence(made, date.today()), markup=False)
    if edits:
        screen.print(f"What if: {edits}.", markup=False)
    plainest = "direct" if made.job.is_unicast else "broadcast_direct"
    (direct,) = compare_strategies((plainest,), matrix, made.job)
    for table in plan_tables(made, direct):
        screen.print(table)
    for note in made.notes:
        screen.print(note, markup=False)
    if made.job.minimise == "gco2e" or made.job.max_gco2e is not None:
        screen.print(carbon_sentence(made), markup=False)
    if made.relays and made.is_unicast and choice.file is None and not edits:
        matrices = {
            column: matrix
            if column == choice.column
            else load_matrix(replace(choice, column=column))
            for column in COLUMNS
        }
        screen.print(gain_sentence(gains_of(matrices, made)), markup=False)
