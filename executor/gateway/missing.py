"""The chunks that are still to be moved; whichever connection is free takes the next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from executor.endpoints.intervals import IntervalSet
from executor.endpoints.units import Unit
from planner.dispatch import chunk_count

Chunk = tuple[Unit, int]


class MissingChunks:
    """Every missing chunk once, in order; what a connection lost comes back. Thread-safe."""

    def __init__(
        self,
        units: Sequence[Unit],
        received: Mapping[int, Sequence[tuple[int, int]]],
        *,
        chunk_bytes: int,
    ) -> None:
        self._chunk_bytes = chunk_bytes
        held = {unit.index: IntervalSet(received.get(unit.index, ())) for unit in units}
        self._next = self._missing(units, held)
        self._back: deque[Chunk] = deque()
        self._left = sum(self._count(unit) - held[unit.index].total for unit in units)
        self.total_bytes = sum(unit.size for unit in units)
        self._held_bytes = sum(self._bytes_of(unit, held[unit.index]) for unit in units)
        self._changed = threading.Condition()
        self._stopped = False

    @classmethod
    def only(
        cls,
        units: Sequence[Unit],
        wanted: Mapping[int, Sequence[tuple[int, int]]],
        *,
        chunk_bytes: int,
    ) -> MissingChunks:
        """A queue of these ranges of chunks, and no others."""
        others = {
            unit.index: list(
                IntervalSet(wanted.get(unit.index, ())).missing(
                    0, chunk_count(unit.size, chunk_bytes)
                )
            )
            for unit in units
        }
        return cls(units, others, chunk_bytes=chunk_bytes)

    def _count(self, unit: Unit) -> int:
        return chunk_count(unit.size, self._chunk_bytes)

    def _bytes_of(self, unit: Unit, held: IntervalSet) -> int:
        """Bytes of the chunks that are held: all of them are whole but the object's last."""
        last = self._count(unit) - 1
        short = self._chunk_bytes - self._size(unit, last) if last in held else 0
        return held.total * self._chunk_bytes - short

    def _size(self, unit: Unit, chunk: int) -> int:
        return min(self._chunk_bytes, unit.size - chunk * self._chunk_bytes)

    def _missing(self, units: Sequence[Unit], held: Mapping[int, IntervalSet]) -> Iterator[Chunk]:
        for unit in units:
            for first, end in held[unit.index].missing(0, self._count(unit)):
                for chunk in range(first, end):
                    yield unit, chunk

    @property
    def left(self) -> int:
        """Chunks that are not done."""
        with self._changed:
            return self._left

    @property
    def held_bytes(self) -> int:
        """Bytes that are on disk at the destination."""
        with self._changed:
            return self._held_bytes

    def take(self, *, wait_s: float) -> Chunk | None:
        """The next chunk; None where none is left to take, after waiting for one to come back."""
        with self._changed:
            if not self._back and not self._stopped:
                found = next(self._next, None)
                if found is not None:
                    return found
                if self._left and wait_s > 0:
                    self._changed.wait(wait_s)
            return self._back.popleft() if self._back and not self._stopped else None

    def done(self, unit: Unit, chunk: int) -> None:
        """That one is on disk."""
        with self._changed:
            self._left -= 1
            self._held_bytes += self._size(unit, chunk)
            if not self._left:
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Until all is done, something came back, or for that long."""
        with self._changed:
            if self._left and not self._stopped:
                self._changed.wait(seconds)

    def give_back(self, chunks: Sequence[Chunk]) -> None:
        """These were taken, and lost with their connection."""
        with self._changed:
            self._back.extend(chunks)
            self._changed.notify_all()

    def stop(self) -> None:
        """Nobody gets any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called, or all is done."""
        with self._changed:
            return self._stopped or not self._left
