"""`tradewind simulate`: predicted against simulated, and whether the promise is kept."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import click

from datasets.canonical import Json, canonical_json, rounded
from datasets.edits import WHAT_IF
from datasets.epochs import MatrixChoice, epoch_names, load_matrix
from datasets.errors import InputError
from datasets.matrix import Matrix
from datasets.outcome import Outcome
from datasets.regions import cloud_of
from datasets.run import REPORT, read_run, write_run
from datasets.stores import object_store
from datasets.units import render_size
from planner.checks import load_checked_plan
from planner.plan import Plan, restated
from planner.recovery import remaining_job
from planner.strategies import solve
from simulator.account import History
from simulator.cli import world_options
from simulator.elsewhere import plan_on
from simulator.simulate import history_of, run_id_of
from simulator.table import table_of
from simulator.trials import Trials, run_trials
from simulator.upsets import Replan
from simulator.verdict import (
    Binding,
    LostRelay,
    Verdict,
    binds_when,
    lost_relays,
    promised_s,
    slack_words,
    verdict,
)
from simulator.world import World

# Chunks, times relays to lose, that are simulated without being asked: some two seconds.
_QUICKLY = 500_000


@click.command()
@click.argument("plan_files", metavar="[PLAN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--network",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Instead of a plan: a plain network scenario (docs/formats.md).",
)
@click.option(
    "--replay",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="A Run's folder: its links over time, provisioning and losses are the world.",
)
@click.option("--trials", type=int, metavar="N", help="So many seeds: P5, P50, P95, and slack.")
@click.option(
    "--what-if/--no-what-if",
    default=None,
    help="What losing a VM of each relay costs.  [default: where that is quickly told]",
)
@click.option("--epoch", metavar="DATE", help="Simulate on this epoch; see --other-matrix.")
@click.option(
    "--matrix",
    "matrix_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Simulate on a matrix of your own.",
)
@click.option("--other-matrix", is_flag=True, help="It need not be the one the plan was made from.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder of the runs.",
)
@click.option("--no-page", is_flag=True, help="Do not write the Run's page.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
@world_options
def simulate(
    plan_files: tuple[Path, ...],
    *,
    world: World,
    network: Path | None,
    replay: Path | None,
    trials: int | None,
    what_if: bool | None,
    epoch: str | None,
    matrix_file: Path | None,
    other_matrix: bool,
    runs: Path,
    no_page: bool,
    as_json: bool,
) -> int:
    """Simulate PLAN (a file by `tradewind plan -o`): does it keep its promise?

    Several PLANs move at once and share the gateways that they have in common.
    """
    if network is not None:
        if plan_files or trials is not None or replay is not None:
            raise InputError("--network takes no PLAN, no --trials and no --replay.")
        if world != World(fairness=world.fairness):
            raise InputError("--network takes --fairness, and nothing else that a world assumes.")
        return _network(network, world, as_json)
    if not plan_files:
        raise InputError("Give a PLAN (a file by `tradewind plan -o`), or --network FILE.")
    plans = [load_checked_plan(path) for path in plan_files]
    if len(world.starts_s) > len(plans):
        raise InputError(f"{len(world.starts_s)} --start for {len(plans)} plans; give one each.")
    if world.objects is not None:
        # Objects are as moved: of a scaled World, size_scale of the real ones.
        real_bytes = max(round(sum(world.objects) / world.size_scale), 1)
        plans = [
            plan if _is_about(real_bytes, plan.job.size_bytes) else restated(plan, real_bytes)
            for plan in plans
        ]
    matrix = _matrix(plans[0], epoch, matrix_file, needed=world.recovery == "replan")
    made, notes = plans, []
    if matrix is not None and (epoch is not None or matrix_file is not None):
        plans = [plan_on(plan, matrix, other=other_matrix) for plan in plans]
        if plans != made:
            notes.append(
                f"Simulated on the figures of {matrix.epoch} ({matrix.digest[:8]}), planned on "
                f"those of {made[0].matrix.epoch} ({made[0].matrix.digest[:8]})."
            )
    if replay is not None:
        world, more = _replayed(replay, plans, world)
        notes += more
    notes += _unpriced(plans, world)
    replan = None if matrix is None else functools.partial(_planned_anew, matrix)
    done = _simulated(
        made, plans, world, replan=replan, trials=trials, what_if=what_if, quiet=as_json
    )
    folder = _written(done, runs, notes, page=not no_page)
    if as_json:
        click.echo(canonical_json(_answer(done, folder, notes)).decode())
    else:
        click.echo(_text(done, folder, notes))
    return 0 if done.history.ok else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """One simulation, and all that is told of it; a verdict for each Plan.

    `made` are the Plans as their files are, `plans` as they are in the world simulated.
    """

    made: Sequence[Plan]
    plans: Sequence[Plan]
    world: World
    history: History
    events: Any
    outcomes: Sequence[Outcome]
    verdicts: Sequence[Verdict]
    binding: Sequence[Binding]
    trials: Trials | None
    lost: Sequence[LostRelay]


def _is_about(size_bytes: int, other_bytes: int) -> bool:
    """Whether two sizes are one but for what rounding to moved bytes makes of it."""
    return abs(size_bytes - other_bytes) <= 1e-6 * other_bytes


def _simulated(
    made: Sequence[Plan],
    plans: Sequence[Plan],
    world: World,
    *,
    replan: Replan | None,
    trials: int | None,
    what_if: bool | None,
    quiet: bool,
) -> _Done:
    history = history_of(plans, world, replan=replan)
    events = table_of(run_id_of(plans, world), history)
    outcomes = [history.outcome(job=job) for job in range(len(plans))]
    verdicts = [
        verdict(
            plan,
            events[events["job"] == job],
            result,
            reason=history.record.failures.get(job, (0.0, ""))[1],
        )
        for job, (plan, result) in enumerate(zip(history.plans, outcomes, strict=True))
    ]
    lost: Sequence[LostRelay] = ()
    if what_if is None:
        what_if = history.ok and len(plans[0].relays) * len(history.listing) <= _QUICKLY
    if what_if:
        lost = lost_relays(plans, world, outcomes[0], replan=replan)
    return _Done(
        made=made,
        plans=plans,
        world=world,
        history=history,
        events=events,
        outcomes=outcomes,
        verdicts=verdicts,
        binding=binds_when(history.plans[0], events[events["job"] == 0], outcomes[0]),
        trials=None if trials is None else _trials(plans, world, trials, replan, quiet),
        lost=lost,
    )


def _trials(
    plans: Sequence[Plan], world: World, count: int, replan: Replan | None, quiet: bool
) -> Trials:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        return run_trials(plans, world, count, replan=replan)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("trials", total=count)

        def observe(done: int) -> None:
            bar.update(task, completed=done)

        return run_trials(plans, world, count, replan=replan, observe=observe)


def _matrix(
    plan: Plan, epoch: str | None, matrix_file: Path | None, *, needed: bool
) -> Matrix | None:
    """The Matrix that was named, or (where one is needed) the Plan's own."""
    if epoch is not None and matrix_file is not None:
        raise InputError("--epoch and --matrix exclude each other; give one of them.")
    if epoch is None and matrix_file is None and not needed:
        return None
    made = plan.matrix
    own = WHAT_IF in made.policy or (epoch is None and made.epoch not in epoch_names())
    if matrix_file is None and own:
        raise InputError(
            f"The plan was made on a matrix of its own ({made.epoch}, {made.policy}); name it by "
            "--matrix FILE."
        )
    choice = MatrixChoice(
        epoch=epoch or made.epoch,
        column=made.column,
        tier=made.tier,
        policy=made.policy,
        caps=made.caps,
        file=matrix_file,
    )
    return load_matrix(choice)


