"""One connection of a lane at a gateway that it does not begin at: what comes goes on, or is
written, or both; acknowledgements go back. A relay holds no data key.

Towards one next gateway records go as they come, one at a time: by splice between two TCP
connections, else through one buffer. So a slow next hop is felt by the one before. Towards
several they go by `fanout.py`. Memory of one connection, for records of R bytes:

    one branch, TCP to TCP   1 MiB of pipe, 160 bytes
    one branch, otherwise    R + 176
    none, at a destination   2R + 176
    several                  as `fanout.py` says; at a destination R more

What breaks, on either side, ends this connection on both: its source sends what was not yet
acknowledged by other ways.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from datasets.errors import SessionRefused, TradewindError
from datasets.events import Event
from executor.control import messages_pb2 as messages
from executor.gateway.arrivals import Arrivals, chunk_bytes_of
from executor.gateway.beats import Hop
from executor.gateway.command import COMMAND_BYTES, TAG_BYTES, Command, Kind, object_index
from executor.gateway.fanout import Fanout, Outlet
from executor.gateway.limits import Limits
from executor.gateway.log import GatewayLog
from executor.gateway.splice import Splice
from executor.gateway.tcp import TcpConnection
from executor.gateway.writer import Writer

# How long the gateway before may take to close a connection that has ended.
LINGER_S = 2.0
_BACKWARDS = (Kind.ACKNOWLEDGE, Kind.END)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a passage is: gateway, lane, and the connection's number there."""

    gateway: str
    lane: messages.Lane
    number: int


