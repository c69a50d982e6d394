"""The event table: what happened in a Run, one row an event; one vocabulary, writer and reader.

The simulator and the executor both write it; `outcome.py` and the reports read it and nothing
else. `t_s` is seconds since the run's start on the clock that the `run_started` row names
(`sim` or `wall`); `bytes` is payload. Schema version 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.canonical import Json, canonical_json, digest_of_bytes
from datasets.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# pandas is imported where a table is made or read: gateways, which only name events, start
# without it.

EVENT_SCHEMA_VERSION = 2


class Event(str, Enum):
    """The closed vocabulary. What each means, and which columns it fills, is `MEANING`."""

    RUN_STARTED = "run_started"
    GATEWAY_REQUESTED = "gateway_requested"
    GATEWAY_READY = "gateway_ready"
    RULE_ADDED = "rule_added"
    CONNECTION_OPEN = "connection_open"
    CHUNK_READ = "chunk_read"
    CHUNK_SENT = "chunk_sent"
    CHUNK_RECEIVED = "chunk_received"
    CHUNK_VERIFIED = "chunk_verified"
    CHUNK_ACKNOWLEDGED = "chunk_acknowledged"
    CHUNK_RESENT = "chunk_resent"
    OBJECT_VERIFIED = "object_verified"
    LINK_CHANGED = "link_changed"
    CONNECTION_LOST = "connection_lost"
    GATEWAY_NOTICE = "gateway_notice"
    GATEWAY_LOST = "gateway_lost"
    REPLANNED = "replanned"
    RULE_REVOKED = "rule_revoked"
    GATEWAY_DELETED = "gateway_deleted"
    COUNTER_READ = "counter_read"
    CPU_SAMPLED = "cpu_sampled"
    CONNECTION_SAMPLED = "connection_sampled"
    COST_ACCRUED = "cost_accrued"
    RUN_ENDED = "run_ended"


MEANING: Mapping[Event, str] = {
    Event.RUN_STARTED: "the run begins; detail: clock, size_bytes, rate_scale k, size_scale b",
    Event.GATEWAY_REQUESTED: "a gateway was asked for (gateway)",
    Event.GATEWAY_READY: "a gateway answers on its control port (gateway)",
    Event.RULE_ADDED: "a firewall rule lets src reach dst's data port (src, dst, gateway)",
    Event.CONNECTION_OPEN: "a data connection of a hop stands (path, hop, src, dst, connection)",
    Event.CHUNK_READ: "the source begins to read a chunk (object, chunk, path, gateway, bytes)",
    Event.CHUNK_SENT: "the source handed a chunk's last byte to hop 0 (as chunk_read, src, dst)",
    Event.CHUNK_RECEIVED: "hop's receiver has the whole chunk (path, hop, src, dst, bytes)",
    Event.CHUNK_VERIFIED: "the destination authenticated and wrote a chunk (gateway, bytes)",
    Event.CHUNK_ACKNOWLEDGED: "the source learnt that a chunk is written (gateway, bytes)",
    Event.CHUNK_RESENT: "a chunk is sent again (object, chunk, path, bytes)",
    Event.OBJECT_VERIFIED: "an object's root digest was read back and is equal (object, bytes)",
    Event.LINK_CHANGED: "a link's capacity changed (src, dst; detail: gbps)",
    Event.CONNECTION_LOST: "a data connection broke (path, hop, src, dst, connection; detail: why)",
    Event.GATEWAY_NOTICE: "a gateway will be reclaimed (gateway; detail: lost_in_s)",
    Event.REPLANNED: "what is missing was planned anew (job, bytes; detail: plan, gbps or why not)",
    Event.GATEWAY_LOST: "a gateway stopped answering (gateway)",
    Event.RULE_REVOKED: "a firewall rule is gone (src, dst, gateway; detail: refused, a count)",
    Event.GATEWAY_DELETED: "a gateway is gone (gateway)",
    Event.COUNTER_READ: "bytes by the kernel's own counter at a gateway (gateway; detail: what)",
    Event.CPU_SAMPLED: "CPU time so far (gateway; detail: cpu_s, and late_s behind its pace)",
    Event.CONNECTION_SAMPLED: (
        "what a data connection says of itself (path, hop, src, dst, connection; detail: "
        "bytes_sent, bytes_received, delivery_gbps, rtt_ms, retransmitted, limited_by)"
    ),
    Event.COST_ACCRUED: "cost since the last such row (src, dst; detail: kind, usd), real USD",
    Event.RUN_ENDED: "the run is over (detail: ok, and the reason where it is not)",
}

# Column: (type, unit, default, meaning). Text columns default to "", numbers to -1 (0 for bytes).
COLUMNS: Mapping[str, tuple[str, str, Any, str]] = {
    "run_id": ("str", "", "", "the Run that this row belongs to"),
    "t_s": ("float64", "s", 0.0, "seconds since the run's start, on its own clock"),
    "event": ("str", "", "", "a word of the vocabulary"),
    "job": ("int64", "", 0, "which Job, where a run carries several"),
    "object": ("int64", "", -1, "which object of the listing"),
    "chunk": ("int64", "", -1, "which chunk of the object"),
    "path": ("int64", "", -1, "which lane of the Plan (its index in `lanes` or `tree_lanes`)"),
    "hop": ("int64", "", -1, "which hop of the lane (or edge of the tree's lane), from 0"),
    "src": ("str", "", "", "the sending gateway or region"),
    "dst": ("str", "", "", "the receiving gateway or region"),
    "gateway": ("str", "", "", "the gateway that stamped the row"),
    "connection": ("int64", "", -1, "which connection of the hop"),
    "bytes": ("int64", "B", 0, "payload bytes that the event is about"),
    "detail": ("str", "", "", "canonical JSON with what else is worth knowing"),
}
_WORDS = frozenset(event.value for event in Event)


class EventWriter:
    """Collects rows, singly or in blocks of arrays, and gives them as one table in time order."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._rows: list[dict[str, Any]] = []
        self._blocks: list[pd.DataFrame] = []

    def add(
        self,
        event: Event,
        t_s: float,
        *,
        detail: Mapping[str, Json] | None = None,
        **columns: int | str,
    ) -> None:
        """One row; columns not named take their default. Raises: KeyError on an unknown column."""
        row = {"t_s": t_s, "event": event.value, **columns}
        for name in columns:
            COLUMNS[name]
        if detail is not None:
            row["detail"] = canonical_json(dict(detail)).decode()
        self._rows.append(row)

    def add_block(self, event: Event, t_s: np.ndarray[Any, Any], **columns: Any) -> None:
        """As many rows as `t_s` has entries; a column is an array of that length or one value."""
        import pandas as pd

        frame = pd.DataFrame({"t_s": t_s}, dtype="float64")
        frame["event"] = event.value
        for name, value in columns.items():
            COLUMNS[name]
            frame[name] = value
        self._flush()
        self._blocks.append(frame)

    def _flush(self) -> None:
        import pandas as pd

        if self._rows:
            self._blocks.append(pd.DataFrame.from_records(self._rows))
            self._rows = []

    def table(self) -> pd.DataFrame:
        """All rows, sorted by time; rows of the same instant keep the order of writing."""
        import pandas as pd

        self._flush()
        frames = [_complete(block, self._run_id) for block in self._blocks]
        if not frames:
            return _complete(pd.DataFrame({"t_s": []}), self._run_id)
        whole = pd.concat(frames, ignore_index=True)
        ordered: pd.DataFrame = whole.sort_values("t_s", kind="stable", ignore_index=True)
        return ordered


