"""Simulating 8 paths, 8 VMs each, 64 connections a lane: what happens, alone and with its table."""

from __future__ import annotations

import itertools
import time
from functools import cache

from benchmarks.spec import BenchSpec, Sizes
from datasets.outcome import outcome
from datasets.units import MEBIBYTE
from planner.plan import Plan
from simulator.assumptions import fixed_provisioning
from simulator.simulate import history_of, simulate
from simulator.world import World
from tests.tiny_plans import plan_of

PATHS = 8
VMS = 8
CONNECTIONS = 64
WORLD = World(provisioning=fixed_provisioning(0.0))
_MILLI = 1e3


@cache
def wide_plan(mebibytes: int) -> Plan:
    """One direct path and seven by a relay each, all of different rates, on 64 lanes.

    Links are as fast as all paths together, so that the lanes just fit their VMs' time.
    """
    source, destination = "aws:a-1", "gcp:z-1"
    relays = [f"azure:r-{at}" for at in range(1, PATHS)]
    ways = [(source, destination), *((source, relay, destination) for relay in relays)]
    paths = [(way, VMS * (2.0 + 0.7 * at)) for at, way in enumerate(ways)]
    total = sum(rate for _, rate in paths)
    links = {pair: total / VMS for way, _ in paths for pair in itertools.pairwise(way)}
    return plan_of(
        paths, links, size_bytes=mebibytes * MEBIBYTE, vms_each=VMS, connections=CONNECTIONS
    )


def happens_ms(mebibytes: int) -> float:
    """Milliseconds of the simulation alone, from which a makespan can be read."""
    plan = wide_plan(mebibytes)
    begin = time.perf_counter()
    history_of(plan, WORLD)
    return (time.perf_counter() - begin) * _MILLI


def table_ms(mebibytes: int) -> float:
    """Milliseconds with the event table, its bill and its outcome."""
    plan = wide_plan(mebibytes)
    begin = time.perf_counter()
    outcome(simulate(plan, WORLD))
    return (time.perf_counter() - begin) * _MILLI


SPECS = (
    BenchSpec(
        name="fluid.table",
        run=table_ms,
        peer=happens_ms,
        against="without the table",
        unit="ms a run",
        sizes=Sizes(full=1 << 20, tiny=1 << 10),
        of="MiB",
    ),
)
