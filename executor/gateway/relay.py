"""A relay passes sealed records on, and acknowledgements back. It holds no data key.

One incoming connection is joined to one outgoing: records go forward as they come, one in a
buffer at a time, so a slow next hop is felt by the one before.
"""

from __future__ import annotations

import threading

from datasets.errors import SessionRefused, TradewindError
from datasets.events import Event
from executor.control import messages_pb2 as messages
from executor.gateway.command import (
    COMMAND_BYTES,
    TAG_BYTES,
    Command,
    Kind,
    object_index,
    parse,
)
from executor.gateway.limits import Limits
from executor.gateway.log import GatewayLog
from executor.gateway.transport import Connection


def ends_chunk(command: Command) -> bool:
    """Whether this record is the last of its chunk."""
    after = command.offset + command.payload_length - TAG_BYTES
    return after == command.object_size or after % command.chunk_size == 0


def chunk_bytes_of(command: Command) -> tuple[int, int]:
    """(chunk, payload bytes of the whole chunk) that a record belongs to."""
    chunk = command.offset // command.chunk_size
    return chunk, min(command.chunk_size, command.object_size - chunk * command.chunk_size)


def stamp_counter(
    log: GatewayLog, lane: messages.Lane, number: int, incoming: Connection, *, gateway: str
) -> None:
    """What the kernel counted in on a data connection, against which events are held."""
    log.stamp(
        Event.COUNTER_READ,
        path=lane.index,
        hop=lane.hop - 1,
        src=lane.previous.gateway,
        dst=gateway,
        connection=number,
        bytes=incoming.kernel_received_bytes(),
        detail={"what": "tcp_info"},
    )


class Relay:
    """Joins the two sides of each connection of each lane."""

    def __init__(
        self, *, gateway: str, transfer: bytes, record_bytes: int, limits: Limits, log: GatewayLog
    ) -> None:
        self._gateway = gateway
        self._transfer = transfer
        self._frame_bytes = COMMAND_BYTES + record_bytes + TAG_BYTES
        self._limits = limits
        self._log = log

    def join(
        self, lane: messages.Lane, number: int, incoming: Connection, outgoing: Connection
    ) -> None:
        """Pass frames both ways until the lane ends; returns when both directions have."""
        back = threading.Thread(
            target=self._guarded, args=(lane, number, incoming, outgoing, True), daemon=True
        )
        back.start()
        self._guarded(lane, number, incoming, outgoing, False)
        back.join()
        stamp_counter(self._log, lane, number, incoming, gateway=self._gateway)
        incoming.close()
        outgoing.close()

    def _guarded(
        self,
        lane: messages.Lane,
        number: int,
        incoming: Connection,
        outgoing: Connection,
        backwards: bool,
    ) -> None:
        try:
            if backwards:
                self._backward(incoming, outgoing)
            else:
                self._forward(lane, number, incoming, outgoing)
        except TradewindError as error:
            incoming.close()
            outgoing.close()
            self._log.stamp(
                Event.CONNECTION_LOST,
                path=lane.index,
                hop=lane.hop if backwards else lane.hop - 1,
                src=self._gateway if backwards else lane.previous.gateway,
                dst=lane.next.gateway if backwards else self._gateway,
                connection=number,
            )
            self._log.fail(f"relay {self._gateway}, lane {lane.index}: {error}")

    def _forward(
        self, lane: messages.Lane, number: int, incoming: Connection, outgoing: Connection
    ) -> None:
        frame = memoryview(bytearray(self._frame_bytes))
        while True:
            incoming.receive_command(frame)
            command = parse(frame)
            self._check(command)
            end = COMMAND_BYTES + command.payload_length
            if end > len(frame):
                raise SessionRefused("a record is longer than this transfer's records are")
            incoming.receive_into(frame[COMMAND_BYTES:end])
            if command.kind is Kind.DATA:
                plain_bytes = command.payload_length - TAG_BYTES
                self._limits.wait_to_receive(lane, plain_bytes)
                if ends_chunk(command):
                    self._stamp_received(lane, number, command)
                self._limits.wait_to_send(lane, plain_bytes, paced=False)
            outgoing.send(frame[:end])
            if command.kind is Kind.END:
                return

    def _check(self, command: Command) -> None:
        if command.transfer != self._transfer or command.kind not in (Kind.DATA, Kind.END):
            raise SessionRefused("a command of another transfer, or of a kind that has no place")
        if command.kind is Kind.DATA and (
            command.chunk_size == 0 or command.payload_length <= TAG_BYTES
        ):
            raise SessionRefused("a record without bytes, or without a chunk")

    def _stamp_received(self, lane: messages.Lane, number: int, command: Command) -> None:
        chunk, size_bytes = chunk_bytes_of(command)
        self._log.stamp(
            Event.CHUNK_RECEIVED,
            object=object_index(command.object_id),
            chunk=chunk,
            path=lane.index,
            hop=lane.hop - 1,
            src=lane.previous.gateway,
            dst=self._gateway,
            connection=number,
            bytes=size_bytes,
        )

    def _backward(self, incoming: Connection, outgoing: Connection) -> None:
        buffer = memoryview(bytearray(COMMAND_BYTES))
        while True:
            outgoing.receive_command(buffer)
            kind = parse(buffer).kind
            if kind not in (Kind.ACKNOWLEDGE, Kind.END):
                raise SessionRefused("something else than an acknowledgement came back")
            incoming.send(buffer)
            if kind is Kind.END:
                return
