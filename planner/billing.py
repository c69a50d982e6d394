"""Cost accrued by the second: pure rules, used by the simulator and the executor alike.

From an event table and the Plan's price book to `cost_accrued` rows, in real USD. A local run
moves b·bytes at k·rates; its bill is that of the real transfer: bytes/b, seconds·k/b.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from datasets.canonical import Json, rounded
from datasets.events import Event, EventWriter
from datasets.price_tiers import average_factor
from datasets.regions import cloud_of
from datasets.units import gigabytes, usd_per_s_of_vm
from planner.cost import crosses_clouds
from planner.plan import Plan

# A bill has one interval a real second, but no more than this many: longer runs, longer intervals.
MOST_INTERVALS = 200
# Sums are kept well below the 8 places of a cost, whatever the number of rows.
_PLACES = 12
_THOUSAND = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """One `cost_accrued` row: what an interval that ended at `t_s` cost."""

    t_s: float
    kind: str
    usd: float
    src: str = ""
    dst: str = ""
    region: str = ""

    @property
    def detail(self) -> dict[str, Json]:
        """The row's detail."""
        about: dict[str, Json] = {"kind": self.kind, "usd": rounded(self.usd, _PLACES)}
        return {**about, "region": self.region} if self.region else about


def add_costs(writer: EventWriter, plan: Plan, rate_scale: float, size_scale: float) -> None:
    """Add the `cost_accrued` rows for what `writer` holds so far; call it before `run_ended`."""
    add_cost_rows(
        writer,
        cost_events(plan, writer.table(), rate_scale=rate_scale, size_scale=size_scale),
    )


def add_cost_rows(writer: EventWriter, rows: list[CostRow], *, job: int = 0) -> None:
    """Add rows of a Job's bill to an event table."""
    for row in rows:
        writer.add(
            Event.COST_ACCRUED, row.t_s, detail=row.detail, src=row.src, dst=row.dst, job=job
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpan:
    """`count` VMs of a region (fewer than 0: not paid after all) between two instants.

    On the run's clock; None is the transfer's start or end.
    """

    region: str
    count: int
    from_s: float | None = None
    until_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests to an object store in a region: (requests,) when, and USD a thousand of them."""

    region: str
    t_s: np.ndarray
    usd_per_1000: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a bill is of: bytes that crossed each link, and from when to when.

    `links` has (times on the run's clock, bytes) by the link's two regions. `vms` are those of the
    Plan from start to end where None; `least_vm_s` seconds a cloud charges at least for a VM;
    `waited_s` real VM seconds of each region before its gateways were ready, where they are known.
    """

    links: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]
    start_s: float
    end_s: float
    vms: Sequence[VmSpan] | None = None
    least_vm_s: Mapping[str, float] = field(default_factory=dict)
    requests: Sequence[Requests] = ()
    waited_s: Mapping[str, float] | None = None


def cost_events(
    plan: Plan, table: pd.DataFrame, *, rate_scale: float, size_scale: float
) -> list[CostRow]:
    """The bill of a transfer from its event table; empty if no chunk was read.

    Bytes are those of every chunk that a hop received (again, if it was sent again); VM time is
    that of every VM of the Plan from the first chunk read to the last acknowledged (or to the last
    received, where a run broke off).
    """
    begun = table.loc[table["event"] == Event.CHUNK_READ.value, "t_s"]
    if begun.empty:
        return []
    received = table.loc[
        table["event"] == Event.CHUNK_RECEIVED.value, ["t_s", "src", "dst", "bytes"]
    ]
    done = table.loc[table["event"] == Event.CHUNK_ACKNOWLEDGED.value, "t_s"]
    ends = done if len(done) else received["t_s"]
    start_s = float(begun.min())
    links: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for (src, dst), hop in received.groupby(["src", "dst"], sort=True):
        link = plan.link(str(src), str(dst))
        links.setdefault((link.src, link.dst), []).append(
            (hop["t_s"].to_numpy(), hop["bytes"].to_numpy())
        )
    moved = Moved(
        links={
            pair: (np.concatenate([t for t, _ in hops]), np.concatenate([b for _, b in hops]))
            for pair, hops in links.items()
        },
        start_s=start_s,
        end_s=float(ends.max()) if len(ends) else start_s,
    )
    return bill(plan, moved, rate_scale=rate_scale, size_scale=size_scale)


def bill(
    plan: Plan,
    moved: Moved,
    *,
    rate_scale: float,
    size_scale: float,
    intervals: int = MOST_INTERVALS,
) -> list[CostRow]:
    """The rows of a bill, in the order of time, over at most so many intervals.

    Egress at the price of the link between the two regions; VM time by the second. Where the
    Plan's Job asks for them: egress at volume tiers (each region's average price over all that it
    sent to other clouds), and the VM time before gateways were ready, at the start.
    """
    real_per_wall = rate_scale / size_scale
    edges_s = _edges(moved.start_s, moved.end_s, intervals, wall_per_real=1.0 / real_per_wall)
    rows = [
        *_egress(plan, moved, edges_s, size_scale),
        *_vm_time(plan, moved, edges_s, real_per_wall),
        *_least_time(plan, moved, real_per_wall),
        *_requests(moved, edges_s),
        *_waiting(plan, moved),
    ]
    return sorted(rows, key=lambda row: row.t_s)


