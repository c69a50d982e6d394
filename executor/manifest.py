"""What a manifest says of an execution beside its events: the processor, the kernel's counters."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from datasets.canonical import Json
from datasets.events import Event, detail_of
from datasets.outcome import outcome
from executor.machine import CpuUse

if TYPE_CHECKING:
    import pandas as pd

# The processor bound a run if the machine had less than this share idle, and a lane's sender came
# too late to its schedule for more than this share of the time: what pacing could not make up.
IDLE_SHARE_NEEDED = 0.10
LATE_SHARE = 0.01


def cpu_report(cpu: CpuUse, events: pd.DataFrame, *, paced: bool) -> dict[str, Json]:
    """What a manifest says of the processor: the machine's shares, and whether it bound the run.

    Lanes that are not paced have no schedule to be late to: then a busy machine is enough.
    """
    sampled = events.loc[events["event"] == Event.CPU_SAMPLED.value, "detail"].map(detail_of)
    late_s = max((float(detail["late_s"]) for detail in sampled), default=0.0)
    gateways_s = sum(float(detail["cpu_s"]) for detail in sampled)
    wall_s = outcome(events).wall_s
    late = late_s / wall_s if wall_s else 0.0
    return {
        "share": round(cpu.share, 4),
        "steal": round(cpu.steal, 4),
        "idle": round(cpu.idle, 4),
        "late": round(late, 4),
        "gateways_s": round(gateways_s, 3),
        "bound": cpu.idle < IDLE_SHARE_NEEDED and (late > LATE_SHARE or not paced),
    }


def kernel_agreement(events: pd.DataFrame) -> dict[str, Any]:
    """The kernel's counters against the bytes that the events claim, over all hops.

    By the sockets' counters always; by the interfaces' where gateways have their own.
    """
    received = events.loc[events["event"] == Event.CHUNK_RECEIVED.value, "bytes"].sum()
    counters = events.loc[events["event"] == Event.COUNTER_READ.value]
    found: dict[str, Any] = {"event_bytes": int(received)}
    for what in ("tcp_info", "interface"):
        rows = counters.loc[counters["detail"].str.contains(f'"{what}"', regex=False), "bytes"]
        if len(rows):
            found[f"{what}_bytes"] = int(rows.sum())
            found[f"{what}_ratio"] = round(float(rows.sum()) / max(float(received), 1.0), 4)
    return found


def host_report() -> dict[str, Json]:
    """The machine that it ran on."""
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }
