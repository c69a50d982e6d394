"""Sets of whole numbers as sorted, disjoint, half-open ranges: which chunks arrived.

What it costs grows with the number of gaps, not of chunks: 34 PiB that came in order, in
36,507,222,016 chunks of 1 MiB, is one range.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from datasets.errors import SessionRefused


class IntervalSet:
    """Ranges [first, end). Adding is O(log n + ranges that melt into one). Not thread-safe."""

    __slots__ = ("_ends", "_firsts", "_total")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        self._total = 0
        for first, end in ranges:
            self.add(first, end)

    def add(self, first: int, end: int) -> int:
        """Put [first, end) in; how many numbers are new. Raises: SessionRefused if it is none."""
        if not 0 <= first < end:
            raise SessionRefused(f"[{first}, {end}) is no range of chunks")
        low = bisect_left(self._ends, first)
        high = bisect_right(self._firsts, end)
        new_end = end
        if low < high:
            first = min(first, self._firsts[low])
            new_end = max(end, self._ends[high - 1])
        before = self._total
        self._total += (new_end - first) - sum(
            self._ends[at] - self._firsts[at] for at in range(low, high)
        )
        self._firsts[low:high] = [first]
        self._ends[low:high] = [new_end]
        return self._total - before

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number < self._ends[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._ends, strict=True))

    def __len__(self) -> int:
        """How many ranges there are; `total` says how many numbers."""
        return len(self._firsts)

    @property
    def total(self) -> int:
        """How many numbers are in the set."""
        return self._total

    def missing(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """The ranges of [first, end) that are not in the set, in order."""
        at = max(bisect_right(self._firsts, first) - 1, 0)
        while first < end and at < len(self._firsts):
            if self._firsts[at] >= end:
                break
            if self._firsts[at] > first:
                yield first, self._firsts[at]
            first = max(first, self._ends[at])
            at += 1
        if first < end:
            yield first, end

    def common(self, other: IntervalSet) -> IntervalSet:
        """What is in both."""
        found = IntervalSet()
        for first, end in self:
            at = first
            for low, high in other.missing(first, end):
                if low > at:
                    found.add(at, low)
                at = high
            if at < end:
                found.add(at, end)
        return found
