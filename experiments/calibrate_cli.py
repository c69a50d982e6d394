"""`tradewind calibrate RUN…`: fit the model's parameters to executed Runs, and say how well."""

from __future__ import annotations

from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from datasets.canonical import canonical_json
from datasets.errors import InputError
from experiments.calibration_runs import calibrate_folders
from planner.render import console
from simulator.calibration import PARAMETERS, Calibration, Fitted, save_calibration


@click.command()
@click.argument("folders", metavar="RUN…", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--held-out",
    metavar="RUN",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Judge by this run, which is not fitted; may be given again.  [default: leave one out]",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the calibration, which later simulations name.",
)
@click.option("--json", "as_json", is_flag=True, help="The calibration as JSON on stdout.")
def calibrate(
    folders: tuple[Path, ...], held_out: tuple[Path, ...], output: Path | None, as_json: bool
) -> None:
    """Fit start-up, overheads, saturation and provisioning to executed RUNs of one provider.

    Says how far simulated makespans were from executed ones before and after, on runs that were
    not fitted. What the runs do not tell keeps its default, with the reason.
    """
    if not folders:
        raise InputError("Give the folders of executed runs, two or more: runs/ID runs/ID …")
    found = calibrate_folders(folders, held_out=held_out)
    if output is not None:
        save_calibration(found, output)
    if as_json:
        click.echo(canonical_json(found.as_json()).decode())
    else:
        print_calibration(found)
        click.echo("Not written; -o FILE does." if output is None else f"Written to {output}.")


def print_calibration(found: Calibration) -> None:
    """For people: how well, then each parameter with its range."""
    out = console()
    error = found.error
    how = "each left out in turn" if error.method == "leave_one_out" else "held out"
    out.print(
        f"Error of simulated against executed makespan, {error.runs} runs {how}: median "
        f"{error.median_before:.2%} before, {error.median_after:.2%} after; mean "
        f"{error.mean_before:.2%} before, {error.mean_after:.2%} after; "
        f"smaller for {error.closer} of them.",
        markup=False,
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("parameter", "value", "range", "runs", "unit"):
        table.add_column(name, justify="right" if name in ("value", "range", "runs") else "left")
    unknown = []
    for name, unit in PARAMETERS.items():
        fitted: Fitted = getattr(found, name)
        if fitted.value is None:
            unknown.append(f"Not identifiable from these Runs: {name}; {fitted.reason}.")
        else:
            table.add_row(name, f"{fitted.value:.4g}", _range(fitted), str(fitted.runs), unit)
    for cloud in found.provisioning:
        spread = "–" if cloud.sigma is None else f"sigma {cloud.sigma:.2g}"
        table.add_row(
            f"provisioning {cloud.cloud}",
            f"{cloud.median_s:.4g}",
            spread,
            str(cloud.runs),
            f"s, median of {cloud.gateways} gateways",
        )
    out.print(table)
    for words in unknown:
        out.print(words, markup=False)
    left_out = f"; {found.cpu_bound} bound by the processor left out" if found.cpu_bound else ""
    out.print(
        f"Fitted to {len(found.fitted_runs)} runs by {found.provider}{left_out}. Calibration "
        f"{found.digest[:10]}.",
        markup=False,
    )


def _range(fitted: Fitted) -> str:
    if fitted.least is None or fitted.most is None:
        return "–"
    return f"{fitted.least:.3g} to {fitted.most:.3g}"
