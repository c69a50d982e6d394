"""The event table and its outcome, solved by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.errors import DataError
from datasets.events import (
    COLUMNS,
    MEANING,
    Event,
    EventWriter,
    check_events,
    events_digest,
    read_events,
    write_events,
)
from datasets.outcome import outcome


def run(*, rate_scale: float = 1.0, size_scale: float = 1.0) -> pd.DataFrame:
    """Two chunks of 1 GB: read from 1 s on, acknowledged at 3 s and 5 s; the second one twice."""
    events = EventWriter("r")
    events.add(
        Event.RUN_STARTED,
        0.0,
        detail={
            "clock": "sim",
            "size_bytes": 2_000_000_000,
            "rate_scale": rate_scale,
            "size_scale": size_scale,
        },
    )
    for chunk, t_s in ((0, 1.0), (1, 1.5)):
        events.add(Event.CHUNK_READ, t_s, object=0, chunk=chunk, bytes=10**9)
    events.add(Event.CHUNK_RESENT, 2.0, object=0, chunk=1, bytes=10**9)
    for chunk, t_s in ((0, 3.0), (1, 5.0), (1, 5.5)):
        events.add(Event.CHUNK_ACKNOWLEDGED, t_s, object=0, chunk=chunk, bytes=10**9)
    events.add(Event.COST_ACCRUED, 5.0, detail={"kind": "egress", "usd": 0.2})
    events.add(Event.COST_ACCRUED, 5.0, detail={"kind": "vm", "usd": 0.05})
    events.add(Event.RUN_ENDED, 6.0, detail={"ok": True})
    return events.table()


def test_every_event_has_a_meaning() -> None:
    assert set(MEANING) == set(Event)


def test_makespan_is_first_read_to_last_acknowledged() -> None:
    result = outcome(run())
    assert result.makespan_s == 4.0
    assert result.throughput_gbps == pytest.approx(4.0)  # 16 Gbit in 4 s
    assert (result.size_bytes, result.chunks) == (2_000_000_000, 2)
    assert (result.egress_usd, result.vm_usd) == (0.2, 0.05)
    assert result.retransmitted_bytes == 10**9
    assert result.ok


def test_a_scaled_run_speaks_of_the_real_transfer() -> None:
    """k = 1/2, b = 1/10: real bytes are ten times, real seconds wall · k / b = 4 · 5."""
    result = outcome(run(rate_scale=0.5, size_scale=0.1))
    assert result.size_bytes == 20_000_000_000
    assert result.makespan_s == pytest.approx(20.0)
    assert result.throughput_gbps == pytest.approx(8.0)


def test_a_table_reads_back_with_an_equal_digest(tmp_path: Path) -> None:
    table = run()
    write_events(table, tmp_path / "events.parquet")
    assert events_digest(read_events(tmp_path / "events.parquet")) == events_digest(table)


def test_rows_are_in_the_order_of_time_and_blocks_mix_with_rows() -> None:
    events = EventWriter("r")
    events.add(Event.RUN_ENDED, 2.0)
    events.add_block(Event.CHUNK_SENT, np.array([0.5, 1.0]), chunk=np.array([0, 1]), bytes=8)
    table = events.table()
    assert list(table["t_s"]) == [0.5, 1.0, 2.0]
    assert list(table.columns) == list(COLUMNS)
    assert list(table["chunk"]) == [0, 1, -1]


def test_an_unknown_column_or_event_is_refused() -> None:
    with pytest.raises(KeyError):
        EventWriter("r").add(Event.RUN_ENDED, 0.0, colour=1)
    table = run()
    table.loc[0, "event"] = "party"
    with pytest.raises(DataError, match="party"):
        check_events(table)


def test_a_table_out_of_order_or_without_a_start_is_refused() -> None:
    table = run()
    with pytest.raises(DataError, match="order of time"):
        check_events(table.iloc[::-1].reset_index(drop=True))
    with pytest.raises(DataError, match="run_started"):
        outcome(table.iloc[1:].reset_index(drop=True))


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events.parquet").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="missing or damaged"):
        read_events(tmp_path / "events.parquet")
