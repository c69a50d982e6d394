"""From a finished simulation to the event table, in the executor's vocabulary and order.

Where relays are cut-through, a chunk is sent, received at each hop, verified and acknowledged at
the instant its last byte is through. `t_s` is on the run's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from datasets.events import Event, EventWriter
from planner.billing import add_cost_rows
from simulator.account import History
from simulator.chunks import IntArray
from simulator.fluid import Array
from simulator.record import Hop, Note, Span

_FIRST = {Event.GATEWAY_REQUESTED.value, Event.GATEWAY_READY.value}


def table_of(run_id: str, history: History) -> pd.DataFrame:
    """The whole event table of a simulation, cost included."""
    writer = EventWriter(run_id)
    world, record, wall = history.world, history.record, history.wall_per_real
    writer.add(
        Event.RUN_STARTED,
        0.0,
        detail={
            "clock": "sim",
            "rate_scale": world.rate_scale,
            "size_scale": world.size_scale,
            "size_bytes": sum(size for _, _, size, _ in history.listing.objects),
        },
    )
    end_s = _end_s(history) * wall
    for note in record.notes:
        if note.event in _FIRST:
            _note(writer, note, wall)
    for job, at_s in enumerate(history.started_s):
        for src, dst in _pairs(history, job):
            writer.add(Event.RULE_ADDED, at_s * wall, job=job, src=src, dst=dst, gateway=dst)
    _connections(writer, history)
    for note in record.notes:
        if note.event not in {*_FIRST, Event.CONNECTION_OPEN.value} and note.t_s * wall <= end_s:
            _note(writer, note, wall)
    _chunks(writer, history)
    _objects(writer, history)
    for job in range(len(history.plans)):
        add_cost_rows(writer, history.bill_of(job), job=job)
    for job in range(len(history.plans)):
        for src, dst in _pairs(history, job):
            writer.add(
                Event.RULE_REVOKED,
                end_s,
                job=job,
                src=src,
                dst=dst,
                gateway=dst,
                detail={"refused": 0},
            )
    gateways = dict.fromkeys(name for plan in history.plans for name in plan.gateways)
    for gateway in gateways:
        writer.add(Event.GATEWAY_DELETED, end_s, gateway=gateway)
    detail: dict[str, Any] = {"ok": history.ok}
    if record.failures:
        detail["reason"] = "; ".join(record.failures[job][1] for job in sorted(record.failures))
    writer.add(Event.RUN_ENDED, end_s, detail=detail)
    return writer.table()


def _end_s(history: History) -> float:
    """When all was moved or given up: no row is later."""
    record = history.record
    ends = [*history.started_s, *(at_s for at_s, _ in record.failures.values())]
    for spans in (record.acknowledged, record.received, record.began):
        ends += [max(span.t_s for span in spans)] if spans else []
    return max(ends)


def _note(writer: EventWriter, note: Note, wall: float) -> None:
    detail: Any = note.detail or None
    writer.add(Event(note.event), note.t_s * wall, detail=detail, job=note.job, **note.columns)


def _pairs(history: History, job: int) -> list[tuple[str, str]]:
    """The pairs of gateways between which a Job has data connections, sorted."""
    return sorted({edge for route in history.routes if route.job == job for edge in route.edges})


def _connections(writer: EventWriter, history: History) -> None:
    """One row a connection, as the executor writes them."""
    notes = [n for n in history.record.notes if n.event == Event.CONNECTION_OPEN.value]
    if not notes:
        return
    counts = np.array([int(note.columns["count"]) for note in notes])
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)

    def column(name: str, kind: type = object) -> Any:
        return np.repeat(np.array([note.columns[name] for note in notes], dtype=kind), counts)

    src = column("src")
    writer.add_block(
        Event.CONNECTION_OPEN,
        np.repeat([note.t_s * history.wall_per_real for note in notes], counts),
        job=np.repeat([note.job for note in notes], counts),
        path=column("path", int),
        hop=column("hop", int),
        src=src,
        dst=column("dst"),
        connection=number,
        gateway=src,
    )


class _Rows:
    """Runs of chunks as rows: which chunks, when, and by which route."""

    def __init__(self, history: History, spans: Sequence[Span | Hop]) -> None:
        counts = np.array([span.chunks for span in spans], dtype=np.int64)
        first = np.array([span.first for span in spans], dtype=np.int64)
        offset = np.cumsum(counts) - counts
        self.index: IntArray = np.repeat(first - offset, counts) + np.arange(counts.sum())
        self.counts = counts
        wall = history.wall_per_real
        self.t_s: Array = np.repeat(np.array([span.t_s for span in spans]) * wall, counts)
        self._routes = [history.routes[history.bundles[span.bundle].route] for span in spans]
        listing = history.listing
        self.about = {
            "job": listing.job[self.index],
            "object": listing.object[self.index],
            "chunk": listing.chunk[self.index],
            "path": self.spread([route.lane for route in self._routes], int),
            "bytes": listing.size_bytes[self.index],
        }

    def spread(self, values: Sequence[Any], kind: type = object) -> Any:
        """A value a run, as a value a row."""
        return np.repeat(np.array(values, dtype=kind), self.counts)

    def source(self) -> Any:
        """The source's gateway, a row."""
        return self.spread([route.source for route in self._routes])

    def edge(self, edge: int) -> tuple[Any, Any]:
        """Both ends of an edge of each run's route, a row."""
        ends = [route.edges[edge] for route in self._routes]
        return self.spread([src for src, _ in ends]), self.spread([dst for _, dst in ends])


