"""Chunks: how objects are cut, and the queues they leave in order, dynamic or static.

A queue gives runs of equal chunks, since connections that begin equal chunks together stay
together. The rules are those of `planner/dispatch.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from planner.dispatch import LanePace, every_least_unassigned, static_shares

IntArray = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """All chunks in order: (chunks,) of which object, which of its chunks, how many bytes.

    `run_end[i]` is where the run of chunks that are like chunk i ends: as large, and (where
    `firsts_apart`) as much or as little the first of their objects.
    """

    object: IntArray
    chunk: IntArray
    size_bytes: IntArray
    run_end: IntArray

    def __len__(self) -> int:
        return len(self.size_bytes)


def cut(objects: Sequence[int], chunk_bytes: int, *, firsts_apart: bool = False) -> Chunks:
    """Chunks of `chunk_bytes`, an object's last one shorter; an empty object has none."""
    sizes: IntArray = np.array(objects, dtype=np.int64)
    counts = -(-sizes // chunk_bytes)
    of_object: IntArray = np.repeat(np.arange(len(sizes), dtype=np.int64), counts)
    first = np.cumsum(counts) - counts
    chunk: IntArray = np.arange(len(of_object), dtype=np.int64) - first[of_object]
    size: IntArray = np.minimum(sizes[of_object] - chunk * chunk_bytes, chunk_bytes)
    differs = np.diff(size) != 0
    if firsts_apart:
        differs |= (chunk[1:] == 0) != (chunk[:-1] == 0)
    ends = np.append(np.flatnonzero(differs) + 1, len(size))
    runs = np.diff(ends, prepend=0)
    return Chunks(object=of_object, chunk=chunk, size_bytes=size, run_end=np.repeat(ends, runs))


class Queue(Protocol):
    """Where free connections get their next chunks; lanes may die and come back."""

    def left(self) -> int:
        """Chunks not taken."""

    def head(self, lane: int) -> int:
        """The chunk that `lane` would take next, -1 where there is none for it."""

    def take(self, lane: int, most: int) -> tuple[int, int]:
        """(first, count) of equal chunks that `lane` takes now, at most `most`; count may be 0."""

    def put_back(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Chunks [first, end) that were taken are to be taken again, before all others."""

    def lanes_are(self, living: Sequence[int]) -> None:
        """From now on these lanes take chunks, and no others."""

    def grown(self, paces: Sequence[LanePace]) -> None:
        """There are more lanes: the paces of all."""


class DynamicQueue:
    """One queue for all lanes, with the tail guard of `takes_next`."""

    def __init__(self, chunks: Chunks, paces: Sequence[LanePace]) -> None:
        # Not as lists: few of them are looked at.
        self._sizes, self._run_end = chunks.size_bytes, chunks.run_end
        self._ranges: deque[tuple[int, int]] = deque([(0, len(chunks))] if len(chunks) else [])
        self._left = len(chunks)
        self._left_bytes = int(chunks.size_bytes.sum())
        self._paces = tuple(paces)
        self._position = {lane: lane for lane in range(len(paces))}
        self._living = self._paces
        self._guards: dict[int, list[float]] = {}

    def left(self) -> int:
        """Chunks not taken."""
        return self._left

    def head(self, lane: int) -> int:
        """The queue's first."""
        return self._ranges[0][0] if self._left and lane in self._position else -1

    def take(self, lane: int, most: int) -> tuple[int, int]:
        """As the rule says for each chunk in turn, in closed form for a run of equal ones."""
        if not self._left or lane not in self._position:
            return 0, 0
        first, end = self._ranges[0]
        size = int(self._sizes[first])
        guards = self._guards.get(size)
        if guards is None:
            guards = self._guards[size] = every_least_unassigned(self._living, size)
        guard = guards[self._position[lane]]
        if self._left_bytes < guard:
            return first, 0
        count = min(most, int(self._run_end[first]) - first, end - first)
        if guard > 0:
            count = min(count, int((self._left_bytes - guard) // size) + 1)
        if first + count == end:
            self._ranges.popleft()
        else:
            self._ranges[0] = (first + count, end)
        self._left -= count
        self._left_bytes -= count * size
        return first, count

    def put_back(self, ranges: Iterable[tuple[int, int]]) -> None:
        """In front, in their order."""
        for first, end in sorted(ranges, reverse=True):
            self._ranges.appendleft((first, end))
            self._left += end - first
            self._left_bytes += int(self._sizes[first:end].sum())

    def lanes_are(self, living: Sequence[int]) -> None:
        """The tail guard looks at these only, so that the queue always drains."""
        self._position = {lane: at for at, lane in enumerate(living)}
        self._living = tuple(self._paces[lane] for lane in living)
        self._guards.clear()

    def grown(self, paces: Sequence[LanePace]) -> None:
        """As it says; `lanes_are` follows."""
        self._paces = tuple(paces)


class StaticQueue:
    """A part of the chunks for each lane, in proportion to its share, decided beforehand."""

    def __init__(self, chunks: Chunks, shares: Sequence[float]) -> None:
        self._run_end = chunks.run_end
        self._shares = list(shares)
        self._living = list(range(len(shares)))
        self._homeless: list[tuple[int, int]] = []
        self._parts: list[deque[tuple[int, int]]] = [deque() for _ in shares]
        counts = static_shares(len(chunks), shares) if len(chunks) else (0,) * len(shares)
        ends = np.cumsum(counts).tolist()
        for part, end, count in zip(self._parts, ends, counts, strict=True):
            if count:
                part.append((end - count, end))

    def left(self) -> int:
        """Chunks not taken."""
        waiting = sum(end - first for first, end in self._homeless)
        return waiting + sum(end - first for part in self._parts for first, end in part)

    def head(self, lane: int) -> int:
        """The lane's own first."""
        return self._parts[lane][0][0] if self._parts[lane] else -1

    def take(self, lane: int, most: int) -> tuple[int, int]:
        """The lane's own next ones."""
        if not self._parts[lane]:
            return 0, 0
        first, end = self._parts[lane][0]
        count = min(most, end - first, int(self._run_end[first]) - first)
        if first + count == end:
            self._parts[lane].popleft()
        else:
            self._parts[lane][0] = (first + count, end)
        return first, count

    def put_back(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Shared among the living lanes, as they share the whole, once there are any."""
        self._homeless += ranges
        self._house()

    def lanes_are(self, living: Sequence[int]) -> None:
        """What dead lanes had left goes to the living; what those have stays theirs."""
        self._living = list(living)
        if living:
            for lane in set(range(len(self._parts))) - set(living):
                self._homeless += self._parts[lane]
                self._parts[lane].clear()
        self._house()

    def grown(self, paces: Sequence[LanePace]) -> None:
        """New lanes begin with nothing; `lanes_are` gives them what the dead leave."""
        self._shares += [pace.gbps for pace in paces[len(self._shares) :]]
        self._parts += [deque() for _ in paces[len(self._parts) :]]

    def _house(self) -> None:
        """Chunks that are no lane's are the living ones'."""
        if not self._living or not self._homeless:
            return
        pending = deque(sorted(self._homeless))
        self._homeless = []
        total = sum(end - first for first, end in pending)
        counts = static_shares(total, [self._shares[lane] for lane in self._living])
        for lane, count in zip(self._living, counts, strict=True):
            wanted = count
            while wanted:
                first, end = pending.popleft()
                taken = min(wanted, end - first)
                self._parts[lane].append((first, first + taken))
                if first + taken < end:
                    pending.appendleft((first + taken, end))
                wanted -= taken