def _edges(start_s: float, end_s: float, most: int, *, wall_per_real: float) -> np.ndarray:
    """The ends of the intervals on the run's clock, the start before them."""
    real_s = (end_s - start_s) / wall_per_real
    each_s = max(1, math.ceil(real_s / most))
    count = max(1, math.ceil(real_s / each_s))
    edges: np.ndarray = start_s + np.arange(count + 1) * (each_s * wall_per_real)
    edges[-1] = end_s
    return edges


def _egress(plan: Plan, moved: Moved, edges_s: np.ndarray, size_scale: float) -> list[CostRow]:
    factors = _tier_factors(plan, moved, size_scale)
    rows = []
    for (src, dst), (t_s, size_bytes) in sorted(moved.links.items()):
        link = plan.link(src, dst)
        crossed = _in_intervals(edges_s, t_s, size_bytes)
        price = link.usd_per_gb * factors.get((src, dst), 1.0)
        rows += [
            CostRow(
                t_s=float(edges_s[at + 1]),
                kind="egress",
                usd=gigabytes(float(crossed[at]) / size_scale) * price,
                src=src,
                dst=dst,
            )
            for at in np.flatnonzero(crossed)
        ]
    return rows


def _in_intervals(edges_s: np.ndarray, t_s: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """(intervals,) the sum of what happened in each."""
    last = len(edges_s) - 2
    interval = np.clip(np.searchsorted(edges_s[1:], t_s), 0, last)
    return np.bincount(interval, weights=amount, minlength=last + 1)


def _tier_factors(plan: Plan, moved: Moved, size_scale: float) -> dict[tuple[str, str], float]:
    """Share of its first price that each link to another cloud is charged; empty if not asked."""
    if not plan.job.tiered:
        return {}
    volumes: dict[str, float] = {}
    crossing = [pair for pair in moved.links if crosses_clouds(*pair)]
    for src, dst in crossing:
        sent = gigabytes(float(moved.links[src, dst][1].sum()) / size_scale)
        volumes[src] = volumes.get(src, 0.0) + sent
    return {
        (src, dst): average_factor(cloud_of(src), volumes.get(src, 0.0)) for src, dst in crossing
    }


def _requests(moved: Moved, edges_s: np.ndarray) -> list[CostRow]:
    rows = []
    for each in moved.requests:
        counts = _in_intervals(edges_s, each.t_s, np.ones(len(each.t_s)))
        rows += [
            CostRow(
                t_s=float(edges_s[at + 1]),
                kind="request",
                usd=float(counts[at]) * each.usd_per_1000 / _THOUSAND,
                region=each.region,
            )
            for at in np.flatnonzero(counts)
        ]
    return rows


def _waiting(plan: Plan, moved: Moved) -> list[CostRow]:
    """What VMs cost before their gateways are ready, where the Job counts it."""
    if moved.waited_s is not None:
        waited = dict(moved.waited_s)
    else:
        waited = {
            region: count * plan.provisioning_s[region]
            for region, count in plan.vms.items()
            if region in plan.provisioning_s
        }
    return [
        CostRow(
            t_s=moved.start_s,
            kind="vm",
            usd=seconds * usd_per_s_of_vm(plan.vm(region).usd_per_hour),
            region=region,
        )
        for region, seconds in sorted(waited.items())
    ]


def _spans(plan: Plan, moved: Moved) -> Sequence[VmSpan]:
    if moved.vms is not None:
        return moved.vms
    return [VmSpan(region=region, count=count) for region, count in sorted(plan.vms.items())]


def _vm_time(plan: Plan, moved: Moved, edges_s: np.ndarray, real_per_wall: float) -> list[CostRow]:
    """Each region's VMs in each interval, for as long as they were there."""
    usd: dict[str, np.ndarray] = {}
    for span in _spans(plan, moved):
        from_s = moved.start_s if span.from_s is None else span.from_s
        until_s = moved.end_s if span.until_s is None else span.until_s
        there = np.diff(np.clip(edges_s, from_s, max(from_s, until_s)))
        usd_per_s = span.count * usd_per_s_of_vm(plan.vm(span.region).usd_per_hour)
        usd[span.region] = usd.get(span.region, 0.0) + usd_per_s * real_per_wall * there
    return [
        CostRow(t_s=float(end_s), kind="vm", usd=float(each), region=region)
        for region, every in sorted(usd.items())
        for end_s, each in zip(edges_s[1:], every, strict=True)
    ]


def _least_time(plan: Plan, moved: Moved, real_per_wall: float) -> list[CostRow]:
    """What is charged for VMs that were there for less than their cloud charges at least."""
    rows = []
    for span in _spans(plan, moved):
        least_s = moved.least_vm_s.get(cloud_of(span.region), 0.0)
        from_s = moved.start_s if span.from_s is None else span.from_s
        until_s = moved.end_s if span.until_s is None else span.until_s
        short_s = least_s - max(0.0, until_s - from_s) * real_per_wall
        if span.count > 0 and short_s > 0:
            rate = span.count * usd_per_s_of_vm(plan.vm(span.region).usd_per_hour)
            rows.append(CostRow(t_s=moved.end_s, kind="vm", usd=rate * short_s, region=span.region))
    return rows
