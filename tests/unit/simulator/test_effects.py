"""Each effect by itself, on plans small enough to reckon by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from datasets.errors import InputError
from datasets.outcome import outcome
from datasets.units import gigabits
from simulator.assumptions import (
    LinkLoss,
    Noise,
    Ramp,
    Store,
    Stragglers,
    fixed_provisioning,
)
from simulator.simulate import history_of, simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, plan_of, seconds, vm
from tests.tiny_worlds import DIRECT, FEW, GB, MB, TWO, makespan_s, result_of

# --- Ramp-up.


@pytest.mark.parametrize("rtts", [0.0, 3.0, 7.6, 10.0])
def test_the_first_five_seconds_receive_what_was_received(rtts: float) -> None:
    """64 connections for 5 s, as the test that was published: capacity and ramp, never both."""
    plan = plan_of([((A, B), 5.0)], {(A, B): 5.0}, size_bytes=5 * GB, connections=64)
    world = World(
        chunk_bytes=MB // 10,
        work_conserving=True,
        ramp=Ramp(rtts=rtts),
        provisioning=fixed_provisioning(0.0),
    )
    history = history_of(plan, world)
    opened_s = history.started_s[0]
    early = sum(hop.chunks for hop in history.record.received if hop.t_s <= opened_s + 5.0)
    assert gigabits(early * MB // 10) / 5.0 == pytest.approx(5.0, rel=5e-3)


def test_a_ramp_delays_the_first_chunk_once() -> None:
    """RTT 100 ms, 5 of them and 0.2 s: 0.7 s on top; planned rates are caps after it."""
    world = replace(FEW, ramp=Ramp(rtts=5.0))
    events = simulate(DIRECT, world)
    assert events.loc[events["event"] == "chunk_read", "t_s"].min() == 0.0
    assert events.loc[events["event"] == "chunk_received", "t_s"].min() == pytest.approx(0.72)
    assert outcome(events).makespan_s == pytest.approx(20.7)


def test_a_ramp_that_fills_the_test_is_refused() -> None:
    with pytest.raises(InputError, match="leaves nothing"):
        simulate(DIRECT, replace(FEW, ramp=Ramp(rtts=60.0)))


def test_capacity_after_the_ramp_is_clipped_at_the_vm_cap() -> None:
    plan = plan_of([((A, B), 4.0)], {(A, B): 4.0}, vms={A: vm(egress_public_gbps=4.1)})
    plan = replace(plan, lanes=(replace(plan.lanes[0], connections=(64,)),))
    world = World(work_conserving=True, ramp=Ramp(rtts=10.0), chunk_bytes=MB)
    assert makespan_s(plan, world) == pytest.approx(1.2 + seconds(10 * GB, 4.1), rel=0.01)


# --- Connections.


def test_saturation_lets_few_connections_carry_more() -> None:
    """16 of 64 connections of a link of 8: 2 Gbit/s linearly, 8·(1/4)^0.5 = 4 with a = 0.5."""
    plan = plan_of([((A, B), 2.0)], {(A, B): 8.0}, connections=16)
    world = World(chunk_bytes=MB)
    linear = makespan_s(plan, replace(world, work_conserving=True))
    assert linear == pytest.approx(seconds(10 * GB, 2.0), rel=1e-2)
    one = plan_of([((A, B), 4.0)], {(A, B): 8.0}, connections=16)
    concave = makespan_s(one, replace(world, saturation=0.5))
    assert concave == pytest.approx(seconds(10 * GB, 4.0), rel=1e-2)
    assert makespan_s(one, world) == pytest.approx(seconds(10 * GB, 2.0), rel=1e-2)


def test_loss_caps_a_connection_as_mathis_says() -> None:
    """1460 B · 8 / 0.1 s · 1.22 / sqrt(1e-4) = 14.25 Mbit/s each, 64 of them."""
    plan = plan_of([((A, B), 4.0)], {(A, B): 5.0}, connections=64)
    world = World(chunk_bytes=MB, loss=(LinkLoss(probability=1e-4),))
    assert makespan_s(plan, world) == pytest.approx(seconds(10 * GB, 64 * 0.0142496), rel=1e-2)
    elsewhere = replace(world, loss=(LinkLoss(probability=1e-4, src=C),))
    with pytest.raises(InputError, match="no link"):
        makespan_s(plan, elsewhere)


def test_a_straggler_costs_a_chunk_dynamically_and_the_makespan_statically() -> None:
    slow = Stragglers(sigma=0.0, slow_share=0.2, slow_factor=0.1, group=1)
    plan = plan_of([((A, B), 5.0)], {(A, B): 5.0}, connections=64)
    world = World(chunk_bytes=MB, stragglers=slow, seed=3)
    factors = slow.factors(3, 64, f"{A}#0>{B}#0")
    mean = sum(factors) / 64
    assert 0.5 < mean < 1.0
    dynamic = makespan_s(plan, world)
    ideal = seconds(10 * GB, 5.0 * mean)
    slowest_chunk_s = gigabits(MB) * 64 / 5.0 / 0.1
    assert ideal * 0.999 <= dynamic <= ideal + slowest_chunk_s


# --- Overheads and stores.


def test_each_chunk_and_each_object_costs_its_overhead() -> None:
    """1000 chunks, one at a time: 20 s of bytes and 1000 · 5 ms; 10 objects · 50 ms besides."""
    assert makespan_s(DIRECT, replace(FEW, chunk_overhead_s=0.005)) == pytest.approx(25.0)
    ten = replace(FEW, objects=(GB,) * 10, object_overhead_s=0.05, chunk_overhead_s=0.005)
    assert makespan_s(DIRECT, ten) == pytest.approx(25.5)


def test_many_small_files_cost_what_they_cost() -> None:
    files = replace(FEW, objects=(MB,) * 1000, object_overhead_s=0.02)
    assert makespan_s(DIRECT, files) == pytest.approx(seconds(GB, 4.0) + 20.0)


def test_a_store_limits_what_a_vm_reads_and_requests() -> None:
    read = replace(FEW, store=Store(read_gbps_per_vm=2.0))
    assert makespan_s(DIRECT, read) == pytest.approx(seconds(10 * GB, 2.0))
    written = replace(FEW, store=Store(write_gbps_per_vm=1.0))
    assert makespan_s(DIRECT, written) == pytest.approx(seconds(10 * GB, 1.0))
    # 1000 chunks at 25 a second and prefix: 40 s; two prefixes: 20 s.
    requests = replace(FEW, store=Store(writes_per_s_per_prefix=25.0))
    assert makespan_s(DIRECT, requests) == pytest.approx(40.0)
    two = replace(FEW, store=Store(writes_per_s_per_prefix=25.0, prefixes=2))
    assert makespan_s(DIRECT, two) == pytest.approx(20.0)


def test_requests_are_paid_where_their_price_is_known() -> None:
    """1000 reads at $0.0004 a thousand; the price of writes at GCP is not known."""
    result = result_of(DIRECT, replace(FEW, store=Store()))
    assert result.request_usd == pytest.approx(0.0004)
    assert result.cost_usd == pytest.approx(result.egress_usd + result.vm_usd + result.request_usd)
    assert result_of(DIRECT, FEW).request_usd == 0.0


def test_a_vm_is_charged_for_a_minute_at_least_where_its_cloud_does() -> None:
    """Two VMs at $0.001 a second for 20 s; AWS and GCP charge 60 s."""
    assert result_of(DIRECT, FEW).vm_usd == pytest.approx(0.04)
    assert result_of(DIRECT, replace(FEW, least_vm_billing=True)).vm_usd == pytest.approx(0.12)


# --- Noise.


def test_noise_is_the_same_link_by_link_whatever_the_plan() -> None:
    """Common random numbers: the direct lane's chunks end at the same instants beside a relay."""
    world = replace(FEW, noise=Noise(sigma=0.5, correlation_s=5.0), seed=4, dispatch="static")
    alone = history_of(plan_of([((A, B), 4.0)], {(A, B): 8.0}, size_bytes=5 * GB), world)
    beside = history_of(TWO, world)
    ends = [hop.t_s for hop in beside.record.received if hop.bundle == 0]
    assert ends == pytest.approx([hop.t_s for hop in alone.record.received])
    assert alone.makespan_s > 10.5  # the noise is there
    other = history_of(TWO, replace(world, seed=5))
    assert other.makespan_s != beside.makespan_s


def test_noise_of_no_size_changes_nothing() -> None:
    quiet = replace(FEW, noise=Noise(sigma=0.0))
    assert makespan_s(TWO, quiet) == pytest.approx(makespan_s(TWO, FEW), rel=1e-9)


def test_noise_on_a_single_draw_scales_the_makespan() -> None:
    plan = plan_of([((A, B), 4.0)], {(A, B): 4.0}, connections=64)
    world = replace(FEW, noise=Noise(sigma=0.3, correlation_s=0.0), work_conserving=True)
    drawn = [makespan_s(plan, replace(world, seed=seed)) for seed in range(200)]
    logs = np.log(seconds(10 * GB, 4.0) / np.array(drawn))
    assert np.std(logs) == pytest.approx(0.3, rel=0.15)
    assert abs(np.mean(logs)) < 0.08
