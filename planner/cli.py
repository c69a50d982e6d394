"""tradewind plan and compare: parse, call, render."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path as FilePath
from typing import Any, TypeVar

import click

from datasets.cli import matrix_options
from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import InfeasibleJob, InputError
from datasets.matrix import COLUMNS, Matrix
from datasets.units import parse_duration_s, parse_size_bytes
from planner.compare import compare as compare_strategies
from planner.compare import infeasible_json
from planner.job import DEFAULT_VM_LIMIT, Job
from planner.plan import Plan, save_plan
from planner.strategies import solve, strategy

_Command = TypeVar("_Command", bound=Callable[..., Any])


def job_options(command: _Command) -> _Command:
    """SRC DST and the options of a Job; the command gets them as keywords for `job_of`."""
    for option in reversed(
        (
            click.argument("source", metavar="SRC"),
            click.argument("destinations", metavar="DST", nargs=-1, required=True),
            click.option("--bytes", "size", required=True, help="How much: 1TB, 500GiB."),
            click.option("--goal-gbps", help="Cheapest at this throughput (Gbit/s) or more."),
            click.option("--max-usd", help="Fastest at no more than this cost (USD)."),
            click.option("--deadline", help="Cheapest within this time: 2h, 90min."),
            click.option("--fastest", is_flag=True, help="As fast as possible."),
            click.option(
                "--vm-limit",
                type=int,
                default=DEFAULT_VM_LIMIT,
                show_default=True,
                help="The most VMs in a region.",
            ),
            click.option(
                "--quota",
                "quotas",
                multiple=True,
                metavar="REGION=VCPUS",
                help="vCPUs that you have in a region (repeatable).",
            ),
            click.option(
                "--forbid", multiple=True, metavar="REGION", help="Never use it (repeatable)."
            ),
        )
    ):
        command = option(command)
    return command


def job_of(
    *,
    source: str,
    destinations: tuple[str, ...],
    size: str,
    goal_gbps: str | None,
    max_usd: str | None,
    deadline: str | None,
    fastest: bool,
    vm_limit: int,
    quotas: tuple[str, ...],
    forbid: tuple[str, ...],
) -> Job:
    """The Job that the options ask for. Raises: InputError, in one sentence."""
    objectives = [goal_gbps is not None, max_usd is not None, deadline is not None, fastest]
    if sum(objectives) != 1:
        raise InputError(
            "Give one objective: --goal-gbps, --max-usd, --deadline or --fastest"
            f" ({sum(objectives) or 'none'} given)."
        )
    return Job(
        source=source,
        destinations=destinations,
        size_bytes=parse_size_bytes(size),
        goal_gbps=None if goal_gbps is None else _number(goal_gbps, "Throughput goal"),
        max_usd=None if max_usd is None else _number(max_usd, "Cost ceiling"),
        deadline_s=None if deadline is None else parse_duration_s(deadline),
        vm_limit=vm_limit,
        quotas=_quotas(quotas),
        forbid=forbid,
    )


@click.command()
@job_options
@matrix_options
@click.option("--strategy", "name", default="overlay", show_default=True, help="Which one plans.")
@click.option("--json", "as_json", is_flag=True, help="The plan as JSON on standard output.")
@click.option(
    "-o", "--output", type=click.Path(path_type=FilePath), help="Also write the plan file."
)
def plan(
    *, choice: MatrixChoice, name: str, as_json: bool, output: FilePath | None, **asked: Any
) -> int:
    """Plan one transfer from SRC to DST by one strategy."""
    job = job_of(**asked)
    strategy(name)
    matrix = load_matrix(choice)
    try:
        made = solve(name, matrix, job)
    except InfeasibleJob as answer:
        if not as_json:
            raise
        click.echo(json.dumps(infeasible_json(answer)))
        return answer.exit_status
    if output is not None:
        save_plan(made, output)
    if as_json:
        click.echo(json.dumps(made.as_json()))
    else:
        _show(made, matrix, choice)
    return 0


@click.command()
@job_options
@matrix_options
@click.option(
    "--strategy",
    "names",
    default="direct,ron,one_hop,overlay",
    show_default=True,
    metavar="A,B,C",
    help="Which ones, with commas.",
)
@click.option("--json", "as_json", is_flag=True, help='{"rows": […]}, one a strategy.')
def compare(*, choice: MatrixChoice, names: str, as_json: bool, **asked: Any) -> int:
    """Plan one transfer from SRC to DST by several strategies, one row each."""
    job = job_of(**asked)
    wanted = strategy_list(names)
    matrix = load_matrix(choice)
    rows = compare_strategies(wanted, matrix, job)
    feasible = any(row.plan is not None for row in rows)
    if as_json:
        click.echo(json.dumps({"rows": [row.as_json() for row in rows]}))
        return 0 if feasible else 1
    from planner.render import age, console, rows_table

    screen = console()
    measured = age(matrix.ref(), date.today())
    screen.print(f"{measured[:1].upper()}{measured[1:]}.", markup=False)
    screen.print(rows_table(rows))
    for row in rows:
        if row.infeasible is not None:
            screen.print(f"{row.strategy}: {row.infeasible}", markup=False)
    return 0 if feasible else 1


def strategy_list(names: str) -> tuple[str, ...]:
    """The strategies named, each known. Raises: InputError or UnknownName."""
    wanted = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not wanted:
        raise InputError("Name at least one strategy, for example --strategy direct,overlay.")
    for name in wanted:
        strategy(name)
    return wanted


def _show(made: Plan, matrix: Matrix, choice: MatrixChoice) -> None:
    """For people. Rich is imported here: `--json` starts without it."""
    from planner.gain import gains_of
    from planner.render import console, gain_sentence, plan_tables, sentence

    screen = console()
    screen.print(sentence(made, date.today()), markup=False)
    (direct,) = compare_strategies(("direct",), matrix, made.job)
    for table in plan_tables(made, direct):
        screen.print(table)
    for note in made.notes:
        screen.print(note, markup=False)
    if made.relays and choice.file is None:
        matrices = {
            column: matrix
            if column == choice.column
            else load_matrix(replace(choice, column=column))
            for column in COLUMNS
        }
        screen.print(gain_sentence(gains_of(matrices, made)), markup=False)


def _number(text: str, name: str) -> float:
    try:
        if "_" in text:
            raise ValueError(text)
        return float(text)
    except ValueError as error:
        raise InputError(f"{name} {text!r} is not a number; write for example 5.") from error


def _quotas(texts: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for region, vcpus in map(_quota, texts):
        if region in found:
            raise InputError(f"The quota of {region} is given twice; give it once.")
        found[region] = vcpus
    return found


def _quota(text: str) -> tuple[str, int]:
    region, _, vcpus = text.rpartition("=")
    if not region or not vcpus.isdecimal():
        raise InputError(f"Quota {text!r} is not REGION=VCPUS; write aws:us-east-1=64.")
    return region, int(vcpus)