def _chunks(writer: EventWriter, history: History) -> None:
    """Ends before beginnings: what frees a connection comes before what it takes next."""
    record = history.record
    routes, bundles = history.routes, history.bundles
    sent = [hop for hop in record.received if 0 in hop.edges]
    if sent:
        rows = _Rows(history, sent)
        src, dst = rows.edge(0)
        writer.add_block(
            Event.CHUNK_SENT, rows.t_s, **rows.about, hop=0, src=src, dst=dst, gateway=src
        )
    for edge in range(max((len(route.edges) for route in routes), default=0)):
        here = [hop for hop in record.received if edge in hop.edges]
        if here:
            rows = _Rows(history, here)
            src, dst = rows.edge(edge)
            writer.add_block(
                Event.CHUNK_RECEIVED,
                rows.t_s,
                **rows.about,
                hop=edge,
                src=src,
                dst=dst,
                gateway=dst,
            )
    for edge in range(max((len(route.edges) for route in routes), default=0)):
        there = [
            hop
            for hop in record.received
            if edge in hop.edges and edge in routes[bundles[hop.bundle].route].ends
        ]
        if there:
            rows = _Rows(history, there)
            _, dst = rows.edge(edge)
            writer.add_block(Event.CHUNK_VERIFIED, rows.t_s, **rows.about, gateway=dst)
    for event, spans in (
        (Event.CHUNK_ACKNOWLEDGED, record.acknowledged),
        (Event.CHUNK_RESENT, record.resent),
        (Event.CHUNK_READ, record.began),
    ):
        if spans:
            rows = _Rows(history, spans)
            writer.add_block(event, rows.t_s, **rows.about, gateway=rows.source())


def _objects(writer: EventWriter, history: History) -> None:
    """An object is verified when its last chunk is; an empty one when the transfer starts."""
    verified_s = history.verified_s()
    rows = [entry for entry in history.listing.objects if (entry[0], entry[1]) in verified_s]
    if not rows:
        return
    last = {
        job: next(route.edges[route.ends[-1]][1] for route in history.routes if route.job == job)
        for job in {job for job, _, _, _ in rows}
    }
    writer.add_block(
        Event.OBJECT_VERIFIED,
        np.array([verified_s[job, number] for job, number, _, _ in rows]) * history.wall_per_real,
        job=np.array([job for job, _, _, _ in rows]),
        object=np.array([number for _, number, _, _ in rows]),
        bytes=np.array([size for _, _, size, _ in rows], dtype=np.int64),
        gateway=np.array([last[job] for job, _, _, _ in rows], dtype=object),
    )
