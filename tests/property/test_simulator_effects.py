"""What must hold in any World: nothing overfull, every byte once, the same bytes for the same seed.

Worlds are drawn by `tests/random_transfers.py`, each effect on or off.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import fields, replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.events import Event, canonical_bytes, check_events
from datasets.outcome import Outcome, outcome
from datasets.units import gigabytes, usd_per_s_of_vm
from planner.plan import Plan
from simulator.assumptions import Noise, Store
from simulator.fluid import Array
from simulator.resources import Resources
from simulator.simulate import history_of, simulate
from simulator.stations import Stations
from simulator.world import World
from tests.random_transfers import Feature, random_case

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32)
# Losses under several Jobs and outages that last are left out: what is right there is open.
QUIET: tuple[Feature, ...] = (
    "jobs",
    "objects",
    "overheads",
    "ramp",
    "rtt",
    "saturation",
    "short",
    "static",
    "stragglers",
)


def case(seed: int, *, rough: bool = True) -> tuple[list[Plan], World]:
    """Effects by chance; `rough` allows losses, and noise as large as may be asked for."""
    rng = random.Random(seed)
    features = {name for name in QUIET if rng.random() < 0.4}
    if rng.random() < 0.5:
        features |= {"apart"}
        features |= {"bounded"} if rng.random() < 0.5 else set()
    loses = rough and rng.random() < 0.4
    if loses:
        features = (features - {"jobs"}) | {"losses"}
    plans, world = random_case(seed, features)
    if rough and rng.random() < 0.4:
        noise = Noise(sigma=rng.choice([0.3, 1.0, 5.0]), correlation_s=rng.choice([0.0, 0.5]))
        world = replace(world, noise=noise)
    if rng.random() < 0.2:
        world = replace(world, store=Store(read_gbps_per_vm=rng.uniform(0.5, 5), published=True))
    return plans, world


@SETTINGS
@given(SEEDS)
def test_no_link_vm_or_buffer_is_ever_overfull(seed: int) -> None:
    plans, world = case(seed)
    rates_of, reserve = Resources.rates, Stations.reserve
    solved = 0

    def rates(self: Resources, busy: Array) -> Array:
        nonlocal solved
        solved += 1
        found = rates_of(self, busy)
        load = self.usage @ (found * busy)
        assert (load <= self.capacity * (1 + 2e-8) + 1e-12).all()
        assert (found >= 0).all()
        return found

    def reserved(self: Stations, *args: object) -> None:
        reserve(self, *args)  # type: ignore[arg-type]
        most = world.relay_buffer_bytes or math.inf
        assert all(0 <= held <= most for held in self._held.values())

    with (
        mock.patch.object(Resources, "rates", rates),
        mock.patch.object(Stations, "reserve", reserved),
    ):
        history = history_of(plans, world)
    assert solved == history.solves > 0 or not len(history.listing)


@SETTINGS
@given(SEEDS)
def test_every_byte_is_acknowledged_once_or_the_failure_is_told(seed: int) -> None:
    plans, world = case(seed)
    history = history_of(plans, world)
    events = simulate(plans, world)
    check_events(events)
    done = events[events["event"] == Event.CHUNK_ACKNOWLEDGED.value]
    assert not done.duplicated(["job", "object", "chunk"]).any()
    whole = int(done["bytes"].sum()) == int(history.listing.size_bytes.sum())
    assert whole == history.ok
    assert all(history.record.failures.values())
    # Time does not run backwards: begun, then received at each hop, then acknowledged.
    key = ["job", "object", "chunk"]
    of = {
        event: events[events["event"] == event.value].groupby(key)["t_s"]
        for event in (Event.CHUNK_READ, Event.CHUNK_RECEIVED, Event.CHUNK_ACKNOWLEDGED)
    }
    first_s, last_s = of[Event.CHUNK_READ].min(), of[Event.CHUNK_ACKNOWLEDGED].max()
    received_s = of[Event.CHUNK_RECEIVED].max()
    tiny = 1e-9 * max(1.0, float(events["t_s"].max()))
    assert (received_s - first_s.reindex(received_s.index) >= -tiny).all()
    assert (last_s - received_s.reindex(last_s.index) >= -tiny).all()


@SETTINGS
@given(SEEDS)
def test_only_what_was_in_flight_is_sent_again(seed: int) -> None:
    history = history_of(*case(seed))
    sizes = history.listing.size_bytes
    begun: Counter[int] = Counter()
    for span in history.record.began:
        begun.update(range(span.first, span.first + span.chunks))
    again = sum(int(sizes[chunk]) * (times - 1) for chunk, times in begun.items())
    result = history.outcome()
    assert result.retransmitted_bytes == again
    lost_s = {n.t_s for n in history.record.notes if n.event == Event.CONNECTION_LOST.value}
    in_flight = 0
    for at_s in lost_s:
        open_now = np.zeros(len(sizes), dtype=bool)
        for span in history.record.began:
            if span.t_s <= at_s:
                open_now[span.first : span.first + span.chunks] = True
        for span in history.record.acknowledged:
            if span.t_s < at_s:
                open_now[span.first : span.first + span.chunks] = False
        in_flight += int(sizes[open_now].sum())
    assert again <= in_flight


@SETTINGS
@given(SEEDS)
def test_the_record_and_the_table_agree_and_repeat(seed: int) -> None:
    plans, world = case(seed)
    events = simulate(plans, world)
    assert canonical_bytes(events) == canonical_bytes(simulate(plans, world))
    quick, told = history_of(plans, world).outcome(), outcome(events)
    for name in fields(Outcome):
        one, other = getattr(quick, name.name), getattr(told, name.name)
        same = pytest.approx(other, rel=1e-9, abs=1e-9) if name.type == "float" else other
        assert one == same, name


@SETTINGS
@given(SEEDS)
def test_the_bill_is_what_the_table_says_by_hand(seed: int) -> None:
    """Each chunk received at its link's price; each VM from the first read to the last byte."""
    plans, world = case(seed, rough=False)
    events = simulate(plans, world)
    result = outcome(events)
    received = events[events["event"] == Event.CHUNK_RECEIVED.value]
    egress_usd = math.fsum(
        gigabytes(size) * plans[job].link(src, dst).usd_per_gb
        for job, src, dst, size in zip(
            received["job"], received["src"], received["dst"], received["bytes"], strict=True
        )
    )
    assert result.egress_usd == pytest.approx(egress_usd, rel=1e-9, abs=1e-9)
    if len(plans) == 1:
        usd_per_s = math.fsum(
            count * usd_per_s_of_vm(plans[0].vm(region).usd_per_hour)
            for region, count in plans[0].vms.items()
        )
        assert result.vm_usd == pytest.approx(usd_per_s * result.makespan_s, rel=1e-6, abs=1e-9)


