"""The whole thread for one Plan on this machine: simulate it, execute it, and show all three."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from datasets.canonical import Json
from datasets.coordinates import coordinates
from datasets.outcome import Outcome
from datasets.run import REPORT, Run, read_run, write_run
from executor.ledger import Ledger, state_folder
from executor.local_run import Choices, execute_locally
from executor.probe import measure_gbps
from executor.removal import make_folder, remove_kind
from executor.scale import Scale, scale_for
from experiments.report import write_page
from planner.gain import Gains
from planner.plan import Plan
from simulator.assumptions import fixed_provisioning
from simulator.simulate import run_id_of, simulate
from simulator.world import World

_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreeWay:
    """One Plan: what was predicted, what was simulated, what happened, and the page of it."""

    plan: Plan
    simulated: Run
    executed: Run
    page: Path

    def as_json(self) -> dict[str, Json]:
        """One entry of `tradewind run --json`, in real units."""
        return {
            "strategy": self.plan.strategy,
            "plan": self.plan.id,
            "predicted": self.plan.predicted.comparable(),
            "simulated": figures(self.simulated.outcome),
            "executed": figures(self.executed.outcome),
            "simulated_run": str(self.simulated.folder),
            "executed_run": str(self.executed.folder),
            "cpu_bound": self.cpu_bound,
            "page": str(self.page),
        }

    @property
    def cpu_bound(self) -> bool:
        """Whether the processor and not the network set the pace of the execution."""
        return bool(self.executed.manifest["cpu"]["bound"])


def figures(result: Outcome) -> dict[str, Json]:
    """The three figures that are compared."""
    told = result.as_json()
    return {key: told[key] for key in ("throughput_gbps", "makespan_s", "cost_usd")}


def error_of(figure: float, reference: float) -> float:
    """How far a figure is from its reference, as a share of the reference."""
    return (figure - reference) / reference if reference else 0.0


def figures_of(done: ThreeWay) -> tuple[tuple[float, float, float], ...]:
    """(throughput Gbit/s, makespan s, cost USD) as predicted, simulated and executed."""
    predicted = done.plan.predicted
    return (
        (predicted.throughput_gbps, predicted.makespan_s, predicted.cost_usd.total),
        *(
            (run.outcome.throughput_gbps, run.outcome.makespan_s, run.outcome.cost_usd)
            for run in (done.simulated, done.executed)
        ),
    )


def world_of(scale: Scale, *, seed: int, choices: Choices) -> World:
    """The World of a local run: the same scale, chunks, connections and dispatch."""
    return World(
        seed=seed,
        rate_scale=scale.rate_scale,
        size_scale=scale.size_scale,
        objects=(scale.moved_bytes,),
        chunk_bytes=scale.chunk_bytes,
        record_bytes=scale.record_bytes,
        connections_per_hop=scale.connections,
        work_conserving=choices.work_conserving,
        dispatch=choices.dispatch,
        provisioning=fixed_provisioning(0.0),
    )


def simulate_as_run(plan: Plan, world: World, *, runs: Path) -> Run:
    """Simulate and write the Run's folder."""
    events = simulate(plan, world)
    folder = write_run(
        runs,
        run_id_of(plan, world),
        kind="simulated",
        plan=plan.as_json(),
        events=events,
        manifest={"world": world.as_json()},
    )
    return read_run(folder)


@contextmanager
def workload(ledger: Ledger, plan_id: str, size_bytes: int, *, seed: int) -> Iterator[Path]:
    """A folder with a source file of seeded bytes; gone afterwards, and known to the ledger."""
    name = secrets.token_hex(16)
    ledger.begin(name, plan_id)
    try:
        folder = make_folder(ledger, name, state_folder() / "transfers" / name)
        rng = np.random.default_rng(seed)
        with open(folder / "source", "wb") as file:
            for start in range(0, size_bytes, _BLOCK_BYTES):
                file.write(rng.bytes(min(_BLOCK_BYTES, size_bytes - start)))
        yield folder
    finally:
        remove_kind(ledger, name, "folder")
        ledger.phase(name, "closed")


def three_way(
    plan: Plan,
    *,
    ledger: Ledger,
    choices: Choices,
    runs: Path,
    seed: int,
    wall_s: float,
    today: date,
    gains: Gains | None = None,
    quiet: bool = False,
) -> ThreeWay:
    """Simulate, execute and report one Plan at the scale that this machine carries.

    Raises: whatever the executor raises, with nothing left behind.
    """
    scale = scale_for(plan, machine_gbps=measure_gbps(), wall_s=wall_s)
    simulated = simulate_as_run(plan, world_of(scale, seed=seed, choices=choices), runs=runs)
    with workload(ledger, plan.id, scale.moved_bytes, seed=seed) as folder:
        _, written = execute_locally(
            plan,
            source=folder / "source",
            destination=folder / "arrived",
            ledger=ledger,
            scale=scale,
            choices=choices,
            runs=runs,
            quiet=quiet,
        )
    executed = read_run(written)
    path = written / REPORT
    write_page(
        path,
        plan=plan,
        predicted=plan.predicted,
        simulated=simulated,
        executed=executed,
        today=today,
        gains=gains,
        places=places_of(plan),
    )
    return ThreeWay(plan=plan, simulated=simulated, executed=executed, page=path)


def places_of(plan: Plan) -> dict[str, tuple[float, float]]:
    """Coordinates of the Plan's regions, for those that have any."""
    found = {region: coordinates(region) for region in plan.vms}
    return {region: place for region, place in found.items() if place is not None}
