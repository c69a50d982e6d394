"""From the event table to an outcome: the only such function, for simulations and executions alike.

Nothing but the table is read. A local run moves b·bytes at k·rates (`run_started` names k and b);
the outcome speaks of the real transfer: seconds·k/b, bytes/b.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from datasets.canonical import Json, rounded
from datasets.errors import DataError
from datasets.events import Event, check_events, detail_of
from datasets.units import gbps_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a Run came to, in real units. `makespan_s`: first byte read to last acknowledged."""

    clock: str
    ok: bool
    throughput_gbps: float
    makespan_s: float
    egress_usd: float
    vm_usd: float
    request_usd: float = 0.0
    size_bytes: int
    chunks: int
    retransmitted_bytes: int
    objects_verified: int
    rate_scale: float
    size_scale: float
    wall_s: float

    @property
    def cost_usd(self) -> float:
        """Egress, VM time, and requests to object stores."""
        return self.egress_usd + self.vm_usd + self.request_usd

    def as_json(self) -> dict[str, Json]:
        """As in `outcome.json`; requests stand there only where some were paid."""
        requests: dict[str, Json] = (
            {"request": rounded(self.request_usd, 8)} if self.request_usd else {}
        )
        return {
            "clock": self.clock,
            "ok": self.ok,
            "throughput_gbps": rounded(self.throughput_gbps, 9),
            "makespan_s": rounded(self.makespan_s, 6),
            "cost_usd": {
                "egress": rounded(self.egress_usd, 8),
                "vm": rounded(self.vm_usd, 8),
                **requests,
                "total": rounded(self.cost_usd, 8),
            },
            "size_bytes": self.size_bytes,
            "chunks": self.chunks,
            "retransmitted_bytes": self.retransmitted_bytes,
            "objects_verified": self.objects_verified,
            "rate_scale": self.rate_scale,
            "size_scale": self.size_scale,
            "wall_s": rounded(self.wall_s, 6),
        }


def outcome(events: pd.DataFrame) -> Outcome:
    """The outcome of one Run from its event table.

    Bytes are those acknowledged, each chunk once. Raises: DataError if the table is not one, or
    has no `run_started` row.
    """
    check_events(events)
    started = events.loc[events["event"] == Event.RUN_STARTED.value, "detail"]
    if len(started) != 1:
        raise DataError(f"an event table needs one run_started row; this has {len(started)}")
    about = detail_of(str(started.iloc[0]))
    rate_scale, size_scale = float(about["rate_scale"]), float(about["size_scale"])
    begun = events.loc[events["event"] == Event.CHUNK_READ.value, "t_s"]
    done = events.loc[events["event"] == Event.CHUNK_ACKNOWLEDGED.value]
    done = done.drop_duplicates(["job", "object", "chunk"])
    wall_s = float(done["t_s"].max() - begun.min()) if len(done) else 0.0
    makespan_s = wall_s * rate_scale / size_scale
    size_bytes = float(done["bytes"].sum()) / size_scale
    costs = _costs(events)
    ended = events.loc[events["event"] == Event.RUN_ENDED.value, "detail"]
    resent = events.loc[events["event"] == Event.CHUNK_RESENT.value, "bytes"].sum()
    return Outcome(
        clock=str(about["clock"]),
        ok=len(ended) == 1 and detail_of(str(ended.iloc[0])).get("ok") is True,
        throughput_gbps=gbps_of(size_bytes, makespan_s),
        makespan_s=makespan_s,
        egress_usd=costs["egress"],
        vm_usd=costs["vm"],
        request_usd=costs["request"],
        size_bytes=round(size_bytes),
        chunks=len(done),
        retransmitted_bytes=round(float(resent) / size_scale),
        objects_verified=int((events["event"] == Event.OBJECT_VERIFIED.value).sum()),
        rate_scale=rate_scale,
        size_scale=size_scale,
        wall_s=wall_s,
    )


def _costs(events: pd.DataFrame) -> dict[str, float]:
    """USD by kind: the sum of the accrued rows."""
    sums = {"egress": 0.0, "vm": 0.0, "request": 0.0}
    for row in events.loc[events["event"] == Event.COST_ACCRUED.value, "detail"]:
        detail = detail_of(str(row))
        sums[str(detail["kind"])] += float(detail["usd"])
    return sums
