"""How far a copy of many pieces is, for who watches it."""

from __future__ import annotations

import threading
from collections.abc import Callable

# Told now and then: (bytes that are at the destination, bytes in all).
Observe = Callable[[int, int], None]


class Tally:
    """Bytes that came to the destination, now or by an earlier run; safe for several threads."""

    def __init__(self, observe: Observe) -> None:
        self.total_bytes = 0
        self.resumed_bytes = 0
        self._there_bytes = 0
        self._observe = observe
        self._lock = threading.Lock()

    def moved(self, count: int) -> None:
        """So many bytes more are there."""
        with self._lock:
            self._there_bytes += count
            self._observe(self._there_bytes, self.total_bytes)

    def stood(self, count: int) -> None:
        """So many bytes were there already: an earlier run brought them."""
        with self._lock:
            self.resumed_bytes += count
        self.moved(count)
