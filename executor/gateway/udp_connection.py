"""One UDP connection: a thread of its own turns frames into datagrams and datagrams into frames.

Memory of a connection, at most: 64 MiB of frames that are sent and not yet acknowledged, 64 MiB of
frames that are incomplete or not yet taken by `receive`, 16 MiB of buffers kept for reuse, and two
socket buffers of 8 MiB. Both windows begin at 4 MiB; the sender's follows four times its congestion
window, the receiver's doubles while the application empties it within four round trips.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

from datasets.errors import SessionRefused
from datasets.units import gbps_of
from executor.gateway.command import COMMAND_BYTES, frame_bytes
from executor.gateway.transport import Closed, Idle, Metrics, Options
from executor.gateway.udp_acknowledging import Acknowledging
from executor.gateway.udp_buffers import FrameBuffers
from executor.gateway.udp_control import MILLISECOND_S, Controller
from executor.gateway.udp_ending import Farewell, Refusals, say_before_exit
from executor.gateway.udp_outgoing import Outgoing, OutgoingFrame, slices_of
from executor.gateway.udp_packets import (
    ACK,
    CLOSE,
    DATA,
    HEADER_BYTES,
    OPEN,
    PING,
    Ack,
    ConnectionKeys,
    HeaderTagger,
    Run,
    close_packet,
    parse_ack,
    parse_close,
)
from executor.gateway.udp_reassembly import INITIAL_CREDIT_BYTES, Reassembly
from executor.gateway.udp_sending import Sending
from executor.gateway.udp_socket import (
    Datagrams,
    least_window_bytes,
)

LEAST_QUEUED_BYTES = 4 << 20
MOST_QUEUED_BYTES = 64 << 20
OPENING_TIMEOUT_S = 5.0
_READS, _LONGEST_WAIT_S = 16, 1.0


class UdpConnection:
    """See `Connection`. `accepting` is what a server answers to the same OPEN, until confirmed."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        keys: ConnectionKeys,
        datagram_bytes: int,
        options: Options,
        rtt_s: float | None = None,
        accepting: tuple[bytes, bytes] | None = None,
        confirmed: Callable[[UdpConnection], None] = lambda connection: None,
    ) -> None:
        self._datagrams = Datagrams(sock)
        self._keys = keys
        self._slice_bytes = datagram_bytes - HEADER_BYTES
        least_bytes = least_window_bytes(sock, datagram_bytes)
        self._acknowledging = Acknowledging(least_bytes)
        # Where datagrams are large they come singly, and can be received where they belong.
        self._in_place = least_bytes > 0
        self._timeout_s = options.timeout_s
        self._accepting = accepting
        self._confirmed = confirmed
        self._is_confirmed = accepting is None
        self._answered = False
        self._controller = Controller(datagram_bytes, least_bytes=least_bytes)
        now_s = time.monotonic()
        if rtt_s is not None:
            self._controller.on_rtt(rtt_s, 0.0, now_s)
        self._outgoing = Outgoing(
            controller=self._controller,
            slice_bytes=self._slice_bytes,
            datagram_bytes=datagram_bytes,
            credit_bytes=INITIAL_CREDIT_BYTES,
        )
        self._buffers = FrameBuffers()
        self._reassembly = Reassembly(
            slice_bytes=self._slice_bytes, give=self._give, take_buffer=self._buffers.take
        )
        self._sending = Sending(
            outgoing=self._outgoing,
            controller=self._controller,
            tags=HeaderTagger(keys.sending.data),
            datagrams=self._datagrams,
            pace_cap=options.pace_bytes_per_s,
            now_s=now_s,
        )
        self._receiving_tags = HeaderTagger(keys.receiving.data)
        # Shared with the application's threads, under the condition.
        self._changed = threading.Condition()
        self._outbox: deque[OutgoingFrame] = deque()
        self._inbox: deque[tuple[bytearray, int]] = deque()
        self._taken: list[int] = []
        self._frames = 0
        self._queued_bytes = 0
        self._finishing = False
        self._closing = False
        self._ended: str | None = None  # why nothing more comes or goes
        self._sleeping = self._poked = self._over = False
        # The thread's own.
        self._arrived_s = self._opened_s = now_s
        self._asked_s = now_s
        self._last_number = -1
        self._refusals = Refusals()
        self._farewell = Farewell()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        if accepting is None:
            self._outgoing.ping()
        self._thread = threading.Thread(target=self._run, daemon=True, name="udp")
        self._thread.start()

    # The application's side.

    def set_timeout(self, seconds: float) -> None:
        """As `Connection.set_timeout`."""
        self._timeout_s = seconds

    def pace(self, bytes_per_s: float) -> None:
        """Send no faster than that, whatever the path would bear; 0 for no such limit."""
        self._sending.pace_cap = bytes_per_s

    def send(self, frame: memoryview | bytes) -> None:
        """As `Connection.send`."""
        view = memoryview(frame)
        while len(view):
            length = frame_bytes(view)
            self._send_one(view[:length])
            view = view[length:]

    def _send_one(self, frame: memoryview) -> None:
        length = len(frame)
        begun_s = time.monotonic()
        with self._changed:
            while True:
                self._require_open()
                if not self._queued_bytes or self._queued_bytes + length <= self._most_queued():
                    break
                silent_s = time.monotonic() - max(begun_s, self._outgoing.progress_s)
                if silent_s >= self._timeout_s:
                    raise Idle(f"nothing could be sent for {self._timeout_s:.0f} s")
                self._changed.wait(min(self._timeout_s - silent_s, _LONGEST_WAIT_S))
            self._queued_bytes += length
            number = self._frames
            self._frames += 1
        buffer = self._buffers.take(length)
        view = memoryview(buffer)
        view[:] = frame
        self._enqueue(number, view, length)

    def _enqueue(self, number: int, view: memoryview, length: int) -> None:
        count = slices_of(length, self._slice_bytes)
        self._outbox.append(OutgoingFrame(number=number, view=view, length=length, slices=count))
        self._wake()

    def _most_queued(self) -> float:
        most = max(4 * self._controller.window_bytes, LEAST_QUEUED_BYTES)
        return min(most, MOST_QUEUED_BYTES)

    def _require_open(self) -> None:
        if self._closing or self._finishing:
            raise Closed("this end closed the connection")
        if self._ended is not None:
            raise Closed(self._ended)

    def receive(self, view: memoryview) -> int:
        """As `Connection.receive`."""
        begun_s = time.monotonic()
        with self._changed:
            while not self._inbox:
                if self._closing:
                    raise Closed("this end closed the connection")
                if self._ended is not None:
                    raise Closed(self._ended)
                if self._reassembly.is_ended:
                    raise Closed("the other end closed the connection")
                silent_s = time.monotonic() - max(begun_s, self._arrived_s)
                if silent_s >= self._timeout_s:
                    raise Idle(f"nothing came for {self._timeout_s:.0f} s")
                self._changed.wait(min(self._timeout_s - silent_s, _LONGEST_WAIT_S))
            buffer, length = self._inbox.popleft()
        if fits := length <= len(view):
            view[:length] = buffer
        try:
            stated = frame_bytes(buffer) if length >= COMMAND_BYTES else -1
        finally:
            self._buffers.give_back(buffer)
            self._take(length)
        if stated != length:
            raise SessionRefused("what came is no frame of the length that it states")
        if not fits:
            raise SessionRefused(f"a frame of {length} bytes came where {len(view)} are the most")
        return length

    def _take(self, length: int) -> None:
        with self._changed:
            self._taken.append(length)
            hungry = sum(self._taken) * 8 >= self._reassembly.window_bytes
        if hungry:
            self._wake()

    def _wake(self) -> None:
        self._poked = True
        if self._sleeping:
            with self._changed:
                if not self._over:
                    os.eventfd_write(self._wakeup, 1)

    def metrics(self) -> Metrics:
        """As `Connection.metrics`."""
        rate = self._controller.rate_bytes_per_s
        smoothed_s = self._controller.round_trip.smoothed_s
        return Metrics(
            bytes_sent=self._outgoing.sent_bytes,
            bytes_received=self._reassembly.received_bytes,
            delivery_gbps=gbps_of(rate, 1.0) if rate else None,
            rtt_ms=None if smoothed_s is None else smoothed_s / MILLISECOND_S,
            retransmitted=self._outgoing.retransmitted,
            limited_by=self._sending.limited_by,
        )

    def finish(self) -> None:
        """As `Connection.finish`."""
        with self._changed:
            if self._finishing or self._closing or self._ended is not None:
                return
            self._finishing = True
            number = self._frames
        self._enqueue(number, memoryview(b""), 0)

    def close(self) -> None:
        """As `Connection.close`; what was sent before is still sent, as far as it gets through."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._inbox.clear()
            self._changed.notify_all()
        say_before_exit(self)
        self._wake()

    def join(self, timeout_s: float) -> None:
        """Wait until nothing more is sent, after `close`."""
        self._thread.join(timeout_s)

    # The thread.

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._datagrams.sock, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        try:
            while not self._is_over():
                now_s = time.monotonic()
                self._sleeping = self._poked = False
                self._take_over(now_s)
                more = self._read()
                self._on_timers()
                wait_s = 0.0 if more else self._write()
                self._sleeping = True
                wait_s = 0.0 if self._poked else max(wait_s, 0.0)
                for fd, _ in poll.poll(wait_s / MILLISECOND_S):
                    if fd == self._wakeup:
                        with contextlib.suppress(BlockingIOError):
                            os.eventfd_read(self._wakeup)
        finally:
            self._stop()

    def _stop(self) -> None:
        if self._closing and self._ended is None and not self._farewell.tries:
            self._say_close(time.monotonic())  # not all arrived in time: it is over all the same
        with self._changed:
            self._over = True
            if self._ended is None:
                self._ended = "the connection is closed"
            os.close(self._wakeup)
            self._datagrams.sock.close()
            self._changed.notify_all()

    def _is_over(self) -> bool:
        now_s = time.monotonic()
        if not self._is_confirmed:
            return self._closing or now_s > self._opened_s + OPENING_TIMEOUT_S
        if not self._closing:
            return False
        return self._ended is not None or self._farewell.is_over(now_s, self._outgoing.progress_s)

    def _take_over(self, now_s: float) -> None:
        """What the application did meanwhile: frames to send, frames it took."""
        while self._outbox:
            self._outgoing.queue(self._outbox.popleft())
        if self._taken:
            with self._changed:
                taken, self._taken = self._taken, []
            rtt_s = self._controller.round_trip.expected_s
            for length in taken:
                if self._reassembly.given(length, rtt_s=rtt_s, now_s=now_s):
                    self._acknowledging.is_asked = True

    def _give(self, buffer: bytearray, length: int) -> None:
        with self._changed:
            if self._closing:  # nobody will ask for it
                self._taken.append(length)
                return
            self._inbox.append((buffer, length))
            self._changed.notify_all()

    # Receiving.

    def _read(self) -> bool:
        """Take in what waits, up to a share; whether there may be more."""
        for _ in range(_READS):
            slot = self._reassembly.expected_slot() if self._in_place else None
            got = self._datagrams.receive(slot)
            if self._datagrams.refused:
                self._refused()
            if got is None:
                return False
            received, segment_bytes = got
            if segment_bytes and not (slot is not None and self._is_in_place(received, slot)):
                self._digest(received, segment_bytes)
            if self._acknowledging.is_due_at_once:
                self._acknowledge()
        return True

    def _is_in_place(self, received: memoryview, slot: memoryview) -> bool:
        """Whether the one datagram that came holds the slice that was expected, and put it there.

        If not, what is in `slot` is taken back into `received`.
        """
        if len(received) == HEADER_BYTES + len(slot) and received[0] == DATA:
            for run in self._receiving_tags.runs(received, len(received)):
                if self._reassembly.is_expected(run):
                    self._note_run(run, received, in_place=True)
                    return True
        end = min(len(received), HEADER_BYTES + len(slot))
        received[HEADER_BYTES:end] = slot[: max(end - HEADER_BYTES, 0)]
        return False

    def _digest(self, received: memoryview, segment_bytes: int) -> None:
        kinds = bytes(received[::segment_bytes])
        data = kinds.count(DATA) + kinds.count(PING)
        if data < len(kinds):
            for number, kind in enumerate(kinds):
                if kind not in (DATA, PING):
                    at = number * segment_bytes
                    self._on_control(kind, received[at : at + segment_bytes])
        if data:
            self._on_data(received, segment_bytes)

    def _on_data(self, received: memoryview, segment_bytes: int) -> None:
        was_ended = self._reassembly.is_ended
        for run in self._receiving_tags.runs(received, segment_bytes):
            self._note_run(run, received, in_place=False)
        if self._reassembly.is_ended and not was_ended:
            with self._changed:
                self._changed.notify_all()

    def _note_run(self, run: Run, received: memoryview, *, in_place: bool) -> None:
        if run.kind != PING and not (
            run.kind == DATA and self._reassembly.add(run, received, in_place=in_place)
        ):
            return
        self._arrived_s = time.monotonic()
        self._acknowledging.arrived(
            run.packet, run.packet + run.count - 1, run.end - run.at, self._arrived_s
        )
        self._heard()

    def _on_control(self, kind: int, packet: memoryview) -> None:
        key = self._keys.receiving.control
        if kind == ACK:
            ack = parse_ack(packet, key)
            if ack is not None:
                self._heard()
                self._on_ack(ack)
        elif kind == CLOSE:
            is_answer = parse_close(packet, key)
            if is_answer is None:
                return
            self._heard()
            if not is_answer:
                answer = close_packet(0, is_answer=True, key=self._keys.sending.control)
                self._send_control(answer)
            with self._changed:
                self._ended = self._ended or "the other end closed the connection"
                self._changed.notify_all()
        elif kind == OPEN and self._accepting is not None:
            opened, accept = self._accepting
            if packet == opened:
                self._send_control(accept)

    def _heard(self) -> None:
        """Something came that only the other end can have sent."""
        self._refusals.forget()
        if not self._is_confirmed:
            self._is_confirmed = True
            self._controller.on_rtt(time.monotonic() - self._opened_s, 0.0, time.monotonic())
            self._confirmed(self)

    def _on_ack(self, ack: Ack) -> None:
        if ack.number <= self._last_number:
            return  # late, or sent again by a stranger: a newer one said more
        self._last_number = ack.number
        self._outgoing.credit_bytes = max(self._outgoing.credit_bytes, ack.credit_bytes)
        self._outgoing.acknowledged(ack.ranges, ack.delay_s, time.monotonic())
        if self._outgoing.finished:
            freed = 0
            for frame in self._outgoing.finished:
                freed += frame.length
                if isinstance(frame.view.obj, bytearray):
                    self._buffers.give_back(frame.view.obj)
                frame.view = memoryview(b"")
            self._outgoing.finished.clear()
            with self._changed:
                self._queued_bytes -= freed
                self._changed.notify_all()

    def _refused(self) -> None:
        """The network says that nobody listens; a stranger can say so too, so ask first."""
        self._datagrams.refused = False
        self._outgoing.ping()
        if self._refusals.another(time.monotonic()):
            with self._changed:
                self._ended = self._ended or "nobody listens at the other end any more"
                self._changed.notify_all()

    # Sending.

    def _send_control(self, packet: bytes) -> None:
        self._datagrams.send([packet], len(packet), count=1)

    def _acknowledge(self) -> None:
        ack = self._acknowledging.take(self._reassembly.credit_bytes, time.monotonic())
        if ack is not None:
            self._send_control(ack.packet(self._keys.sending.control))

    def _on_timers(self) -> None:
        now_s = time.monotonic()
        due_s = self._outgoing.next_timeout_s()
        if due_s is not None and due_s <= now_s:
            self._outgoing.on_timer(now_s)
        elif self._outgoing.is_blocked and not self._outgoing.inflight_packets:
            # Credit may have been told in a packet that was lost: ask.
            patience_s = self._controller.round_trip.probe_timeout_s
            if now_s > self._asked_s + patience_s:
                self._asked_s = now_s
                self._outgoing.ping()

    def _write(self) -> float:
        """Send what may be sent; seconds until something may be due."""
        ack_at_s = self._acknowledging.due_s()
        if ack_at_s is not None and time.monotonic() >= ack_at_s:
            self._acknowledge()
            ack_at_s = None
        if self._ended is not None or not self._is_confirmed:
            return _LONGEST_WAIT_S if self._is_confirmed else self._accept()
        now_s = time.monotonic()
        free_s = self._sending.fill(now_s)
        if self._closing and self._outgoing.is_idle and now_s >= self._farewell.next_s:
            self._say_close(now_s)
        due = [now_s + _LONGEST_WAIT_S if ack_at_s is None else ack_at_s]
        timeout_s = self._outgoing.next_timeout_s()
        if timeout_s is not None:
            due.append(timeout_s)
        if free_s is not None:
            due.append(free_s)
        if self._outgoing.is_blocked:
            due.append(now_s + self._controller.round_trip.probe_timeout_s)
        if self._closing:
            due.append(max(self._farewell.next_s, now_s + 10 * MILLISECOND_S))
        return min(due) - time.monotonic()

    def _accept(self) -> float:
        """A server's answer, until the client's first packet."""
        if self._accepting is not None and not self._answered:
            self._answered = True
            self._send_control(self._accepting[1])
        return _LONGEST_WAIT_S / 4

    def _say_close(self, now_s: float) -> None:
        number = self._farewell.said(now_s, self._controller.round_trip.probe_timeout_s)
        self._send_control(close_packet(number, is_answer=False, key=self._keys.sending.control))
