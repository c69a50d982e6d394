"""What a Run's event table names of its world: links that changed, gateways lost, their waits."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from datasets.events import Event, detail_of
from datasets.outcome import Outcome
from datasets.regions import cloud_of, region_of_gateway
from planner.plan import Plan
from simulator.assumptions import GatewayLoss, LinkChange, Provisioning

# A link is out if nothing was begun over it for this long, in real seconds.
LEAST_OUTAGE_S = 1.0


def named_changes(events: pd.DataFrame, result: Outcome) -> tuple[LinkChange, ...]:
    """The changes of links that the table itself names."""
    rows = events[events["event"] == Event.LINK_CHANGED.value]
    return tuple(
        LinkChange(
            at_s=_real_s(float(t_s), events, result),
            src=str(src),
            dst=str(dst),
            gbps=detail_of(str(detail))["gbps"],
        )
        for t_s, src, dst, detail in zip(
            rows["t_s"], rows["src"], rows["dst"], rows["detail"], strict=True
        )
    )


def outages(plan: Plan, events: pd.DataFrame, result: Outcome) -> tuple[LinkChange, ...]:
    """Links whose connections broke and carried nothing for a while, though no gateway was lost.

    0 Gbit/s from the last arrival over that link before the break was noticed, to the next chunk
    that is read for a lane over it, where the Plan's figure holds again; what was over within
    `LEAST_OUTAGE_S` is none.
    """
    lost = set(events.loc[events["event"] == Event.GATEWAY_LOST.value, "gateway"])
    broken = events[events["event"] == Event.CONNECTION_LOST.value]
    read = events[events["event"] == Event.CHUNK_READ.value]
    came = events[events["event"] == Event.CHUNK_VERIFIED.value]
    over_s: dict[tuple[str, str], float] = {}
    found = []
    for t_s, src, dst in zip(broken["t_s"], broken["src"], broken["dst"], strict=True):
        ends = (region_of_gateway(str(src)), region_of_gateway(str(dst)))
        if {src, dst} & lost or _real_s(float(t_s), events, result) <= over_s.get(ends, 0.0):
            continue
        lanes = [
            at
            for at, lane in enumerate(plan.lanes)
            if ends in {(region_of_gateway(a), region_of_gateway(b)) for a, b in lane.hops}
        ]
        before = came.loc[came["path"].isin(lanes) & (came["t_s"] <= float(t_s)), "t_s"]
        at_s = _real_s(float(before.max()) if len(before) else float(t_s), events, result)
        after = read.loc[read["path"].isin(lanes) & (read["t_s"] > float(t_s)), "t_s"]
        over_s[ends] = _real_s(float(after.min()), events, result) if len(after) else math.inf
        if over_s[ends] - at_s < LEAST_OUTAGE_S:
            continue
        found.append(LinkChange(at_s=at_s, src=ends[0], dst=ends[1], gbps=0.0))
        if len(after):
            found.append(LinkChange(at_s=over_s[ends], src=ends[0], dst=ends[1], gbps=None))
    return tuple(found)


def named_losses(events: pd.DataFrame, result: Outcome) -> tuple[GatewayLoss, ...]:
    """Gateways that died, with the notice that they were given."""
    noticed = events[events["event"] == Event.GATEWAY_NOTICE.value]
    notices_s = {
        str(gateway): _real_s(float(t_s), events, result)
        for t_s, gateway in zip(noticed["t_s"], noticed["gateway"], strict=True)
    }
    rows = events[events["event"] == Event.GATEWAY_LOST.value].drop_duplicates("gateway")
    found = []
    for t_s, gateway in zip(rows["t_s"], rows["gateway"], strict=True):
        at_s = _real_s(float(t_s), events, result)
        notice_s = max(0.0, at_s - notices_s.get(str(gateway), at_s))
        found.append(GatewayLoss(at_s=at_s, gateway=str(gateway), notice_s=notice_s))
    return tuple(found)


def provisioning_seen(events: pd.DataFrame, before: Provisioning) -> Provisioning:
    """Exact seconds of the Run's gateways; another one of a cloud takes the cloud's median."""
    waited = provisioned_s(events)
    by_cloud: dict[str, list[float]] = {}
    for gateway, seconds in waited.items():
        by_cloud.setdefault(cloud_of(region_of_gateway(gateway)), []).append(seconds)
    medians = {cloud: statistics.median(each) for cloud, each in by_cloud.items()}
    return replace(
        before,
        name=f"as in the replayed run; else {before.name}",
        median_s={**before.median_s, **medians},
        by_gateway={**before.by_gateway, **waited},
    )


def provisioned_s(events: pd.DataFrame) -> Mapping[str, float]:
    """Gateway: seconds from the first request to its first answer, on the run's clock."""
    asked = events[events["event"] == Event.GATEWAY_REQUESTED.value].groupby("gateway")["t_s"].min()
    ready = events[events["event"] == Event.GATEWAY_READY.value].groupby("gateway")["t_s"].min()
    waited = (ready - asked).dropna()
    return {str(gateway): max(0.0, float(seconds)) for gateway, seconds in waited.items()}


def _real_s(t_s: float, events: pd.DataFrame, result: Outcome) -> float:
    read_s = events.loc[events["event"] == Event.CHUNK_READ.value, "t_s"]
    zero_s = float(read_s.min()) if len(read_s) else 0.0
    return max(0.0, (t_s - zero_s) * result.rate_scale / result.size_scale)
