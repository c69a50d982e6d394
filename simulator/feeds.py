"""Feeds: the chunks that a source holds for a Job, and the routes that take them from there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planner.dispatch import LanePace
from simulator.chunks import Queue


class Feed:
    """Chunks `offset` to `offset + count` (numbered over all feeds) of Job number `job`.

    `pending` counts those not acknowledged, 0 once they are given up. Routes go by their number in
    the network.
    """

    def __init__(self, *, job: int, queue: Queue, offset: int, count: int) -> None:
        self.job = job
        self.pending = count
        self.chunks = range(offset, offset + count)
        self._given_up = False
        self._queue = queue
        self._offset = offset
        self._lane_of: dict[int, int] = {}
        self._paces: list[LanePace] = []

    def join(self, numbers: Sequence[int], paces: Sequence[LanePace]) -> None:
        """These routes take from it, too; the queue was made for the first ones that join."""
        grown = bool(self._paces)
        for number, pace in zip(numbers, paces, strict=True):
            self._lane_of[number] = len(self._paces)
            self._paces.append(pace)
        if grown:
            self._queue.grown(self._paces)

    @property
    def routes(self) -> tuple[int, ...]:
        """The numbers of its routes."""
        return tuple(self._lane_of)

    def left(self) -> int:
        """Chunks that no connection has taken."""
        return self._queue.left() if self.pending else 0

    def head(self, number: int) -> int:
        """The chunk that the route would take next; -1 where there is none."""
        chunk = self._queue.head(self._lane_of[number])
        return chunk + self._offset if chunk >= 0 else -1

    def take(self, number: int, most: int) -> tuple[int, int]:
        """(first, count) of equal chunks that the route takes now."""
        first, count = self._queue.take(self._lane_of[number], most)
        return first + self._offset, count

    def put_back(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Lost chunks [first, end) wait again."""
        if self.pending:
            self._queue.put_back(
                [(first - self._offset, end - self._offset) for first, end in ranges]
            )

    def lanes_are(self, numbers: Iterable[int]) -> None:
        """Only these of its routes take chunks."""
        self._queue.lanes_are([self._lane_of[n] for n in numbers if n in self._lane_of])

    def done(self, count: int) -> None:
        """So many more are acknowledged."""
        if not self._given_up:
            self.pending -= count

    def give_up(self) -> None:
        """What is left will not be moved."""
        self.pending, self._given_up = 0, True
