"""The source's side of lanes: read, digest, seal, pace, send; and hear what was written.

A connection that is lost gives what it had under way back to the queue, and other connections and
lanes send it again. **Bytes sent twice**: at most what the lost connections had under way,

    WINDOW · connections lost · chunk size

on a path (and what a round trip holds, where links have one that is known: `more_window`); on a
tree, where fast destinations do not wait for slow ones, what not all of them had acknowledged. Near
the end a slow lane's overdue chunks are sent by another as well: once each, so never more than that
lane has under way. All of them are chunks that stand as `chunk_resent`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from datasets.errors import IntegrityError, SessionRefused, TradewindError
from datasets.events import Event
from executor.control import messages_pb2 as messages
from executor.endpoints.local import Entry, SourceReader, chunk_digest, read_into
from executor.gateway.chunks import Chunk, Place
from executor.gateway.command import (
    TAG_BYTES,
    Command,
    Kind,
    object_id_of,
    object_index,
)
from executor.gateway.crypto import Sealer, check_signature, signed_command
from executor.gateway.fanout import Outlet
from executor.gateway.feed import Feed
from executor.gateway.limits import Limits
from executor.gateway.log import GatewayLog
from executor.gateway.session import Session

# Chunks of one connection that may be on their way at once: what bounds memory along a lane, and
# how back-pressure reaches the reader of the source.
WINDOW = 4
_OVER_POLL_S = 0.1
# How long stripes may take to end once all is over; then their connections are closed.
END_S = 5.0


def window_of(lane: messages.Lane) -> int:
    """Chunks of one connection of a lane that may be under way at once."""
    return WINDOW + int(lane.more_window)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripe:
    """One connection of a lane, to each gateway that follows: one on a path, more on a tree.

    It seals a chunk once at most: `key_id` is its own.
    """

    lane: messages.Lane
    number: int
    key_id: int
    outlets: tuple[Outlet, ...]

    @property
    def first_hop(self) -> dict[str, Any]:
        """Where it begins, as the event table has it."""
        branch = self.outlets[0].branch
        return {"hop": branch.hop, "dst": branch.next.gateway}

    def close(self) -> None:
        """Close all of its connections."""
        for outlet in self.outlets:
            outlet.hop.close()


class Source:
    """Reads, seals and counts the chunks of one transfer; its stripes (`stripe.py`) send them."""

    def __init__(
        self,
        *,
        gateway: str,
        configuration: messages.Configuration,
        entries: tuple[Entry, ...],
        session: Session,
        sealer: Sealer,
        limits: Limits,
        log: GatewayLog,
        feed: Feed,
    ) -> None:
        self.gateway = gateway
        self.limits = limits
        self.log = log
        self.feed = feed
        self.record_bytes = int(configuration.record_bytes)
        self.chunk_bytes = int(configuration.chunk_bytes)
        self.spill_bytes = int(configuration.spill_bytes)
        self.ends = max(int(configuration.ends), 1)
        self._configuration = configuration
        self._entries = {entry.index: entry for entry in entries}
        self._ids = {
            entry.index: object_id_of(entry.index, entry.identity(configuration.transfer))
            for entry in entries
        }
        self._reader = SourceReader(configuration.root_path, entries)
        self._session = session
        self._key = session.key(configuration.keys.site_key)
        self._sealer = sealer
        self._digests: dict[Place, bytes] = {}
        self._running: dict[int, int] = {}
        self._threads: list[threading.Thread] = []
        self._stripes: list[Stripe] = []
        self._lock = threading.Lock()

    def digests(self) -> dict[Place, bytes]:
        """(object, chunk): digest of every chunk that went out by this gateway."""
        with self._lock:
            return dict(self._digests)

    def digest_of(self, index: int, chunk: int) -> bytes:
        """The digest of a chunk that was not sent, read for it. Raises: TransferFailed."""
        chunk_bytes = self._configuration.chunk_bytes
        offset = chunk * chunk_bytes
        plain = memoryview(bytearray(min(chunk_bytes, self._entries[index].size - offset)))
        descriptor = self._reader.open(index)
        try:
            read_into(descriptor, plain, offset)
            self._reader.check_unchanged(index, descriptor)
        finally:
            os.close(descriptor)
        return chunk_digest(plain)

    def start(self, stripes: Sequence[Stripe], run: Callable[[Source, Stripe], None]) -> None:
        """Send by these as well, each on a thread of its own."""
        with self._lock:
            begins = not self._threads
            self._stripes += stripes
            for stripe in stripes:
                index = stripe.lane.index
                self._running[index] = self._running.get(index, 0) + 1
                thread = threading.Thread(target=self._guarded, args=(stripe, run), daemon=True)
                self._threads.append(thread)
            new = self._threads[-len(stripes) :] if stripes else []
        for thread in new:
            thread.start()
        if begins:
            threading.Thread(target=self._wait, daemon=True).start()

    def _guarded(self, stripe: Stripe, run: Callable[[Source, Stripe], None]) -> None:
        try:
            run(self, stripe)
        except TradewindError as error:
            # What a stripe can do nothing about: its source, or the head that holds the queue.
            self.log.fail(f"source {self.gateway}: {error}")
        finally:
            stripe.close()

    def _wait(self) -> None:
        """Say that all is done once every chunk is everywhere, and no stripe runs any more."""
        try:
            while not self.log.failure and not self.feed.take(-1).over:
                time.sleep(_OVER_POLL_S)
        except TradewindError as error:
            self.log.fail(f"source {self.gateway}: {error}")
        with self._lock:
            threads, stripes = list(self._threads), list(self._stripes)
        deadline_s = time.monotonic() + END_S
        for thread in threads:
            thread.join(timeout=max(deadline_s - time.monotonic(), 0.0))
        # A slow one may still be sending what others have brought meanwhile.
        for stripe in stripes:
            stripe.close()
        for thread in threads:
            thread.join()
        if not self.log.failure:
            self.log.done()

    # What a stripe needs of its source.

    def expected_s(self, lane: messages.Lane) -> float:
        """How long a chunk should be under way while a stripe's window is full; 0: not known."""
        rate = lane.pace_bytes_per_s
        size_bytes = window_of(lane) * self.chunk_bytes
        return size_bytes * lane.connections / rate if rate > 0 else 0.0

    def lost(self, stripe: Stripe, places: Sequence[Place], error: TradewindError) -> None:
        """A stripe's connections are lost with these chunks under way: others send them."""
        with self._lock:
            index = stripe.lane.index
            self._running[index] -= 1
            last = not self._running[index]
        why = f"lane {index} by {stripe.outlets[0].hop.peer}: {error}"
        self.log.stamp(
            Event.CONNECTION_LOST,
            path=index,
            src=self.gateway,
            connection=stripe.number,
            detail={"why": str(error), "under_way": len(places)},
            **stripe.first_hop,
        )
        self.feed.lost(index, places, why=why, all_of_it=last)

    def read(self, chunk: Chunk, plain: memoryview) -> None:
        """The chunk's bytes into `plain`, digested. Raises: TransferFailed if it changed."""
        descriptor = self._reader.open(chunk.object)
        try:
            read_into(descriptor, plain[: chunk.size], chunk.offset)
            self._reader.check_unchanged(chunk.object, descriptor)
        finally:
            os.close(descriptor)
        digest = chunk_digest(plain[: chunk.size])
        with self._lock:
            self._digests[chunk.place] = digest

    def seal(
        self, stripe: Stripe, chunk: Chunk, start: int, plain: memoryview, into: memoryview
    ) -> int:
        """The record at `start` of the chunk, sealed and signed; the frame's length."""
        offset = chunk.offset + start
        command = self._session.command(
            Kind.DATA,
            object_id=self._ids[chunk.object],
            object_size=self._entries[chunk.object].size,
            offset=offset,
            chunk_size=self.chunk_bytes,
            payload_length=len(plain) + TAG_BYTES,
            attempt=self._configuration.attempt,
            path=stripe.lane.index,
            key_id=stripe.key_id,
        )
        return self._sealer.seal(into, command, plain, self._key)

    def stamp(self, event: Event, stripe: Stripe, chunk: Chunk) -> None:
        """One chunk's event at this gateway."""
        self.log.stamp(
            event,
            object=chunk.object,
            chunk=chunk.chunk,
            path=stripe.lane.index,
            src=self.gateway,
            connection=stripe.number,
            bytes=chunk.size,
            **stripe.first_hop,
        )

    def place_of(self, command: Command, frame: memoryview) -> Place:
        """The chunk that an acknowledgement is of. Raises: SessionRefused, IntegrityError."""
        check_signature(frame, self._key)
        index = object_index(command.object_id)
        if command.kind is not Kind.ACKNOWLEDGE or self._ids.get(index) != command.object_id:
            raise SessionRefused("an acknowledgement of no object of this transfer")
        if command.chunk_size != self.chunk_bytes or command.offset % self.chunk_bytes:
            raise IntegrityError("an acknowledgement is of no chunk")
        if command.key_id >= self.ends:
            raise SessionRefused("an acknowledgement of no destination of this transfer")
        return index, command.offset // self.chunk_bytes

    def end_command(self, lane: messages.Lane) -> bytes:
        """The last command of a connection."""
        return signed_command(self._session.command(Kind.END, path=lane.index), self._key)
