"""Planning beside Skyplane's own ILP: the same pairs, links, prices, caps and goals for both.

    python -m benchmarks.skyplane_peer         times, interleaved, and then whose plan is cheaper

The peer is Skyplane 0.3.2 in an environment of its own, asked through `skyplane_solver.py`. It
gets the Matrix as its grid, with its own VM caps (`--caps skyplane`), and the source's VM price
for all VMs, since it knows one price only; its plans are then priced by the Matrix like ours.
Its time is that of `solve_min_cost` alone: reading the grid, once, is not counted. Ours is from
the Job to the checked Plan.
"""

from __future__ import annotations

import atexit
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np

from benchmarks.skyplane_venv import PeerMissing, is_there, peer_python
from benchmarks.spec import BenchSpec, Sizes
from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import InfeasibleJob
from datasets.matrix import Matrix
from datasets.units import gigabits, gigabytes, usd_per_s_of_flow, usd_per_s_of_vm
from planner.job import Job
from planner.plan import Plan
from planner.skyplane_rounding import Group, carried_gbps, vms_used
from planner.strategies import solve
from planner.topology import topology
from planner.unicast import ROUNDED_UP, most_gbps, plan_over

# The two epochs of 2022 in which all three clouds were measured from the most regions.
EPOCHS = ("2022-01-29", "2022-11-28")
SEED = 3
SIZE_BYTES = 10**12
Goal = Literal["easy", "near_max"]
# Shares of the most that any plan can do.
GOALS: dict[Goal, float] = {"easy": 0.3, "near_max": 0.95}
Solver = Literal["CBC", "HIGHS"]
# As many throughputs as a frontier is sampled at here.
FRONTIER_POINTS = 10
# A goal missed by this share is kept: what our own plans are checked to.
GOAL_NOISE = 1e-6
_MILLI = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One Job on one epoch's Matrix."""

    epoch: str
    job: Job
    goal_gbps: float


@cache
def matrix(epoch: str) -> Matrix:
    """The epoch with the VM caps that Skyplane's solver assumes."""
    return load_matrix(MatrixChoice(epoch=epoch, caps="skyplane"))


@cache
def asked(goal: Goal, pairs: int) -> tuple[Asked, ...]:
    """1 TB between pairs drawn by seed, the epochs in turn."""
    found = []
    rng = np.random.default_rng(SEED)
    for at in range(pairs):
        epoch = EPOCHS[at % len(EPOCHS)]
        links = matrix(epoch).links
        link = links[int(rng.integers(len(links)))]
        base = Job(source=link.src, destinations=(link.dst,), size_bytes=SIZE_BYTES)
        goal_gbps = round(GOALS[goal] * most_gbps(topology(matrix(epoch), base)), 9)
        job = Job(
            source=link.src, destinations=(link.dst,), size_bytes=SIZE_BYTES, goal_gbps=goal_gbps
        )
        found.append(Asked(epoch=epoch, job=job, goal_gbps=goal_gbps))
    return tuple(found)


# The peer.


