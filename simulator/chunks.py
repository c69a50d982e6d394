"""Chunks: how objects are cut, and the queues they leave in order, dynamic or static.

A queue gives runs of equal chunks, since connections that begin equal chunks together stay
together. The rules are those of `planner/dispatch.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from planner.dispatch import LanePace, least_unassigned_bytes, static_shares

IntArray = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """All chunks in order: (chunks,) of which object, which of its chunks, how many bytes.

    `run_end[i]` is where the run of chunks as large as chunk i ends.
    """

    object: IntArray
    chunk: IntArray
    size_bytes: IntArray
    run_end: IntArray

    def __len__(self) -> int:
        return len(self.size_bytes)


def cut(objects: Sequence[int], chunk_bytes: int) -> Chunks:
    """Chunks of `chunk_bytes`, an object's last one shorter; an empty object has none."""
    sizes: IntArray = np.array(objects, dtype=np.int64)
    counts = -(-sizes // chunk_bytes)
    of_object: IntArray = np.repeat(np.arange(len(sizes), dtype=np.int64), counts)
    first = np.cumsum(counts) - counts
    chunk: IntArray = np.arange(len(of_object), dtype=np.int64) - first[of_object]
    size: IntArray = np.minimum(sizes[of_object] - chunk * chunk_bytes, chunk_bytes)
    ends = np.append(np.flatnonzero(np.diff(size)) + 1, len(size))
    runs = np.diff(ends, prepend=0)
    return Chunks(object=of_object, chunk=chunk, size_bytes=size, run_end=np.repeat(ends, runs))


class Queue(Protocol):
    """Where free connections get their next chunks."""

    def left(self) -> int:
        """Chunks not yet taken."""

    def take(self, lane: int, most: int) -> tuple[int, int]:
        """(first, count) of equal chunks that `lane` takes now, at most `most`; count may be 0."""


class DynamicQueue:
    """One queue for all lanes, with the tail guard of `takes_next`."""

    def __init__(self, chunks: Chunks, paces: Sequence[LanePace]) -> None:
        self._sizes = chunks.size_bytes.tolist()
        self._run_end = chunks.run_end.tolist()
        self._paces = paces
        self._next = 0
        self._left_bytes = int(chunks.size_bytes.sum())
        self._guards: dict[tuple[int, int], float] = {}

    def left(self) -> int:
        """Chunks not yet taken."""
        return len(self._sizes) - self._next

    def take(self, lane: int, most: int) -> tuple[int, int]:
        """As the rule says for each chunk in turn, in closed form for a run of equal ones."""
        first = self._next
        if first == len(self._sizes):
            return first, 0
        size = self._sizes[first]
        guard = self._guards.get((lane, size))
        if guard is None:
            guard = least_unassigned_bytes(lane, self._paces, size)
            self._guards[lane, size] = guard
        if self._left_bytes < guard:
            return first, 0
        count = min(most, self._run_end[first] - first)
        if guard > 0:
            count = min(count, int((self._left_bytes - guard) // size) + 1)
        self._next += count
        self._left_bytes -= count * size
        return first, count


class StaticQueue:
    """A part of the chunks for each lane, in proportion to its share, decided beforehand."""

    def __init__(self, chunks: Chunks, shares: Sequence[float]) -> None:
        counts = static_shares(len(chunks), shares)
        self._run_end = chunks.run_end.tolist()
        self._end = np.cumsum(counts).tolist()
        self._next = [end - count for end, count in zip(self._end, counts, strict=True)]

    def left(self) -> int:
        """Chunks not yet taken."""
        return int(sum(self._end) - sum(self._next))

    def take(self, lane: int, most: int) -> tuple[int, int]:
        """The lane's own next ones."""
        first = self._next[lane]
        if first == self._end[lane]:
            return first, 0
        count = min(most, min(self._end[lane], self._run_end[first]) - first)
        self._next[lane] += count
        return first, count
