"""Sending at a pace: what the window and the pace allow goes into datagrams, many a call."""

from __future__ import annotations

from executor.gateway.udp_control import MILLISECOND_S, Controller
from executor.gateway.udp_outgoing import Outgoing, Todo
from executor.gateway.udp_packets import DATA, HEADER_BYTES, PING, HeaderTagger
from executor.gateway.udp_socket import MOST_BATCH_BYTES, MOST_BATCH_DATAGRAMS, Datagrams

# A thread sleeps for a millisecond at least: so much is sent ahead of its time, and what a late
# wake-up missed is caught up, to a bound that no queue on the way notices.
AHEAD_S = MILLISECOND_S
CATCH_UP_S = 4 * MILLISECOND_S
QUANTUM_S = 2 * MILLISECOND_S


class Sending:
    """Takes what `outgoing` has and sends it. For one thread. `pace_cap` 0: no cap."""

    def __init__(
        self,
        *,
        outgoing: Outgoing,
        controller: Controller,
        tags: HeaderTagger,
        datagrams: Datagrams,
        pace_cap: float,
        now_s: float,
    ) -> None:
        self.pace_cap = pace_cap
        self._outgoing = outgoing
        self._controller = controller
        self._tags = tags
        self._datagrams = datagrams
        self._free_at_s = now_s
        self._held_s = {"application": 0.0, "receiver": 0.0, "network": 0.0}
        self._held_by, self._held_since_s = "application", now_s

    @property
    def limited_by(self) -> str:
        """What held this end back for most of the time."""
        return max(self._held_s, key=lambda cause: self._held_s[cause])

    def fill(self, now_s: float) -> float | None:
        """Send as much as window and pace allow; when the pace allows more, if that is the stop."""
        held_by, free_s = self._fill(now_s)
        self._held_s[self._held_by] += now_s - self._held_since_s
        self._held_by, self._held_since_s = held_by, now_s
        return free_s

    def _fill(self, now_s: float) -> tuple[str, float | None]:
        outgoing = self._outgoing
        pace, held_by = self._controller.pace_bytes_per_s, "network"
        if 0 < self.pace_cap < pace:
            pace, held_by = self.pace_cap, "application"
        quantum = int(QUANTUM_S * pace) // outgoing.datagram_bytes
        most = min(max(quantum, 1), MOST_BATCH_DATAGRAMS)
        batch = Gather(self._datagrams)
        free_s: float | None = None
        while outgoing.has_more:
            if self._free_at_s > now_s + AHEAD_S:
                free_s = self._free_at_s - AHEAD_S / 2
                break
            room = outgoing.room_packets()
            todo = outgoing.take(min(room, most)) if room else None
            if todo is None:
                held_by = "network"
                break
            sent_bytes = self._add(batch, todo)
            self._free_at_s = max(self._free_at_s, now_s - CATCH_UP_S) + sent_bytes / pace
            outgoing.sent(todo, sent_bytes, now_s)
        else:
            held_by = "receiver" if outgoing.is_blocked else "application"
            if held_by == "application":
                outgoing.nothing_to_send()
        batch.flush()
        return held_by, free_s

    def _add(self, batch: Gather, todo: Todo) -> int:
        """Put the datagrams of `todo` into a batch; their bytes."""
        frame, packet = todo.frame, self._outgoing.next_packet()
        if frame is None:
            batch.add(self._tags.headers(PING, packet, 0, 0, 0, 1), memoryview(b""))
            return HEADER_BYTES
        headers = self._tags.headers(
            DATA, packet, frame.number, todo.slice, frame.length, todo.count
        )
        size = self._outgoing.slice_bytes
        begin = todo.slice * size
        end = min(begin + todo.count * size, frame.length)
        batch.add_slices(memoryview(headers), frame.view[begin:end], size)
        return end - begin + len(headers)


class Gather:
    """Joins datagrams of one size, the last perhaps shorter, into as few calls as may be."""

    def __init__(self, datagrams: Datagrams) -> None:
        self._datagrams = datagrams
        self._parts: list[bytes | memoryview] = []
        self._size = self._bytes = 0

    def add(self, header: bytes | memoryview, payload: memoryview) -> None:
        """One datagram more."""
        size = len(header) + len(payload)
        full = self._bytes + size > MOST_BATCH_BYTES
        if self._parts and (
            full or len(self._parts) >= 2 * MOST_BATCH_DATAGRAMS or size > self._size
        ):
            self.flush()
        if not self._parts:
            self._size = size
        self._parts += (header, payload)
        self._bytes += size
        if size < self._size:
            self.flush()

    def add_slices(self, headers: memoryview, payload: memoryview, size: int) -> None:
        """Datagrams of `size` bytes of the payload each, behind their headers."""
        count = len(headers) // HEADER_BYTES
        if count == 1:
            self.add(headers, payload)
            return
        self.flush()
        most = min(MOST_BATCH_BYTES // (size + HEADER_BYTES), MOST_BATCH_DATAGRAMS)
        for first in range(0, count, most):
            last = min(first + most, count)
            parts: list[bytes | memoryview] = []
            for number in range(first, last):
                at = number * HEADER_BYTES
                parts.append(headers[at : at + HEADER_BYTES])
                parts.append(payload[number * size : (number + 1) * size])
            self._datagrams.send(parts, size + HEADER_BYTES, count=last - first)

    def flush(self) -> None:
        """Send what is gathered."""
        parts, self._parts, self._bytes = self._parts, [], 0
        if parts:
            self._datagrams.send(parts, self._size, count=len(parts) // 2)
