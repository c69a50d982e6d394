"""The queue of chunks at the source that heads a transfer; lanes take from it as they come free."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from executor.endpoints.local import Entry
from planner.dispatch import Dispatch, LanePace, chunk_count, static_shares, takes_next


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One chunk of one object of the listing."""

    object: int
    chunk: int
    offset: int
    size: int


class ChunkQueue:
    """Every chunk once, in order, to whichever lane asks and should have it."""

    def __init__(
        self,
        entries: Sequence[Entry],
        *,
        chunk_bytes: int,
        paces: Sequence[LanePace],
        dispatch: Dispatch,
    ) -> None:
        self._entries = [entry for entry in entries if entry.size > 0]
        self._chunk_bytes = chunk_bytes
        self._paces = tuple(paces)
        self._unassigned_bytes = sum(entry.size for entry in self._entries)
        self._at = (0, 0)  # position among the entries, chunk
        self._left: list[int] | None = None
        if dispatch == "static":
            count = sum(chunk_count(entry.size, chunk_bytes) for entry in self._entries)
            self._left = list(static_shares(count, [pace.gbps for pace in self._paces]))
        self._lock = threading.Lock()

    def take(self, lane: int) -> Chunk | None:
        """The next chunk, or None where nothing (more) is for that lane; None is final."""
        with self._lock:
            position, chunk = self._at
            if position == len(self._entries):
                return None
            entry = self._entries[position]
            offset = chunk * self._chunk_bytes
            size = min(self._chunk_bytes, entry.size - offset)
            if self._left is not None:
                if self._left[lane] == 0:
                    return None
                self._left[lane] -= 1
            elif not takes_next(lane, self._paces, size, self._unassigned_bytes):
                return None
            self._unassigned_bytes -= size
            last = chunk + 1 == chunk_count(entry.size, self._chunk_bytes)
            self._at = (position + 1, 0) if last else (position, chunk + 1)
            return Chunk(object=entry.index, chunk=chunk, offset=offset, size=size)