def _complete(frame: pd.DataFrame, run_id: str) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, Any] = {}
    for name, (kind, _, default, _) in COLUMNS.items():
        if name == "run_id":
            columns[name] = pd.Series([run_id] * len(frame), dtype=object)
        elif name not in frame:
            columns[name] = pd.Series([default] * len(frame), dtype=_dtype(kind))
        else:
            columns[name] = frame[name].fillna(default).astype(_dtype(kind)).reset_index(drop=True)
    frame_of_schema: pd.DataFrame = pd.DataFrame(columns)
    return frame_of_schema


def _dtype(kind: str) -> Any:
    return object if kind == "str" else kind


def check_events(table: pd.DataFrame) -> None:
    """Columns, vocabulary and order are as the schema says. Raises: DataError."""
    if list(table.columns) != list(COLUMNS):
        raise DataError(f"an event table has the columns {list(COLUMNS)}, not {list(table)}")
    strange = sorted(set(table["event"].unique()) - _WORDS)
    if strange:
        raise DataError(f"an event table has the unknown event {strange[0]!r}")
    if not table["t_s"].is_monotonic_increasing:
        raise DataError("an event table's rows are not in the order of time")


def canonical_bytes(table: pd.DataFrame) -> bytes:
    """The table as CSV with nanoseconds: equal tables give equal bytes on any machine."""
    check_events(table)
    return table.to_csv(index=False, float_format="%.9f", lineterminator="\n").encode()


def events_digest(table: pd.DataFrame) -> str:
    """Digest of `canonical_bytes`."""
    return digest_of_bytes(canonical_bytes(table))


def write_events(table: pd.DataFrame, path: Path) -> None:
    """Write the table as Parquet, whole or not at all."""
    check_events(table)
    part = path.with_name(f".{path.name}.part")
    table.to_parquet(part, index=False)
    part.replace(path)


def read_events(path: Path) -> pd.DataFrame:
    """Read a table back. Raises: DataError if it is damaged or not an event table."""
    import pandas as pd

    try:
        table: pd.DataFrame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read the event table {path}: it is missing or damaged.") from error
    for name, (kind, _, _, _) in COLUMNS.items():
        if name in table:
            table[name] = table[name].astype(_dtype(kind))
    check_events(table)
    return table


def detail_of(row: str) -> dict[str, Any]:
    """The `detail` cell as an object; empty where there is none."""
    return dict(json.loads(row)) if row else {}
