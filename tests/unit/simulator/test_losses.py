"""Relays that store or hold little, links that stop, VMs that die: on plans to reckon by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datasets.errors import InputError, NeverEnds
from datasets.events import Event
from datasets.outcome import outcome
from planner.dispatch import Dispatch
from planner.plan import Plan
from simulator.account import History
from simulator.assumptions import (
    RELAYS,
    GatewayLoss,
    LinkChange,
    Relays,
    fixed_provisioning,
)
from simulator.simulate import history_of, simulate
from tests.tiny_plans import A, B, C, D, plan_of, seconds
from tests.tiny_worlds import DIRECT, FEW, GB, MB, RELAYED, TWO, lose, makespan_s, result_of

# --- Relays.


def test_storing_relays_take_a_chunk_longer() -> None:
    """1000 chunks of 20 ms over two hops one after the other: one chunk's time more."""
    stored = replace(FEW, relays="store_and_forward")
    assert makespan_s(RELAYED, stored) == pytest.approx(20.02)
    assert makespan_s(DIRECT, stored) == pytest.approx(20.0)


def test_a_full_buffer_holds_the_sender_up() -> None:
    """The second hop falls to 2 Gbit/s: the first may be ahead by what the relay holds."""
    slow = LinkChange(at_s=0.0, src=C, dst=B, gbps=2.0)
    world = replace(FEW, relays="store_and_forward", link_changes=(slow,))
    # Room for one chunk only: the hops take turns, 20 ms and 40 ms a chunk.
    for chunks, expected_s in ((1, 60.0), (3, 40.02), (50, 40.02)):
        history = history_of(RELAYED, replace(world, relay_buffer_bytes=chunks * 10 * MB))
        assert history.makespan_s == pytest.approx(expected_s)
        assert most_held(history) == chunks
    assert most_held(history_of(RELAYED, world)) > 400


def most_held(history: History) -> int:
    """The most chunks that a relay held at once: taken towards it, and not through."""
    steps = [(span.t_s, span.chunks) for span in history.record.began]
    steps += [(hop.t_s, -hop.chunks) for hop in history.record.received if hop.edges == (1,)]
    held = most = 0
    for _, change in sorted(steps):
        held += change
        most = max(most, held)
    return most


def test_a_buffer_smooths_an_outage_of_the_second_hop() -> None:
    """The second hop stops for 4 s in between; with a large buffer it then catches up."""
    plan = plan_of([((A, C, B), 4.0)], {(A, C): 5.0, (C, B): 10.0}, size_bytes=10 * GB)
    lanes = tuple(replace(lane, gbps=4.0) for lane in plan.lanes)
    plan = replace(plan, lanes=lanes)
    stop = (
        LinkChange(at_s=5.0, src=C, dst=B, gbps=0.0),
        LinkChange(at_s=9.0, src=C, dst=B, gbps=10.0),
    )
    world = replace(FEW, link_changes=stop, recovery="none")
    assert makespan_s(plan, world) == pytest.approx(24.0)
    held = replace(world, relays="store_and_forward", work_conserving=False)
    assert makespan_s(plan, held) == pytest.approx(24.02, rel=1e-3)


def test_records_make_a_relay_cut_through() -> None:
    """With records of a tenth of a chunk the relay adds a tenth of a chunk's time."""
    world = replace(FEW, relay_buffer_bytes=100 * MB, record_bytes=MB)
    assert makespan_s(RELAYED, world) == pytest.approx(20.002)
    received = history_of(RELAYED, world)
    assert received.outcome().size_bytes == 10 * GB
    assert sum(hop.chunks for hop in received.record.received) == 2000


def test_a_cut_through_relay_holds_no_more_than_its_buffer() -> None:
    """One connection, the second hop at half the rate, room for 3 records of 1 MB."""
    slow = (LinkChange(at_s=0.0, src=C, dst=B, gbps=2.0),)
    world = replace(FEW, relay_buffer_bytes=3 * MB, record_bytes=MB, link_changes=slow)
    assert makespan_s(RELAYED, world) == pytest.approx(40.002)
    tight = replace(world, relay_buffer_bytes=MB)  # the hops take turns, record by record
    assert makespan_s(RELAYED, tight) == pytest.approx(60.0)


def test_a_buffer_that_holds_nothing_is_refused() -> None:
    for relays, what in zip(RELAYS, ("record", "chunk"), strict=True):
        with pytest.raises(InputError, match=f"holds no {what}"):
            simulate(
                RELAYED,
                replace(FEW, relay_buffer_bytes=MB, record_bytes=2 * MB, relays=relays),
            )


# --- Links.


def test_an_outage_hands_its_chunks_to_the_other_lane() -> None:
    """At 4 s of 10 one of two lanes of 4 stops for good: 4 GB are through, 6 GB go at 4."""
    world = replace(FEW, link_changes=(LinkChange(at_s=4.0, src=C, dst=B, gbps=0.0),))
    result = result_of(TWO, world)
    assert result.ok
    assert result.makespan_s == pytest.approx(4.0 + seconds(6 * GB, 4.0), rel=5e-3)
    assert 0 < result.retransmitted_bytes <= 10 * MB


