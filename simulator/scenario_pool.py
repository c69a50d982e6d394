"""Dynamic dispatch of a pool's chunks: a free connection takes the next chunk not yet sent.

Of connections that are free at one instant, the one that began its last chunk first goes first,
and before any began one, they go as they are listed. A connection keeps its chunk when a link of
its path goes down, and begins it again when all are up, as any flow does; it hands it to nobody.
Connections of one lane that take chunks at one instant move in lockstep: they are one transfer,
that of the first of them, over so many connections.
"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.scenario import Pool
from simulator.scenario_lanes import is_instant


class Dispatch:
    """One pool under way. Its connections are the transfers `first` to `last`, excluded."""

    def __init__(self, pool: Pool, *, first: int, lane: Sequence[int]) -> None:
        self.pool = pool
        self.first = first
        self.last = first + len(pool.connections)
        self._lane = lane
        self._free = list(range(self.first, self.last))
        self._next = 0
        self._chunk = dict.fromkeys(self._free, -1)  # the last that each took
        self._cohort: dict[int, list[int]] = {}  # connections, by the first of them

    def take(self) -> tuple[list[str], list[tuple[int, int]]]:
        """Free connections take chunks.

        Returns the flows that are through as they begin (no bytes, or a connection that nothing
        holds, which takes all that is left), and of the others each transfer and its connections.
        """
        if self.pool.chunk_bytes == 0:
            return self._rest(), []
        cohorts: dict[int, list[int]] = {}
        for at, connection in enumerate(self._free):
            if self._next == self.pool.chunks:
                self._free = self._free[at:]
                break
            if is_instant(self.pool.connections[connection - self.first].route):
                self._free = self._free[at:]
                return self._rest(), self._set_out(cohorts)
            self._chunk[connection] = self._next
            self._next += 1
            cohorts.setdefault(self._lane[connection], []).append(connection)
        else:
            self._free = []
        return [], self._set_out(cohorts)

    def end(self, transfer: int) -> list[str]:
        """The transfer is through: its connections are free; the flows that ended."""
        members = self._cohort.pop(transfer)
        if self._next < self.pool.chunks:  # with none left, it does not matter who is free
            self._free += members
            self._free.sort(key=lambda connection: (self._chunk[connection], connection))
        return [self._flow_id(self._chunk[connection]) for connection in members]

    def flow_of(self, transfer: int) -> str:
        """The chunk that is under way there."""
        return self._flow_id(self._chunk[transfer])

    def _set_out(self, cohorts: dict[int, list[int]]) -> list[tuple[int, int]]:
        for members in cohorts.values():
            self._cohort[members[0]] = members
        return [(members[0], len(members)) for members in cohorts.values()]

    def _rest(self) -> list[str]:
        left = range(self._next, self.pool.chunks)
        self._next = self.pool.chunks
        return [self._flow_id(chunk) for chunk in left]

    def _flow_id(self, chunk: int) -> str:
        return f"{self.pool.id}/{chunk}"