def _planned_anew(matrix: Matrix, plan: Plan, lost: Sequence[str], missing_bytes: int) -> Plan:
    """What is missing, by the Plan's own strategy, without the gateways that are lost."""
    job = plan.job
    for region in sorted({name.rpartition("#")[0] for name in lost}):
        mine = [name for name in lost if name.startswith(f"{region}#")]
        job = remaining_job(job, missing_bytes=missing_bytes, lost=mine, vm=plan.vm(region))
    return solve(plan.strategy, matrix, job)


def _replayed(folder: Path, plans: Sequence[Plan], world: World) -> tuple[World, Sequence[str]]:
    from simulator.replay import replay_folder

    if len(plans) > 1:
        raise InputError("One PLAN at a time can be simulated in a replayed world.")
    replayed = replay_folder(folder, world)
    return replayed.world_for(plans[0]), replayed.notes_for(plans[0])


def _network(path: Path, world: World, as_json: bool) -> int:
    """A plain scenario: when each flow ends."""
    from simulator.scenario_file import read_scenario
    from simulator.scenario_run import run_scenario

    result = run_scenario(read_scenario(path), fairness=world.fairness)
    if as_json:
        import json

        click.echo(json.dumps(result.as_json()))
        return 0
    for flow, finish_s in result.finish_s.items():
        click.echo(f"{flow:40} {finish_s:18.9f} s")
    click.echo(f"{'makespan':40} {result.makespan_s:18.9f} s")
    return 0


