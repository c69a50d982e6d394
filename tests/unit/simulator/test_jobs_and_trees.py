"""Several Jobs at once, and plans of trees."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from datasets.events import canonical_bytes
from datasets.outcome import Outcome, outcome
from planner.job import Job
from planner.plan import Flow, Plan, Tree, TreeLane
from simulator.assumptions import (
    RELAYS,
    LinkChange,
    Noise,
    Ramp,
    Relays,
    Store,
    Stragglers,
    fixed_provisioning,
)
from simulator.simulate import history_of, simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, D, plan_of, vm
from tests.tiny_worlds import FEW, GB, MB, TWO, lose, result_of

# --- Several Jobs, trees.


def test_two_jobs_share_the_gateways_they_have_in_common() -> None:
    """Out of one VM of 4 Gbit/s: 2 each while both move, and the VM is paid once."""
    narrow = {A: vm(egress_gbps=4.0)}
    one = plan_of([((A, B), 4.0)], {(A, B): 50.0}, vms=narrow)
    two = plan_of([((A, C), 4.0)], {(A, C): 50.0}, vms=narrow)
    events = simulate([one, two], FEW)
    assert outcome(events).makespan_s == pytest.approx(40.0, rel=1e-3)
    assert outcome(events).vm_usd == pytest.approx(0.001 * 3 * 40.0, rel=1e-3)
    assert set(events.loc[events["event"] == "chunk_read", "job"]) == {0, 1}


def test_a_job_that_starts_later_finds_the_vm_busy() -> None:
    """Alone for 10 s (5 GB), then 2 each for 20 s (the first's other 5 GB), then 4 again."""
    narrow = {A: vm(egress_gbps=4.0)}
    one = plan_of([((A, B), 4.0)], {(A, B): 50.0}, vms=narrow)
    two = plan_of([((A, C), 4.0)], {(A, C): 50.0}, vms=narrow)
    history = history_of([one, two], replace(FEW, starts_s=(0.0, 10.0)))
    assert history.makespan_of(0) == pytest.approx(30.0, rel=1e-3)
    assert history.makespan_of(1) == pytest.approx(30.0, rel=1e-3)


# --- Trees.

# A to C, and from C on to B and to D: 10 GB at 2 Gbit/s to each of the three.
TREE = Tree(source=A, edges=((A, C), (C, B), (C, D)), gbps=2.0, share=1.0)


def tree_plan(size_bytes: int = 10 * GB) -> Plan:
    flat = plan_of([((A, C, B), 2.0), ((A, C, D), 2.0)], {(A, C): 8.0, (C, B): 8.0, (C, D): 4.0})
    job = Job(source=A, destinations=(B, C, D), size_bytes=size_bytes, goal_gbps=2.0)
    flows = tuple(Flow(src=src, dst=dst, gbps=2.0) for src, dst in TREE.edges)
    lane = TreeLane(
        tree=0,
        edges=tuple((f"{src}#0", f"{dst}#0") for src, dst in TREE.edges),
        connections=(16, 16, 32),
        gbps=2.0,
        share=1.0,
    )
    return replace(
        flat, job=job, flows=flows, paths=(), lanes=(), trees=(TREE,), tree_lanes=(lane,)
    )


@pytest.mark.parametrize("relays", RELAYS)
def test_a_tree_brings_every_chunk_to_every_destination(relays: Relays) -> None:
    events = simulate(tree_plan(), replace(FEW, relays=relays))
    result = outcome(events)
    stored_s = 0.04 if relays == "store_and_forward" else 0.0
    assert result.makespan_s == pytest.approx(40.0 + stored_s)
    assert (result.ok, result.size_bytes, result.chunks) == (True, 10 * GB, 1000)
    verified = events[events["event"] == "chunk_verified"].groupby("gateway")["bytes"].sum()
    assert verified.to_dict() == {f"{region}#0": 10 * GB for region in (B, C, D)}
    # Each edge is paid once: 30 GB at $0.02.
    assert result.egress_usd == pytest.approx(0.6)


def test_a_slow_branch_does_not_hold_up_the_other_while_there_is_room() -> None:
    """C to D falls to 1 Gbit/s: B has all after 40 s where relays store, after 80 s where not."""
    slow = (LinkChange(at_s=0.0, src=C, dst=D, gbps=1.0),)
    done = {}
    for relays in RELAYS:
        events = simulate(tree_plan(), replace(FEW, relays=relays, link_changes=slow))
        rows = events[events["event"] == "chunk_verified"]
        done[relays] = rows.groupby("gateway")["t_s"].max().to_dict()
    assert done["cut_through"][f"{B}#0"] == pytest.approx(80.0)
    assert done["store_and_forward"][f"{B}#0"] == pytest.approx(40.04)
    assert done["store_and_forward"][f"{D}#0"] == pytest.approx(80.04)


def test_sources_of_many_to_one_each_move_their_own() -> None:
    plan = tree_plan()
    job = replace(plan.job, more_sources=(D,), destinations=(C,))
    trees = (
        Tree(source=A, edges=((A, C),), gbps=2.0, share=1.0),
        Tree(source=D, edges=((D, C),), gbps=2.0, share=1.0),
    )
    lanes = tuple(
        TreeLane(tree=at, edges=((f"{src}#0", f"{C}#0"),), connections=(16,), gbps=2.0, share=1.0)
        for at, src in enumerate((A, D))
    )
    links = (*plan.links, replace(plan.link(A, C), src=D))
    many = replace(plan, job=job, trees=trees, tree_lanes=lanes, links=links)
    events = simulate(many, FEW)
    assert outcome(events).makespan_s == pytest.approx(40.0)
    assert outcome(events).size_bytes == 20 * GB
    read = events[events["event"] == "chunk_read"].groupby("gateway")["object"].unique()
    assert {gateway: objects.tolist() for gateway, objects in read.items()} == {
        f"{A}#0": [0],
        f"{D}#0": [1],
    }


@pytest.mark.parametrize("relays", RELAYS)
def test_a_tree_that_loses_its_relay_fails_or_waits_for_another(relays: Relays) -> None:
    world = replace(FEW, losses=lose(), relays=relays)
    assert not result_of(tree_plan(), world).ok
    again = replace(world, recovery="replace", provisioning=fixed_provisioning(3.0))
    result = result_of(tree_plan(), again)
    assert result.ok
    assert result.makespan_s == pytest.approx(44.0, rel=5e-3)


def test_the_same_world_gives_the_same_bytes() -> None:
    world = World(
        seed=9,
        chunk_bytes=50 * MB,
        noise=Noise(sigma=0.3, correlation_s=3.0),
        stragglers=Stragglers(slow_share=0.1),
        ramp=Ramp(rtts=2.0),
        losses=lose(3.0),
        relays="store_and_forward",
    )
    once, again = (canonical_bytes(simulate(TWO, world)) for _ in range(2))
    assert once == again


def test_the_record_and_the_table_have_one_outcome() -> None:
    for world in (
        FEW,
        replace(FEW, losses=lose(), store=Store(), least_vm_billing=True),
        replace(FEW, rate_scale=0.25, size_scale=0.5, chunk_bytes=5 * MB),
    ):
        quick, told = history_of(TWO, world).outcome(), outcome(simulate(TWO, world))
        for name in fields(Outcome):
            one, other = getattr(quick, name.name), getattr(told, name.name)
            assert one == (pytest.approx(other, rel=1e-9) if name.type == "float" else other), name
