"""One direction of an emulated link, with a clock that the test turns."""

from __future__ import annotations

import random

import pytest

from executor.providers.tun_link import (
    ETHERNET_BYTES,
    Direction,
    LinkEnd,
    LinkPlan,
    Way,
    direction,
    plan_from_json,
)
from executor.providers.wire_segments import GSO_UDP_L4, parse_packet
from tests.unit.executor.test_wire_segments import large


def single(size: int) -> bytes:
    return bytes(10) + bytes([0x45]) + bytes(size - 1)


def way(
    *, bytes_per_s: float = 0.0, delay_ms: float = 0.0, loss: float = 0.0, queue: int = 1 << 30
) -> Way:
    about = Direction(bytes_per_s=bytes_per_s, delay_ms=delay_ms, loss=loss, queue_bytes=queue)
    return Way(about, random.Random(4))


def drained(link: Way, until_s: float) -> list[bytes]:
    found = []
    while (packet := link.arrived(until_s)) is not None:
        found.append(packet)
    return found


def test_a_packet_arrives_after_its_own_length_and_the_delay() -> None:
    link = way(bytes_per_s=1e6, delay_ms=20)
    link.put(single(986), 5.0)
    link.put(single(986), 5.0)
    assert link.next_s() == pytest.approx(5.0 + 0.001 + 0.02)
    assert drained(link, 5.0209) == []
    assert len(drained(link, 5.0211)) == 1
    assert link.next_s() == pytest.approx(5.0 + 0.002 + 0.02)


def test_a_large_segment_takes_as_long_as_the_packets_it_stands_for() -> None:
    raw = large(GSO_UDP_L4, bytes(10 * 1400), 1400)
    link = way(bytes_per_s=1e6)
    link.put(raw, 0.0)
    wire = 10 * (1400 + 28 + ETHERNET_BYTES)
    assert link.next_s() == pytest.approx(wire / 1e6)
    assert drained(link, 1.0) == [raw]


def test_the_queue_ends_between_two_packets_of_a_segment() -> None:
    each = 1400 + 28 + ETHERNET_BYTES
    link = way(bytes_per_s=1e6, queue=4 * each)
    link.put(large(GSO_UDP_L4, bytes(10 * 1400), 1400), 0.0)
    (arrived,) = drained(link, 1.0)
    assert parse_packet(arrived).count == 4
    assert link.dropped == 6
    link.put(single(100), 0.0)
    assert link.dropped == 7
    link.put(single(100), 1.0)  # it emptied meanwhile
    assert len(drained(link, 2.0)) == 1


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.3])
def test_so_many_packets_are_lost_single_or_in_segments(loss: float) -> None:
    link = way(loss=loss)
    raw = large(GSO_UDP_L4, bytes(40 * 1400), 1400)
    total = 0
    for _ in range(2000):
        link.put(raw, 0.0)
        for _ in range(20):
            link.put(single(300), 0.0)
        total += 60
    arrived = sum(parse_packet(packet).count for packet in drained(link, 1.0))
    assert arrived == total - link.lost
    assert link.lost / total == pytest.approx(loss, rel=0.25)


def test_the_same_seed_loses_the_same_packets() -> None:
    def lost(seed: int) -> list[int]:
        about = Direction(bytes_per_s=0.0, delay_ms=0.0, loss=0.1, queue_bytes=0)
        link = Way(about, random.Random(seed))
        found = []
        for number in range(500):
            before = link.lost
            link.put(single(100), 0.0)
            if link.lost > before:
                found.append(number)
        return found

    assert lost(1) == lost(1)
    assert lost(1) != lost(2)


def test_a_queue_holds_a_round_trip_of_the_rate_and_ten_milliseconds_at_least() -> None:
    made = direction(bytes_per_s=62.5e6, delay_ms=50, loss=0, round_trip_ms=100)
    assert made.queue_bytes == 6_250_000
    made = direction(bytes_per_s=62.5e6, delay_ms=0, loss=0, round_trip_ms=0)
    assert made.queue_bytes == 625_000


@pytest.mark.parametrize(
    ("rate", "delay_ms", "loss"), [(-1, 0, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
)
def test_an_impossible_direction_is_refused(rate: float, delay_ms: float, loss: float) -> None:
    with pytest.raises(ValueError, match="no link"):
        Direction(bytes_per_s=rate, delay_ms=delay_ms, loss=loss, queue_bytes=1)


def test_a_plan_is_read_as_written() -> None:
    plan = LinkPlan(
        ends=(LinkEnd(namespace="a", device="d1"), LinkEnd(namespace="b", device="d0")),
        forward=direction(bytes_per_s=1e6, delay_ms=5, loss=0.1, round_trip_ms=10),
        backward=direction(bytes_per_s=0, delay_ms=5, loss=0, round_trip_ms=10),
        seed=7,
    )
    assert plan_from_json(plan.as_json()) == plan
