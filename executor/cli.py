"""The verbs of this floor: `tradewind execute`, `audit`, `gc`. They parse, call and render."""

from __future__ import annotations

import json
from pathlib import Path

import click

from datasets.errors import InputError
from datasets.units import render_duration, render_size


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--source", required=True, type=click.Path(path_type=Path), help="File or folder.")
@click.option(
    "--destination",
    "destinations",
    required=True,
    multiple=True,
    metavar="PATH | REGION=PATH",
    help="A path, or one for each destination region.",
)
@click.option("--provider", default="local", show_default=True, help="local, loopback or netns.")
@click.option("--port", default=7400, show_default=True, type=click.IntRange(1024, 65534))
@click.option("--dispatch", default="dynamic", type=click.Choice(["dynamic", "static"]))
@click.option("--work-conserving", is_flag=True, help="Lift the planned rates' caps.")
@click.option("--emulate", type=click.Choice(["rtt"]), help="Give links their round trips.")
@click.option("--emulate-loss", default=0.0, metavar="SHARE", help="Lose packets on each link.")
@click.option("--transport", default="tcp", type=click.Choice(["tcp", "udp"]), show_default=True)
@click.option(
    "--congestion",
    default="",
    metavar="cubic|bbr|reno",
    help="Congestion control of TCP; without it cubic where any user may choose it.",
)
@click.option(
    "--recovery",
    default="resend",
    type=click.Choice(["resend", "replan"]),
    show_default=True,
    help="Once a relay is lost: what it had goes by other lanes; or also plan the rest anew.",
)
@click.option(
    "--matrix",
    "matrix_file",
    type=click.Path(path_type=Path),
    help="To replan on, for a plan of your own figures.",
)
@click.option("--runs", default="runs", type=click.Path(path_type=Path), help="Where Runs go.")
@click.option(
    "--resume/--no-resume",
    default=True,
    help="Keep what arrived before a failure, and go on from there; by default so.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; make nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def execute(
    plan_file: Path,
    source: Path,
    destinations: tuple[str, ...],
    provider: str,
    port: int,
    dispatch: str,
    work_conserving: bool,
    emulate: str | None,
    emulate_loss: float,
    transport: str,
    congestion: str,
    recovery: str,
    matrix_file: Path | None,
    resume: bool,
    runs: Path,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Carry PLAN out on this machine: real gateways, encryption, bytes and firewall.

    The source's size wins: the prediction is restated for it. Nothing is overwritten.
    """
    from datasets.outcome import outcome
    from executor.destinations import destinations_of, named_destinations, places_of
    from executor.emulation import Emulation
    from executor.endpoints.local import list_source
    from executor.gateway.transport import find_transport
    from executor.ledger import open_ledger
    from executor.local_run import Choices, execute_locally, restated_for
    from executor.machine import check_congestion
    from executor.placement import Carriage
    from executor.providers import find_provider
    from executor.replanning import matrix_of, over_the_living
    from executor.ways import require_one_source
    from planner.checks import load_checked_plan

    plan = load_checked_plan(plan_file)
    require_one_source(plan)
    named = destinations_of(plan, named_destinations(destinations))
    for name, path in (("--source", source), *(("--destination", each) for each in named.values())):
        if str(path) == ".":
            raise InputError(f"{name} is empty or the current folder; name a file or folder.")
    emulation = Emulation(rtt=emulate == "rtt", loss=emulate_loss)
    emulation.require(find_provider(provider).name)
    find_transport(transport)
    check_congestion(congestion)
    replan = over_the_living(matrix_of(plan, matrix_file)) if recovery == "replan" else None
    entries = list_source(source)
    places = places_of(named, source, entries, transfer="", resumes=False)
    fitting, scale = restated_for(plan, source)
    if dry_run:
        told = {
            "dry_run": True,
            "plan": fitting.id,
            "gateways": list(fitting.gateways),
            "final": ", ".join(str(place.shown) for place in places.values()),
            "scale": scale.as_json(),
        }
        click.echo(json.dumps(told) if as_json else _dry_run_words(told))
        return
    with open_ledger() as ledger:
        done, folder = execute_locally(
            fitting,
            source=source,
            destination=named,
            ledger=ledger,
            scale=scale,
            choices=Choices(
                provider=provider,
                port=port,
                work_conserving=work_conserving,
                dispatch="static" if dispatch == "static" else "dynamic",
                emulation=emulation,
                carriage=Carriage(transport=transport, congestion=congestion),
                recovery="replan" if recovery == "replan" else "resend",
                resumes=resume,
            ),
            replan=replan,
            runs=runs,
            quiet=as_json,
        )
    result = outcome(done.events)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "run": done.run_id,
                    "folder": str(folder),
                    "plan": fitting.id,
                    "destination": str(done.final),
                    "destinations": {region: str(path) for region, path in done.finals.items()},
                    "predicted": fitting.predicted.as_json(),
                    "executed": result.as_json(),
                    "manifest": dict(done.manifest),
                }
            )
        )
        return
    click.echo(
        f"{render_size(result.size_bytes)} at {' and '.join(map(str, done.finals.values()))}, "
        "read back and equal to the source: "
        f"{result.throughput_gbps:.4g} Gbit/s, {render_duration(result.makespan_s)} "
        f"(predicted {fitting.predicted.throughput_gbps:.4g} Gbit/s, "
        f"{render_duration(fitting.predicted.makespan_s)})."
    )
    for warning in done.warnings:
        click.echo(f"Warning {warning}", err=True)
    click.echo(
        f"Local run by {done.manifest['provider']}: {scale.rate_scale:.4g} of the rates, "
        f"{render_duration(result.wall_s)} on the wall; {folder}"
    )


def _dry_run_words(told: dict[str, object]) -> str:
    gateways = told["gateways"]
    names = ", ".join(gateways) if isinstance(gateways, list) else ""
    return f"Would make the gateways {names} and write {told['final']}; nothing was made."


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def audit(as_json: bool) -> int:
    """List what transfers left behind; status 3 if there is anything."""
    from executor.cleanup import audit as look
    from executor.ledger import open_ledger

    with open_ledger() as ledger:
        found = look(ledger)
    if as_json:
        told = {
            "left": [entry.as_json() for entry in found.left],
            "running": list(found.running),
        }
        click.echo(json.dumps(told))
    elif not found.left:
        click.echo(f"Nothing is left; {len(found.running)} transfers are running.")
    else:
        click.echo(f"{len(found.left)} things are left; `tradewind gc` removes them:")
        for entry in found.left:
            there = "" if entry.there else " (only in the ledger)"
            click.echo(
                f"  {entry.kind} {entry.name}, transfer {entry.transfer[:10]}, "
                f"known by {entry.known_by}{there}"
            )
    return 3 if found.left else 0


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed; remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def gc(dry_run: bool, as_json: bool) -> int:
    """Remove what dead transfers left: processes, namespaces, rules, files."""
    from executor.cleanup import audit as look
    from executor.cleanup import collect
    from executor.ledger import open_ledger

    if dry_run:
        with open_ledger() as ledger:
            left = look(ledger).left
        words = "\n".join(f"would remove {entry.kind} {entry.name}" for entry in left)
        told = {"dry_run": True, "left": [entry.as_json() for entry in left]}
        click.echo(json.dumps(told) if as_json else words or "Nothing is left.")
        return 0
    lines: list[str] = []
    with open_ledger() as ledger:
        removed, failed = collect(ledger, tell=lines.append)
    if as_json:
        click.echo(json.dumps({"removed": removed, "failed": failed, "log": lines}))
    else:
        for line in lines:
            click.echo(f"  {line}")
        click.echo(f"{removed} things removed, {failed} could not be.")
    return 1 if failed else 0