def test_a_link_that_comes_back_is_used_again() -> None:
    """Noticed after 1 s, back after 5: the other lane carries 2.5 GB meanwhile."""
    changes = (
        LinkChange(at_s=4.0, src=C, dst=B, gbps=0.0),
        LinkChange(at_s=9.0, src=C, dst=B, gbps=8.0),
    )
    world = replace(FEW, link_changes=changes)
    assert makespan_s(TWO, world) == pytest.approx(9.0 + seconds(35 * GB // 10, 8.0), rel=5e-3)


def test_a_direct_link_that_stops_for_ever_is_named() -> None:
    for recovery in ("none", "others"):
        world = replace(
            FEW, link_changes=(LinkChange(at_s=4.0, src=A, dst=B, gbps=0.0),), recovery=recovery
        )
        with pytest.raises(NeverEnds, match="never ends"):
            simulate(DIRECT, world)


def test_a_faster_link_takes_less_of_its_vms_time() -> None:
    plan = plan_of(
        [((A, B), 1.0), ((A, C, B), 1.0)],
        {(A, B): 10.0, (A, C): 5.0, (C, B): 100.0},
        connections=64,
    )
    world = replace(FEW, work_conserving=True)
    faster = replace(world, link_changes=(LinkChange(at_s=0.0, src=A, dst=C, gbps=10.0),))
    assert makespan_s(plan, world) == pytest.approx(seconds(10 * GB, 20 / 3), rel=5e-3)
    assert makespan_s(plan, faster) == pytest.approx(seconds(10 * GB, 10.0), rel=5e-3)


# --- Losses.


def test_a_lost_relay_leaves_the_rest_to_the_others() -> None:
    result = result_of(TWO, replace(FEW, losses=lose()))
    assert result.ok
    assert result.makespan_s == pytest.approx(4.0 + seconds(6 * GB, 4.0), rel=5e-3)
    assert 0 < result.retransmitted_bytes <= 10 * MB
    # Its VM is paid for 4 s, the other two throughout.
    assert result.vm_usd == pytest.approx(0.001 * (2 * result.makespan_s + 4.0), rel=1e-6)


def test_without_recovery_the_transfer_fails() -> None:
    events = simulate(TWO, replace(FEW, losses=lose(), recovery="none"))
    result = outcome(events)
    assert not result.ok
    assert result.size_bytes < 10 * GB
    assert result.objects_verified == 0
    assert "was lost" in str(events["detail"].iloc[-1])


def test_a_replaced_relay_carries_on() -> None:
    """Lost at 4 s, noticed at 5, replaced after 3: from 8 s on both carry again."""
    world = replace(FEW, losses=lose(), recovery="replace", provisioning=fixed_provisioning(3.0))
    result = result_of(TWO, world)
    # 4 s at 8, 4 s at 4: 6 GB; the rest at 8.
    assert result.makespan_s == pytest.approx(8.0 + seconds(4 * GB, 8.0), rel=5e-3)


def test_a_notice_saves_what_is_under_way() -> None:
    result = result_of(TWO, replace(FEW, losses=lose(notice_s=2.0)))
    assert result.ok
    assert result.retransmitted_bytes == 0
    assert result.makespan_s == pytest.approx(2.0 + seconds(8 * GB, 4.0), rel=5e-3)


def test_the_only_lane_lost_is_a_failure_told() -> None:
    events = simulate(RELAYED, replace(FEW, losses=lose()))
    assert not outcome(events).ok
    assert "no lane is left" in str(events["detail"].iloc[-1])


def test_what_is_missing_is_planned_anew() -> None:
    """The relay dies at 4 s; D takes its place after 3 s of provisioning."""
    after = plan_of([((A, B), 4.0), ((A, D, B), 4.0)], {(A, B): 8.0, (A, D): 8.0, (D, B): 8.0})
    asked = []

    def replan(plan: Plan, lost: object, missing: int) -> Plan:
        asked.append((lost, missing))
        return after

    world = replace(FEW, losses=lose(), recovery="replan", provisioning=fixed_provisioning(3.0))
    events = simulate(TWO, world, replan=replan)
    assert asked[0][0] == [f"{C}#0"]
    assert asked[0][1] == pytest.approx(5.5 * GB, rel=0.01)
    result = outcome(events)
    assert result.ok
    assert result.makespan_s == pytest.approx(8.0 + seconds(4 * GB, 8.0), rel=1e-2)
    assert (events["event"] == Event.REPLANNED.value).sum() == 1
    late = events[(events["event"] == "chunk_read") & (events["t_s"] > 11.5)]
    assert set(late["path"]) == {2, 3}


def test_replanning_needs_a_planner() -> None:
    with pytest.raises(InputError, match="Matrix"):
        simulate(TWO, replace(FEW, losses=lose(), recovery="replan"))


def test_a_gateway_that_the_plan_has_not_cannot_be_lost() -> None:
    with pytest.raises(InputError, match="no gateway"):
        simulate(TWO, replace(FEW, losses=(GatewayLoss(at_s=1.0, gateway="aws:x-1#0"),)))


@pytest.mark.parametrize("dispatch", ["dynamic", "static"])
@pytest.mark.parametrize("relays", RELAYS)
@pytest.mark.parametrize("at_s", [0.0, 0.013, 3.7, 9.99])
def test_no_byte_is_lost_whenever_a_relay_dies(
    dispatch: Dispatch, relays: Relays, at_s: float
) -> None:
    plan = plan_of(
        [((A, B), 3.0), ((A, C, B), 2.0), ((A, D, C, B), 3.0)],
        {(A, B): 9.0, (A, C): 9.0, (C, B): 9.0, (A, D): 9.0, (D, C): 9.0},
    )
    world = replace(
        FEW,
        connections_per_hop=3,
        dispatch=dispatch,
        relays=relays,
        losses=(GatewayLoss(at_s=at_s, gateway=f"{D}#0"),),
    )
    events = simulate(plan, world)
    result = outcome(events)
    assert result.ok
    assert result.size_bytes == 10 * GB
    assert result.chunks == 1000
    acknowledged = events[events["event"] == "chunk_acknowledged"]
    assert not acknowledged.duplicated(["object", "chunk"]).any()
    assert result.retransmitted_bytes <= (3 if relays == "cut_through" else 40) * 10 * MB
