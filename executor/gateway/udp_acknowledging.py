"""When and what one end of a UDP connection acknowledges."""

from __future__ import annotations

from executor.gateway.udp_control import MILLISECOND_S
from executor.gateway.udp_packets import Ack
from executor.gateway.udp_reassembly import ReceivedPackets

# Once what waited was read, and in between every so many bytes.
EVERY_BYTES, WAIT_S = 256 << 10, 0.0
# Within this machine an acknowledgement costs both sides more than the bytes that it is about.
LOOPBACK_EVERY_BYTES, LOOPBACK_WAIT_S = 1 << 20, MILLISECOND_S


class Acknowledging:
    """Notes what arrives. `least_window_bytes`: of a path within this machine, else 0."""

    def __init__(self, least_window_bytes: int) -> None:
        self._received = ReceivedPackets()
        self._every_bytes, self._wait_s = EVERY_BYTES, WAIT_S
        if least_window_bytes:
            self._every_bytes = min(LOOPBACK_EVERY_BYTES, least_window_bytes // 3)
            self._wait_s = LOOPBACK_WAIT_S
        self._since_s = 0.0
        self._bytes = 0
        self._number = 0
        # Credit grew: to be told though nothing arrived.
        self.is_asked = False

    def arrived(self, low: int, high: int, size_bytes: int, now_s: float) -> None:
        """Packets `low` to `high` came."""
        self._received.add(low, high)
        if not self._bytes:
            self._since_s = now_s
        self._bytes += size_bytes

    @property
    def is_due_at_once(self) -> bool:
        """Whether enough came not to wait until all that waits is read."""
        return self._bytes >= self._every_bytes

    def due_s(self) -> float | None:
        """When to acknowledge; None if there is nothing to."""
        if self.is_asked:
            return self._since_s
        return self._since_s + self._wait_s if self._bytes else None

    def take(self, credit_bytes: int, now_s: float) -> Ack | None:
        """The acknowledgement of all that came; None before anything has."""
        ranges = self._received.newest()
        self.is_asked = False
        if not ranges:
            return None
        delay_s = now_s - self._since_s if self._bytes else 0.0
        self._bytes = 0
        self._number += 1
        return Ack(number=self._number, delay_s=delay_s, credit_bytes=credit_bytes, ranges=ranges)