def _unpriced(plans: Sequence[Plan], world: World) -> list[str]:
    """Clouds whose requests are counted, and no price of them is known."""
    if world.store is None:
        return []
    reads = {cloud_of(region) for plan in plans for region in plan.job.sources}
    writes = {cloud_of(region) for plan in plans for region in plan.job.destinations}
    missing = []
    for cloud in sorted(reads | writes):
        store = object_store(cloud)
        prices = [store.usd_per_1000_reads] if store and cloud in reads else []
        prices += [store.usd_per_1000_writes] if store and cloud in writes else []
        if not prices or None in prices:
            missing.append(cloud)
    if not missing:
        return []
    return [f"No price of requests is known for {', '.join(missing)}: they count as 0 $."]


def _written(done: _Done, runs: Path, notes: Sequence[str], *, page: bool) -> Path:
    """The Run's folder; its page is of the first Plan."""
    replanned = done.history.plans[0] != done.plans[0]
    kept = done.history.plans[0] if replanned else done.made[0]
    folder = write_run(
        runs,
        run_id_of(done.plans, done.world),
        kind="simulated",
        plan=kept.as_json(),
        events=done.events,
        manifest={
            **_manifest(done),
            "matrix_of_world": done.plans[0].matrix.as_json(),
            "notes": list(notes),
        },
    )
    if page:
        _write_page(done, folder, notes)
    else:
        (folder / REPORT).unlink(missing_ok=True)
    return folder


def _write_page(done: _Done, folder: Path, notes: Sequence[str]) -> None:
    from experiments.report import write_page

    plan, run = done.history.plans[0], read_run(folder)
    said = [done.verdicts[0].words, f"Assumed: {done.world.assumed}."]
    if len(done.plans) > 1:
        run = replace(run, events=run.events[run.events["job"] == 0], outcome=done.outcomes[0])
        said.append(f"This page is of the first of {len(done.plans)} Jobs that moved at once.")
    if done.world.losses or done.world.link_changes:
        said.append(
            f"{len(done.world.losses)} losses and {len(done.world.link_changes)} link changes are "
            f"assumed; recovery: {done.world.recovery}."
        )
    write_page(
        folder / REPORT,
        plan=plan,
        predicted=plan.predicted,
        simulated=run,
        executed=None,
        today=date.today(),
        said=[*said, *notes],
    )


def _manifest(done: _Done) -> dict[str, Json]:
    """What a simulated Run's manifest says besides the versions: the World and the verdict."""
    told: dict[str, Json] = {
        "world": done.world.as_json(),
        "seed": done.world.seed,
        "rate_scale": done.world.rate_scale,
        "size_scale": done.world.size_scale,
        "keeps_promise": all(judged.keeps_promise for judged in done.verdicts),
        "binds": list(done.verdicts[0].binds),
        "plans": [plan.id for plan in done.plans],
    }
    if done.trials is not None:
        told["trials"] = {
            "makespan_s": [rounded(value, 6) for value in done.trials.makespan_s],
            "cost_usd": [rounded(value, 8) for value in done.trials.cost_usd],
            "assumed": done.trials.assumed,
        }
    return told


def _answer(done: _Done, folder: Path, notes: Sequence[str]) -> dict[str, Json]:
    jobs: list[Json] = [_job(done, at) for at in range(len(done.plans))]
    whole: dict[str, Json] = {
        "run": str(folder),
        "ok": done.history.ok,
        "fluid_bound_s": rounded(done.history.bound_s, 6),
        "binds_when": [binding.as_json() for binding in done.binding],
        "slack_needed": rounded(max(0.0, done.verdicts[0].margin), 9),
        "lost_relays": [lost.as_json() for lost in done.lost],
        "trials": None if done.trials is None else done.trials.as_json(promised_s(done.plans[0])),
        "notes": list(notes),
    }
    if len(jobs) == 1 and isinstance(jobs[0], dict):
        return {**jobs[0], **whole}
    return {"jobs": jobs, **whole}


