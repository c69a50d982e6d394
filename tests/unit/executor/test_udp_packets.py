from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.gateway.udp_packets import (
    ACCEPT_BYTES,
    ACK,
    CLOSE_BYTES,
    DATA,
    HEADER_BYTES,
    MOST_RANGES,
    OPEN_BYTES,
    PING,
    Accept,
    Ack,
    HeaderTagger,
    Open,
    close_packet,
    connection_keys,
    is_opened_by,
    opening_key,
    parse_accept,
    parse_ack,
    parse_close,
    parse_open,
)
from tests.transport_pairs import KEY, opening

SALT = bytes(range(16))
OTHER = bytes(range(16, 32))
OPENED = Open(datagram_bytes=1400, client_random=SALT, opening=opening())
ACCEPTED = Accept(datagram_bytes=1400, client_random=SALT, server_random=OTHER)
ACKED = Ack(number=3, delay_s=0.002, credit_bytes=9, ranges=((90, 99), (50, 80), (7, 7)))

Parser = Callable[[bytes], object]


def opened(packet: bytes) -> object:
    found = parse_open(packet)
    return found if found is not None and is_opened_by(packet, KEY, found) else None


PACKETS: dict[str, tuple[bytes, Parser, object]] = {
    "open": (OPENED.packet(opening_key(KEY, SALT)), opened, OPENED),
    "accept": (
        ACCEPTED.packet(opening_key(KEY, SALT)),
        lambda packet: parse_accept(packet, opening_key(KEY, SALT)),
        ACCEPTED,
    ),
    "ack": (ACKED.packet(KEY), lambda packet: parse_ack(packet, KEY), ACKED),
    "close": (
        close_packet(4, is_answer=False, key=KEY),
        lambda packet: parse_close(packet, KEY),
        False,
    ),
    "answer": (
        close_packet(4, is_answer=True, key=KEY),
        lambda packet: parse_close(packet, KEY),
        True,
    ),
}


@pytest.mark.parametrize("name", PACKETS)
def test_a_control_packet_is_read_as_written(name: str) -> None:
    packet, parse, said = PACKETS[name]
    assert parse(packet) == said


