"""What one end of a UDP connection sends: slices of frames, what became of them, and what is lost.

A state machine without I/O. Packets are kept by batches of consecutive numbers that carry
consecutive slices of one frame and left at one moment; which of them are still open is one
integer, a bit a packet, so that a million packets cost no million steps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from executor.gateway.udp_control import Controller, Sample

# RFC 9002, 6.1.1; doubled when a packet thought lost turns out to have been late.
PACKET_THRESHOLD = 3
MOST_PACKET_THRESHOLD = 192
SILENT_TIMEOUTS = 3


def slices_of(length: int, slice_bytes: int) -> int:
    """Into how many slices a frame goes; the frame of length 0, which ends all, into one."""
    return max(-(-length // slice_bytes), 1)


def bit_runs(bits: int) -> Iterator[tuple[int, int]]:
    """(first, count) of each run of ones, from the lowest."""
    first = 0
    while bits:
        zeros = (bits & -bits).bit_length() - 1
        bits >>= zeros
        first += zeros
        ones = (~bits & (bits + 1)).bit_length() - 1
        yield first, ones
        bits >>= ones
        first += ones


@dataclass(slots=True, kw_only=True)
class OutgoingFrame:
    """A frame that was begun: `acked` has a bit for each slice that arrived."""

    number: int
    view: memoryview
    length: int
    slices: int
    acked: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all of it arrived."""
        return self.acked == (1 << self.slices) - 1


@dataclass(slots=True, kw_only=True)
class Batch:
    """Packets `packet` and `count - 1` more; `open` has a bit for each that is neither acknowledged
    nor lost, `lost` for each lost. `frame` None: a PING. The rest is for the delivery rate."""

    packet: int
    count: int
    frame: OutgoingFrame | None
    slice: int
    open: int
    lost: int = 0
    sent_s: float = 0.0
    delivered_bytes: int = 0
    delivered_s: float = 0.0
    first_sent_s: float = 0.0
    app_limited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """Slices to send: new ones, or ones that were lost. `frame` None: a PING."""

    frame: OutgoingFrame | None
    slice: int
    count: int
    again: bool


