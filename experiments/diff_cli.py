"""`tradewind diff RUN [RUN]`: where predicted, simulated and executed part, in seconds that sum."""

from __future__ import annotations

from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from datasets.canonical import Json, canonical_json
from datasets.errors import InputError
from experiments.difference import Difference, between, from_prediction
from planner.render import console
from simulator.recorded import Recorded, read_recorded

# Less than this is not shown for people; JSON has it all.
_NOTHING_S = 5e-4


@click.command()
@click.argument(
    "folders", metavar="RUN [RUN]", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def diff(folders: tuple[Path, ...], as_json: bool) -> None:
    """Where the makespans part: what a Run's plan predicted and the RUN, or one RUN and another.

    Start-up, each path below its measurement, stragglers, losses, CPU, tail and bytes: each with
    its real seconds, which sum to the difference.
    """
    if len(folders) > 2:
        raise InputError(f"One run or two can be compared, not {len(folders)}.")
    recorded = [read_recorded(folder) for folder in folders]
    for folder, entry in zip(folders, recorded, strict=True):
        if entry.jobs > 1:
            raise InputError(
                f"{folder} is of {entry.jobs} Jobs at once; runs of one can be compared."
            )
    if len(recorded) == 1:
        found = from_prediction(recorded[0])
    else:
        found = between(recorded[0], recorded[1])
    if as_json:
        told = {**found.as_json(), "runs": [_about(entry) for entry in recorded]}
        click.echo(canonical_json(told).decode())
    else:
        _print(found, recorded, console())


def _about(recorded: Recorded) -> dict[str, Json]:
    """A Run's figures and what its plan predicted, in real units."""
    told = recorded.run.outcome.as_json()
    return {
        "run": recorded.id,
        "kind": recorded.kind,
        "plan": recorded.plan_id,
        "cpu_bound": recorded.cpu_bound,
        "predicted": recorded.plan.predicted.comparable(),
        recorded.kind: {key: told[key] for key in ("throughput_gbps", "makespan_s", "cost_usd")},
    }


def _print(found: Difference, recorded: list[Recorded], out: Console) -> None:
    """For people: the answer, the parts that matter, what was predicted of each."""
    much = (
        f"{abs(found.seconds):.4g} s {'longer' if found.seconds > 0 else 'shorter'} than"
        if abs(found.seconds) >= _NOTHING_S
        else "as long as"
    )
    out.print(
        f"{found.second.capitalize()} took {found.second_s:,.5g} s, {much} {found.first} "
        f"({found.first_s:,.5g} s). Real seconds:",
        markup=False,
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.add_column("part", footer=f"{found.second} − {found.first}")
    table.add_column("seconds", justify="right", footer=f"{found.seconds:+,.3f}")
    table.add_column("why")
    for part in found.parts:
        if abs(part.seconds) >= _NOTHING_S:
            table.add_row(part.cause, f"{part.seconds:+,.3f}", part.why)
    out.print(table)
    for entry in recorded:
        predicted = entry.plan.predicted
        out.print(
            f"Predicted of the {entry.kind} {entry.id[:10]}: {predicted.throughput_gbps:.4g} "
            f"Gbit/s, {predicted.makespan_s:,.5g} s; it came to "
            f"{entry.run.outcome.throughput_gbps:.4g} Gbit/s."
            + (" The processor bound it." if entry.cpu_bound else ""),
            markup=False,
        )
    for note in found.notes:
        out.print(note, markup=False)
