"""Event tables by hand: chunks of one MB from A to B, directly and by way of C, or along trees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.events import Event, EventWriter
from datasets.outcome import outcome
from datasets.run import Run
from planner.billing import add_costs
from planner.plan import Plan, Tree, TreeLane
from tests.tiny_plans import A, B, C, D, plan_of

MB = 10**6
PLAN = plan_of(
    [((A, B), 2.0), ((A, C, B), 3.0)],
    {(A, B): 5.0, (A, C): 9.6, (C, B): 9.0},
    size_bytes=10 * MB,
)
# One tree from A by way of C to B and D; another, slower, straight to both.
_TREES = (
    Tree(source=A, edges=((A, C), (C, B), (C, D)), gbps=3.0, share=0.75),
    Tree(source=A, edges=((A, B), (A, D)), gbps=1.0, share=0.25),
)
_SPREAD = plan_of(
    [((A, C, B), 3.0), ((A, C, D), 3.0), ((A, B), 1.0), ((A, D), 1.0)],
    {(A, B): 5.0, (A, C): 9.6, (C, B): 9.0, (C, D): 9.0, (A, D): 5.0},
    size_bytes=10 * MB,
)
TREE_PLAN = replace(
    _SPREAD,
    job=replace(_SPREAD.job, destinations=(B, D)),
    paths=(),
    lanes=(),
    trees=_TREES,
    tree_lanes=tuple(
        TreeLane(
            tree=at,
            edges=tuple((f"{src}#0", f"{dst}#0") for src, dst in tree.edges),
            connections=(8,) * len(tree.edges),
            gbps=tree.gbps,
            share=tree.share,
        )
        for at, tree in enumerate(_TREES)
    ),
)


class Table:
    """An event table by hand: chunks of one MB on lanes of a plan."""

    def __init__(self, plan: Plan, *, k: float = 1.0, b: float = 1.0, clock: str = "wall") -> None:
        self.plan, self.k, self.b = plan, k, b
        self.writer = EventWriter("by-hand")
        self.writer.add(
            Event.RUN_STARTED,
            0.0,
            detail={"clock": clock, "rate_scale": k, "size_scale": b, "size_bytes": 10 * MB},
        )

    def edges(self, path: int) -> tuple[tuple[str, str], ...]:
        plan = self.plan
        return plan.tree_lanes[path].edges if plan.trees else plan.lanes[path].hops

    def chunk(self, chunk: int, path: int, read_s: float, *received_s: float, **more: int) -> Table:
        """Read, received by each hop at its time (fewer: it got no further), acknowledged."""
        columns: dict[str, Any] = {"object": 0, "chunk": chunk, "path": path, "bytes": MB, **more}
        self.writer.add(Event.CHUNK_READ, read_s, **columns)
        edges = self.edges(path)
        for hop, ((src, dst), at_s) in enumerate(zip(edges, received_s, strict=False)):
            self.writer.add(Event.CHUNK_RECEIVED, at_s, **columns, hop=hop, src=src, dst=dst)
        if len(received_s) == len(edges):
            self.writer.add(Event.CHUNK_ACKNOWLEDGED, max(received_s), **columns)
        return self

    def event(self, event: Event, t_s: float, **columns: int | str) -> Table:
        about: dict[str, Any] = dict(columns)
        self.writer.add(event, t_s, **about)
        return self

    def run(self, end_s: float = 10.0) -> Run:
        add_costs(self.writer, self.plan, self.k, self.b)
        self.writer.add(Event.RUN_ENDED, end_s, detail={"ok": True})
        events = self.writer.table()
        return Run(folder=Path(), manifest={}, events=events, outcome=outcome(events))


def lossy() -> Run:
    """Chunk 2 got to the relay C, which was lost at 3 s; it went directly at 4 s. C came back."""
    table = Table(PLAN).chunk(0, 0, 0.0, 2.0).chunk(1, 1, 0.0, 1.0, 2.0).chunk(2, 1, 2.0, 2.5)
    table.event(Event.GATEWAY_READY, 0.0, gateway=f"{A}#0")
    table.event(Event.GATEWAY_LOST, 3.0, gateway=f"{C}#0")
    table.event(Event.CONNECTION_LOST, 3.0, path=1, hop=0, src=f"{A}#0", dst=f"{C}#0")
    table.event(Event.CHUNK_RESENT, 4.0, object=0, chunk=2, path=1, bytes=MB)
    table.event(Event.GATEWAY_READY, 5.0, gateway=f"{C}#0")
    table.event(Event.LINK_CHANGED, 5.5, src=A, dst=C)
    return table.chunk(2, 0, 4.0, 6.0).chunk(3, 1, 6.0, 7.0, 8.0).run()


def spread() -> Run:
    """Two chunks by the first tree, one by the second; C holds the first from 1 to 3 s."""
    table = Table(TREE_PLAN).chunk(0, 0, 0.0, 1.0, 2.0, 3.0).chunk(1, 0, 1.0, 2.0, 3.0, 2.5)
    return table.chunk(2, 1, 0.0, 4.0, 5.0).run()


def many(count: int, *, jobs: int = 1, together: int = 2, clock: str = "sim") -> Run:
    """`count` chunks a job, cut-through, alternating between both lanes, so many at a time."""
    table = Table(PLAN, clock=clock)
    number = np.arange(count)
    began_s = (number // (2 * together)).astype(float)
    for job in range(jobs):
        about = {"job": job, "object": 0, "chunk": number, "path": number % 2, "bytes": MB}
        ends_s = began_s + 1.0
        table.writer.add_block(Event.CHUNK_READ, began_s, **about)
        for hop in (0, 1):
            lanes = [PLAN.lanes[path].hops for path in (0, 1)]
            here = (number % 2 == 1) if hop else np.ones(count, dtype=bool)
            ends = np.array([hops[min(hop, len(hops) - 1)] for hops in lanes], object)
            src, dst = ends[number[here] % 2].T
            rows = {**about, "chunk": number[here], "path": number[here] % 2}
            table.writer.add_block(
                Event.CHUNK_RECEIVED, ends_s[here], **rows, hop=hop, src=src, dst=dst
            )
        table.writer.add_block(Event.CHUNK_ACKNOWLEDGED, ends_s, **about)
    return table.run(float(began_s.max(initial=0.0)) + 1.0)