@SETTINGS
@given(SEEDS, st.sampled_from([0.25, 3.0]), st.sampled_from([0.5, 2.0]))
def test_a_scaled_run_has_the_same_real_outcome(
    seed: int, rate_scale: float, size_scale: float
) -> None:
    """But for delays that no scale changes, which are off."""
    plans, world = random_case(
        seed, ("apart", "bounded", "static", "objects", "stragglers", "jobs", "starts")
    )
    assert world.chunk_bytes is not None
    assert world.objects is not None
    assert world.relay_buffer_bytes is not None
    scaled = replace(
        world,
        rate_scale=rate_scale,
        size_scale=size_scale,
        chunk_bytes=round(world.chunk_bytes * size_scale),
        objects=tuple(round(size * size_scale) for size in world.objects),
        record_bytes=round(world.record_bytes * size_scale),
        relay_buffer_bytes=round(world.relay_buffer_bytes * size_scale),
        provisioning=replace(
            world.provisioning, other_s=world.provisioning.other_s * size_scale / rate_scale
        ),
    )
    real, local = history_of(plans, world).outcome(), history_of(plans, scaled).outcome()
    for name in ("makespan_s", "throughput_gbps", "egress_usd", "vm_usd"):
        assert getattr(local, name) == pytest.approx(getattr(real, name), rel=1e-6), name
    assert local.size_bytes == real.size_bytes
    assert local.wall_s == pytest.approx(real.makespan_s * size_scale / rate_scale, rel=1e-6)
