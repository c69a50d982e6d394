"""UDP's state machines against brute force, over a path that loses, repeats and reorders."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from executor.gateway.udp_outgoing import bit_runs, slices_of
from executor.gateway.udp_packets import DATA, HEADER_BYTES, HeaderTagger, Run
from executor.gateway.udp_reassembly import (
    KEPT_RANGES,
    Reassembly,
    ReceivedFrames,
    ReceivedPackets,
)
from tests.udp_channel import Flow, Path

SMALL = 16


@given(bits=st.integers(min_value=0, max_value=(1 << 200) - 1))
def test_runs_of_bits_are_those_of_the_digits(bits: int) -> None:
    rebuilt, last_end = 0, -1
    for first, count in bit_runs(bits):
        assert count > 0
        assert first > last_end  # a run ends where a zero is
        rebuilt |= ((1 << count) - 1) << first
        last_end = first + count
    assert rebuilt == bits


@given(
    ranges=st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 40)).map(lambda pair: (pair[0], sum(pair))),
        max_size=80,
    )
)
def test_received_packets_are_a_set(ranges: list[tuple[int, int]]) -> None:
    found, model = ReceivedPackets(), set[int]()
    for low, high in ranges:
        new = set(range(low, high + 1)) - model
        assert found.add(low, high) == bool(new)
        model |= new
    told = found.newest(1000)
    assert {number for low, high in told for number in range(low, high + 1)} == model
    # Newest first, and apart: what touches is one range.
    assert all(later[0] > earlier[1] + 1 for later, earlier in itertools.pairwise(told))


def test_the_oldest_ranges_are_forgotten() -> None:
    found = ReceivedPackets()
    for number in range(0, 10 * KEPT_RANGES, 2):
        found.add(number, number)
    told = found.newest(10 * KEPT_RANGES)
    assert len(told) == KEPT_RANGES
    assert told[0] == (10 * KEPT_RANGES - 2,) * 2


@given(numbers=st.lists(st.integers(0, 60), max_size=120), asked=st.integers(0, 61))
def test_received_frames_are_a_set(numbers: list[int], asked: int) -> None:
    found, model = ReceivedFrames(), set[int]()
    for number in numbers:
        if number not in found:
            found.add(number)
        model.add(number)
    assert {number for number in range(62) if number in found} == model
    assert found.all_below(asked) == (model >= set(range(asked)))


@st.composite
def shuffled_slices(draw: st.DrawFn) -> tuple[list[bytes], list[tuple[int, int, int]]]:
    """Frames, and (frame, first slice, count) in any order, some again, all at least once."""
    lengths = draw(st.lists(st.integers(1, 200), min_size=1, max_size=6))
    seed = draw(st.integers(0, 1 << 32))
    frames = [random.Random(seed + at).randbytes(length) for at, length in enumerate(lengths)]
    places = [
        (number, at, 1)
        for number, frame in enumerate(frames)
        for at in range(slices_of(len(frame), SMALL))
    ]
    longer = draw(st.lists(st.tuples(st.sampled_from(places), st.integers(1, 8)), max_size=20))
    for (number, at, _), count in longer:
        left = slices_of(len(frames[number]), SMALL) - at
        places.append((number, at, min(count, left)))
    return frames, draw(st.permutations(places))


@given(shuffled_slices())
def test_frames_are_whole_once_in_any_order_of_slices(
    case: tuple[list[bytes], list[tuple[int, int, int]]],
) -> None:
    """Through the packets' own layout: written, tagged, read back and put together."""
    frames, places = case
    key = bytes(32)
    writer, reader = HeaderTagger(key), HeaderTagger(key)
    given_out: list[bytes] = []
    reassembly = Reassembly(
        slice_bytes=SMALL, give=lambda buffer, length: given_out.append(bytes(buffer[:length]))
    )
    arrived: dict[int, set[int]] = {number: set() for number in range(len(frames))}
    for packet, (number, first, count) in enumerate(places):
        frame = frames[number]
        headers = writer.headers(DATA, 100 * packet, number, first, len(frame), count)
        datagrams = b"".join(
            headers[at * HEADER_BYTES : (at + 1) * HEADER_BYTES]
            + frame[(first + at) * SMALL : (first + at + 1) * SMALL]
            for at in range(count)
        )
        segment = HEADER_BYTES + SMALL if count > 1 else len(datagrams)
        for run in reader.runs(memoryview(datagrams), segment):
            assert reassembly.add(run, memoryview(datagrams))
        arrived[number] |= set(range(first, first + count))
        whole = [
            frames[which]
            for which, slices in arrived.items()
            if len(slices) == slices_of(len(frames[which]), SMALL)
        ]
        assert Counter(given_out) == Counter(whole)
    assert Counter(given_out) == Counter(frames)


