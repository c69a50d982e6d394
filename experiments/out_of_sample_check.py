"""Does the arithmetic of the out-of-sample study agree with the simulator? A few plans in both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from datasets.outcome import outcome
from experiments.out_of_sample_trials import EPOCHS, SIZE_BYTES, common_matrices, draw_pairs
from planner.dispatch import FULL_CONNECTIONS, Dispatch
from planner.evaluate import as_measured_on, carried
from planner.job import Job
from planner.strategies import solve
from simulator.simulate import simulate
from simulator.world import World

# What is compared: (name, dispatch, work-conserving, whether connections are as planned). Paced
# runs have all connections: a simulated lane otherwise has as many on each hop as on its widest.
# Static and work-conserving is left out: the simulator then shares by what lanes could carry.
COMPARED: tuple[tuple[str, Dispatch, bool, bool], ...] = (
    ("static, paced", "static", False, False),
    ("dynamic, paced", "dynamic", False, False),
    ("dynamic, work-conserving", "dynamic", True, True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One Plan on the other epoch's links: throughput by arithmetic and as simulated, Gbit/s."""

    mode: str
    strategy: str
    lanes: int
    arithmetic_gbps: float
    simulated_gbps: float

    @property
    def error(self) -> float:
        """Simulated against arithmetic, as a share."""
        return self.simulated_gbps / self.arithmetic_gbps - 1


def agreement(*, count: int, seed: int) -> Iterator[Agreement]:
    """The fastest plans of `count` pairs drawn by `seed`, by `direct` and `overlay`, `received`."""
    matrices = common_matrices("received", True)
    planned_on, judged_on = (matrices[name] for name in EPOCHS)
    for source, destination in draw_pairs(planned_on, count=count, seed=seed):
        job = Job(source=source, destinations=(destination,), size_bytes=SIZE_BYTES)
        for way in ("direct", "overlay"):
            plan = solve(way, planned_on, job)
            there = as_measured_on(plan, judged_on)
            for name, dispatch, free, as_planned in COMPARED:
                world = World(
                    dispatch=dispatch,
                    work_conserving=free,
                    connections_per_hop=None if as_planned else FULL_CONNECTIONS,
                )
                yield Agreement(
                    mode=name,
                    strategy=way,
                    lanes=len(plan.lanes),
                    arithmetic_gbps=carried(
                        plan,
                        judged_on,
                        dispatch=dispatch,
                        work_conserving=free,
                        connections="planned" if as_planned else "full",
                    ).gbps,
                    simulated_gbps=outcome(simulate(there, world)).throughput_gbps,
                )
