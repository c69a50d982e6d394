"""Plans in a World, simulated: the one entry. Gives the event table that an execution also gives.

SimPy keeps time: gateways come up, the network moves chunks, links change, VMs die. Everything is
reckoned in real units; the table shows the clock of the scaled run, seconds·b/k.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import simpy

from datasets.canonical import digest
from datasets.errors import InputError
from datasets.units import gigabits
from planner.dispatch import LanePace
from planner.plan import Plan
from simulator.account import History, Listing
from simulator.chunks import Chunks, DynamicQueue, IntArray, Queue, StaticQueue, cut
from simulator.control import Control
from simulator.feeds import Feed
from simulator.network import Network
from simulator.routes import Route, at_once, hops_apart, pace_of, routes_of
from simulator.stations import Stations
from simulator.table import table_of
from simulator.upsets import Replan, Upsets
from simulator.world import MOST_RECORDS, World


def run_id_of(plan: Plan | Sequence[Plan], world: World) -> str:
    """The id of a simulation: the same Plans and World give the same id, and the same table."""
    plans = [plan] if isinstance(plan, Plan) else list(plan)
    ids = plans[0].id if len(plans) == 1 else [each.id for each in plans]
    return digest({"plan": ids, "world": world.as_json()})


def simulate(
    plan: Plan | Sequence[Plan], world: World, *, replan: Replan | None = None
) -> pd.DataFrame:
    """The event table of the Plan carried out in the World; the same bytes for the same input.

    Several Plans share what gateways they have in common. Raises: InputError if the World makes no
    sense for the Plan; NeverEnds if nothing moves any more and nothing will change that.
    """
    return table_of(run_id_of(plan, world), history_of(plan, world, replan=replan))


def history_of(
    plan: Plan | Sequence[Plan], world: World, *, replan: Replan | None = None
) -> History:
    """What happens, without the table: about one event a wave of chunks and lane.

    Raises: as `simulate`.
    """
    plans = [plan] if isinstance(plan, Plan) else list(plan)
    if not plans:
        raise InputError("Nothing to simulate: give a plan.")
    feeds: list[dict[str, Feed]] = []
    parts: list[tuple[int, int, str, Chunks]] = []
    offset = 0
    routes = [routes_of(each, job, world) for job, each in enumerate(plans)]
    for job, each in enumerate(plans):
        own, cuts = _feeds(job, each, routes[job], world, offset)
        feeds.append(own)
        parts += cuts
        offset += sum(len(chunks) for _, _, _, chunks in cuts)
    listing = _listing(parts, plans, world)
    env = simpy.Environment()
    apart = hops_apart(world)
    sizes = listing.size_bytes
    _check_buffer(sizes, world)
    network = Network(
        env,
        overhead_s=_overheads(listing, world),
        stations=Stations(
            sizes,
            apart=apart,
            buffer_bytes=world.relay_buffer_bytes,
            record_bytes=world.record_bytes if world.relays == "cut_through" else None,
            size_scale=world.size_scale,
        ),
    )

    sums = np.concatenate([[0], np.cumsum(sizes)])

    def bytes_left(feed: Feed) -> int:
        """Real bytes of a feed that are not acknowledged."""
        there = sum(
            int(sums[span.first + span.chunks] - sums[span.first])
            for span in network.record.acknowledged
            if span.first in feed.chunks
        )
        whole = int(sums[feed.chunks.stop] - sums[feed.chunks.start])
        return round((whole - there) / world.size_scale)

    control = Control(
        env,
        plans=plans,
        routes=routes,
        world=world,
        network=network,
        feeds=feeds,
        chunk_gigabits=_mean_gigabits(sizes, world),
        when_moving=lambda: upsets.begin(),
    )
    upsets = Upsets(control, replan=replan, bytes_left=bytes_left)
    while control.moving is None:
        env.step()
    env.run(control.moving)
    return History(
        world=world,
        plans=control.plans,
        listing=listing,
        routes=network.routes,
        bundles=network.bundles,
        record=network.record,
        started_s=[at_s if at_s is not None else env.now for at_s in control.started_s],
        vms=control.vms,
        solves=network.solves,
        most_gbps=network.most_gbps,
    )


def _check_buffer(sizes: IntArray, world: World) -> None:
    """Raises: InputError for relays' buffers that hold nothing, and for too many records."""
    passed_on = int(sizes.max(initial=0))
    what = "chunk"
    if world.relays == "cut_through":
        passed_on, what = min(passed_on, world.record_bytes), "record"
    if world.relay_buffer_bytes is not None and world.relay_buffer_bytes < passed_on:
        raise InputError(
            f"A relay's buffer of {world.relay_buffer_bytes:,} B holds no {what} of "
            f"{passed_on:,} B; make it larger, or the {what}s smaller."
        )

    if hops_apart(world) and world.relays == "cut_through":
        records = int((-(-sizes // world.record_bytes)).sum())
        if records > MOST_RECORDS:
            raise InputError(
                f"Records of {world.record_bytes:,} B would be {records:,}; at most "
                f"{MOST_RECORDS:,} can be simulated: make them larger (record_bytes)."
            )


def _feeds(
    job: int, plan: Plan, routes: Sequence[Route], world: World, offset: int
) -> tuple[dict[str, Feed], list[tuple[int, int, str, Chunks]]]:
    """A feed for each source of a Plan's Job, and its chunks (job, first object, source)."""
    connections = sum(at_once(route, world) for route in routes)
    sizes = world.object_sizes(plan.job)
    chunk_bytes = world.chunk_size(plan.job, connections=connections)
    feeds: dict[str, Feed] = {}
    cuts: list[tuple[int, int, str, Chunks]] = []
    for number, source in enumerate(plan.job.sources):
        chunks = cut(sizes, chunk_bytes, firsts_apart=world.object_overhead_s > 0)
        own = [route for route in routes if route.source.startswith(f"{source}#")]
        paces = [pace_of(route, world) for route in own]
        feeds[source] = Feed(
            job=job,
            queue=_queue(chunks, paces, own, world),
            offset=offset + sum(len(earlier) for _, _, _, earlier in cuts),
            count=len(chunks),
        )
        cuts.append((job, number * len(sizes), source, chunks))
    return feeds, cuts


def _queue(
    chunks: Chunks, paces: Sequence[LanePace], routes: Sequence[Route], world: World
) -> Queue:
    if world.dispatch == "dynamic":
        return DynamicQueue(chunks, paces)
    return StaticQueue(chunks, [route.gbps for route in routes])


def _listing(
    parts: Sequence[tuple[int, int, str, Chunks]], plans: Sequence[Plan], world: World
) -> Listing:
    objects = [
        (job, first + at, size, source)
        for job, first, source, _ in parts
        for at, size in enumerate(world.object_sizes(plans[job].job))
    ]
    return Listing(
        job=np.concatenate([np.full(len(chunks), job, np.int64) for job, _, _, chunks in parts]),
        object=np.concatenate([chunks.object + first for _, first, _, chunks in parts]),
        chunk=np.concatenate([chunks.chunk for _, _, _, chunks in parts]),
        size_bytes=np.concatenate([chunks.size_bytes for _, _, _, chunks in parts]),
        objects=objects,
    )


def _overheads(listing: Listing, world: World) -> list[float] | None:
    """Real seconds before each chunk; None where there are none."""
    if not world.chunk_overhead_s and not world.object_overhead_s:
        return None
    firsts = np.where(listing.chunk == 0, world.object_overhead_s, 0.0)
    overheads: list[float] = ((firsts + world.chunk_overhead_s) * world.real_per_wall).tolist()
    return overheads


def _mean_gigabits(sizes: IntArray, world: World) -> float:
    return gigabits(float(sizes.mean())) / world.size_scale if len(sizes) else 1.0
