"""From a finished simulation to the event table, in the executor's vocabulary and order.

Relays are cut-through: a chunk is sent, received at each hop, verified and acknowledged at the
instant its last byte is through. `t_s` is on the run's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from datasets.events import Event, EventWriter
from planner.billing import add_costs
from planner.plan import Plan
from simulator.chunks import Chunks, IntArray
from simulator.fluid import Array
from simulator.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened, on the run's clock; `lane`, `began_s` and `ended_s` are (chunks,)."""

    objects: Sequence[int]
    chunks: Chunks
    lane: IntArray
    began_s: Array
    ended_s: Array
    ready_s: Mapping[str, float]
    started_s: float
    link_changes_s: Sequence[tuple[float, str, str, float]]


def write_table(run_id: str, plan: Plan, world: World, history: History) -> pd.DataFrame:
    """The whole event table of a simulation, cost included."""
    writer = EventWriter(run_id)
    end_s = float(history.ended_s.max(initial=history.started_s))
    writer.add(
        Event.RUN_STARTED,
        0.0,
        detail={
            "clock": "sim",
            "rate_scale": world.rate_scale,
            "size_scale": world.size_scale,
            "size_bytes": sum(history.objects),
        },
    )
    for gateway in plan.gateways:
        writer.add(Event.GATEWAY_REQUESTED, 0.0, gateway=gateway)
    for gateway, ready_s in sorted(history.ready_s.items(), key=lambda entry: entry[1]):
        writer.add(Event.GATEWAY_READY, ready_s, gateway=gateway)
    pairs = sorted({hop for lane in plan.lanes for hop in lane.hops})
    for src, dst in pairs:
        writer.add(Event.RULE_ADDED, history.started_s, src=src, dst=dst, gateway=dst)
    _connections(writer, plan, world, history.started_s)
    for t_s, src, dst, gbps in history.link_changes_s:
        if t_s <= end_s:
            writer.add(Event.LINK_CHANGED, t_s, src=src, dst=dst, detail={"gbps": gbps})
    _chunks(writer, plan, history)
    _objects(writer, plan, history)
    add_costs(writer, plan, world.rate_scale, world.size_scale)
    for src, dst in pairs:
        writer.add(Event.RULE_REVOKED, end_s, src=src, dst=dst, gateway=dst, detail={"refused": 0})
    for gateway in plan.gateways:
        writer.add(Event.GATEWAY_DELETED, end_s, gateway=gateway)
    writer.add(Event.RUN_ENDED, end_s, detail={"ok": True})
    return writer.table()


def _connections(writer: EventWriter, plan: Plan, world: World, t_s: float) -> None:
    """One row a connection, as the executor writes them."""
    rows = [
        (at, hop, src, dst, world.connections_per_hop or lane.connections[hop])
        for at, lane in enumerate(plan.lanes)
        for hop, (src, dst) in enumerate(lane.hops)
    ]
    counts = np.array([row[4] for row in rows])
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    path, hop = (np.repeat([row[at] for row in rows], counts) for at in (0, 1))
    src, dst = (np.repeat(np.array([row[at] for row in rows], object), counts) for at in (2, 3))
    writer.add_block(
        Event.CONNECTION_OPEN,
        np.full(len(number), t_s),
        path=path,
        hop=hop,
        src=src,
        dst=dst,
        connection=number,
        gateway=src,
    )


def _chunks(writer: EventWriter, plan: Plan, history: History) -> None:
    """Ends before beginnings: what frees a connection comes before what it takes next."""
    if not len(history.chunks):
        return
    order = np.lexsort((np.arange(len(history.lane)), history.ended_s))
    lane = history.lane[order]
    about = {
        "object": history.chunks.object[order],
        "chunk": history.chunks.chunk[order],
        "path": lane,
        "bytes": history.chunks.size_bytes[order],
    }
    ended_s = history.ended_s[order]
    gateways = np.array(
        [[e.gateways[0], e.gateways[1], e.gateways[-1]] for e in plan.lanes], object
    )
    source, second, last = gateways[lane].T
    writer.add_block(
        Event.CHUNK_SENT, ended_s, **about, hop=0, src=source, dst=second, gateway=source
    )
    for hop in range(max(len(entry.hops) for entry in plan.lanes)):
        ends = np.array(
            [entry.hops[hop] if hop < len(entry.hops) else ("", "") for entry in plan.lanes], object
        )
        src, dst = ends[lane].T
        here = src != ""
        writer.add_block(
            Event.CHUNK_RECEIVED,
            ended_s[here],
            **{name: values[here] for name, values in about.items()},
            hop=hop,
            src=src[here],
            dst=dst[here],
            gateway=dst[here],
        )
    writer.add_block(Event.CHUNK_VERIFIED, ended_s, **about, gateway=last)
    writer.add_block(Event.CHUNK_ACKNOWLEDGED, ended_s, **about, gateway=source)
    writer.add_block(
        Event.CHUNK_READ,
        history.began_s,
        object=history.chunks.object,
        chunk=history.chunks.chunk,
        path=history.lane,
        bytes=history.chunks.size_bytes,
        gateway=gateways[history.lane, 0],
    )


def _objects(writer: EventWriter, plan: Plan, history: History) -> None:
    """An object is verified when its last chunk is; an empty one when the transfer starts."""
    verified_s = np.full(len(history.objects), history.started_s)
    np.maximum.at(verified_s, history.chunks.object, history.ended_s)
    writer.add_block(
        Event.OBJECT_VERIFIED,
        verified_s,
        object=np.arange(len(history.objects)),
        bytes=np.array(history.objects, dtype=np.int64),
        gateway=plan.lanes[0].gateways[-1],
    )
