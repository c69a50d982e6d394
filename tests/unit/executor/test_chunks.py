"""The queue of chunks: each chunk once, in order, whatever the lanes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.endpoints.local import Entry, EntryKind
from executor.gateway.chunks import Chunk, ChunkQueue, Grant, Place
from planner.dispatch import Dispatch, LanePace

CHUNK_BYTES = 100


def entries(sizes: list[int]) -> list[Entry]:
    return [
        Entry(index=i, path=b"%d" % i, kind=EntryKind.FILE, size=size, mode=0o600, mtime_ns=0)
        for i, size in enumerate(sizes)
    ]


def drained(queue: ChunkQueue, lanes: int) -> list[tuple[int, Chunk]]:
    taken = []
    open_lanes = list(range(lanes))
    while open_lanes:
        lane = open_lanes.pop(0)
        chunk = queue.take(lane).chunk
        if chunk is not None:
            taken.append((lane, chunk))
            open_lanes.append(lane)
    return taken


@given(
    st.lists(st.integers(0, 1000), max_size=12),
    st.lists(st.floats(0.1, 10.0), min_size=1, max_size=4),
    st.sampled_from(["dynamic", "static"]),
)
def test_every_byte_is_handed_out_once(
    sizes: list[int], rates: list[float], dispatch: Dispatch
) -> None:
    queue = ChunkQueue(
        entries(sizes),
        chunk_bytes=CHUNK_BYTES,
        paces=[LanePace(gbps=rate, connections=2) for rate in rates],
        dispatch=dispatch,
    )
    taken = [chunk for _, chunk in drained(queue, len(rates))]
    covered = [(c.object, c.offset + i) for c in taken for i in range(c.size)]
    assert sorted(covered) == [(i, at) for i, size in enumerate(sizes) for at in range(size)]
    assert [(c.object, c.offset) for c in taken] == sorted((c.object, c.offset) for c in taken)
    assert all(c.size <= CHUNK_BYTES and c.offset == c.chunk * CHUNK_BYTES for c in taken)


def test_static_dispatch_follows_the_shares() -> None:
    queue = ChunkQueue(
        entries([1000]),
        chunk_bytes=CHUNK_BYTES,
        paces=[LanePace(gbps=3.0, connections=1), LanePace(gbps=1.0, connections=1)],
        dispatch="static",
    )
    taken = drained(queue, 2)
    assert [sum(1 for lane, _ in taken if lane == which) for which in (0, 1)] == [8, 2]


def test_a_slow_lane_leaves_the_last_chunks_to_the_fast_one() -> None:
    queue = ChunkQueue(
        entries([300]),
        chunk_bytes=CHUNK_BYTES,
        paces=[LanePace(gbps=10.0, connections=1), LanePace(gbps=0.1, connections=1)],
        dispatch="dynamic",
    )
    assert queue.take(1).chunk is None
    assert queue.take(0).chunk is not None


# --- Chunks that come back.


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def queue_of(
    chunks: int,
    rates: Sequence[float],
    *,
    dispatch: Dispatch = "dynamic",
    ends: int = 1,
    expected_s: Sequence[float] = (),
    clock: Callable[[], float] = time.monotonic,
) -> ChunkQueue:
    return ChunkQueue(
        entries([chunks * CHUNK_BYTES]),
        chunk_bytes=CHUNK_BYTES,
        paces=[LanePace(gbps=rate, connections=1) for rate in rates],
        dispatch=dispatch,
        ends=ends,
        expected_s=expected_s,
        clock=clock,
    )


def place_taken(queue: ChunkQueue, lane: int) -> Place:
    grant = queue.take(lane)
    assert grant.chunk is not None
    return grant.chunk.place


def test_it_is_over_when_all_is_acknowledged_not_when_all_is_taken() -> None:
    queue = queue_of(2, [1.0])
    places = [place_taken(queue, 0), place_taken(queue, 0)]
    assert queue.take(0) == Grant()
    assert queue.acknowledged(0, places[1], 0)
    assert not queue.over
    assert queue.acknowledged(0, places[0], 0)
    assert queue.take(0) == Grant(over=True)


def test_what_was_lost_comes_first_again_in_its_order_and_is_said_to() -> None:
    queue = queue_of(5, [1.0, 1.0])
    lost = [place_taken(queue, 0) for _ in range(3)]
    queue.lost(0, reversed(lost))
    again = [queue.take(1) for _ in range(5)]
    assert [grant.chunk.place for grant in again if grant.chunk] == [(0, n) for n in range(5)]
    assert [grant.again for grant in again] == [True, True, True, False, False]


def test_a_chunk_acknowledged_late_is_not_sent_again() -> None:
    queue = queue_of(1, [1.0, 1.0])
    place = place_taken(queue, 0)
    queue.lost(0, [place])
    assert queue.acknowledged(0, place, 0)
    assert queue.take(1) == Grant(over=True)
    assert not queue.acknowledged(0, place, 0)
    queue.lost(0, [place])
    assert queue.over


def test_a_tree_needs_every_destination() -> None:
    queue = queue_of(1, [1.0], ends=3)
    place = place_taken(queue, 0)
    assert [queue.acknowledged(0, place, end) for end in (2, 2, 0, 1)] == [False] * 3 + [True]


def test_a_slow_lane_is_the_fastest_once_the_fast_one_is_lost() -> None:
    queue = queue_of(2, [10.0, 0.1])
    assert queue.take(1).chunk is None
    queue.lane_lost(0)
    assert queue.take(0).chunk is None
    assert queue.take(1).chunk is not None
    assert queue.living == (1,)


def test_static_shares_of_a_lost_lane_go_to_the_others() -> None:
    queue = queue_of(12, [1.0, 1.0, 1.0], dispatch="static")
    lost = [place_taken(queue, 0) for _ in range(2)]
    queue.lost(0, lost)
    queue.lane_lost(0)
    taken = [lane for lane, _ in drained(queue, 3)]
    assert len(taken) == 12
    assert taken.count(1) == pytest.approx(taken.count(2), abs=2)


@pytest.mark.parametrize("dispatch", ["dynamic", "static"])
def test_lanes_of_a_new_plan_take_over(dispatch: Dispatch) -> None:
    queue = queue_of(10, [1.0, 1.0], dispatch=dispatch)
    kept, lost = place_taken(queue, 0), place_taken(queue, 1)
    queue.lost(1, [lost])
    queue.lane_lost(1)
    queue.retire()
    queue.joined([LanePace(gbps=1.0, connections=1)] * 2, [0.0, 0.0])
    assert queue.take(0) == Grant()
    taken = [lane for lane, _ in drained(queue, 4)]
    assert len(taken) == 9
    assert set(taken) == {2, 3}
    assert queue.acknowledged(0, kept, 0)


def test_an_overdue_chunk_is_sent_by_an_idle_lane_once() -> None:
    clock = Clock()
    queue = queue_of(2, [1.0, 1.0, 1.0], expected_s=[1.0, 1.0, 1.0], clock=clock)
    slow, quick = place_taken(queue, 0), place_taken(queue, 1)
    clock.now_s += 0.5
    queue.acknowledged(1, quick, 0)
    assert queue.take(1) == Grant()
    clock.now_s += 1.9  # 2.4 s under way: not yet twice what it should be, and half a second
    assert queue.take(1) == Grant()
    clock.now_s += 0.2
    assert queue.take(0) == Grant()  # it has it
    again = queue.take(1)
    assert again.again
    assert again.chunk is not None
    assert again.chunk.place == slow
    assert queue.take(2) == Grant()
    assert queue.acknowledged(0, slow, 0)
    assert queue.over


def test_static_dispatch_doubles_nothing() -> None:
    clock = Clock()
    queue = queue_of(2, [1.0, 1.0], dispatch="static", clock=clock)
    place_taken(queue, 0)
    queue.acknowledged(1, place_taken(queue, 1), 0)
    clock.now_s += 1000.0
    assert queue.take(1) == Grant()


@given(
    st.lists(st.integers(0, 700), min_size=1, max_size=6),
    st.integers(1, 4),
    st.sampled_from(["dynamic", "static"]),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_whatever_is_lost_every_chunk_arrives_while_a_lane_lives(
    sizes: list[int], lanes: int, dispatch: Dispatch, ends: int, random: Random
) -> None:
    """A random walk of taking, acknowledging and losing; the last lane is never lost."""
    clock = Clock()
    queue = ChunkQueue(
        entries(sizes),
        chunk_bytes=CHUNK_BYTES,
        paces=[LanePace(gbps=random.uniform(0.1, 10.0), connections=2) for _ in range(lanes)],
        dispatch=dispatch,
        ends=ends,
        clock=clock,
    )
    living = list(range(lanes))
    under_way: dict[int, list[Place]] = {lane: [] for lane in living}
    done: dict[Place, int] = {}
    for _ in range(4000):
        if queue.over:
            break
        clock.now_s += random.uniform(0.0, 0.3)
        lane = random.choice(living)
        what = random.random()
        if what < 0.5:
            grant = queue.take(lane)
            if grant.chunk is not None:
                under_way[lane].append(grant.chunk.place)
        elif what < 0.9 and under_way[lane]:
            place = under_way[lane].pop(0)
            for end in range(ends):
                done[place] = done.get(place, 0) + queue.acknowledged(lane, place, end)
        elif what > 0.97:
            queue.lost(lane, under_way[lane])
            under_way[lane] = []
            if len(living) > 1 and random.random() < 0.5:
                living.remove(lane)
                queue.lane_lost(lane)
    assert queue.over
    chunks = {(i, n) for i, size in enumerate(sizes) for n in range(-(-size // CHUNK_BYTES))}
    assert set(done) == chunks
    assert all(count == 1 for count in done.values())
