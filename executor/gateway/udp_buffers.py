"""Frames' buffers, used again: fresh pages cost more than copying into warm ones."""

from __future__ import annotations

from collections import defaultdict
from threading import Lock

LEAST_KEPT_BYTES = 32 << 10
MOST_KEPT_BYTES = 16 << 20


class FrameBuffers:
    """Buffers by their exact length: a transfer's records are of one. Safe between threads."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[bytearray]] = defaultdict(list)
        self._kept_bytes = 0
        self._lock = Lock()

    def take(self, length: int) -> bytearray:
        """A buffer of that length; what is in it is of no meaning."""
        with self._lock:
            free = self._free.get(length)
            if free:
                self._kept_bytes -= length
                return free.pop()
        return bytearray(length)

    def give_back(self, buffer: bytearray) -> None:
        """Nobody uses this one any more."""
        length = len(buffer)
        if length < LEAST_KEPT_BYTES:
            return
        with self._lock:
            if self._kept_bytes + length <= MOST_KEPT_BYTES:
                self._free[length].append(buffer)
                self._kept_bytes += length
