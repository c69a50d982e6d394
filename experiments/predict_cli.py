"""`tradewind predict`: register a prediction before a Run, score it afterwards, check the log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from datasets.canonical import Json, canonical_json
from datasets.errors import InputError
from datasets.units import render_size
from experiments.prediction import SOURCES, prediction_of, score_of
from experiments.prediction_log import PREDICTION, SCORE, Line, append, read_log
from planner.checks import load_checked_plan
from simulator.calibration import load_calibration
from simulator.recorded import read_recorded
from simulator.world import World


@click.command()
@click.argument("plan_file", metavar="[PLAN]", required=False, type=click.Path(path_type=Path))
@click.option("--register", is_flag=True, help="Add the prediction to the log.")
@click.option(
    "--score", "run", metavar="RUN", type=click.Path(path_type=Path), help="Score an executed run."
)
@click.option("--verify", is_flag=True, help="Check that no line was changed or taken out.")
@click.option("--head", metavar="DIGEST", help="With --verify: the last digest that was published.")
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("predictions.jsonl"),
    show_default=True,
    help="JSON lines, each with the digest of the one before.",
)
@click.option(
    "--calibration", type=click.Path(path_type=Path), help="A file by `tradewind calibrate`."
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def predict(
    plan_file: Path | None,
    register: bool,
    run: Path | None,
    verify: bool,
    head: str | None,
    log: Path,
    calibration: Path | None,
    as_json: bool,
) -> int:
    """Predict what PLAN will do, and with --register write it down before it is executed.

    `--score RUN` then adds how far the prediction was from that execution, and `--verify` checks
    the log. The log holds no path, host name or secret: it can be published.
    """
    if sum((plan_file is not None, run is not None, verify)) != 1:
        raise InputError("Give one of a PLAN, --score RUN and --verify.")
    if head is not None and not verify:
        raise InputError("--head is what --verify looks for.")
    if plan_file is None and (register or calibration is not None):
        raise InputError("--register and --calibration are for a PLAN.")
    if plan_file is not None:
        return _predict(plan_file, register, log, calibration, as_json)
    if run is not None:
        return _score(run, log, as_json)
    return _verify(log, head, as_json)


def _predict(
    plan_file: Path, register: bool, log: Path, calibration: Path | None, as_json: bool
) -> int:
    plan = load_checked_plan(plan_file)
    world = World()
    if calibration is not None:
        world = load_calibration(calibration).applied_to(world)
    content = prediction_of(plan, world)
    line = append(log, PREDICTION, lambda before: content) if register else None
    if as_json:
        told: dict[str, Json] = {"prediction": content, "registered": _told(line)}
        click.echo(canonical_json(told).decode())
        return 0
    told_of: Any = content
    job = plan.job
    click.echo(
        f"{job.source} to {', '.join(job.destinations)}, {render_size(job.size_bytes)}, by "
        f"{plan.strategy} (plan {plan.id[:10]}):"
    )
    for source in SOURCES:
        figures = told_of[source]
        click.echo(
            f"  {source}: {figures['throughput_gbps']:.4g} Gbit/s, {figures['makespan_s']:,.5g} s, "
            f"${figures['cost_usd']['total']:,.2f}"
        )
    click.echo(
        f"Not registered; --register adds it to {log}."
        if line is None
        else f"Registered at {line.at_utc} in {log}: {line.digest}"
    )
    return 0


def _score(run: Path, log: Path, as_json: bool) -> int:
    recorded = read_recorded(run)
    if not log.exists():
        raise InputError(f"There is no log {log}; nothing was registered there.")
    line = append(log, SCORE, lambda before: score_of(recorded, before))
    if as_json:
        click.echo(canonical_json({"score": _told(line)}).decode())
        return 0
    content: Any = line.content
    click.echo(
        f"Executed: {content['executed']['throughput_gbps']:.4g} Gbit/s, "
        f"{content['executed']['makespan_s']:,.5g} s. Registered {content['registered_utc']}:"
    )
    for source in SOURCES:
        errors = content["errors"][source]
        click.echo(
            f"  {source}: throughput {errors['throughput']['signed']:+.2%}, "
            f"makespan {errors['makespan']['signed']:+.2%}"
        )
    if content["restated"]:
        click.echo("It was of another size of the same plan; makespans are in proportion.")
    if content["cpu_bound"]:
        click.echo("The processor bound the run: leave it out.")
    return 0


def _verify(log: Path, head: str | None, as_json: bool) -> int:
    found = read_log(log)
    if head is not None and found.broken_at is None:
        digests = {line.digest for line in found.lines}
        if head not in digests:
            why = "no line has the digest that was published: lines were taken out or written anew"
            found = replace(found, broken_at=len(found.lines) + 1, why=why)
    if as_json:
        told: dict[str, Json] = {
            "ok": found.broken_at is None,
            "lines": len(found.lines),
            "broken_at": found.broken_at,
            "why": found.why,
            "last_digest": found.last_digest,
        }
        click.echo(canonical_json(told).decode())
    elif found.broken_at is None:
        scores = sum(line.kind == SCORE for line in found.lines)
        click.echo(
            f"The chain holds: {len(found.lines) - scores} predictions and {scores} scores; the "
            f"last digest is {found.last_digest or 'none'}. Lines taken off the end show only "
            "beside a digest that was published (--head)."
        )
    else:
        click.echo(f"The chain is broken at line {found.broken_at}: {found.why}.")
    return 0 if found.broken_at is None else 1


def _told(line: Line | None) -> Json:
    return None if line is None else line.as_json()
