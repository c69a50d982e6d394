"""Two halves of UDP connections over a path in memory, with a clock of their own: no sockets.

The sender paces and acknowledges as the connection's thread does, a millisecond a step.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field

from executor.gateway.udp_control import Controller
from executor.gateway.udp_outgoing import Outgoing, OutgoingFrame, slices_of
from executor.gateway.udp_packets import HEADER_BYTES, Run
from executor.gateway.udp_reassembly import INITIAL_CREDIT_BYTES, Reassembly, ReceivedPackets

STEP_S = 0.001
DATAGRAM_BYTES = 1400
SLICE_BYTES = DATAGRAM_BYTES - HEADER_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A bottleneck with a drop-tail queue, a delay, and what else goes wrong on the way."""

    bytes_per_s: float = 12.5e6
    rtt_s: float = 0.02
    queue_bytes: float = 250e3
    loss: float = 0.0
    ack_loss: float = 0.0
    duplicated: float = 0.0
    reordered: float = 0.0


@dataclass(kw_only=True)
class Flow:
    """A sender and a receiver on a path."""

    path: Path
    rng: random.Random
    frames: list[bytes]
    datagram_bytes: int = DATAGRAM_BYTES
    delivered: list[bytes] = field(default_factory=list)
    delivered_at: list[tuple[float, int]] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    dropped: int = 0

    def __post_init__(self) -> None:
        self.now_s = 0.0
        self.slice_bytes = self.datagram_bytes - HEADER_BYTES
        self.controller = Controller(self.datagram_bytes)
        self.outgoing = Outgoing(
            controller=self.controller,
            slice_bytes=self.slice_bytes,
            datagram_bytes=self.datagram_bytes,
            credit_bytes=INITIAL_CREDIT_BYTES,
        )
        self.received = ReceivedPackets()
        self.reassembly = Reassembly(slice_bytes=self.slice_bytes, give=self._give)
        self._queue_free_s = 0.0
        self._free_s = 0.0
        self._tie = itertools.count()
        self._flying: list[tuple[float, int, object]] = []
        self._next_frame = 0
        self._ack_due = False

    def _give(self, buffer: bytearray, length: int) -> None:
        self.delivered.append(bytes(buffer[:length]))
        self.delivered_at.append((self.now_s, length))
        self.reassembly.given(length, rtt_s=self.path.rtt_s, now_s=self.now_s)

    def run(self, until_s: float) -> None:
        """Step until all frames are delivered and acknowledged, or that time."""
        while self.now_s < until_s and not self.is_done():
            self.step()

    def is_done(self) -> bool:
        """Whether all frames arrived, and the sender knows."""
        return self._next_frame == len(self.frames) and self.outgoing.is_idle

    def step(self) -> None:
        """One millisecond."""
        self.now_s += STEP_S
        self._feed()
        due_s = self.outgoing.next_timeout_s()
        if due_s is not None and due_s <= self.now_s:
            self.outgoing.on_timer(self.now_s)
        elif self.outgoing.is_blocked and not self.outgoing.inflight_packets:
            self.outgoing.ping()
        self._send()
        self._arrive()

    def _feed(self) -> None:
        while self._next_frame < len(self.frames) and not self.outgoing.has_more:
            frame = self.frames[self._next_frame]
            self.outgoing.queue(
                OutgoingFrame(
                    number=self._next_frame,
                    view=memoryview(frame),
                    length=len(frame),
                    slices=slices_of(len(frame), self.slice_bytes),
                )
            )
            self._next_frame += 1

    def _send(self) -> None:
        pace = self.controller.pace_bytes_per_s
        most = max(int(2 * STEP_S * pace) // self.datagram_bytes, 1)
        while self.outgoing.has_more and self._free_s <= self.now_s + STEP_S:
            room = self.outgoing.room_packets()
            todo = self.outgoing.take(min(room, most)) if room else None
            if todo is None:
                return
            first = self.outgoing.next_packet()
            for at in range(todo.count):
                assert first + at not in self.numbers
                self.numbers.add(first + at)
                self._put(first + at, todo.frame, todo.slice + at)
            sent_bytes = todo.count * self.datagram_bytes
            self.outgoing.sent(todo, sent_bytes, self.now_s)
            self._free_s = max(self._free_s, self.now_s - 0.004) + sent_bytes / pace
            self._feed()

    def _put(self, packet: int, frame: OutgoingFrame | None, number: int) -> None:
        path = self.path
        self._queue_free_s = max(self._queue_free_s, self.now_s)
        if (self._queue_free_s - self.now_s) * path.bytes_per_s > path.queue_bytes:
            self.dropped += 1
            return
        self._queue_free_s += self.datagram_bytes / path.bytes_per_s
        if self.rng.random() < path.loss:
            return
        at_s = self._queue_free_s + path.rtt_s / 2
        if self.rng.random() < path.reordered:
            at_s += self.rng.random() * path.rtt_s
        datagram = self._datagram(packet, frame, number)
        for _ in range(2 if self.rng.random() < path.duplicated else 1):
            heapq.heappush(self._flying, (at_s, next(self._tie), datagram))

    def _datagram(self, packet: int, frame: OutgoingFrame | None, number: int) -> object:
        if frame is None:
            return packet
        payload = bytes(frame.view[number * self.slice_bytes : (number + 1) * self.slice_bytes])
        data = bytes(HEADER_BYTES) + payload
        run = Run(0xD3, packet, frame.number, number, frame.length, 1, 0, len(data), len(data))
        return run, data

    def _arrive(self) -> None:
        while self._flying and self._flying[0][0] <= self.now_s:
            what = heapq.heappop(self._flying)[2]
            if isinstance(what, int):
                self.received.add(what, what)
                self._ack_due = True
            elif isinstance(what, list):
                credit, ranges = what
                self.outgoing.credit_bytes = max(self.outgoing.credit_bytes, credit)
                self.outgoing.acknowledged(ranges, 0.0, self.now_s)
                for frame in self.outgoing.finished:
                    frame.view = memoryview(b"")
                self.outgoing.finished.clear()
            elif isinstance(what, tuple):
                run, data = what
                if self.reassembly.add(run, memoryview(data)):
                    self.received.add(run.packet, run.packet)
                    self._ack_due = True
        if self._ack_due:
            self._ack_due = False
            if self.rng.random() >= self.path.ack_loss:
                at_s = self.now_s + self.path.rtt_s / 2
                ack = [self.reassembly.credit_bytes, self.received.newest()]
                heapq.heappush(self._flying, (at_s, next(self._tie), ack))

    def goodput_share(self, from_s: float, to_s: float) -> float:
        """Bytes of whole frames delivered in between, over what the path carries."""
        within = sum(size for at_s, size in self.delivered_at if from_s <= at_s < to_s)
        return within / ((to_s - from_s) * self.path.bytes_per_s)