class Peer:
    """Skyplane's planner over one epoch, in a process of its own."""

    def __init__(self, epoch: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tradewind-skyplane-")
        grid = Path(self._folder.name) / "grid.csv"
        grid.write_text(grid_csv(matrix(epoch)))
        script = Path(__file__).with_name("skyplane_solver.py")
        self._log = (Path(self._folder.name) / "log").open("w")
        self._process = subprocess.Popen(
            [str(peer_python()), str(script), str(grid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=self._folder.name,
        )
        atexit.register(self.close)
        self._answer()

    def ask(self, one: Asked, solver: Solver) -> dict[str, Any]:
        """Its answer, with `total_s` and `solver_s`. Raises: PeerMissing if the process ended."""
        job = one.job
        question = {
            "src": job.source,
            "dst": job.destination,
            "goal_gbps": one.goal_gbps,
            "gigabytes": gigabytes(job.size_bytes),
            "vm_limit": job.vm_limit,
            "usd_per_hour": matrix(one.epoch).vm(job.source).usd_per_hour,
            "solver": solver,
        }
        if self._process.stdin is None:
            raise PeerMissing("Skyplane's process has no standard input.")
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process and remove its grid."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=30)
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()
        self._folder.cleanup()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self._log.flush()
            said = Path(self._log.name).read_text().strip().splitlines()
            raise PeerMissing(f"Skyplane's process ended: {said[-1] if said else 'silently'}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@cache
def peer(epoch: str) -> Peer:
    """One process an epoch, started once."""
    return Peer(epoch)


def grid_csv(world: Matrix) -> str:
    """The Matrix in the columns of Skyplane's grid; it divides by 2^30, so that is multiplied."""
    head = "src_region,dst_region,src_tier,dst_tier,throughput_sent,usd_per_gb\n"
    return head + "".join(
        f"{e.src},{e.dst},PREMIUM,PREMIUM,{e.gbps * 2**30:.3f},{e.usd_per_gb:.6f}\n"
        for e in world.links
    )


def peer_ms(goal: Goal, solver: Solver, part: str, pairs: int) -> float:
    """Mean milliseconds of the peer: `total_s`, or `solver_s` without cvxpy's own part."""
    answers = [peer(one.epoch).ask(one, solver) for one in asked(goal, pairs)]
    return statistics.fmean(float(answer[part]) for answer in answers) * _MILLI


# Ours.


def plan_ms(goal: Goal, strategy: str, pairs: int) -> float:
    """Mean milliseconds from a Job to its checked Plan."""
    return _mean_ms(goal, pairs, lambda one: solve(strategy, matrix(one.epoch), one.job))


def rounded_up_ms(goal: Goal, pairs: int) -> float:
    """Mean milliseconds of the relaxation, its VMs rounded up, and no branch and bound."""
    return _mean_ms(goal, pairs, rounded_up)


def rounded_up(one: Asked) -> Plan:
    """The Plan of the relaxation with its VMs rounded up and improved one at a time."""
    full = topology(matrix(one.epoch), one.job)
    return plan_over(full, full, strategy="overlay", effort=ROUNDED_UP)


def frontier_ms(pairs: int) -> float:
    """Mean milliseconds of a pair's whole frontier, `FRONTIER_POINTS` plans along it."""
    from planner.frontier import frontier

    jobs = asked("near_max", pairs)
    begin = time.perf_counter()
    for one in jobs:
        frontier(matrix(one.epoch), replace(one.job, goal_gbps=None), FRONTIER_POINTS)
    return (time.perf_counter() - begin) / pairs * _MILLI


def peer_frontier_ms(pairs: int) -> float:
    """Mean milliseconds of the peer at as many goals, up to near the most: how it finds one."""
    total_s = 0.0
    for one in asked("near_max", pairs):
        for at in range(1, FRONTIER_POINTS + 1):
            goal_gbps = one.goal_gbps * at / FRONTIER_POINTS
            answer = peer(one.epoch).ask(replace(one, goal_gbps=goal_gbps), "CBC")
            total_s += float(answer["total_s"])
    return total_s / pairs * _MILLI


def _mean_ms(goal: Goal, pairs: int, plan: Callable[[Asked], Plan]) -> float:
    jobs = asked(goal, pairs)
    begin = time.perf_counter()
    for one in jobs:
        # That a strategy of fewer links cannot do it is its answer, and takes its time too.
        with suppress(InfeasibleJob):
            plan(one)
    return (time.perf_counter() - begin) / pairs * _MILLI


def _spec(
    name: str, goal: Goal, run: Callable[[int], float], solver: Solver, part: str
) -> BenchSpec:
    what = "in all" if part == "total_s" else "its solver alone, without cvxpy"
    return BenchSpec(
        name=f"skyplane.{name}_{goal}",
        run=run,
        peer=partial(peer_ms, goal, solver, part),
        against=f"Skyplane 0.3.2's ILP by {solver}, {what}",
        unit="ms a plan",
        sizes=Sizes(full=10, tiny=1),
        of=f"pairs at {GOALS[goal]:.0%} of the most",
    )


def specs() -> tuple[BenchSpec, ...]:
    """Our strategies and the frontier beside the peer in all; overlay beside its parts too.

    Raises: PeerMissing where the peer's environment cannot be made.
    """
    peer_python()
    found = []
    for goal in GOALS:
        ours = partial(plan_ms, goal, "overlay")
        found += [
            _spec("overlay", goal, ours, "CBC", "total_s"),
            _spec("overlay_solver", goal, ours, "CBC", "solver_s"),
            _spec("overlay_highs", goal, ours, "HIGHS", "total_s"),
            _spec("overlay_highs_solver", goal, ours, "HIGHS", "solver_s"),
            _spec("rounded_up", goal, partial(rounded_up_ms, goal), "CBC", "total_s"),
            _spec("one_hop", goal, partial(plan_ms, goal, "one_hop"), "CBC", "total_s"),
        ]
    frontier = BenchSpec(
        name="skyplane.frontier",
        run=frontier_ms,
        peer=peer_frontier_ms,
        against=f"Skyplane 0.3.2's ILP by CBC at {FRONTIER_POINTS} goals, in all",
        unit="ms a frontier",
        sizes=Sizes(full=1, tiny=1),
        of=f"pairs, {FRONTIER_POINTS} points each",
    )
    return (*found, frontier)


# Whose plan is cheaper, and what the peer's carries.


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One Job: both costs by the Matrix's prices, and what is left of the peer's after rounding.

    `peer_usd` is its answer before rounding (None where it has none), `carried` the share of the
    goal that its rounded answer carries, `most_vms` the VMs that this needs in one region.
    """

    asked: Asked
    ours_usd: float
    bound_usd: float
    peer_usd: float | None
    carried: float
    most_vms: int

    @property
    def dearer(self) -> float | None:
        """By which share of our cost the peer's answer is dearer; negative: cheaper."""
        return None if self.peer_usd is None else self.peer_usd / self.ours_usd - 1.0

    @property
    def keeps_goal(self) -> bool:
        """Whether the rounded answer carries the goal."""
        return self.carried >= 1.0 - GOAL_NOISE

    @property
    def keeps_limit(self) -> bool:
        """Whether it stays within the VM limit."""
        return self.most_vms <= self.asked.job.vm_limit


def verdict(one: Asked, solver: Solver) -> Verdict:
    """Both plans of one Job, compared."""
    world = matrix(one.epoch)
    ours = solve("overlay", world, one.job)
    answer = peer(one.epoch).ask(one, solver)
    edges = answer.get("edges") or []
    groups = [
        Group(src=src, src_vm=i, dst=dst, dst_vm=j, connections=n) for src, i, dst, j, n in edges
    ]
    return Verdict(
        asked=one,
        ours_usd=ours.predicted.cost_usd.total,
        bound_usd=ours.bound_usd,
        peer_usd=priced_usd(one, answer) if answer["feasible"] else None,
        carried=carried_gbps(topology(world, one.job), groups) / one.goal_gbps,
        most_vms=max(vms_used(groups).values(), default=0),
    )


def priced_usd(one: Asked, answer: dict[str, Any]) -> float:
    """The peer's flows and VMs at the Matrix's prices, for as long as the goal takes."""
    world = matrix(one.epoch)
    per_s = 0.0
    for src, dst, gbps, _ in answer["flows"]:
        link = world.link(src, dst)
        if link is not None:
            per_s += usd_per_s_of_flow(float(gbps), link.usd_per_gb)
    for region, count in answer["vms"].items():
        per_s += round(float(count)) * usd_per_s_of_vm(world.vm(region).usd_per_hour)
    return per_s * gigabits(one.job.size_bytes) / one.goal_gbps


def verdict_lines(goal: Goal, pairs: int, solver: Solver) -> list[str]:
    """What the plans of one goal come to, in words and numbers."""
    found = [verdict(one, solver) for one in asked(goal, pairs)]
    dearer = [v.dearer for v in found if v.dearer is not None]
    kept = [v for v in found if v.keeps_goal and v.keeps_limit]
    lost = [1.0 - v.carried for v in found if not v.keeps_goal]
    lines = [
        f"{GOALS[goal]:.0%} of the most, {pairs} pairs, Skyplane by {solver}:",
        f"  its answer before rounding: feasible {len(dearer)} of {pairs}",
    ]
    if dearer:
        cheaper = sum(share < -GOAL_NOISE for share in dearer)
        lines += [
            f"  dearer than ours by {statistics.median(dearer):.3%} (median), "
            f"{min(dearer):.3%} to {max(dearer):.3%}; cheaper than ours in {cheaper}",
            "  ours above the bound by "
            f"{max(v.ours_usd / v.bound_usd - 1.0 for v in found):.3%} at most",
        ]
    lines.append(
        f"  its rounded answer keeps goal and VM limit in {len(kept)} of {pairs}; the goal in "
        f"{sum(v.keeps_goal for v in found)}, the limit in {sum(v.keeps_limit for v in found)}"
    )
    if lost:
        lines.append(
            f"  where the goal is lost: {statistics.median(lost):.2%} of it (median), "
            f"{max(lost):.2%} at most"
        )
    return lines


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--pairs", default=20, show_default=True, type=click.IntRange(1), help="Of verdicts.")
@click.option("--tiny", is_flag=True, help="One pair: shows that it runs.")
def main(rounds: int, pairs: int, tiny: bool) -> None:
    """Times beside Skyplane's, and whose plan is cheaper."""
    from rich.console import Console

    from benchmarks.__main__ import measure, table_of

    if not is_there():
        click.echo("Making Skyplane's environment; about a minute.", err=True)
    try:
        found = measure(specs(), rounds=rounds, tiny=tiny)
        Console(highlight=False).print(table_of(found))
        for goal in GOALS:
            for solver in ("CBC", "HIGHS"):
                click.echo("\n".join(verdict_lines(goal, 1 if tiny else pairs, solver)))
    except PeerMissing as error:
        click.echo(str(error))


if __name__ == "__main__":
    main()
