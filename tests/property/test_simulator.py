"""The simulator against what must hold for any plan: conservation, determinism, scale, monotony."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.events import Event, canonical_bytes
from datasets.outcome import outcome
from planner.plan import Plan
from simulator.assumptions import fixed_provisioning
from simulator.fluid import max_min_rates
from simulator.simulate import simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, D, plan_of

MB = 10**6
RATES = st.floats(min_value=0.5, max_value=10.0)
SETTINGS = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """One to three paths that fit their links, one or two VMs a region."""
    routes = [(A, B), (A, C, B), (A, D, C, B)][: draw(st.integers(1, 3))]
    links = {
        pair: draw(RATES)
        for pair in ((A, B), (A, C), (C, B), (A, D), (D, C))
        if any(pair in itertools.pairwise(route) for route in routes)
    }
    vms = draw(st.integers(1, 2))
    return plan_of(
        [
            (route, vms * min(links[pair] for pair in itertools.pairwise(route)) / 4)
            for route in routes
        ],
        links,
        size_bytes=draw(st.integers(1, 4000)) * MB,
        vms_each=vms,
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    return World(
        seed=draw(st.integers(0, 9)),
        chunk_bytes=draw(st.sampled_from([7 * MB, 50 * MB])),
        connections_per_hop=draw(st.sampled_from([None, 1, 3])),
        work_conserving=draw(st.booleans()),
        dispatch=draw(st.sampled_from(["dynamic", "static"])),
        provisioning=fixed_provisioning(5.0),
    )


@SETTINGS
@given(plans(), worlds())
def test_every_byte_crosses_every_hop_of_its_lane(plan: Plan, world: World) -> None:
    events = simulate(plan, world)
    size = plan.job.size_bytes
    for event in (Event.CHUNK_READ, Event.CHUNK_SENT, Event.CHUNK_VERIFIED):
        assert events.loc[events["event"] == event.value, "bytes"].sum() == size
    sent = events[events["event"] == Event.CHUNK_SENT.value].groupby("path")["bytes"].sum()
    received = events[events["event"] == Event.CHUNK_RECEIVED.value]
    for (path, _), moved in received.groupby(["path", "hop"])["bytes"].sum().items():
        assert moved == sent[path]
    assert outcome(events).ok


@SETTINGS
@given(plans(), worlds())
def test_the_same_input_gives_the_same_bytes(plan: Plan, world: World) -> None:
    assert canonical_bytes(simulate(plan, world)) == canonical_bytes(simulate(plan, world))


@SETTINGS
@given(plans(), worlds(), st.sampled_from([0.25, 3.0]), st.sampled_from([0.5, 2.0]))
def test_a_scaled_run_has_the_same_real_outcome(
    plan: Plan, world: World, rate_scale: float, size_scale: float
) -> None:
    assert world.chunk_bytes is not None
    scaled = replace(
        world,
        rate_scale=rate_scale,
        size_scale=size_scale,
        chunk_bytes=round(world.chunk_bytes * size_scale),
    )
    real, local = outcome(simulate(plan, world)), outcome(simulate(plan, scaled))
    assert local.makespan_s == pytest.approx(real.makespan_s, rel=1e-6)
    assert local.wall_s == pytest.approx(real.makespan_s * size_scale / rate_scale, rel=1e-6)
    assert local.egress_usd == pytest.approx(real.egress_usd, rel=1e-6)
    assert local.vm_usd == pytest.approx(real.vm_usd, rel=1e-6)


@SETTINGS
@given(plans(), worlds())
def test_no_faster_than_the_lanes_and_at_most_a_chunk_of_the_slowest_later(
    plan: Plan, world: World
) -> None:
    """The fluid bound, and with planned rates as caps the tail's: one slowest chunk more."""
    paced = replace(world, work_conserving=False, dispatch="dynamic", connections_per_hop=1)
    makespan_s = outcome(simulate(plan, paced)).makespan_s
    assert world.chunk_bytes is not None
    slowest_s = world.chunk_bytes * 8e-9 / min(lane.gbps for lane in plan.lanes)
    assert makespan_s >= plan.predicted.makespan_s * (1 - 1e-6)
    assert makespan_s <= plan.predicted.makespan_s + slowest_s * (1 + 1e-6)


@SETTINGS
@given(plans(), worlds(), st.floats(min_value=1.0, max_value=3.0))
def test_more_capacity_never_finishes_later(plan: Plan, world: World, factor: float) -> None:
    """Every link, lane and cap `factor` times as large: all scales, so exactly that much faster."""
    larger = replace(
        plan,
        lanes=tuple(replace(lane, gbps=lane.gbps * factor) for lane in plan.lanes),
        links=tuple(replace(link, gbps=link.gbps * factor) for link in plan.links),
        regions=tuple(
            replace(
                region,
                vm=replace(
                    region.vm,
                    egress_gbps=region.vm.egress_gbps * factor,
                    egress_public_gbps=region.vm.egress_public_gbps * factor,
                    ingress_gbps=region.vm.ingress_gbps * factor,
                ),
            )
            for region in plan.regions
        ),
    )
    before, after = (outcome(simulate(each, world)).makespan_s for each in (plan, larger))
    assert after == pytest.approx(before / factor, rel=1e-6)


@SETTINGS
@given(st.integers(0, 10**6))
def test_rates_are_max_min_fair(seed: int) -> None:
    """Nobody is over; whoever is below its ceiling is at most equalled on a full resource."""
    rng = np.random.default_rng(seed)
    resources, cohorts = int(rng.integers(1, 6)), int(rng.integers(1, 7))
    usage = rng.uniform(0.1, 2.0, (resources, cohorts)) * (rng.random((resources, cohorts)) < 0.6)
    capacity = rng.uniform(1.0, 10.0, resources)
    ceiling = rng.uniform(0.1, 5.0, cohorts)
    count = rng.integers(0, 5, cohorts).astype(float)
    rates = max_min_rates(usage, capacity, ceiling, count)
    load = usage @ (rates * count)
    assert (load <= capacity * (1 + 1e-9)).all()
    assert (rates[count == 0] == 0).all()
    full = load >= capacity * (1 - 1e-9)
    for at in np.flatnonzero((count > 0) & (rates < ceiling * (1 - 1e-9))):
        shared = full & (usage[:, at] > 0)
        others = (usage[shared] > 0) & (count > 0)
        assert any(rates[at] >= rates[row].max() * (1 - 1e-9) for row in others)