def _job(done: _Done, at: int) -> dict[str, Json]:
    plan, judged = done.plans[at], done.verdicts[at]
    simulated = _per_source(plan, done.outcomes[at]).as_json()
    return {
        "plan": done.made[at].id,
        "strategy": plan.strategy,
        "predicted": plan.predicted.comparable(),
        "simulated": {key: simulated[key] for key in ("throughput_gbps", "makespan_s", "cost_usd")},
        "retransmitted_bytes": simulated["retransmitted_bytes"],
        "keeps_promise": judged.keeps_promise,
        "margin": rounded(judged.margin, 9),
        "cost_margin": rounded(judged.cost_margin, 9),
        "binds": list(judged.binds),
        "words": judged.words,
    }


def _per_source(plan: Plan, result: Outcome) -> Outcome:
    """Throughput of each source's data, as a Plan's is, where there are several."""
    sources = len(plan.job.sources)
    return replace(result, throughput_gbps=result.throughput_gbps / sources)


def _text(done: _Done, folder: Path, notes: Sequence[str]) -> str:
    """For people: two columns a Plan, the verdict, what binds when, where the Run is."""
    lines: list[str] = []
    for at in range(len(done.plans)):
        lines += _table(done, at)
    lines.append(_binds_line(done))
    lines.append(
        f"Fluid bound {done.history.bound_s:,.1f} s (volume over the highest rate); chunks of "
        f"{render_size(int(done.history.listing.size_bytes.max(initial=0)))} make it "
        f"{done.history.makespan_s:,.1f} s."
    )
    if done.trials is not None:
        lines += _trial_lines(done)
    for lost in done.lost:
        cost = (
            "the transfer fails"
            if lost.more_s is None or lost.more_usd is None
            else f"{lost.more_s:+,.1f} s, {lost.more_usd:+,.2f} $"
        )
        lines.append(f"{lost.gateway} lost at {lost.at_s:,.1f} s: {cost}.")
    if done.outcomes[0].request_usd:
        lines.append(f"Requests to object stores: ${done.outcomes[0].request_usd:,.2f}, in total.")
    lines += notes
    lines.append(f"Run: {folder} ({done.outcomes[0].chunks:,} chunks)")
    return "\n".join(lines)


def _table(done: _Done, at: int) -> list[str]:
    plan, judged = done.plans[at], done.verdicts[at]
    result = _per_source(plan, done.outcomes[at])
    job, promised = plan.job, plan.predicted
    return [
        f"{', '.join(job.sources)} to {', '.join(job.destinations)}, "
        f"{render_size(job.size_bytes)}, by {plan.strategy}",
        f"{'':12}{'throughput Gbit/s':>18}{'makespan s':>14}{'egress $':>12}{'VMs $':>10}"
        f"{'total $':>12}",
        f"{'predicted':12}{promised.throughput_gbps:18.4g}{promised.makespan_s:14.1f}"
        f"{promised.cost_usd.egress:12.2f}{promised.cost_usd.vm:10.2f}"
        f"{promised.cost_usd.total:12.2f}",
        f"{'simulated':12}{result.throughput_gbps:18.4g}{result.makespan_s:14.1f}"
        f"{result.egress_usd:12.2f}{result.vm_usd:10.2f}{result.cost_usd:12.2f}",
        judged.words,
    ]


def _binds_line(done: _Done) -> str:
    """What binds: throughout, and where that changes over time."""
    throughout = f"What binds: {', '.join(done.verdicts[0].binds) or 'nothing throughout'}."
    spans: list[tuple[float, float, tuple[str, ...]]] = []
    for part in done.binding:
        if spans and spans[-1][2] == part.binds:
            spans[-1] = (spans[-1][0], part.until_s, part.binds)
        else:
            spans.append((part.from_s, part.until_s, part.binds))
    if len(spans) < 2:
        return throughout
    told = [
        f"  {from_s:,.0f} to {until_s:,.0f} s: {', '.join(names) or 'nothing'}"
        for from_s, until_s, names in spans
    ]
    return "\n".join([throughout, *told])


def _trial_lines(done: _Done) -> list[str]:
    trials = done.trials
    if trials is None or not trials.makespan_s:
        return ["No trial ended."]
    seconds = trials.percentiles(trials.makespan_s)
    usd = trials.percentiles(trials.cost_usd)
    failed = f"; {trials.failed} failed" if trials.failed else ""
    return [
        f"{len(trials.makespan_s)} trials{failed}, {trials.assumed}: makespan P5 "
        f"{seconds['p5']:,.1f}, P50 {seconds['p50']:,.1f}, P95 {seconds['p95']:,.1f} s; cost P5 "
        f"${usd['p5']:,.2f}, P50 ${usd['p50']:,.2f}, P95 ${usd['p95']:,.2f}.",
        slack_words(trials, promised_s(done.plans[0])),
    ]
