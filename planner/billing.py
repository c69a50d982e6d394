"""Cost accrued by the second: pure rules, used by the simulator and the executor alike.

From an event table and the Plan's price book to `cost_accrued` rows, in real USD. A local run
moves b·bytes at k·rates; its bill is that of the real transfer: bytes/b, seconds·k/b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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


def add_cost_rows(writer: EventWriter, rows: list[CostRow]) -> None:
    """Add rows of a bill to an event table."""
    for row in rows:
        writer.add(Event.COST_ACCRUED, row.t_s, detail=row.detail, src=row.src, dst=row.dst)


def cost_events(
    plan: Plan, table: pd.DataFrame, *, rate_scale: float, size_scale: float
) -> list[CostRow]:
    """The bill of a transfer, in the order of time; empty if no chunk was read.

    Where the Plan's Job asks for them: egress at volume tiers (each region's average price over
    all that it sent to other clouds), and the VM time before gateways were ready, at the start.

    Egress: every chunk that a hop received (again, if it was sent again), at the price of the
    link between the two regions. VM time: every VM of the Plan from the first chunk read to the
    last acknowledged (or to the last received, where a run broke off).
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
    end_s = float(ends.max()) if len(ends) else start_s
    edges_s = _edges(start_s, end_s, wall_per_real=size_scale / rate_scale)
    rows = [
        *_egress(plan, received, edges_s, size_scale),
        *_vm_time(plan, edges_s, rate_scale / size_scale),
        *_waiting(plan, start_s),
    ]
    return sorted(rows, key=lambda row: row.t_s)


def _edges(start_s: float, end_s: float, *, wall_per_real: float) -> np.ndarray:
    """The ends of the intervals on the run's clock, the start before them."""
    real_s = (end_s - start_s) / wall_per_real
    each_s = max(1, math.ceil(real_s / MOST_INTERVALS))
    count = max(1, math.ceil(real_s / each_s))
    edges: np.ndarray = start_s + np.arange(count + 1) * (each_s * wall_per_real)
    edges[-1] = end_s
    return edges


def _egress(
    plan: Plan, received: pd.DataFrame, edges_s: np.ndarray, size_scale: float
) -> list[CostRow]:
    last = len(edges_s) - 2
    rows = []
    factors = _tier_factors(plan, received, size_scale)
    for (src, dst), hop in received.groupby(["src", "dst"], sort=True):
        link = plan.link(str(src), str(dst))
        interval = np.clip(np.searchsorted(edges_s[1:], hop["t_s"].to_numpy()), 0, last)
        moved = np.bincount(interval, weights=hop["bytes"].to_numpy(), minlength=last + 1)
        rows += [
            CostRow(
                t_s=float(edges_s[at + 1]),
                kind="egress",
                usd=gigabytes(float(moved[at]) / size_scale)
                * link.usd_per_gb
                * factors.get((link.src, link.dst), 1.0),
                src=link.src,
                dst=link.dst,
            )
            for at in np.flatnonzero(moved)
        ]
    return _joined(rows)


def _tier_factors(
    plan: Plan, received: pd.DataFrame, size_scale: float
) -> dict[tuple[str, str], float]:
    """Share of its first price that each link to another cloud is charged; empty if not asked."""
    if not plan.job.tiered:
        return {}
    volumes: dict[str, float] = {}
    crossing = [link for link in plan.links if crosses_clouds(link.src, link.dst)]
    for (src, dst), hop in received.groupby(["src", "dst"], sort=True):
        link = plan.link(str(src), str(dst))
        if link in crossing:
            sent = gigabytes(float(hop["bytes"].sum()) / size_scale)
            volumes[link.src] = volumes.get(link.src, 0.0) + sent
    return {
        (link.src, link.dst): average_factor(cloud_of(link.src), volumes.get(link.src, 0.0))
        for link in crossing
    }


def _waiting(plan: Plan, start_s: float) -> list[CostRow]:
    """What VMs cost before their gateways are ready, where the Job counts it."""
    return [
        CostRow(
            t_s=start_s,
            kind="vm",
            usd=count * usd_per_s_of_vm(plan.vm(region).usd_per_hour) * plan.provisioning_s[region],
            region=region,
        )
        for region, count in sorted(plan.vms.items())
        if region in plan.provisioning_s
    ]


def _joined(rows: list[CostRow]) -> list[CostRow]:
    """One row an interval and link, where several pairs of gateways share the link."""
    sums: dict[tuple[float, str, str], float] = {}
    for row in rows:
        key = (row.t_s, row.src, row.dst)
        sums[key] = sums.get(key, 0.0) + row.usd
    return [
        CostRow(t_s=t_s, kind="egress", usd=usd, src=src, dst=dst)
        for (t_s, src, dst), usd in sums.items()
    ]


def _vm_time(plan: Plan, edges_s: np.ndarray, real_per_wall: float) -> list[CostRow]:
    rows = []
    for region, count in sorted(plan.vms.items()):
        usd_per_s = count * usd_per_s_of_vm(plan.vm(region).usd_per_hour) * real_per_wall
        rows += [
            CostRow(t_s=float(end_s), kind="vm", usd=usd_per_s * float(lasted_s), region=region)
            for end_s, lasted_s in zip(edges_s[1:], np.diff(edges_s), strict=True)
        ]
    return rows