@settings(max_examples=40, deadline=None)
@example(  # once, what was probed for was a slice that had come by another packet
    seed=218,
    lengths=[182, 369, 17016, 461, 82],
    loss=0.3,
    ack_loss=0.0,
    duplicated=0.2,
    reordered=0.2,
)
@given(
    seed=st.integers(0, 1 << 32),
    lengths=st.lists(st.integers(1, 30_000), min_size=1, max_size=25),
    loss=st.sampled_from([0.0, 0.01, 0.1, 0.3]),
    ack_loss=st.sampled_from([0.0, 0.3, 0.7]),
    duplicated=st.sampled_from([0.0, 0.2]),
    reordered=st.sampled_from([0.0, 0.2]),
)
def test_every_frame_arrives_once_over_a_bad_path(
    seed: int,
    lengths: list[int],
    loss: float,
    ack_loss: float,
    duplicated: float,
    reordered: float,
) -> None:
    """And no packet number is ever used twice: `Flow` asserts it."""
    rng = random.Random(seed)
    frames = [rng.randbytes(length) for length in lengths]
    path = Path(loss=loss, ack_loss=ack_loss, duplicated=duplicated, reordered=reordered)
    flow = Flow(path=path, rng=rng, frames=frames)
    flow.run(until_s=120.0)
    assert flow.is_done()
    assert Counter(flow.delivered) == Counter(frames)
    assert flow.outgoing.inflight_packets >= 0


@pytest.mark.parametrize("loss", [0.0, 0.001, 0.01])
@pytest.mark.parametrize("rtt_s", [0.01, 0.1, 0.25])
def test_random_loss_leaves_most_of_the_path(loss: float, rtt_s: float) -> None:
    """The path's own clock: 100 Mbit/s, a queue of one bandwidth-delay product."""
    path = Path(rtt_s=rtt_s, loss=loss, queue_bytes=max(12.5e6 * rtt_s, 125e3))
    frames = [bytes(200_000)] * 1000
    flow = Flow(path=path, rng=random.Random(7), frames=frames)
    flow.run(until_s=9.0)
    assert flow.goodput_share(4.0, 9.0) > 0.85


def test_a_slice_that_lies_about_its_place_is_not_taken() -> None:
    """Each guard of `Reassembly.add`, breached."""
    made: list[bytearray] = []
    reassembly = Reassembly(slice_bytes=SMALL, give=lambda buffer, length: made.append(buffer))
    data = memoryview(bytes(HEADER_BYTES + SMALL) * 4)
    step = HEADER_BYTES + SMALL

    def run(**changed: int) -> Run:
        about = {
            "kind": DATA,
            "packet": 1,
            "frame": 0,
            "slice": 0,
            "length": 40,
            "count": 1,
            "at": 0,
            "segment_bytes": step,
            "end": step,
        }
        about.update(changed)
        return Run(*about.values())

    assert reassembly.add(run(), data)
    refused = (
        run(slice=3),  # beyond the frame's three slices
        run(slice=2, count=2, end=2 * step),
        run(slice=1, end=step - 1),  # too short for its place
        run(slice=2),  # too long for its place
        run(slice=1, length=50),  # the frame had 40
        run(length=2_000_000, slice=1),  # longer than any frame
        run(frame=1, slice=0, count=2, segment_bytes=step - 1, end=2 * step - 2),
        run(length=0, slice=1),
        run(length=0, count=2),
    )
    assert [reassembly.add(each, data) for each in refused] == [False] * len(refused)
    assert reassembly.add(run(length=0, frame=5), data)  # the end, after five frames
    assert not reassembly.add(run(length=0, frame=6), data)  # there is one end
    assert not reassembly.add(run(frame=5), data)  # and nothing after it
    assert made == []


def test_no_more_than_the_credit_is_held() -> None:
    reassembly = Reassembly(slice_bytes=1376, give=lambda buffer, length: None)
    data = memoryview(bytes(1400))
    taken = 0
    for frame in range(200):
        run = Run(DATA, frame, frame, 0, 1 << 20, 1, 0, 1400, 1400)
        taken += reassembly.add(run, data)
    assert taken == reassembly.window_bytes >> 20
    assert reassembly.held_bytes == reassembly.window_bytes
