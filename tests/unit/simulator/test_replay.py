"""A Run's events as a World: the same plan takes as long again, whatever the Run's scale."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import DataError, InputError, UnsupportedJob
from datasets.events import Event
from datasets.outcome import outcome
from planner.plan import Plan, Tree, TreeLane
from simulator.assumptions import GatewayLoss, LinkChange, Noise, fixed_provisioning
from simulator.replay import Replayed, replay_folder, world_of_run
from simulator.simulate import history_of, simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, D, plan_of

LINKS = {(A, B): 5.0, (A, C): 9.6, (C, B): 9.0, (A, D): 5.0, (D, B): 5.0}
PATHS = [((A, B), 2.0), ((A, C, B), 3.0), ((A, D, B), 1.0)]
PLAN = plan_of(PATHS, LINKS, size_bytes=10**11)
REAL = World(provisioning=fixed_provisioning(1.0))
LOCAL = replace(REAL, rate_scale=0.1, size_scale=0.01, connections_per_hop=2, chunk_bytes=2**18)
DIP = (
    LinkChange(at_s=33.0, src=A, dst=C, gbps=1.2),
    LinkChange(at_s=71.0, src=A, dst=C, gbps=9.6),
)
OUTAGE = (replace(DIP[0], gbps=0.0), DIP[1])


def run_of(plan: Plan, world: World, *, hide: tuple[Event, ...] = ()) -> pd.DataFrame:
    """The events of a Run, without those of some words."""
    events = simulate(plan, world)
    kept = ~events["event"].isin([event.value for event in hide])
    rows: pd.DataFrame = events[kept].reset_index(drop=True)
    return rows


def replayed(plan: Plan, events: pd.DataFrame, base: World = REAL, **more: Any) -> Replayed:
    return world_of_run(plan, events, outcome(events), base, **more)


def makespan_s(plan: Plan, world: World) -> float:
    return history_of(plan, world).outcome().makespan_s


def again(plan: Plan, events: pd.DataFrame, base: World = REAL) -> float:
    """The replayed makespan over that of the Run."""
    return makespan_s(plan, replayed(plan, events, base).world) / outcome(events).makespan_s


@pytest.mark.parametrize(
    ("recorded", "simulated", "vms"),
    [(REAL, LOCAL, 1), (LOCAL, LOCAL, 2), (LOCAL, REAL, 2)],
    ids=["real_as_scaled", "scaled_as_scaled", "scaled_as_real"],
)
@pytest.mark.parametrize(
    "world",
    [
        {},
        {"link_changes": (LinkChange(at_s=20.0, src=A, dst=D, gbps=0.5),)},
        {"link_changes": DIP},
        {"noise": Noise(sigma=0.5, correlation_s=20.0)},
        {"losses": (GatewayLoss(at_s=40.0, gateway=f"{C}#0"),)},
        {"losses": (GatewayLoss(at_s=40.0, gateway=f"{C}#0", notice_s=10.0),)},
        {"link_changes": OUTAGE},
    ],
    ids=["plain", "slow", "dip", "noise", "loss", "reclaim", "outage"],
)
def test_the_same_plan_takes_as_long_again(
    vms: int, recorded: World, simulated: World, world: dict[str, Any]
) -> None:
    """With the changes of links told by the table, and found without."""
    plan = plan_of(PATHS, LINKS, size_bytes=10**11, vms_each=vms)
    for hide in ((), (Event.LINK_CHANGED,)):
        events = run_of(plan, replace(recorded, **world), hide=hide)
        assert again(plan, events, simulated) == pytest.approx(1.0, abs=0.012)


@settings(max_examples=15, deadline=None)
@given(
    at_s=st.floats(5.0, 90.0),
    lasts_s=st.floats(10.0, 200.0),
    gbps=st.floats(0.3, 4.0),
    link=st.sampled_from(sorted(LINKS)),
)
def test_any_dip_of_any_link_is_found(
    at_s: float, lasts_s: float, gbps: float, link: tuple[str, str]
) -> None:
    changes = (
        LinkChange(at_s=at_s, src=link[0], dst=link[1], gbps=gbps),
        LinkChange(at_s=at_s + lasts_s, src=link[0], dst=link[1], gbps=LINKS[link]),
    )
    events = run_of(PLAN, replace(LOCAL, link_changes=changes), hide=(Event.LINK_CHANGED,))
    assert again(PLAN, events, LOCAL) == pytest.approx(1.0, abs=0.02)


def test_an_unpaced_run_is_compared_with_what_links_carry() -> None:
    plan = plan_of(PATHS, LINKS, size_bytes=10**11, connections=64)
    world = replace(LOCAL, work_conserving=True, link_changes=DIP)
    events = run_of(plan, world, hide=(Event.LINK_CHANGED,))
    found = replayed(plan, events, replace(LOCAL, work_conserving=True), paced=False)
    assert makespan_s(plan, found.world) == pytest.approx(outcome(events).makespan_s, rel=0.02)


def test_changes_that_the_table_names_are_taken_over_exactly() -> None:
    found = replayed(PLAN, run_of(PLAN, replace(LOCAL, link_changes=DIP)))
    assert [(c.src, c.dst, c.gbps) for c in found.world.link_changes] == [
        (A, C, 1.2),
        (A, C, None),
    ]
    assert [c.at_s for c in found.world.link_changes] == pytest.approx([33.0, 71.0])
    assert not any(link.is_short for link in found.links if (link.src, link.dst) != (A, C))


def test_losses_and_waits_are_taken_over_exactly() -> None:
    world = replace(
        LOCAL,
        provisioning=fixed_provisioning(7.0),
        losses=(GatewayLoss(at_s=40.0, gateway=f"{C}#0", notice_s=10.0),),
    )
    found = replayed(PLAN, run_of(PLAN, world))
    (loss,) = found.losses
    assert loss.gateway == f"{C}#0"
    assert (loss.at_s, loss.notice_s) == pytest.approx((40.0, 10.0))
    assert found.provisioning.by_gateway[f"{A}#0"] == pytest.approx(7.0)
    assert found.provisioning.delay_s(f"{A}#5", seed=0) == pytest.approx(7.0, rel=0.5)


def test_a_link_that_carried_another_lane_in_full_is_not_blamed() -> None:
    """A to C is crossed by both relayed paths; only the second one's last link is slow."""
    links = {(A, C): 9.6, (C, B): 9.0, (C, D): 9.0, (D, B): 5.0}
    plan = plan_of([((A, C, B), 3.0), ((A, C, D, B), 2.0)], links, size_bytes=10**11)
    slow = (LinkChange(at_s=0.0, src=D, dst=B, gbps=1.0),)
    events = run_of(plan, replace(LOCAL, link_changes=slow), hide=(Event.LINK_CHANGED,))
    found = replayed(plan, events)
    short = {(link.src, link.dst) for link in found.links if link.is_short}
    assert short == {(C, D), (D, B)}
    assert any("is not told" in note for note in found.notes)