class Outgoing:
    """The sending half of a connection. Times are the caller's; nothing here waits."""

    def __init__(
        self, *, controller: Controller, slice_bytes: int, datagram_bytes: int, credit_bytes: int
    ) -> None:
        self.controller = controller
        self.slice_bytes = slice_bytes
        self.datagram_bytes = datagram_bytes
        self.credit_bytes = credit_bytes
        self.finished: list[OutgoingFrame] = []
        self.retransmitted = 0
        self.sent_bytes = 0
        self.inflight_packets = 0
        self.timeouts = 0
        self.progress_s = 0.0
        self._waiting: deque[OutgoingFrame] = deque()
        self._begun_bytes = 0
        self._next_slice = 0
        self._unfinished: dict[int, OutgoingFrame] = {}
        self._again: deque[tuple[OutgoingFrame, int, int]] = deque()
        self._ping = False
        self._batches: list[Batch] = []
        self._firsts: list[int] = []
        self._next_packet = 0
        self._largest_acked = -1
        self._known: frozenset[tuple[int, int]] = frozenset()
        self._threshold = PACKET_THRESHOLD
        self._loss_at_s: float | None = None
        self._last_eliciting_s = 0.0
        self._delivered_bytes = 0
        self._delivered_s = 0.0
        self._first_sent_s = 0.0
        self._round_ends_bytes = 0
        self._limited_until_bytes = 0
        self._window_full = self._window_was_full = False
        self._probes = 0

    # What is to be sent.

    def queue(self, frame: OutgoingFrame) -> None:
        """Send this frame when its turn comes."""
        self._waiting.append(frame)

    def ping(self) -> None:
        """Send something that must be answered, if nothing else is to be sent."""
        self._ping = True

    @property
    def is_blocked(self) -> bool:
        """Whether a frame waits for the receiver's credit alone."""
        return bool(
            self._waiting
            and self._next_slice == 0
            and self._begun_bytes + self._waiting[0].length > self.credit_bytes
        )

    @property
    def has_more(self) -> bool:
        """Whether there is anything that may be sent, window and pace apart."""
        return bool(self._again or self._ping or (self._waiting and not self.is_blocked))

    @property
    def is_idle(self) -> bool:
        """Whether everything arrived."""
        return not self._waiting and not self._unfinished

    @property
    def inflight_bytes(self) -> int:
        """What is under way, as datagrams."""
        return self.inflight_packets * self.datagram_bytes

    def room_packets(self) -> int:
        """How many more packets the window takes."""
        room = int(self.controller.window_bytes - self.inflight_bytes) // self.datagram_bytes
        if room <= 0:
            self._window_full = True
        return max(room, self._probes)

    def take(self, most: int) -> Todo | None:
        """The next slices to send, at most so many: lost ones first. `sent` must follow."""
        while self._again:
            frame, first, count = self._again.popleft()
            wanted = ((1 << count) - 1) & ~(frame.acked >> first)
            runs = list(bit_runs(wanted))
            if not runs:
                continue
            start, length = runs[0]
            rest = [(frame, first + at, size) for at, size in runs[1:]]
            if length > most:
                rest.insert(0, (frame, first + start + most, length - most))
                length = most
            self._again.extendleft(reversed(rest))
            return Todo(frame=frame, slice=first + start, count=length, again=True)
        if self._waiting and not self.is_blocked:
            return self._take_new(most)
        if self._ping:
            self._ping = False
            return Todo(frame=None, slice=0, count=1, again=False)
        return None

    def _take_new(self, most: int) -> Todo:
        frame = self._waiting[0]
        if self._next_slice == 0:
            self._begun_bytes += frame.length
            self._unfinished[frame.number] = frame
        count = min(most, frame.slices - self._next_slice)
        todo = Todo(frame=frame, slice=self._next_slice, count=count, again=False)
        self._next_slice += count
        if self._next_slice == frame.slices:
            self._waiting.popleft()
            self._next_slice = 0
        return todo

    def next_packet(self) -> int:
        """The number of the next packet."""
        return self._next_packet

    def sent(self, todo: Todo, sent_bytes: int, now_s: float) -> None:
        """The slices of `todo` left, in packets from `next_packet` on."""
        if not self.inflight_packets:
            self._first_sent_s = self._delivered_s = now_s
            if todo.frame is not None:
                self.progress_s = now_s
        self._batches.append(
            Batch(
                packet=self._next_packet,
                count=todo.count,
                frame=todo.frame,
                slice=todo.slice,
                open=(1 << todo.count) - 1,
                sent_s=now_s,
                delivered_bytes=self._delivered_bytes,
                delivered_s=self._delivered_s,
                first_sent_s=self._first_sent_s,
                app_limited=self._delivered_bytes < self._limited_until_bytes,
            )
        )
        self._firsts.append(self._next_packet)
        self._next_packet += todo.count
        self.inflight_packets += todo.count
        self.sent_bytes += sent_bytes
        self.retransmitted += todo.count if todo.again else 0
        self._last_eliciting_s = now_s
        self._probes = 0
        self.controller.on_sent(todo.count)

    def nothing_to_send(self) -> None:
        """The application had no more, though the window had room: rates say little until then."""
        self._limited_until_bytes = self._delivered_bytes + max(self.inflight_bytes, 1)

    # What became of it.

    def acknowledged(
        self, ranges: Sequence[tuple[int, int]], ack_delay_s: float, now_s: float
    ) -> None:
        """Packets in these inclusive ranges, newest first, arrived."""
        largest = ranges[0][1]
        if largest >= self._next_packet:
            return  # of packets that were never sent: not by a peer that keeps to the rules
        newest: Batch | None = None
        acked_packets = 0
        for low, high in (entry for entry in ranges if entry not in self._known):
            for batch, mask in self._covering(low, high):
                hit = batch.open & mask
                late = batch.lost & mask
                if late:
                    self._was_late(batch, late)
                if hit:
                    acked_packets += hit.bit_count()
                    batch.open &= ~hit
                    self._note_slices(batch, hit)
                    if batch.frame is not None:
                        self.progress_s = now_s
                    if newest is None or batch.packet > newest.packet:
                        newest = batch
        self._known = frozenset(ranges)
        if newest is None:
            return
        if largest > self._largest_acked and largest >= newest.packet:
            self.controller.on_rtt(now_s - newest.sent_s, ack_delay_s, now_s)
        self._largest_acked = max(self._largest_acked, largest)
        self.timeouts = 0
        self._tell_controller(newest, acked_packets, now_s)
        self.inflight_packets -= acked_packets
        self.find_lost(now_s)
        self._forget()

    def _covering(self, low: int, high: int) -> Iterator[tuple[Batch, int]]:
        """Batches with packets in the range, and a bit for each of theirs that is in it."""
        at = max(bisect_right(self._firsts, low) - 1, 0)
        for batch in self._batches[at : bisect_right(self._firsts, high)]:
            start = max(low - batch.packet, 0)
            end = min(high - batch.packet + 1, batch.count)
            if start < end:
                yield batch, (1 << end) - (1 << start)

    def _note_slices(self, batch: Batch, bits: int) -> None:
        frame = batch.frame
        if frame is None or frame.number not in self._unfinished:
            return
        frame.acked |= bits << batch.slice
        if frame.is_whole:
            del self._unfinished[frame.number]
            self.finished.append(frame)

    def _was_late(self, batch: Batch, late: int) -> None:
        """Thought lost, it was only late: be slower to think so."""
        batch.lost &= ~late
        self._note_slices(batch, late)
        self._threshold = min(2 * self._threshold, MOST_PACKET_THRESHOLD)

    def _tell_controller(self, newest: Batch, acked_packets: int, now_s: float) -> None:
        acked_bytes = acked_packets * self.datagram_bytes
        self._delivered_bytes += acked_bytes
        self._delivered_s = now_s
        self._first_sent_s = newest.sent_s
        elapsed_s = max(now_s - newest.delivered_s, newest.sent_s - newest.first_sent_s)
        delivered = self._delivered_bytes - newest.delivered_bytes
        ended_round = newest.delivered_bytes >= self._round_ends_bytes
        if ended_round:
            self._round_ends_bytes = self._delivered_bytes
        self.controller.on_acked(
            Sample(
                acked_bytes=acked_bytes,
                rate_bytes_per_s=delivered / elapsed_s if elapsed_s > 0 else 0.0,
                app_limited=newest.app_limited,
                ended_round=ended_round,
            ),
            window_used=self._window_full or self._window_was_full,
            now_s=now_s,
        )
        if ended_round:
            self._window_was_full, self._window_full = self._window_full, False

    def find_lost(self, now_s: float) -> None:
        """Declare lost what is too far behind, in numbers or in time. RFC 9002, 6.1."""
        self._loss_at_s = None
        delay_s = self.controller.round_trip.loss_delay_s
        surely = self._largest_acked - self._threshold  # numbers up to here are lost
        lost, latest_s = 0, 0.0
        for batch in self._batches:
            if batch.packet > self._largest_acked:
                break
            if not batch.open:
                continue
            below = min(self._largest_acked - batch.packet, batch.count)
            candidates = batch.open & ((1 << below) - 1)
            if batch.sent_s + delay_s > now_s:
                gone = candidates & ((1 << min(max(surely - batch.packet + 1, 0), batch.count)) - 1)
                if candidates & ~gone and self._loss_at_s is None:
                    self._loss_at_s = batch.sent_s + delay_s
            else:
                gone = candidates
            if gone:
                lost += gone.bit_count()
                latest_s = batch.sent_s
                self._lose(batch, gone)
        if lost:
            self.inflight_packets -= lost
            self.controller.on_lost(lost, latest_sent_s=latest_s, now_s=now_s)

    def _lose(self, batch: Batch, bits: int) -> None:
        batch.open &= ~bits
        batch.lost |= bits
        frame = batch.frame
        if frame is not None and not frame.is_whole:
            self._again.extend((frame, batch.slice + at, size) for at, size in bit_runs(bits))

    def _forget(self) -> None:
        """Drop batches that are settled: lost ones are kept for a while, to see them come late."""
        keep = 0
        old = self._largest_acked - 2 * MOST_PACKET_THRESHOLD
        while keep < len(self._batches):
            batch = self._batches[keep]
            if batch.open or (batch.lost and batch.packet > old):
                break
            keep += 1
        if keep >= 64 or keep == len(self._batches):
            del self._batches[:keep]
            del self._firsts[:keep]

    # Time.

    def next_timeout_s(self) -> float | None:
        """When `on_timer` is due: a loss by time, or a probe."""
        if not self.inflight_packets:
            return None
        if self._loss_at_s is not None:
            return self._loss_at_s
        patience_s = self.controller.round_trip.probe_timeout_s
        return self._last_eliciting_s + patience_s * (1 << min(self.timeouts, 6))

    def on_timer(self, now_s: float) -> None:
        """Its time has come: find what is lost, or send the oldest open slices once more."""
        if self._loss_at_s is not None:
            self.find_lost(now_s)
            return
        self.timeouts += 1
        if self.timeouts == SILENT_TIMEOUTS:
            self.controller.on_silence()
        self._probes = 1
        for batch in self._batches:
            if batch.frame is not None:
                # What came by another packet need not come by this one.
                missing = batch.open << batch.slice & ~batch.frame.acked
                if missing:
                    first = (missing & -missing).bit_length() - 1
                    self._again.appendleft((batch.frame, first, 1))
                    return
        self.ping()
