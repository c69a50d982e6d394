"""`tradewind simulate PLAN`: predicted against simulated, and whether the promise is kept."""

from __future__ import annotations

from pathlib import Path

import click

from datasets.canonical import Json, canonical_json, rounded
from datasets.outcome import Outcome, outcome
from datasets.run import write_run
from datasets.units import parse_size_bytes, render_size
from planner.checks import load_checked_plan
from planner.dispatch import Dispatch
from planner.plan import Plan
from simulator.simulate import run_id_of
from simulator.simulate import simulate as simulate_plan
from simulator.verdict import Verdict, verdict
from simulator.world import UNVERIFIED_PROVISIONING, World, fixed_provisioning


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True, help="Of all that is drawn.")
@click.option(
    "--dispatch",
    type=click.Choice(["dynamic", "static"]),
    default="dynamic",
    show_default=True,
    help="Chunks to whichever connection is free, or in fixed shares.",
)
@click.option("--work-conserving", is_flag=True, help="Planned rates are no caps.")
@click.option("--chunk-size", metavar="SIZE", help="For example 8MiB.  [default: from 8MiB on]")
@click.option(
    "--provisioning-s",
    type=float,
    metavar="S",
    help="Every VM is ready after so long.  [default: assumed by cloud, unverified]",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder of the runs.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def simulate(
    plan_file: Path,
    seed: int,
    dispatch: Dispatch,
    work_conserving: bool,
    chunk_size: str | None,
    provisioning_s: float | None,
    runs: Path,
    as_json: bool,
) -> None:
    """Simulate PLAN (a file by `tradewind plan -o`): does it keep its promise?"""
    plan = load_checked_plan(plan_file)
    world = World(
        seed=seed,
        dispatch=dispatch,
        work_conserving=work_conserving,
        chunk_bytes=None if chunk_size is None else parse_size_bytes(chunk_size),
        provisioning=UNVERIFIED_PROVISIONING
        if provisioning_s is None
        else fixed_provisioning(provisioning_s),
    )
    events = simulate_plan(plan, world)
    result = outcome(events)
    judged = verdict(plan, events, result)
    folder = write_run(
        runs,
        run_id_of(plan, world),
        kind="simulated",
        plan=plan.as_json(),
        events=events,
        manifest=manifest_of(world, judged),
    )
    if as_json:
        click.echo(canonical_json(_answer(plan, result, judged, folder)).decode())
    else:
        click.echo(_table(plan, result, judged, folder))


def manifest_of(world: World, judged: Verdict) -> dict[str, Json]:
    """What a simulated Run's manifest says besides the versions: the World and the verdict."""
    return {
        "world": world.as_json(),
        "seed": world.seed,
        "rate_scale": world.rate_scale,
        "size_scale": world.size_scale,
        "keeps_promise": judged.keeps_promise,
        "binds": list(judged.binds),
    }


def _answer(plan: Plan, result: Outcome, judged: Verdict, folder: Path) -> dict[str, Json]:
    simulated = result.as_json()
    return {
        "plan": plan.id,
        "strategy": plan.strategy,
        "run": str(folder),
        "predicted": plan.predicted.comparable(),
        "simulated": {key: simulated[key] for key in ("throughput_gbps", "makespan_s", "cost_usd")},
        "keeps_promise": judged.keeps_promise,
        "margin": rounded(judged.margin, 9),
        "cost_margin": rounded(judged.cost_margin, 9),
        "binds": list(judged.binds),
    }


def _table(plan: Plan, result: Outcome, judged: Verdict, folder: Path) -> str:
    """For people: two columns, the verdict, what binds, where the Run is."""
    job, promised = plan.job, plan.predicted
    usd = result.egress_usd + result.vm_usd
    lines = [
        f"{job.source} to {', '.join(job.destinations)}, {render_size(job.size_bytes)}, "
        f"by {plan.strategy}",
        f"{'':12}{'throughput Gbit/s':>18}{'makespan s':>14}{'egress $':>12}{'VMs $':>10}"
        f"{'total $':>12}",
        f"{'predicted':12}{promised.throughput_gbps:18.4g}{promised.makespan_s:14.1f}"
        f"{promised.cost_usd.egress:12.2f}{promised.cost_usd.vm:10.2f}"
        f"{promised.cost_usd.total:12.2f}",
        f"{'simulated':12}{result.throughput_gbps:18.4g}{result.makespan_s:14.1f}"
        f"{result.egress_usd:12.2f}{result.vm_usd:10.2f}{usd:12.2f}",
        judged.words,
        f"What binds: {', '.join(judged.binds) or 'nothing throughout'}.",
        f"Run: {folder} ({result.chunks:,} chunks)",
    ]
    return "\n".join(lines)
