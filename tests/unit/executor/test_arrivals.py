"""Records into chunks: whatever their order, whole once all have come."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import SessionRefused
from executor.gateway.arrivals import MOST_UNFINISHED, Arrivals
from executor.gateway.command import TAG_BYTES, Command, Kind

RECORD, CHUNK = 10, 40


def record(offset: int, *, size: int, length: int | None = None, number: int = 0) -> Command:
    chunk_end = min(size, offset - offset % CHUNK + CHUNK)
    plain = min(RECORD, chunk_end - offset) if length is None else length
    return Command(
        kind=Kind.DATA,
        transfer=bytes(16),
        object_id=number.to_bytes(16, "big"),
        object_size=size,
        offset=offset,
        chunk_size=CHUNK,
        payload_length=plain + TAG_BYTES,
    )


@given(st.integers(1, 200), st.randoms(use_true_random=False), st.integers(0, 10))
def test_each_chunk_is_whole_once_when_its_last_record_comes(
    size: int, random: Random, twice: int
) -> None:
    offsets = list(range(0, size, RECORD))
    random.shuffle(offsets)
    for _ in range(min(twice, len(offsets))):
        at = random.randrange(len(offsets))
        # A duplicate comes right behind: of a chunk that is whole by then it begins another count.
        if offsets[at] // CHUNK in {offset // CHUNK for offset in offsets[at + 1 :]}:
            offsets.insert(at + 1, offsets[at])
    arrivals, whole = Arrivals(RECORD), []
    for position, offset in enumerate(offsets):
        if arrivals.add(record(offset, size=size)):
            whole.append(offset // CHUNK)
            assert all(other // CHUNK != offset // CHUNK for other in offsets[position + 1 :])
    assert sorted(whole) == list(range(-(-size // CHUNK)))


@pytest.mark.parametrize(
    "command",
    [
        record(5, size=100),
        record(0, size=100, length=9),
        record(90, size=95, length=10),
        record(0, size=100, length=20),
    ],
    ids=["between", "short", "beyond", "long"],
)
def test_a_record_that_the_chunk_was_not_cut_into_is_refused(command: Command) -> None:
    with pytest.raises(SessionRefused, match="not one of those"):
        Arrivals(RECORD).add(command)


def test_who_finishes_nothing_is_refused_before_memory_is_gone() -> None:
    arrivals = Arrivals(RECORD)
    for number in range(MOST_UNFINISHED):
        assert not arrivals.add(record(0, size=100, number=number))
    with pytest.raises(SessionRefused, match="begun and not finished"):
        arrivals.add(record(0, size=100, number=MOST_UNFINISHED))
