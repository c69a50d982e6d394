"""The queue of chunks: each chunk once, in order, whatever the lanes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from executor.endpoints.local import Entry, EntryKind
from executor.gateway.chunks import Chunk, ChunkQueue
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
        chunk = queue.take(lane)
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
    assert queue.take(1) is None
    assert queue.take(0) is not None
