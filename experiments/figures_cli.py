"""`tradewind figures`: what can be drawn of Runs, one file a figure."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datasets.errors import InputError
from experiments.figures import FORMATS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from datasets.run import Run
    from planner.plan import Plan

_SHORT = 12  # characters of a run's id that a file is named by


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A Run with its Plan, and what its files are named by."""

    name: str
    run: Run
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """One figure `of` a Run or a plan: the file and its caption, or why it was left out."""

    figure: str
    of: str
    file: str = ""
    caption: str = ""
    left_out: str = ""

    def as_json(self) -> dict[str, str]:
        """The keys that say something."""
        named = {"figure": self.figure, "of": self.of, "file": self.file}
        said = {**named, "caption": self.caption, "left_out": self.left_out}
        return {key: value for key, value in said.items() if value}


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the files.")
@click.option("--format", "kind", default="svg", show_default=True, help="svg, png or pdf.")
@click.option("--json", "as_json", is_flag=True, help="What was written, as JSON on stdout.")
def figures(*, runs: tuple[Path, ...], out: Path, kind: str, as_json: bool) -> None:
    """Draw each RUN (its folder): throughput, chunks, queues, cost, and trials if it has any.

    Several simulated RUNs give one figure more: simulated against predicted, by strategy. A plan's
    simulated and executed RUN give their throughput on the same axes, too.
    """
    if kind not in FORMATS:
        raise InputError(f"Unknown format {kind!r}; there are {', '.join(FORMATS)}.")
    found = _read(runs)
    _prepare(out)
    done = [entry for each in found for entry in _of_one(each, out, kind)]
    if len(found) > 1:
        done += _of_several(found, out, kind)
    if as_json:
        click.echo(json.dumps({"figures": [entry.as_json() for entry in done]}))
        return
    for entry in done:
        click.echo(f"{entry.file}: {entry.caption}" if entry.file else _without(entry))


def _without(entry: _Done) -> str:
    of = f" of {entry.of}" if entry.of else ""
    return f"No figure “{entry.figure}”{of}: {entry.left_out}"


def _read(folders: Sequence[Path]) -> list[_Read]:
    """Each Run once, with a name of its own. Raises: DataError if one is not a Run's folder."""
    from datasets.run import PLAN, read_run
    from planner.plan import load_plan

    found: list[_Read] = []
    for folder in dict.fromkeys(path.resolve() for path in folders):
        run, plan = read_run(folder), load_plan(folder / PLAN)
        short = folder.name[:_SHORT]
        taken = sum(each.name.startswith(short) for each in found)
        found.append(_Read(name=f"{short}-{taken + 1}" if taken else short, run=run, plan=plan))
    return found


def _prepare(out: Path) -> None:
    """Make the folder. Raises: InputError if it cannot be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write figures to {out}: {error.strerror}.") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise InputError(f"Cannot write figures to {out}: it is not writable.")


def _of_one(each: _Read, out: Path, kind: str) -> list[_Done]:
    from experiments.attempts import attempts_of
    from experiments.figures_chunks import chunks
    from experiments.figures_time import cost, queues, throughput
    from experiments.figures_trials import makespans, trials_of

    run, plan = each.run, each.plan
    attempts = attempts_of(plan, run.events, run.outcome)
    trials = trials_of(run.manifest)
    drawn: list[tuple[str, Callable[[], Figure]]] = [
        ("throughput", lambda: throughput(plan, [run])),
        ("chunks", lambda: chunks(plan, run, attempts=attempts)),
        ("queues", lambda: queues(plan, run, attempts=attempts)),
        ("cost", lambda: cost(run)),
    ]
    if trials is not None:
        promised_s = plan.predicted.makespan_s
        drawn.append(
            (
                "makespans",
                lambda: makespans(trials.makespan_s, promised_s=promised_s, assumed=trials.assumed),
            )
        )
    return [
        _written(name, draw, out / f"{each.name}-{name}.{kind}", each.name) for name, draw in drawn
    ]


def _of_several(found: Sequence[_Read], out: Path, kind: str) -> list[_Done]:
    """What needs more than one Run: both kinds of a plan together, and plans side by side."""
    from experiments.figures_time import is_simulated, throughput
    from experiments.figures_trials import simulated_against_predicted

    done = []
    for plan_id in dict.fromkeys(each.plan.id for each in found):
        mine = [each for each in found if each.plan.id == plan_id]
        simulated = [each for each in mine if is_simulated(each.run)][:1]
        executed = [each for each in mine if not is_simulated(each.run)][:1]
        if simulated and executed:
            plan, both = mine[0].plan, [simulated[0].run, executed[0].run]
            path = out / f"{plan_id[:_SHORT]}-throughput.{kind}"
            done.append(_written("throughput", _throughput(throughput, plan, both), path, plan_id))
    points = [
        (each.plan.strategy, each.plan.predicted.makespan_s, each.run.outcome.makespan_s)
        for each in found
        if is_simulated(each.run) and each.run.outcome.makespan_s > 0
    ]
    name = "simulated-against-predicted"
    done.append(
        _written(name, lambda: simulated_against_predicted(points), out / f"{name}.{kind}", "")
    )
    return done


def _throughput(
    draw: Callable[[Plan, Sequence[Run]], Figure], plan: Plan, runs: Sequence[Run]
) -> Callable[[], Figure]:
    return lambda: draw(plan, runs)


def _written(name: str, draw: Callable[[], Figure], path: Path, of: str) -> _Done:
    from experiments.figures import NothingToDraw, caption_of, save

    try:
        figure = draw()
    except NothingToDraw as answer:
        return _Done(figure=name, of=of, left_out=str(answer))
    save(figure, path)
    return _Done(figure=name, of=of, file=str(path), caption=caption_of(figure))