def test_another_plan_takes_what_it_shares_and_its_own_figures_for_the_rest() -> None:
    events = run_of(PLAN, replace(LOCAL, link_changes=DIP), hide=(Event.LINK_CHANGED,))
    found = replayed(PLAN, events)
    other = plan_of([((A, C, D), 3.0)], {(A, C): 9.6, (C, D): 7.0}, size_bytes=10**11)
    world = found.world_for(other)
    assert {(change.src, change.dst) for change in world.link_changes} == {(A, C)}
    # 38 s at 1.2 Gbit/s instead of 3.
    assert makespan_s(other, world) - makespan_s(other, REAL) == pytest.approx(22.8, rel=0.02)
    (unseen,) = (note for note in found.notes_for(other) if "says nothing" in note)
    assert f"{C} to {D}" in unseen
    assert f"{A} to {C}" not in unseen


def test_a_loss_that_another_plan_does_not_use_is_said_and_left_out() -> None:
    lost = (GatewayLoss(at_s=40.0, gateway=f"{C}#0"),)
    found = replayed(PLAN, run_of(PLAN, replace(LOCAL, losses=lost)))
    direct = plan_of([((A, B), 2.0)], {(A, B): 5.0})
    assert found.world_for(direct).losses == ()
    assert any("does not use what was lost" in note for note in found.notes_for(direct))


def test_what_was_seen_is_data() -> None:
    told: Any = replayed(PLAN, run_of(PLAN, replace(LOCAL, link_changes=DIP))).as_json()
    assert set(told) == {"links", "losses", "provisioning", "notes"}
    assert any("paced" in note for note in told["notes"])


def test_an_empty_run_a_tree_and_several_jobs_are_refused(tmp_path: Any) -> None:
    events = run_of(PLAN, LOCAL)
    started = events[events["event"] == Event.RUN_STARTED.value].reset_index(drop=True)
    with pytest.raises(InputError, match="Nothing arrived"):
        replayed(PLAN, started)
    with pytest.raises(InputError, match="Several Jobs"):
        replayed(PLAN, events.assign(job=1))
    tree = replace(
        PLAN,
        trees=(Tree(source=A, edges=((A, B),), gbps=1.0, share=1.0),),
        tree_lanes=(
            TreeLane(tree=0, edges=((f"{A}#0", f"{B}#0"),), connections=(1,), gbps=1.0, share=1.0),
        ),
    )
    with pytest.raises(UnsupportedJob, match="Replaying"):
        replayed(tree, events)
    with pytest.raises(DataError, match="not a run's folder"):
        replay_folder(tmp_path, REAL)