@dataclass(kw_only=True)
class Passage:
    """Use `run` once; it returns when both directions have ended."""

    place: Place
    transfer: bytes
    record_bytes: int
    incoming: Hop
    outlets: tuple[Outlet, ...]
    writer: Writer | None
    limits: Limits
    log: GatewayLog
    spill_bytes: int
    splices: bool = True
    _broken: bool = field(default=False, init=False)
    _ends: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._arrivals = Arrivals(self.record_bytes)
        self._frame_bytes = COMMAND_BYTES + self.record_bytes + TAG_BYTES

    def run(self) -> None:
        """Pass frames both ways until the lane ends, or this connection of it breaks."""
        back = [
            threading.Thread(target=self._guarded, args=(self._backward, outlet), daemon=True)
            for outlet in self.outlets
        ]
        for thread in back:
            thread.start()
        self._guarded(self._forward, None)
        for thread in back:
            thread.join()
        if not self._broken:
            self._linger()
        for hop in self._hops():
            hop.close()
        lane = self.place.lane
        self.log.stamp(
            Event.COUNTER_READ,
            **self._incoming_columns(),
            bytes=self.incoming.metrics().bytes_received or 0,
            detail={"what": "tcp_info", "lane": lane.index},
        )

    def _linger(self) -> None:
        """The end was said: it must arrive before the connection is closed, which the gateway
        before does once it has heard it."""
        self.incoming.connection.finish()
        self.incoming.connection.set_timeout(LINGER_S)
        buffer = memoryview(bytearray(COMMAND_BYTES))
        while True:
            try:
                self.incoming.receive(buffer)
            except TradewindError:  # closed, or that took too long: then it is closed here
                return

    def _hops(self) -> list[Hop]:
        return [self.incoming, *(outlet.hop for outlet in self.outlets)]

    def _incoming_columns(self) -> dict[str, Any]:
        lane = self.place.lane
        return {
            "path": lane.index,
            "hop": lane.hop,
            "src": lane.previous.gateway,
            "dst": self.place.gateway,
            "connection": self.place.number,
        }

    def _guarded(self, work: Callable[[Outlet | None], None], outlet: Outlet | None) -> None:
        try:
            work(outlet)
        except TradewindError as error:
            self._break(outlet, error)

    def _break(self, outlet: Outlet | None, error: TradewindError) -> None:
        """Close all; what broke first is stamped."""
        with self._lock:
            first, self._broken = not self._broken, True
        if first:
            columns = self._incoming_columns()
            if outlet is not None:
                columns["hop"] = outlet.branch.hop
                columns["src"], columns["dst"] = self.place.gateway, outlet.hop.peer
            self.log.stamp(Event.CONNECTION_LOST, **columns, detail={"why": str(error)})
        for hop in self._hops():
            hop.close()

    # Forward.

    def _forward(self, _: Outlet | None) -> None:
        if len(self.outlets) == 1 and self.writer is None:
            self._relay(self.outlets[0])
        elif not self.outlets and self.writer is not None:
            self._write(self.writer)
        else:
            self._fan_out()

    def _relay(self, outlet: Outlet) -> None:
        source, target = self.incoming.tcp, outlet.hop.tcp
        if self.splices and source is not None and target is not None:
            try:
                splice = Splice(source, target)
            except OSError:  # no descriptor or pipe to be had: what follows needs none
                self._copy(outlet)
                return
            try:
                self._splice(outlet, target, splice)
            finally:
                splice.close()
        else:
            self._copy(outlet)

    def _copy(self, outlet: Outlet) -> None:
        frame = memoryview(bytearray(self._frame_bytes))
        while True:
            command, end = self.incoming.receive(frame, on_beat=outlet.hop.beat)
            if self._passing(command):
                self._stamp(Event.CHUNK_RECEIVED, command)
            self._send_on(outlet, frame[:end])
            if command.kind is Kind.END:
                return

    def _splice(self, outlet: Outlet, target: TcpConnection, splice: Splice) -> None:
        head = memoryview(bytearray(COMMAND_BYTES))
        while True:
            command, end = self.incoming.receive(head, on_beat=outlet.hop.beat, command_alone=True)
            came: Callable[[], None] = _nothing
            if self._passing(command):
                came = partial(self._stamp, Event.CHUNK_RECEIVED, command)
            if command.kind is Kind.DATA:
                plain_bytes = command.payload_length - TAG_BYTES
                self.limits.wait_to_send(self.place.lane, outlet.branch, plain_bytes, paced=False)
            with outlet.hop.sending():
                target.send(head)
                splice.pass_on(end - COMMAND_BYTES, came=came)
            if command.kind is Kind.END:
                return

    def _write(self, writer: Writer) -> None:
        frame = memoryview(bytearray(self._frame_bytes))
        plain = memoryview(bytearray(self.record_bytes))
        while True:
            command, _ = self.incoming.receive(frame)
            if self._written(writer, command, frame, plain):
                return

    def _written(
        self, writer: Writer, command: Command, frame: memoryview, plain: memoryview
    ) -> bool:
        """Check, open, write, acknowledge; whether that was the end."""
        writer.check(command, frame)
        if command.kind is Kind.END:
            self._ended(writer.end(self.place.lane.index))
            return True
        self._wait_to_receive(command)
        writer.write(command, frame, plain)
        if self._arrivals.add(command):
            self._stamp(Event.CHUNK_RECEIVED, command)
            writer.landed(command, partial(self._landed, writer, command))
        return False

    def _landed(self, writer: Writer, command: Command) -> None:
        """A chunk is on disk and was read back: now, and not before, it is acknowledged."""
        self._stamp(Event.CHUNK_VERIFIED, command)
        # Where the connection is gone by now, the chunk is sent again by another.
        with suppress(TradewindError):
            self.incoming.send(writer.acknowledgement(command, self.place.lane.index))

    def _fan_out(self) -> None:
        fan = Fanout(
            self.outlets,
            frame_bytes=self._frame_bytes,
            spill_bytes=self.spill_bytes,
            send=self._send_on,
            broken=self._break,
        )
        plain = memoryview(bytearray(self.record_bytes if self.writer else 0))
        try:
            ended = False
            while not ended:
                frame = fan.frame()
                command, end = self.incoming.receive(frame.view)
                frame.holders += 1
                try:
                    if self.writer is None:
                        if self._passing(command):
                            self._stamp(Event.CHUNK_RECEIVED, command)
                        fan.put(frame, end)
                        ended = command.kind is Kind.END
                    else:
                        # Checked before it goes on, written after: the branches need not wait.
                        self.writer.check(command, frame.view)
                        fan.put(frame, end)
                        ended = self._written(self.writer, command, frame.view, plain)
                finally:
                    fan.release(frame)
            fan.drain()
        except TradewindError as error:
            self._break(None, error)
        finally:
            fan.dispose()

    def _send_on(self, outlet: Outlet, frame: memoryview) -> None:
        plain_bytes = len(frame) - COMMAND_BYTES - TAG_BYTES
        if plain_bytes > 0:
            self.limits.wait_to_send(self.place.lane, outlet.branch, plain_bytes, paced=False)
        outlet.hop.send(frame)

    def _passing(self, command: Command) -> bool:
        """What a relay can check without a key; whether its chunk is whole by this record.

        Raises: SessionRefused.
        """
        if command.transfer != self.transfer or command.kind not in (Kind.DATA, Kind.END):
            raise SessionRefused("a command of another transfer, or of a kind that has no place")
        if command.kind is Kind.END:
            return False
        if command.chunk_size == 0 or command.payload_length <= TAG_BYTES:
            raise SessionRefused("a record without bytes, or without a chunk")
        if command.payload_length > self.record_bytes + TAG_BYTES:
            raise SessionRefused("a record is longer than this transfer's records are")
        self._wait_to_receive(command)
        return self._arrivals.add(command)

    def _wait_to_receive(self, command: Command) -> None:
        self.limits.wait_to_receive(self.place.lane, command.payload_length - TAG_BYTES)

    def _stamp(self, event: Event, command: Command) -> None:
        chunk, size_bytes = chunk_bytes_of(command)
        self.log.stamp(
            event,
            object=object_index(command.object_id),
            chunk=chunk,
            bytes=size_bytes,
            **self._incoming_columns(),
        )

    # Back.

    def _backward(self, outlet: Outlet | None) -> None:
        if outlet is None:
            raise SessionRefused("nothing comes back from nowhere")
        buffer = memoryview(bytearray(COMMAND_BYTES))
        while True:
            command, _ = outlet.hop.receive(buffer)
            if command.kind not in _BACKWARDS or command.transfer != self.transfer:
                raise SessionRefused("something else than an acknowledgement came back")
            if command.kind is Kind.END:
                self._ended(bytes(buffer))
                return
            self.incoming.send(buffer)

    def _ended(self, end: bytes) -> None:
        """One way has ended; after the last one the gateway before is told."""
        with self._lock:
            self._ends += 1
            last = self._ends == len(self.outlets) + (self.writer is not None)
        if last:
            self.incoming.send(end)


def _nothing() -> None:
    """Nothing is to be done."""
