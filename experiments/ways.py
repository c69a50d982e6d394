"""The ways that a Run's bytes went: paths or trees of its Plan, and which lane belongs to which.

A lane of the event table is a (job, path) pair. Where its hops are not those of the Plan (another
Job, a plan made anew after a loss), it is known by the hops that the table shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from datasets.events import Event
from datasets.regions import region_of_gateway
from planner.cost import Predicted
from planner.plan import Plan

Edges = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLane:
    """One lane: the number of its way, and (sending, receiving gateway) of each hop or edge."""

    way: int
    edges: Mapping[int, tuple[str, str]]

    def children(self, hop: int) -> tuple[int, ...]:
        """The hops that carry on what `hop` brought; none at an end of the lane."""
        at = self.edges[hop][1]
        return tuple(below for below, (src, _) in self.edges.items() if src == at)

    @property
    def leaves(self) -> tuple[int, ...]:
        """The hops that end the lane."""
        return tuple(hop for hop in self.edges if not self.children(hop))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """`names` are those of the Plan's paths or trees in their order, then any others seen."""

    names: tuple[str, ...]
    lanes: Mapping[tuple[int, int], RunLane]


def way_names(plan: Plan) -> tuple[str, ...]:
    """Each path of the Plan as its regions, or each tree with its branches in brackets."""
    if plan.trees:
        return tuple(_tree_words(tree.source, tree.edges) for tree in plan.trees)
    return tuple(" → ".join(path.hops) for path in plan.paths)


def planned_gbps(plan: Plan, predicted: Predicted | None = None) -> float:
    """What all paths, or the trees of all sources, carry together: an outcome counts all bytes.

    `predicted` is the Plan's own unless given; it speaks of each source, if there are several.
    """
    if plan.trees:
        return sum(tree.gbps for tree in plan.trees)
    return (predicted or plan.predicted).throughput_gbps


def ways_of(plan: Plan, events: pd.DataFrame) -> Ways:
    """The ways of a Run of the Plan; those of several Jobs are kept apart."""
    seen = _seen(events)
    planned = _planned(plan)
    jobs = sorted({job for job, _ in seen}) or [0]
    several = len(jobs) > 1
    named = [(jobs[0], words) for words in way_names(plan)]
    lanes = {}
    for job, path in sorted({*seen, *((jobs[0], path) for path in planned)}):
        edges = seen.get((job, path), {})
        way, known = planned.get(path, (-1, {}))
        fits = way >= 0 and edges.items() <= known.items()
        if not (fits and job == jobs[0]):
            words = named[way][1] if fits else _words(edges) or f"lane {path}"
            if (job, words) not in named:
                named.append((job, words))
            way = named.index((job, words))
        lanes[job, path] = RunLane(way=way, edges=known if fits else edges)
    listed = tuple(f"job {job}: {words}" if several else words for job, words in named)
    return Ways(names=listed, lanes=lanes)


def _planned(plan: Plan) -> dict[int, tuple[int, Mapping[int, tuple[str, str]]]]:
    """Of each lane of the Plan, the number of its way and its edges."""
    lanes: Iterable[tuple[int, Edges]] = (
        [(lane.tree, lane.edges) for lane in plan.tree_lanes]
        if plan.trees
        else [(lane.path, lane.hops) for lane in plan.lanes]
    )
    return {at: (way, dict(enumerate(edges))) for at, (way, edges) in enumerate(lanes)}


def _seen(events: pd.DataFrame) -> dict[tuple[int, int], dict[int, tuple[str, str]]]:
    """Of each lane of the table, the hops by which something arrived."""
    read = events.loc[events["event"] == Event.CHUNK_READ.value, ["job", "path"]]
    lanes: dict[tuple[int, int], dict[int, tuple[str, str]]] = {
        (int(job), int(path)): {} for job, path in read.drop_duplicates().itertuples(index=False)
    }
    columns = ["job", "path", "hop", "src", "dst"]
    arrived = events.loc[events["event"] == Event.CHUNK_RECEIVED.value, columns]
    ordered = arrived.drop_duplicates().sort_values(columns, kind="stable")
    for job, path, hop, src, dst in ordered.itertuples(index=False):
        lanes.setdefault((int(job), int(path)), {})[int(hop)] = (str(src), str(dst))
    return lanes


def _words(edges: Mapping[int, tuple[str, str]]) -> str:
    """The name of a way by its hops alone; empty where nothing arrived by it."""
    regions = [
        (region_of_gateway(src), region_of_gateway(dst)) for _, (src, dst) in sorted(edges.items())
    ]
    return _tree_words(regions[0][0], regions) if regions else ""


def _tree_words(region: str, edges: Sequence[tuple[str, str]]) -> str:
    """`a → (b, c → d)`: what each region passes on, in the order of the edges."""
    below = [
        _tree_words(dst, [edge for edge in edges if edge != (src, dst)])
        for src, dst in edges
        if src == region
    ]
    if not below:
        return region
    branches = below[0] if len(below) == 1 else f"({', '.join(below)})"
    return f"{region} → {branches}"
