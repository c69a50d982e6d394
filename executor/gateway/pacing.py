"""Pacing: a planned rate is a cap, kept by a cumulative schedule that all senders of it share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

# A pacer that fell behind may catch up by this much, no more: enough for a late wake-up, too
# little to show as a burst.
CATCH_UP_S = 0.05


class Pacer:
    """Lets `rate` units a second pass; shared by threads, in the order in which they ask."""

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if rate <= 0:
            raise ValueError(f"a pacer needs a rate above 0, not {rate}")
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at: float | None = None
        self._lost_s = 0.0

    def reserve(self, units: float) -> float:
        """Take the next place in the schedule; the clock's time at which `units` have passed."""
        with self._lock:
            now = self._clock()
            # The first place begins now: nothing was missed before there was anything to send.
            begin = now if self._free_at is None else max(self._free_at, now - CATCH_UP_S)
            if self._free_at is not None:
                self._lost_s += begin - self._free_at
            self._free_at = begin + units / self._rate
            return self._free_at

    @property
    def lost_s(self) -> float:
        """Time of the schedule that nobody asked for and that could not be caught up."""
        with self._lock:
            return self._lost_s


def wait_for(
    reservations: Iterable[float],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Sleep until the latest of `reservations`."""
    until = max(reservations, default=0.0)
    left = until - clock()
    if left > 0:
        sleep(left)
