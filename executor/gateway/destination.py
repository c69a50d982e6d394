"""The destination's side of lanes: check, open, write, acknowledge."""

from __future__ import annotations

import time
from collections.abc import Callable

from datasets.errors import SessionRefused, TradewindError
from datasets.events import Event
from executor.control import messages_pb2 as messages
from executor.endpoints.local import Entry, Staging
from executor.gateway.command import COMMAND_BYTES, TAG_BYTES, Command, Kind, object_id_of, parse
from executor.gateway.crypto import SPAN_BYTES, Sealer, check_signature, signed_command
from executor.gateway.limits import Limits
from executor.gateway.log import GatewayLog
from executor.gateway.relay import chunk_bytes_of, ends_chunk, stamp_counter
from executor.gateway.session import Session
from executor.gateway.transport import Connection


class Destination:
    """Receives records of one transfer, on any connection, in any order of chunks."""

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
        staging: Staging,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._gateway = gateway
        self._configuration = configuration
        self._session = session
        self._key = session.key(configuration.keys.site_key)
        self._sealer = sealer
        self._limits = limits
        self._log = log
        self._staging = staging
        self._now = now
        self._objects = {
            object_id_of(entry.index, entry.identity(configuration.transfer)): entry
            for entry in entries
        }

    def serve(self, lane: messages.Lane, number: int, connection: Connection) -> None:
        """Receive until the lane ends; what is refused ends the connection and the transfer."""
        try:
            self._receive(lane, number, connection)
        except TradewindError as error:
            self._log.stamp(
                Event.CONNECTION_LOST,
                path=lane.index,
                hop=lane.hop - 1,
                src=lane.previous.gateway,
                dst=self._gateway,
                connection=number,
            )
            self._log.fail(f"destination {self._gateway}, lane {lane.index}: {error}")
        else:
            stamp_counter(self._log, lane, number, connection, gateway=self._gateway)
        finally:
            connection.close()

    def _receive(self, lane: messages.Lane, number: int, connection: Connection) -> None:
        record_bytes = self._configuration.record_bytes
        frame = memoryview(bytearray(COMMAND_BYTES + record_bytes + TAG_BYTES))
        plain = memoryview(bytearray(record_bytes))
        while True:
            connection.receive_command(frame)
            check_signature(frame, self._key)
            command = parse(frame)
            self._session.check(command, now=self._now())
            if command.kind is Kind.END:
                end = self._session.command(Kind.END, path=lane.index)
                connection.send(signed_command(end, self._key))
                return
            entry = self._entry_of(command)
            sealed = frame[COMMAND_BYTES : COMMAND_BYTES + command.payload_length]
            connection.receive_into(sealed)
            self._limits.wait_to_receive(lane, command.payload_length - TAG_BYTES)
            length = self._sealer.open(command, frame, sealed, plain)
            self._staging.write(entry.index, command.offset, plain[:length])
            if ends_chunk(command):
                self._written(lane, number, connection, command, entry)

    def _entry_of(self, command: Command) -> Entry:
        """The entry that a record is of. Raises: SessionRefused if it fits none."""
        entry = self._objects.get(command.object_id)
        if command.kind is not Kind.DATA or entry is None:
            raise SessionRefused("a record of no object of this transfer")
        if (command.object_size, command.chunk_size, command.attempt) != (
            entry.size,
            self._configuration.chunk_bytes,
            self._configuration.attempt,
        ):
            raise SessionRefused("a record states another size or attempt than its object has")
        if command.payload_length > self._configuration.record_bytes + TAG_BYTES:
            raise SessionRefused("a record is longer than this transfer's records are")
        if command.key_id != command.offset // SPAN_BYTES:
            raise SessionRefused("a record names another key than its place has")
        return entry

    def _written(
        self,
        lane: messages.Lane,
        number: int,
        connection: Connection,
        command: Command,
        entry: Entry,
    ) -> None:
        chunk, size_bytes = chunk_bytes_of(command)
        for event in (Event.CHUNK_RECEIVED, Event.CHUNK_VERIFIED):
            self._log.stamp(
                event,
                object=entry.index,
                chunk=chunk,
                path=lane.index,
                hop=lane.hop - 1,
                src=lane.previous.gateway,
                dst=self._gateway,
                connection=number,
                bytes=size_bytes,
            )
        acknowledgement = self._session.command(
            Kind.ACKNOWLEDGE,
            object_id=command.object_id,
            object_size=entry.size,
            offset=chunk * command.chunk_size,
            chunk_size=command.chunk_size,
            attempt=command.attempt,
            path=lane.index,
        )
        connection.send(signed_command(acknowledgement, self._key))