@pytest.mark.parametrize("name", PACKETS)
def test_no_bit_of_a_control_packet_can_be_changed(name: str) -> None:
    packet, parse, _ = PACKETS[name]
    for at in range(8 * len(packet)):
        changed = bytearray(packet)
        changed[at // 8] ^= 1 << at % 8
        assert parse(bytes(changed)) is None
    for length in range(len(packet)):
        assert parse(packet[:length]) is None
    assert parse(packet + bytes(1)) is None


@given(noise=st.binary(max_size=300), name=st.sampled_from(sorted(PACKETS)))
def test_noise_is_no_packet(noise: bytes, name: str) -> None:
    packet, parse, _ = PACKETS[name]
    assert parse(noise) is None
    assert parse(packet[:1] + noise) is None


def test_an_answer_is_smaller_than_what_it_answers() -> None:
    assert ACCEPT_BYTES < OPEN_BYTES
    assert CLOSE_BYTES == len(PACKETS["close"][0])
    assert (ACCEPT_BYTES, OPEN_BYTES) == (len(PACKETS["accept"][0]), len(PACKETS["open"][0]))


@st.composite
def acks(draw: st.DrawFn) -> Ack:
    ranges: list[tuple[int, int]] = []
    low = draw(st.integers(10_000_000, 1 << 47))
    for _ in range(draw(st.integers(1, MOST_RANGES))):
        high = low - 2 - draw(st.integers(0, 30_000))
        low = high - draw(st.integers(0, 30_000))
        if low < 0:
            break
        ranges.append((low, high))
    return Ack(
        number=draw(st.integers(0, 1 << 60)),
        delay_s=draw(st.integers(0, 10**6)) / 1e6,
        credit_bytes=draw(st.integers(0, 1 << 60)),
        ranges=tuple(ranges),
    )


@given(acks())
def test_ranges_are_read_as_written(ack: Ack) -> None:
    found = parse_ack(ack.packet(KEY), KEY)
    assert found is not None
    assert (found.ranges, found.number, found.credit_bytes) == (
        ack.ranges,
        ack.number,
        ack.credit_bytes,
    )
    assert found.delay_s == pytest.approx(ack.delay_s, abs=2e-6)


def test_keys_differ_by_side_direction_purpose_and_connection() -> None:
    ours = connection_keys(KEY, SALT, OTHER, client=True)
    theirs = connection_keys(KEY, SALT, OTHER, client=False)
    assert (ours.sending, ours.receiving) == (theirs.receiving, theirs.sending)
    again = connection_keys(KEY, SALT, SALT, client=True)
    keys = [
        key
        for pair in (ours, again)
        for way in (pair.sending, pair.receiving)
        for key in (way.data, way.control)
    ]
    assert len({*keys, opening_key(KEY, SALT), KEY}) == 10


@given(
    packet=st.integers(0, (1 << 48) - 100),
    frame=st.integers(0, (1 << 39) - 1),
    first=st.integers(0, 4000),
    length=st.integers(1, (1 << 21) - 1),
    count=st.integers(1, 64),
    short=st.integers(0, 30),
)
def test_headers_are_read_as_written(
    packet: int, frame: int, first: int, length: int, count: int, short: int
) -> None:
    size = 31
    tagger = HeaderTagger(KEY)
    headers = tagger.headers(DATA, packet, frame, first, length, count)
    assert len(headers) == count * HEADER_BYTES
    datagrams = b"".join(
        headers[at : at + HEADER_BYTES] + bytes(size) for at in range(0, len(headers), HEADER_BYTES)
    )
    received = memoryview(datagrams[: len(datagrams) - short])
    (run,) = HeaderTagger(KEY).runs(received, HEADER_BYTES + size)
    assert (run.kind, run.packet, run.frame) == (DATA, packet, frame)
    assert (run.slice, run.length, run.count) == (first, length, count)
    assert (run.at, run.end) == (0, len(received))


def test_a_batch_of_headers_is_its_headers_one_by_one() -> None:
    tagger = HeaderTagger(KEY)
    one_by_one = b"".join(tagger.headers(DATA, 7 + at, 5, 3 + at, 9999, 1) for at in range(40))
    assert tagger.headers(DATA, 7, 5, 3, 9999, 40) == one_by_one


def test_no_bit_of_a_header_can_be_changed() -> None:
    tagger = HeaderTagger(KEY)
    headers = tagger.headers(DATA, 7, 5, 3, 9999, 3)
    step = HEADER_BYTES + 2
    whole = b"".join(headers[at : at + 24] + b"xy" for at in (0, 24, 48))
    for at in range(8 * HEADER_BYTES):
        changed = bytearray(whole)
        changed[step + at // 8] ^= 1 << at % 8
        found = tagger.runs(memoryview(changed), step)
        assert [(run.packet, run.count) for run in found] == [(7, 1), (9, 1)]
        alone = bytearray(whole[:step])
        alone[at // 8] ^= 1 << at % 8
        assert tagger.runs(memoryview(alone), step) == ()


@given(noise=st.binary(max_size=3000), segment=st.integers(1, 1500))
def test_noise_has_no_runs(noise: bytes, segment: int) -> None:
    assert list(HeaderTagger(KEY).runs(memoryview(noise), segment)) == []


def test_runs_end_where_frames_slices_or_numbers_do() -> None:
    tagger = HeaderTagger(KEY)
    parts = [
        tagger.headers(DATA, 1, 0, 0, 99, 2),
        tagger.headers(DATA, 3, 1, 0, 99, 1),  # another frame
        tagger.headers(DATA, 9, 1, 1, 99, 1),  # a number left out
        tagger.headers(DATA, 10, 1, 5, 99, 2),  # a slice left out
        tagger.headers(PING, 12, 0, 0, 0, 1),
        bytes([ACK]) + bytes(23),  # a control packet of the same size
        tagger.headers(DATA, 14, 1, 7, 99, 1),
    ]
    found = tagger.runs(memoryview(b"".join(parts)), HEADER_BYTES)
    assert [(run.kind, run.packet, run.frame, run.slice, run.count) for run in found] == [
        (DATA, 1, 0, 0, 2),
        (DATA, 3, 1, 0, 1),
        (DATA, 9, 1, 1, 1),
        (DATA, 10, 1, 5, 2),
        (PING, 12, 0, 0, 1),
        (DATA, 14, 1, 7, 1),
    ]


def test_a_million_of_noise_are_none() -> None:
    """Cheap enough to do in bulk: 4,096 headers a call."""
    rng = random.Random(1)
    tagger = HeaderTagger(KEY)
    for _ in range(10):
        noise = memoryview(rng.randbytes(4096 * HEADER_BYTES))
        assert list(tagger.runs(noise, HEADER_BYTES)) == []
