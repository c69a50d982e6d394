"""The source's side of lanes: read, digest, seal, pace, send; and hear what was written."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from datasets.errors import IntegrityError, TradewindError, TransferFailed
from datasets.events import Event
from executor.control import messages_pb2 as messages
from executor.endpoints.local import Entry, SourceReader, chunk_digest, read_into
from executor.gateway.chunks import Chunk
from executor.gateway.command import (
    COMMAND_BYTES,
    TAG_BYTES,
    Kind,
    object_id_of,
    object_index,
    parse,
)
from executor.gateway.crypto import SPAN_BYTES, Sealer, check_signature, signed_command
from executor.gateway.limits import Limits
from executor.gateway.log import GatewayLog
from executor.gateway.session import Session
from executor.gateway.transport import Connection

# Chunks of one connection that may be on their way at once: what bounds memory along a lane, and
# how back-pressure reaches the reader of the source.
WINDOW = 4


class Source:
    """Sends the chunks that its lanes take, over connections that already stand."""

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
        take: Callable[[int], Chunk | None],
    ) -> None:
        self._gateway = gateway
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
        self._limits = limits
        self._log = log
        self._take = take
        self._digests: dict[tuple[int, int], bytes] = {}
        self._lock = threading.Lock()

    def digests(self) -> dict[tuple[int, int], bytes]:
        """(object, chunk): digest of every chunk that went out by this gateway."""
        with self._lock:
            return dict(self._digests)

    def run(self, connections: list[tuple[messages.Lane, int, Connection]]) -> None:
        """Send until nothing is left for any lane, and all of it is acknowledged."""
        threads = [
            threading.Thread(target=self._guarded, args=entry, daemon=True) for entry in connections
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not self._log.failure:
            self._log.done()

    def _guarded(self, lane: messages.Lane, number: int, connection: Connection) -> None:
        stripe = _Stripe(self, lane, number, connection)
        try:
            stripe.run()
        except TradewindError as error:
            self._log.stamp(
                Event.CONNECTION_LOST,
                path=lane.index,
                hop=0,
                src=self._gateway,
                dst=lane.next.gateway,
                connection=number,
            )
            self._log.fail(f"lane {lane.index} by {lane.next.gateway}: {error}")
        finally:
            connection.close()

    # What a stripe needs of its source.

    def take(self, lane: int) -> Chunk | None:
        """The next chunk for `lane`; None when there is none, or the transfer has failed."""
        return None if self._log.failure else self._take(lane)

    def send_chunk(
        self, lane: messages.Lane, connection: Connection, chunk: Chunk, buffers: _Buffers
    ) -> None:
        """Read, digest, seal, pace and send one chunk, record by record."""
        entry = self._entries[chunk.object]
        descriptor = self._reader.open(chunk.object)
        try:
            read_into(descriptor, buffers.plain[: chunk.size], chunk.offset)
            self._reader.check_unchanged(chunk.object, descriptor)
        finally:
            os.close(descriptor)
        digest = chunk_digest(buffers.plain[: chunk.size])
        with self._lock:
            self._digests[chunk.object, chunk.chunk] = digest
        record_bytes = self._configuration.record_bytes
        for start in range(0, chunk.size, record_bytes):
            plain = buffers.plain[start : min(start + record_bytes, chunk.size)]
            offset = chunk.offset + start
            command = self._session.command(
                Kind.DATA,
                object_id=self._ids[chunk.object],
                object_size=entry.size,
                offset=offset,
                chunk_size=self._configuration.chunk_bytes,
                payload_length=len(plain) + TAG_BYTES,
                attempt=self._configuration.attempt,
                path=lane.index,
                key_id=offset // SPAN_BYTES,
            )
            end = self._sealer.seal(buffers.sealed, command, plain, self._key)
            self._limits.wait_to_send(lane, len(plain), paced=True)
            connection.send(buffers.sealed[:end])

    def stamp(self, event: Event, lane: messages.Lane, number: int, chunk: Chunk) -> None:
        """One chunk's event at this gateway."""
        self._log.stamp(
            event,
            object=chunk.object,
            chunk=chunk.chunk,
            path=lane.index,
            hop=0,
            src=self._gateway,
            dst=lane.next.gateway,
            connection=number,
            bytes=chunk.size,
        )

    def new_buffers(self) -> _Buffers:
        """Buffers of one connection, made once."""
        return _Buffers(self._configuration.chunk_bytes, self._configuration.record_bytes)

    def hear(self, buffer: memoryview) -> tuple[int, int]:
        """(object, chunk) of an acknowledgement. Raises: SessionRefused or IntegrityError."""
        check_signature(buffer, self._key)
        command = parse(buffer)
        if command.kind is not Kind.ACKNOWLEDGE or command.transfer != self._session.transfer:
            raise IntegrityError("something else than an acknowledgement came back")
        return object_index(command.object_id), command.offset // self._configuration.chunk_bytes

    def end_command(self, lane: messages.Lane) -> bytes:
        """The last command of a connection."""
        return signed_command(self._session.command(Kind.END, path=lane.index), self._key)


class _Buffers:
    """One chunk in clear and one sealed record, reused for every chunk of a connection."""

    def __init__(self, chunk_bytes: int, record_bytes: int) -> None:
        self.plain = memoryview(bytearray(chunk_bytes))
        self.sealed = memoryview(bytearray(COMMAND_BYTES + record_bytes + TAG_BYTES))


class _Stripe:
    """One connection of a lane: a sender here, and a listener for acknowledgements beside it."""

    def __init__(
        self, source: Source, lane: messages.Lane, number: int, connection: Connection
    ) -> None:
        self._source = source
        self._lane = lane
        self._number = number
        self._connection = connection
        self._window = threading.BoundedSemaphore(WINDOW)
        self._waiting: dict[tuple[int, int], Chunk] = {}
        self._lock = threading.Lock()
        self._sent_all = False
        self._failure: TradewindError | None = None

    def run(self) -> None:
        """Send until nothing is left for the lane, then wait for the last acknowledgement."""
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        buffers = self._source.new_buffers()
        while self._failure is None:
            chunk = self._source.take(self._lane.index)
            if chunk is None:
                break
            self._source.stamp(Event.CHUNK_READ, self._lane, self._number, chunk)
            self._wait_for_window()
            with self._lock:
                self._waiting[chunk.object, chunk.chunk] = chunk
            self._source.send_chunk(self._lane, self._connection, chunk, buffers)
            self._source.stamp(Event.CHUNK_SENT, self._lane, self._number, chunk)
        with self._lock:
            self._sent_all = True
            idle = not self._waiting
        if idle:
            self._connection.send(self._source.end_command(self._lane))
        listener.join()
        if self._failure is not None:
            raise self._failure

    def _wait_for_window(self) -> None:
        while not self._window.acquire(timeout=0.5):
            if self._failure is not None:
                raise self._failure

    def _listen(self) -> None:
        buffer = memoryview(bytearray(COMMAND_BYTES))
        try:
            while True:
                self._connection.receive_command(buffer)
                if parse(buffer).kind is Kind.END:
                    break
                self._acknowledged(self._source.hear(buffer))
        except TradewindError as error:
            self._failure = error

    def _acknowledged(self, place: tuple[int, int]) -> None:
        with self._lock:
            chunk = self._waiting.pop(place, None)
            last = self._sent_all and not self._waiting
        if chunk is None:
            raise TransferFailed("a chunk was acknowledged that was not on its way")
        self._source.stamp(Event.CHUNK_ACKNOWLEDGED, self._lane, self._number, chunk)
        self._window.release()
        if last:
            self._connection.send(self._source.end_command(self._lane))
