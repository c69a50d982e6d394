"""The controller on a path in memory, and rule by rule."""

from __future__ import annotations

import random

import pytest

from executor.gateway.udp_control import (
    AFTER_LOSS,
    INITIAL_WINDOW_BYTES,
    LEAST_RTT_LASTS_S,
    MODEL_GAIN,
    Controller,
    RoundTrip,
    Sample,
)
from tests.udp_channel import Flow, Path

RATE = 12.5e6


def at_rate(controller: Controller, *, rtt_s: float, rounds: int, from_s: float = 0.0) -> float:
    """Rounds in which the path delivered RATE; the time after them."""
    now_s = from_s
    for _ in range(rounds):
        now_s += rtt_s
        for _ in range(10):
            controller.on_rtt(rtt_s, 0.0, now_s)
        controller.on_sent(100)
        controller.on_acked(
            Sample(acked_bytes=140_000, rate_bytes_per_s=RATE, app_limited=False, ended_round=True),
            window_used=True,
            now_s=now_s,
        )
    return now_s


def test_the_round_trip_is_smoothed_and_its_least_is_remembered_for_a_while() -> None:
    found = RoundTrip()
    for step in range(100):
        found.sample(0.1 if step == 50 else 0.2, 0.0, float(step) / 100)
    assert found.least_s == 0.1
    assert found.expected_s == pytest.approx(0.2, abs=0.01)
    found.sample(0.2, 0.0, 0.5 + LEAST_RTT_LASTS_S + 0.1)
    assert found.least_s == 0.2


def test_waiting_to_acknowledge_is_not_the_paths_delay() -> None:
    found = RoundTrip()
    found.sample(0.1, 0.0, 0.0)
    found.sample(0.12, 0.02, 0.1)
    assert found.latest_s == pytest.approx(0.1)


def test_a_new_connection_doubles_each_round() -> None:
    controller = Controller(1400)
    window = controller.window_bytes
    assert window == INITIAL_WINDOW_BYTES
    controller.on_acked(
        Sample(acked_bytes=int(window), rate_bytes_per_s=1e6, app_limited=False, ended_round=False),
        window_used=True,
        now_s=0.1,
    )
    assert controller.window_bytes == 2 * window
    assert controller.starting


def test_slow_start_ends_where_more_brings_no_more() -> None:
    controller = Controller(1400)
    at_rate(controller, rtt_s=0.1, rounds=6)
    assert not controller.starting
    assert controller.rate_bytes_per_s == RATE
    assert controller.window_bytes >= MODEL_GAIN * RATE * 0.1


def test_slow_start_ends_where_packets_queue() -> None:
    controller = Controller(1400)
    at_rate(controller, rtt_s=0.1, rounds=1)
    for _ in range(8):
        controller.on_rtt(0.15, 0.0, 0.1)
    controller.on_acked(
        Sample(acked_bytes=1400, rate_bytes_per_s=RATE, app_limited=False, ended_round=False),
        window_used=True,
        now_s=0.1,
    )
    assert not controller.starting


def test_loss_without_a_queue_is_random_and_changes_nothing() -> None:
    controller = Controller(1400)
    now_s = at_rate(controller, rtt_s=0.1, rounds=10)
    window = controller.window_bytes
    controller.on_rtt(0.101, 0.0, now_s)
    controller.on_lost(2, latest_sent_s=now_s, now_s=now_s)
    assert controller.window_bytes == window


def test_loss_with_a_queue_is_congestion_once_a_round_trip() -> None:
    controller = Controller(1400)
    now_s = at_rate(controller, rtt_s=0.1, rounds=10)
    now_s = at_rate(controller, rtt_s=0.2, rounds=60, from_s=now_s)
    window = controller.window_bytes
    controller.on_lost(2, latest_sent_s=now_s, now_s=now_s)
    reduced = controller.window_bytes
    assert AFTER_LOSS * window - 1 <= reduced < window
    controller.on_lost(2, latest_sent_s=now_s - 0.01, now_s=now_s + 0.01)
    assert controller.window_bytes == reduced


def test_much_loss_is_congestion_whatever_the_round_trip_says() -> None:
    controller = Controller(1400)
    now_s = at_rate(controller, rtt_s=0.1, rounds=10)
    window = controller.window_bytes
    controller.on_lost(60, latest_sent_s=now_s, now_s=now_s)
    assert controller.window_bytes < window


def test_silence_begins_anew() -> None:
    controller = Controller(1400)
    at_rate(controller, rtt_s=0.1, rounds=10)
    controller.on_silence()
    assert controller.starting
    assert controller.window_bytes == controller.least_bytes


def test_an_application_with_little_to_say_neither_grows_nor_slows() -> None:
    controller = Controller(1400)
    now_s = at_rate(controller, rtt_s=0.1, rounds=10)
    window = controller.window_bytes
    for _ in range(200):
        now_s += 0.1
        controller.on_acked(
            Sample(acked_bytes=1400, rate_bytes_per_s=1e4, app_limited=True, ended_round=False),
            window_used=False,
            now_s=now_s,
        )
    assert controller.window_bytes == pytest.approx(window, rel=0.01)


def test_two_flows_of_different_ages_come_to_share_a_path() -> None:
    """Both in one drop-tail queue of a bandwidth-delay product, one started two seconds later."""
    path = Path(bytes_per_s=6.25e6, rtt_s=0.02, queue_bytes=125e3)
    frames = [bytes(50_000)] * 6000
    flows = [Flow(path=path, rng=random.Random(seed), frames=frames) for seed in (1, 2)]
    shared = flows[0]
    for tick in range(16_000):
        for flow in flows if tick > 2000 else flows[:1]:
            flow.now_s = max(flow.now_s, tick / 1000)
            flow._queue_free_s = shared._queue_free_s
            flow.step()
            shared._queue_free_s = flow._queue_free_s
    shares = [flow.goodput_share(8.0, 16.0) for flow in flows]
    assert sum(shares) > 0.85
    assert min(shares) > 0.2


def test_a_queue_that_is_too_short_to_be_seen_is_not_flooded() -> None:
    """A tenth of a bandwidth-delay product: what is dropped there is a small share."""
    path = Path(rtt_s=0.05, queue_bytes=0.1 * 12.5e6 * 0.05)
    flow = Flow(path=path, rng=random.Random(1), frames=[bytes(200_000)] * 1000)
    flow.run(until_s=8.0)
    assert flow.goodput_share(3.0, 8.0) > 0.75
    assert flow.dropped < 0.15 * len(flow.numbers)
