from __future__ import annotations

import pytest

from planner.dispatch import LanePace, takes_next
from simulator.chunks import DynamicQueue, StaticQueue, cut

PACES = (LanePace(gbps=8.0, connections=2), LanePace(gbps=1.0, connections=1))


def test_objects_are_cut_and_empty_ones_have_no_chunk() -> None:
    chunks = cut((25, 0, 10), 10)
    assert chunks.object.tolist() == [0, 0, 0, 2]
    assert chunks.chunk.tolist() == [0, 1, 2, 0]
    assert chunks.size_bytes.tolist() == [10, 10, 5, 10]
    assert chunks.run_end.tolist() == [2, 2, 3, 4]


def test_nothing_to_move() -> None:
    for objects in ((), (0, 0)):
        assert len(cut(objects, 10)) == 0


@pytest.mark.parametrize("objects", [(1000,), (95, 3, 27, 400), (7,) * 20])
@pytest.mark.parametrize("lane", [0, 1])
def test_a_run_is_what_one_connection_after_the_other_would_take(
    objects: tuple[int, ...], lane: int
) -> None:
    """The closed form against the rule itself, chunk by chunk."""
    chunks = cut(objects, 10)
    sizes = chunks.size_bytes.tolist()
    taken = 0
    while taken < len(sizes) and takes_next(lane, PACES, sizes[taken], sum(sizes[taken:])):
        taken += 1
    queue = DynamicQueue(chunks, PACES)
    total = 0
    while (count := queue.take(lane, 3)[1]) > 0:
        total += count
    assert total == taken
    assert queue.left() == len(sizes) - taken


def test_a_static_queue_gives_each_lane_its_own_part() -> None:
    queue = StaticQueue(cut((100,), 10), [0.7, 0.3])
    assert queue.take(1, 99) == (7, 3)
    assert queue.take(1, 99)[1] == 0
    assert queue.left() == 7
    assert queue.take(0, 5) == (0, 5)
