"""Where a source's lanes get their chunks: from the queue here, or from that of the head source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from executor.control import messages_pb2 as messages
from executor.endpoints.local import Entry
from executor.gateway.chunks import Chunk, ChunkQueue, Grant, Place


class Feed(Protocol):
    """What a source's connections ask and tell about chunks."""

    def take(self, lane: int) -> Grant:
        """As `ChunkQueue.take`; a `lane` of -1 only asks whether all is over."""

    def acknowledged(self, lane: int, place: Place, end: int) -> bool:
        """As `ChunkQueue.acknowledged`."""

    def lost(self, lane: int, places: Sequence[Place], *, why: str, all_of_it: bool) -> None:
        """A connection of `lane` is lost with these under way; with it the lane, if `all_of_it`."""


class OwnFeed:
    """The queue at the head source; `stranded` is told when no lane is left."""

    def __init__(self, queue: ChunkQueue, stranded: Callable[[str], None]) -> None:
        self.queue = queue
        self._stranded = stranded

    def take(self, lane: int) -> Grant:
        """As `Feed.take`."""
        return Grant(over=self.queue.over) if lane < 0 else self.queue.take(lane)

    def acknowledged(self, lane: int, place: Place, end: int) -> bool:
        """As `Feed.acknowledged`."""
        return self.queue.acknowledged(lane, place, end)

    def lost(self, lane: int, places: Sequence[Place], *, why: str, all_of_it: bool) -> None:
        """As `Feed.lost`."""
        self.queue.lost(lane, places)
        if all_of_it:
            self.queue.lane_lost(lane)
            if not self.queue.living and not self.queue.over:
                self._stranded(why)

    def answer(self, request: messages.ChunkRequest) -> messages.ChunkGrant:
        """What another source asks and tells, in one call."""
        done = [
            entry
            for entry in request.acknowledged
            if self.acknowledged(request.lane, (entry.object, entry.chunk), entry.end)
        ]
        if request.lost or request.lane_lost:
            places = [(entry.object, entry.chunk) for entry in request.lost]
            self.lost(request.lane, places, why=request.why, all_of_it=request.lane_lost)
        grant = self.take(request.lane) if request.take else Grant()
        answer = messages.ChunkGrant(object=-1, over=grant.over, again=grant.again, done=done)
        if grant.chunk is not None:
            answer.object, answer.chunk = grant.chunk.place
        return answer


class HeadsFeed:
    """The queue of another source, over control."""

    def __init__(
        self,
        call: Callable[[messages.ChunkRequest], messages.ChunkGrant],
        *,
        entries: Iterable[Entry],
        chunk_bytes: int,
    ) -> None:
        self._call = call
        self._sizes = {entry.index: entry.size for entry in entries}
        self._chunk_bytes = chunk_bytes

    def take(self, lane: int) -> Grant:
        """As `Feed.take`. Raises: the head's error, or ProviderError if it is away."""
        grant = self._call(messages.ChunkRequest(lane=lane, take=True))
        if grant.object < 0:
            return Grant(over=grant.over)
        offset = grant.chunk * self._chunk_bytes
        size = min(self._chunk_bytes, self._sizes[grant.object] - offset)
        chunk = Chunk(object=grant.object, chunk=grant.chunk, offset=offset, size=size)
        return Grant(chunk=chunk, again=grant.again)

    def acknowledged(self, lane: int, place: Place, end: int) -> bool:
        """As `Feed.acknowledged`."""
        entry = messages.ChunkPlace(object=place[0], chunk=place[1], end=end)
        return bool(self._call(messages.ChunkRequest(lane=lane, acknowledged=[entry])).done)

    def lost(self, lane: int, places: Sequence[Place], *, why: str, all_of_it: bool) -> None:
        """As `Feed.lost`."""
        lost = [messages.ChunkPlace(object=place[0], chunk=place[1]) for place in places]
        self._call(messages.ChunkRequest(lane=lane, lost=lost, lane_lost=all_of_it, why=why))
