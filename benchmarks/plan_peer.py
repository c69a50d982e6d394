"""Validating a plan, by us and by SimGrid on the same chunks: flow by flow, and by cohorts.

The plan: 1 TiB in chunks of 64 MiB over 8 paths of 8 VMs each with 64 connections a lane (4,096
connections). Ours is wall time in this process, from the Plan to its outcome; SimGrid's is CPU time
of its simulation alone, its platform not counted. SimGrid is asked by its Python package, with an
actor a connection: a program in C++ needs a small part of that; ratios say nothing of such a one.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from benchmarks.fluid import CONNECTIONS, wide_plan
from benchmarks.simgrid_peer import simgrid_ms
from benchmarks.spec import BenchSpec, Sizes
from datasets.outcome import outcome
from datasets.units import MEBIBYTE, bytes_per_s
from simulator.account import History
from simulator.assumptions import fixed_provisioning
from simulator.simulate import history_of, simulate
from simulator.world import World

CHUNK_BYTES = 64 * MEBIBYTE
WORLD = World(provisioning=fixed_provisioning(0.0), chunk_bytes=CHUNK_BYTES)
_MILLI = 1e3
Json = dict[str, Any]


@cache
def _history(mebibytes: int) -> History:
    return history_of(wide_plan(mebibytes), WORLD)


def outcome_ms(mebibytes: int) -> float:
    """Milliseconds from the Plan to its outcome, chunk-exact, without a table; the second time."""
    plan = wide_plan(mebibytes)
    history_of(plan, WORLD).outcome()
    return _timed_ms(lambda: history_of(plan, WORLD).outcome())


def table_ms(mebibytes: int) -> float:
    """The same with every chunk's events in the table, its bill, and the outcome read from it."""
    plan = wide_plan(mebibytes)
    history_of(plan, WORLD).outcome()
    return _timed_ms(lambda: outcome(simulate(plan, WORLD)))


def _timed_ms(run: Any) -> float:
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * _MILLI


@cache
def flow_by_flow(mebibytes: int) -> Json:
    """The plan as a plain network: a link a lane at its pace and a NIC a VM; a pool of chunks."""
    links, connections = _links(mebibytes), []
    history = _history(mebibytes)
    for at, bundle in enumerate(history.bundles):
        connections += [
            {
                "id": f"{at}/{number}",
                "path": _path(history, at),
                "rate_cap": bytes_per_s(bundle.connection_gbps),
            }
            for number in range(CONNECTIONS)
        ]
    chunks = len(history.listing)
    pool = {
        "id": "p",
        "chunks": chunks,
        "chunk_bytes": float(CHUNK_BYTES),
        "connections": connections,
        "start": 0.0,
    }
    return {"links": links, "flows": [], "pools": [pool]}


@cache
def by_cohorts(mebibytes: int) -> Json:
    """The same as one flow a cohort: its chunks' bytes, its connections' caps."""
    history, flows = _history(mebibytes), []
    last: dict[int, str] = {}
    for at, span in enumerate(history.record.began):
        bundle = history.bundles[span.bundle]
        flow: Json = {
            "id": str(at),
            "bytes": float(CHUNK_BYTES * span.chunks),
            "path": _path(history, span.bundle),
            "rate_cap": bytes_per_s(bundle.connection_gbps * span.chunks),
            "start": 0.0,
        }
        if span.bundle in last and span.t_s > 0:
            flow["after"] = [last[span.bundle]]
        flows.append(flow)
        last[span.bundle] = str(at)
    return {"links": _links(mebibytes), "flows": flows, "pools": []}


def _links(mebibytes: int) -> Json:
    plan, history = wide_plan(mebibytes), _history(mebibytes)
    links: Json = {}
    for at, route in enumerate(history.routes):
        links[f"lane{at}"] = {"capacity": bytes_per_s(route.gbps)}
        for src, dst in route.edges:
            links[f"out {src}"] = {"capacity": bytes_per_s(plan.vm(src).egress_gbps)}
            links[f"in {dst}"] = {"capacity": bytes_per_s(plan.vm(dst).ingress_gbps)}
    return links


def _path(history: History, bundle: int) -> list[str]:
    number = history.bundles[bundle].route
    route = history.routes[number]
    nics = [name for src, dst in route.edges for name in (f"out {src}", f"in {dst}")]
    return [f"lane{number}", *nics]


def specs() -> tuple[BenchSpec, ...]:
    """The plan against SimGrid: its outcome, and with every chunk's events."""
    return (
        BenchSpec(
            name="simgrid.plan_flow_by_flow",
            run=outcome_ms,
            peer=lambda mebibytes: simgrid_ms(flow_by_flow(mebibytes)),
            against="SimGrid, a flow a chunk",
            unit="ms a plan",
            sizes=Sizes(full=1 << 20, tiny=1 << 13),
            of="MiB",
        ),
        BenchSpec(
            name="simgrid.plan_by_cohorts",
            run=outcome_ms,
            peer=lambda mebibytes: simgrid_ms(by_cohorts(mebibytes)),
            against="SimGrid, a flow a cohort",
            unit="ms a plan",
            sizes=Sizes(full=1 << 20, tiny=1 << 13),
            of="MiB",
        ),
        BenchSpec(
            name="simgrid.plan_with_table",
            run=table_ms,
            peer=lambda mebibytes: simgrid_ms(flow_by_flow(mebibytes)),
            against="SimGrid, a flow a chunk, no table",
            unit="ms a plan",
            sizes=Sizes(full=1 << 20, tiny=1 << 13),
            of="MiB",
        ),
    )
