from __future__ import annotations

from typing import Any

import pytest

from datasets.events import Event, EventWriter
from datasets.outcome import outcome
from planner.billing import MOST_INTERVALS, add_costs, cost_events
from planner.plan import Plan
from tests.tiny_plans import A, B, C, plan_of

RELAYED = plan_of([((A, C, B), 8.0)], {(A, C): 10.0, (C, B): 10.0}, size_bytes=4 * 10**9)


def _transfer(plan: Plan, chunks: int, each_s: float, *, rate_scale: float = 1.0) -> EventWriter:
    """`chunks` of 1 GB one after the other, each crossing every hop of lane 0 in `each_s`."""
    writer = EventWriter("run")
    writer.add(
        Event.RUN_STARTED,
        0.0,
        detail={"clock": "sim", "rate_scale": rate_scale, "size_scale": 1.0, "size_bytes": 0},
    )
    for chunk in range(chunks):
        about: dict[str, Any] = {"object": 0, "chunk": chunk, "path": 0, "bytes": 10**9}
        end_s = 5.0 + (chunk + 1) * each_s
        writer.add(Event.CHUNK_READ, end_s - each_s, **about)
        for hop, (src, dst) in enumerate(plan.lanes[0].hops):
            writer.add(Event.CHUNK_RECEIVED, end_s, **about, hop=hop, src=src, dst=dst)
        writer.add(Event.CHUNK_ACKNOWLEDGED, end_s, **about)
    return writer


def test_egress_is_paid_at_every_hop_and_vms_while_bytes_move() -> None:
    """4 GB over two hops at $0.02: $0.16; three VMs at $0.001 a second for 4 s: $0.012."""
    rows = cost_events(RELAYED, _transfer(RELAYED, 4, 1.0).table(), rate_scale=1, size_scale=1)
    assert sum(row.usd for row in rows if row.kind == "egress") == pytest.approx(0.16)
    assert sum(row.usd for row in rows if row.kind == "vm") == pytest.approx(0.012)
    assert {row.region for row in rows if row.kind == "vm"} == {A, B, C}


def test_cost_accrues_by_the_second() -> None:
    rows = cost_events(RELAYED, _transfer(RELAYED, 4, 1.0).table(), rate_scale=1, size_scale=1)
    assert [row.t_s for row in rows if row.kind == "vm" and row.region == A] == [6, 7, 8, 9]
    assert [row.usd for row in rows if (row.src, row.dst) == (C, B)] == pytest.approx([0.02] * 4)


def test_a_long_run_has_few_intervals_and_the_same_total() -> None:
    table = _transfer(RELAYED, 4, 1000.3).table()
    rows = cost_events(RELAYED, table, rate_scale=1, size_scale=1)
    assert len({row.t_s for row in rows}) <= MOST_INTERVALS
    assert sum(row.usd for row in rows if row.kind == "vm") == pytest.approx(4001.2 * 0.003)
    assert max(row.t_s for row in rows) == table["t_s"].max()


def test_a_scaled_run_is_billed_as_the_real_one() -> None:
    """At half the rate, two wall seconds are one real second."""
    writer = _transfer(RELAYED, 4, 1.0, rate_scale=0.5)
    add_costs(writer, RELAYED, 0.5, 1.0)
    result = outcome(writer.table())
    assert result.vm_usd == pytest.approx(0.006)
    assert result.egress_usd == pytest.approx(0.16)


def test_nothing_read_costs_nothing() -> None:
    table = _transfer(RELAYED, 0, 1.0).table()
    assert cost_events(RELAYED, table, rate_scale=1, size_scale=1) == []


def test_a_run_that_broke_off_is_billed_to_the_last_byte() -> None:
    table = _transfer(RELAYED, 2, 1.0).table()
    broken = table[table["event"] != Event.CHUNK_ACKNOWLEDGED.value]
    rows = cost_events(RELAYED, broken, rate_scale=1, size_scale=1)
    assert sum(row.usd for row in rows if row.kind == "vm") == pytest.approx(0.006)


def test_a_chunk_sent_twice_is_paid_twice() -> None:
    writer = _transfer(RELAYED, 1, 1.0)
    src, dst = RELAYED.lanes[0].hops[0]
    writer.add(Event.CHUNK_RECEIVED, 5.5, hop=0, src=src, dst=dst, bytes=10**9)
    rows = cost_events(RELAYED, writer.table(), rate_scale=1, size_scale=1)
    assert sum(row.usd for row in rows if (row.src, row.dst) == (A, C)) == pytest.approx(0.04)
