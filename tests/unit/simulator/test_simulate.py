from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from datasets.errors import InputError
from datasets.events import Event, canonical_bytes
from datasets.outcome import outcome
from planner.plan import Plan
from simulator.assumptions import LinkChange, fixed_provisioning
from simulator.simulate import run_id_of, simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, D, plan_of, seconds, vm

GB = 10**9
FEW = World(chunk_bytes=GB // 100, connections_per_hop=1, provisioning=fixed_provisioning(30.0))
DIRECT = plan_of([((A, B), 4.0)], {(A, B): 5.0})
TWO_PATHS = plan_of(
    [((A, B), 2.5), ((A, C, B), 3.0)],
    {(A, B): 5.0, (A, C): 9.6, (C, B): 6.0},
    size_bytes=100 * GB,
)


def _makespan_s(plan: Plan, world: World) -> float:
    return outcome(simulate(plan, world)).makespan_s


def _of(events: pd.DataFrame, event: Event) -> pd.DataFrame:
    rows: pd.DataFrame = events[events["event"] == event.value]
    return rows


def test_one_lane_takes_size_over_rate() -> None:
    assert _makespan_s(DIRECT, FEW) == pytest.approx(seconds(10 * GB, 4.0), rel=1e-9)


def test_planned_connections_carry_the_planned_rate() -> None:
    """52 connections of 5/64 each could carry 4.06; the lane is paced at 4. 1,040 chunks fit."""
    world = replace(FEW, chunk_bytes=10 * GB // 1040, connections_per_hop=None)
    assert _makespan_s(DIRECT, world) == pytest.approx(seconds(10 * GB, 4.0), rel=2e-3)


def test_a_connection_carries_no_more_than_its_share_of_a_link() -> None:
    """One chunk of 10 GB on one of 64 connections over a link of 5: 5/64 Gbit/s."""
    world = replace(FEW, chunk_bytes=10 * GB, connections_per_hop=None)
    assert _makespan_s(DIRECT, world) == pytest.approx(seconds(10 * GB, 5 / 64))


def test_two_lanes_share_a_vm_cap() -> None:
    """Paced at 3 each, the source's egress is 4: 2 each, and then all is through together."""
    narrow = {A: vm(egress_gbps=4.0)}
    plan = plan_of([((A, B), 3.0), ((A, C, B), 3.0)], {(A, B): 9, (A, C): 9, (C, B): 9}, vms=narrow)
    assert _makespan_s(plan, FEW) == pytest.approx(seconds(10 * GB, 4.0), rel=1e-9)


def test_public_egress_counts_only_towards_other_clouds() -> None:
    narrow = {A: vm(egress_public_gbps=2.0)}
    within = plan_of([((A, C), 3.0)], {(A, C): 9.0}, vms=narrow)
    across = plan_of([((A, B), 3.0)], {(A, B): 9.0}, vms=narrow)
    assert _makespan_s(within, FEW) == pytest.approx(seconds(10 * GB, 3.0))
    assert _makespan_s(across, FEW) == pytest.approx(seconds(10 * GB, 2.0))


def test_links_share_a_vms_time_when_work_is_conserved() -> None:
    """Links of 10 and 5 out of one VM: r/10 + r/5 = 1, r = 10/3 each."""
    plan = plan_of(
        [((A, B), 1.0), ((A, C, B), 1.0)],
        {(A, B): 10.0, (A, C): 5.0, (C, B): 100.0},
        connections=64,
    )
    world = replace(FEW, work_conserving=True)
    assert _makespan_s(plan, world) == pytest.approx(seconds(10 * GB, 20 / 3), rel=5e-3)


def test_work_conserving_lifts_the_planned_caps() -> None:
    plan = plan_of([((A, B), 1.0)], {(A, B): 5.0}, connections=64)
    assert _makespan_s(plan, FEW) == pytest.approx(80.0)
    assert _makespan_s(plan, replace(FEW, work_conserving=True)) == pytest.approx(16.0)


def test_a_long_plan_is_simulated_as_predicted() -> None:
    for world in (World(), World(dispatch="static")):
        result = outcome(simulate(TWO_PATHS, world))
        promised = TWO_PATHS.predicted
        assert result.makespan_s == pytest.approx(promised.makespan_s, rel=0.02)
        assert result.egress_usd == pytest.approx(promised.cost_usd.egress, rel=1e-3)
        assert result.vm_usd == pytest.approx(promised.cost_usd.vm, rel=0.02)


def test_dynamic_dispatch_beats_static_when_a_link_is_slower_than_planned() -> None:
    """Two lanes of 4; one falls to 1. Static: its 5 GB at 1. Dynamic: 10 GB at 5 together."""
    links = {(A, B): 8.0, (A, C): 8.0, (C, D): 8.0, (D, B): 8.0}
    plan = plan_of([((A, B), 4.0), ((A, C, D, B), 4.0)], links)
    slow = replace(FEW, link_changes=(LinkChange(at_s=0.0, src=C, dst=D, gbps=1.0),))
    static = _makespan_s(plan, replace(slow, dispatch="static"))
    assert static == pytest.approx(seconds(5 * GB, 1.0), rel=1e-6)
    assert _makespan_s(plan, slow) == pytest.approx(seconds(10 * GB, 5.0), rel=0.05)


def test_a_link_change_takes_effect_when_it_happens() -> None:
    """10 GB at 4 Gbit/s; after 10 s (5 GB) the link carries 2: 20 s more."""
    world = replace(FEW, link_changes=(LinkChange(at_s=10.0, src=A, dst=B, gbps=2.0),))
    events = simulate(DIRECT, world)
    assert outcome(events).makespan_s == pytest.approx(30.0)
    assert _of(events, Event.LINK_CHANGED)["t_s"].tolist() == [40.0]


def test_a_slow_link_does_not_hold_up_its_neighbour() -> None:
    """Two lanes of 4 out of one VM; one link falls to 1: together 5, not the VM's time shared."""
    plan = plan_of([((A, B), 4.0), ((A, C, B), 4.0)], {(A, B): 8.0, (A, C): 8.0, (C, B): 8.0})
    slow = replace(FEW, link_changes=(LinkChange(at_s=0.0, src=A, dst=C, gbps=1.0),))
    assert _makespan_s(plan, slow) == pytest.approx(seconds(10 * GB, 5.0), rel=0.05)


def test_an_unknown_link_cannot_change() -> None:
    with pytest.raises(InputError, match="no link"):
        simulate(DIRECT, World(link_changes=(LinkChange(at_s=0.0, src=A, dst=D, gbps=1.0),)))


def test_the_transfer_waits_for_the_last_gateway() -> None:
    events = simulate(DIRECT, FEW)
    assert _of(events, Event.GATEWAY_READY)["t_s"].tolist() == [30.0, 30.0]
    assert _of(events, Event.CHUNK_READ)["t_s"].min() == 30.0


def test_a_folder_of_objects_each_verified_once() -> None:
    world = replace(FEW, objects=(3 * GB, 0, GB + 1))
    events = simulate(DIRECT, world)
    verified = _of(events, Event.OBJECT_VERIFIED).sort_values("object")
    assert verified["bytes"].tolist() == [3 * GB, 0, GB + 1]
    last_s = _of(events, Event.CHUNK_VERIFIED).groupby("object")["t_s"].max()
    assert verified["t_s"].tolist() == [last_s[0], 30.0, last_s[2]]


def test_only_empty_objects() -> None:
    result = outcome(simulate(DIRECT, replace(FEW, objects=(0, 0))))
    assert (result.ok, result.makespan_s, result.objects_verified) == (True, 0.0, 2)


def test_each_chunk_goes_through_its_life_in_order() -> None:
    events = simulate(TWO_PATHS, FEW)
    order = [
        Event.CHUNK_READ,
        Event.CHUNK_SENT,
        Event.CHUNK_RECEIVED,
        Event.CHUNK_VERIFIED,
        Event.CHUNK_ACKNOWLEDGED,
    ]
    for chunk in (0, 500, 9999):
        rows = events[events["chunk"] == chunk]
        hops = len(TWO_PATHS.lanes[rows["path"].iloc[0]].hops)
        expected = [e for e in order for _ in range(hops if e is Event.CHUNK_RECEIVED else 1)]
        assert rows["event"].tolist() == [event.value for event in expected]
    assert events["event"].iloc[0] == Event.RUN_STARTED.value
    assert events["event"].iloc[-1] == Event.RUN_ENDED.value


def test_every_connection_of_a_hop_is_opened() -> None:
    opened = _of(simulate(TWO_PATHS, World()), Event.CONNECTION_OPEN)
    counts = opened.groupby(["path", "hop"]).size()
    for at, lane in enumerate(TWO_PATHS.lanes):
        for hop, connections in enumerate(lane.connections):
            assert counts[at, hop] == connections


def test_same_seed_same_bytes_other_seed_other_provisioning() -> None:
    once, again = (canonical_bytes(simulate(DIRECT, World(seed=7))) for _ in range(2))
    assert once == again
    assert canonical_bytes(simulate(DIRECT, World(seed=8))) != once
    assert run_id_of(DIRECT, World(seed=7)) != run_id_of(DIRECT, World(seed=8))


def test_large_transfers_have_larger_chunks() -> None:
    assert World().chunk_size(DIRECT.job) == 8 * 2**20
    assert World().chunk_size(DIRECT.job.resized(10**12)) == 16 * 2**20
    assert World(size_scale=0.5).chunk_size(DIRECT.job.resized(10**12)) == 8 * 2**20


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_scale": 0.0},
        {"size_scale": float("nan")},
        {"chunk_bytes": 0},
        {"connections_per_hop": 0},
        {"objects": (-1,)},
        {"seed": -1},
        {"dispatch": "eager"},
    ],
)
def test_a_world_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        World(**wrong)  # type: ignore[arg-type]


def test_a_link_change_or_provisioning_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError):
        LinkChange(at_s=-1.0, src=A, dst=B, gbps=1.0)
    with pytest.raises(InputError):
        fixed_provisioning(-3.0)
