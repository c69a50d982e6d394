"""What waits at relays whose hops are simulated apart: bounded buffers, and what is complete where.

A lane has a buffer of its own at each relay (one a branch of a tree), so that lanes that cross
never wait for each other in a ring. Room is reserved before a chunk is sent there: that is the
back-pressure. With records, a relay passes on what it has of a chunk (cut-through); without, only
whole chunks (store and forward).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from datasets.units import gigabits
from simulator.chunks import IntArray
from simulator.routes import Route

_PLENTY = 1 << 62


class Unit(NamedTuple):
    """Chunks [first, end) together, or (with records) record number `piece` of each of them.

    `is_last`: the connections that carry it are free when it is through.
    """

    first: int
    end: int
    piece: int
    is_last: bool


class Stations:
    """The buffers of all relays. `apart` says whether there are any; `sizes` (chunks,) bytes."""

    def __init__(
        self,
        sizes: IntArray,
        *,
        apart: bool,
        buffer_bytes: int | None,
        record_bytes: int | None,
        size_scale: float,
    ) -> None:
        self._sizes = sizes
        self.apart = apart
        self._buffer_bytes = buffer_bytes
        self._record_bytes = record_bytes
        self._scale = size_scale
        self._routes: dict[int, Route] = {}
        self._waiting: dict[tuple[int, int], deque[Unit]] = {}
        self._held: dict[tuple[int, int], int] = {}
        self._after: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self._pieces: dict[tuple[int, int], dict[int, int]] = {}
        self._reached: dict[int, dict[int, int]] = {}
        self._units = 0
        self._gigabits: dict[int, float] = {}

    @property
    def bounded(self) -> bool:
        """Whether a sender may have to wait for room."""
        return self.apart and self._buffer_bytes is not None

    @property
    def whole(self) -> bool:
        """Whether relays pass on whole chunks only (or nothing is apart)."""
        return not self.apart or self._record_bytes is None

    @property
    def empty(self) -> bool:
        """Whether nothing waits anywhere."""
        return not self._units

    def add(self, number: int, route: Route) -> None:
        """One more route."""
        self._routes[number] = route
        if self.apart:
            self._reached[number] = {}
            for edge in range(len(route.edges)):
                self._waiting[number, edge] = deque()
                self._held[number, edge] = 0
                self._pieces[number, edge] = {}
                self._after[number, edge] = [(number, at) for at in route.children(edge)]

    def first_unit(self, first: int, end: int) -> Unit:
        """What connections that take chunks [first, end) at the source send first."""
        return Unit(first, end, 0, self._count(first) == 1)

    def next_unit(self, unit: Unit) -> Unit:
        """What the same connections send after `unit`, which is not their last."""
        piece = unit.piece + 1
        return Unit(unit.first, unit.end, piece, piece == self._count(unit.first) - 1)

    def every_unit(self, unit: Unit) -> Iterable[Unit]:
        """All that is sent of the chunks of which `unit` is the first."""
        yield unit
        while not unit.is_last:
            unit = self.next_unit(unit)
            yield unit

    def gigabits(self, unit: Unit) -> float:
        """Real gigabits of one chunk of the unit, or of its record."""
        size = self._bytes(unit)
        found = self._gigabits.get(size)
        if found is None:
            found = self._gigabits[size] = gigabits(size) / self._scale
        return found

    def whole_at(self, number: int, edges: Sequence[int], unit: Unit) -> list[tuple[int, int]]:
        """The chunks of `unit`, as ranges, that are now complete where the edges end."""
        if self.whole:
            return [(unit.first, unit.end)]
        counts = self._pieces[number, edges[0]]
        return self._counted(counts, unit, needed=self._count)

    def everywhere(
        self, number: int, edges: Sequence[int], first: int, end: int
    ) -> list[tuple[int, int]]:
        """Of chunks that came whole over the edges: those that are at every destination now."""
        route = self._routes[number]
        if edges[0] not in route.ends:
            return []
        if len(route.ends) == 1:
            return [(first, end)]
        return self._counted(
            self._reached[number],
            Unit(first, end, 0, True),
            needed=lambda chunk: len(route.ends),
        )

    def _counted(
        self, counts: dict[int, int], unit: Unit, *, needed: Callable[[int], int]
    ) -> list[tuple[int, int]]:
        """One more for each chunk of `unit`; ranges of those that have all they need."""
        ranges: list[tuple[int, int]] = []
        for chunk in range(unit.first, unit.end):
            count = counts.get(chunk, 0) + 1
            if count < needed(chunk):
                counts[chunk] = count
                continue
            counts.pop(chunk, None)
            if ranges and ranges[-1][1] == chunk:
                ranges[-1] = (ranges[-1][0], chunk + 1)
            else:
                ranges.append((chunk, chunk + 1))
        return ranges

    # --- Room.

    def room(self, number: int, edges: Sequence[int], unit: Unit) -> int:
        """For how many chunks of `unit` there is room where the edges lead."""
        if not self.apart or self._buffer_bytes is None:
            return _PLENTY
        after = self._after[number, edges[0]]
        if not after:
            return _PLENTY
        free = self._buffer_bytes - max(self._held[place] for place in after)
        return max(0, free // self._bytes(unit))

    def reserve(self, number: int, edges: Sequence[int], unit: Unit) -> None:
        """Room for `unit` at the relay that the edges lead to is taken."""
        size = (unit.end - unit.first) * self._bytes(unit)
        for place in self._after[number, edges[0]]:
            self._held[place] += size

    def enter(self, number: int, edge: int, unit: Unit) -> None:
        """`unit` waits to cross `edge`."""
        self._waiting[number, edge].append(unit)
        self._units += 1

    def leave(self, number: int, edge: int, unit: Unit) -> None:
        """`unit` has crossed `edge`: its room before it is free."""
        if self._routes[number].parents[edge] >= 0:
            self._held[number, edge] -= (unit.end - unit.first) * self._bytes(unit)

    def head(self, number: int, edge: int) -> Unit | None:
        """What is next to cross `edge`."""
        waiting = self._waiting[number, edge]
        return waiting[0] if waiting else None

    def take(self, number: int, edge: int, most: int) -> Unit:
        """The next unit for `edge`, or the first `most` chunks of it."""
        waiting = self._waiting[number, edge]
        unit = waiting[0]
        if unit.end - unit.first <= most:
            self._units -= 1
            return waiting.popleft()._replace(is_last=True)
        middle = unit.first + most
        waiting[0] = unit._replace(first=middle)
        return Unit(unit.first, middle, unit.piece, True)

    # --- Losses.

    def lose(self, number: int, kept: set[int]) -> list[Unit]:
        """All that waits before the route's edges, but for those `kept`, is gone: what it was."""
        if not self.apart:
            return []
        gone: list[Unit] = []
        for edge in range(len(self._routes[number].edges)):
            if edge not in kept:
                gone += self._waiting[number, edge]
                self._units -= len(self._waiting[number, edge])
                self._waiting[number, edge].clear()
                self._held[number, edge] = 0
        return gone

    def recount(self, number: int, edge: int, crossing: Iterable[Unit]) -> None:
        """What an edge that is kept holds: what waits for it and what is `crossing` it."""
        if self.apart:
            self._held[number, edge] = sum(
                (unit.end - unit.first) * self._bytes(unit)
                for unit in (*self._waiting[number, edge], *crossing)
            )

    def forget(self, number: int, chunks: Iterable[int]) -> None:
        """Chunks that begin anew: nothing of them has arrived anywhere."""
        if not self.apart:
            return
        counts = [self._reached[number]]
        counts += [self._pieces[number, at] for at in range(len(self._routes[number].edges))]
        for chunk in chunks:
            for count in counts:
                count.pop(chunk, None)

    # --- Sizes.

    def _count(self, chunk: int) -> int:
        """How many records a chunk has; 1 where only whole chunks are passed on."""
        if not self.apart or self._record_bytes is None:
            return 1
        return max(1, -(-int(self._sizes[chunk]) // self._record_bytes))

    def _bytes(self, unit: Unit) -> int:
        """Of one chunk of the unit, or of its record."""
        size = int(self._sizes[unit.first])
        if not self.apart or self._record_bytes is None:
            return size
        return min(self._record_bytes, size - unit.piece * self._record_bytes)
