"""Flows over a network of regions, simulated by us and by SimGrid on the same scenarios.

    python -m benchmarks --only simgrid

The peer is SimGrid 4.1 in an environment of its own, asked through `simgrid_solver.py`. Both times
are CPU time from the scenario in memory to its finish times: making the platform or the lanes, and
simulating. What is imported, compiled or read once is paid for before.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simgrid_venv import simgrid_python
from benchmarks.spec import BenchSpec, Sizes
from simulator.scenario_file import scenario_from_json
from simulator.scenario_run import run_scenario

REGIONS = 71
SEED = 5
# As many flows are under way at a time where each waits for another.
CHAINS = 450
_MILLI = 1e3
Json = dict[str, Any]


def simgrid_answers(scenarios: Sequence[Json]) -> list[Json]:
    """SimGrid's finish times of each scenario, and its CPU seconds `build_s` and `play_s`.

    Raises: SimgridMissing; RuntimeError where SimGrid fails at one.
    """
    solver = str(Path(__file__).with_name("simgrid_solver.py"))
    done = subprocess.run(
        [str(simgrid_python()), solver],
        input=json.dumps(list(scenarios)),
        capture_output=True,
        text=True,
        check=False,
    )
    answers: list[Json] = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0 or len(answers) < len(scenarios):
        raise RuntimeError(f"SimGrid ended with status {done.returncode}: {done.stderr[-500:]}")
    for at, answer in enumerate(answers):
        if "error" in answer:
            raise RuntimeError(f"SimGrid failed at scenario {at}: {answer['error']}")
    return answers


@cache
def concurrent(flows: int) -> Json:
    """So many flows that begin at once between regions: over egress, pair and ingress."""
    return _regions(flows, mean_gap_s=0.0)


@cache
def chained(flows: int) -> Json:
    """The same flows in chains, so that each end is told and each begin is an event."""
    scenario = concurrent(flows)
    listed = [
        {**flow, "after": [str(at - CHAINS)]} if at >= CHAINS else flow
        for at, flow in enumerate(scenario["flows"])
    ]
    return {**scenario, "flows": listed}


@cache
def arriving(flows: int) -> Json:
    """So many Poisson arrivals; at 10,000 about 450 are under way on average."""
    return _regions(flows, mean_gap_s=0.118)


def _regions(flows: int, *, mean_gap_s: float) -> Json:
    rng = np.random.default_rng(SEED)
    links: Json = {}
    for region in range(REGIONS):
        links[f"out{region}"] = {"capacity": 1e8 * float(5 + 10 * rng.random())}
        links[f"in{region}"] = {"capacity": 1e8 * float(5 + 10 * rng.random())}
    start_s, listed = 0.0, []
    for at in range(flows):
        src = int(rng.integers(REGIONS))
        dst = (src + 1 + int(rng.integers(REGIONS - 1))) % REGIONS
        pair = f"{src}-{dst}"
        if pair not in links:
            links[pair] = {"capacity": 1e8 * float(1 + 4 * rng.random())}
        start_s -= mean_gap_s * float(np.log(1.0 - rng.random()))
        listed.append(
            {
                "id": str(at),
                "bytes": float(int(1e8 * (1 + 99 * rng.random()))),
                "path": [f"out{src}", pair, f"in{dst}"],
                "start": start_s,
            }
        )
    return {"links": links, "flows": listed, "pools": []}


def mean_active(scenario: Json) -> float:
    """How many flows are under way on average."""
    finish_s = run_scenario(scenario_from_json(scenario)).finish_s
    busy_s = sum(finish_s[flow["id"]] - flow["start"] for flow in scenario["flows"])
    return float(busy_s / max(finish_s.values()))


def ours_ms(scenario: Json, *, plain: bool = False) -> float:
    """CPU milliseconds of our run."""
    parsed = scenario_from_json(scenario)
    begin = time.process_time()
    run_scenario(parsed, plain=plain)
    return (time.process_time() - begin) * _MILLI


def simgrid_ms(scenario: Json) -> float:
    """CPU milliseconds of SimGrid's run."""
    (answer,) = simgrid_answers([scenario])
    return (float(answer["build_s"]) + float(answer["play_s"])) * _MILLI


def peak_mib(flows: int) -> float:
    """MiB of the largest resident set of a process that simulates the arrivals."""
    code = f"from benchmarks.simgrid_peer import report_peak; report_peak({flows})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def report_peak(flows: int) -> None:
    """In the process measured: simulate, and write the peak to stdout."""
    run_scenario(scenario_from_json(arriving(flows)), plain=False)
    # Not `ru_maxrss`: Linux hands down to it the size of the process that started this one.
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM:"))
    sys.stdout.write(str(int(line.split()[1]) / 1024))


def simpy_percent(flows: int) -> float:
    """Per cent of the time of `chained` in SimPy's own code, under a profiler (which adds some)."""
    parsed = scenario_from_json(chained(flows))
    profile = cProfile.Profile()
    profile.runcall(run_scenario, parsed, plain=False)
    stats: Any = pstats.Stats(profile)
    own_s: dict[tuple[str, int, str], float]
    own_s = {place: figures[2] for place, figures in stats.stats.items()}
    simpy_s = sum(s for (file, _, _), s in own_s.items() if f"{os.sep}simpy{os.sep}" in file)
    return 100.0 * simpy_s / sum(own_s.values())


def specs() -> tuple[BenchSpec, ...]:
    """The cases; makes SimGrid's environment if need be. Raises: SimgridMissing."""
    simgrid_python()
    against = "SimGrid 4.1, the same scenario"
    return (
        BenchSpec(
            name="simgrid.concurrent",
            run=lambda flows: ours_ms(concurrent(flows)),
            peer=lambda flows: simgrid_ms(concurrent(flows)),
            against=against,
            unit="CPU ms",
            sizes=Sizes(full=1_000, tiny=50),
            of=f"flows that begin at once among {REGIONS} regions",
        ),
        BenchSpec(
            name="simgrid.arriving",
            run=lambda flows: ours_ms(arriving(flows)),
            peer=lambda flows: simgrid_ms(arriving(flows)),
            against=against,
            unit="CPU ms",
            sizes=Sizes(full=10_000, tiny=100),
            of=f"Poisson arrivals among {REGIONS} regions",
        ),
        BenchSpec(
            name="simgrid.chained",
            run=lambda flows: ours_ms(chained(flows)),
            peer=lambda flows: simgrid_ms(chained(flows)),
            against=against,
            unit="CPU ms",
            sizes=Sizes(full=10_000, tiny=1_000),
            of=f"flows, each after the one {CHAINS} before it",
        ),
        BenchSpec(
            name="simgrid.plain",
            run=lambda flows: ours_ms(concurrent(flows), plain=True),
            peer=lambda flows: simgrid_ms(concurrent(flows)),
            against=against,
            unit="CPU ms",
            sizes=Sizes(full=1_000, tiny=50),
            of="flows that begin at once, without numba",
        ),
        BenchSpec(
            name="simgrid.memory",
            run=peak_mib,
            peer=None,
            against="",
            unit="MiB peak",
            sizes=Sizes(full=10_000, tiny=100),
            of="Poisson arrivals, in a process of their own",
        ),
        BenchSpec(
            name="simgrid.simpy",
            run=simpy_percent,
            peer=None,
            against="",
            unit="% in SimPy",
            sizes=Sizes(full=10_000, tiny=1_000),
            of=f"flows, each after the one {CHAINS} before it, every end an event",
        ),
    )
