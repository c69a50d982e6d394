"""How a UDP connection ends: by a word of either end, or because nobody is there any more."""

from __future__ import annotations

import atexit
import time
import weakref
from typing import Protocol

# What is left to say when a connection is closed is said as long as it gets through; after so much
# silence it is given up.
LINGER_S = 3.0
CLOSE_TRIES = 4
# So many refusals in a row, over so long and with nothing good between, mean that nobody is there.
REFUSALS, REFUSED_S = 3, 0.3

# A process that ends waits so long, at most, for what its connections have still to say.
EXIT_S = 15.0


class Farewell:
    """The closing end's state: CLOSE is repeated until it is answered, a few times."""

    def __init__(self) -> None:
        self.tries = 0
        self.next_s = 0.0
        self._closed_s: float | None = None

    def said(self, now_s: float, patience_s: float) -> int:
        """CLOSE is sent now; its number."""
        self.tries += 1
        self.next_s = now_s + patience_s
        return self.tries

    def is_over(self, now_s: float, progress_s: float) -> bool:
        """Whether all was tried. `progress_s` is when anything last got through."""
        if self._closed_s is None:
            self._closed_s = now_s
        return self.tries > CLOSE_TRIES or now_s > max(self._closed_s, progress_s) + LINGER_S


class Refusals:
    """The network says that nobody listens there; a stranger can say so too."""

    def __init__(self) -> None:
        self._count = 0
        self._first_s = 0.0

    def another(self, now_s: float) -> bool:
        """One more; whether to believe it."""
        if not self._count:
            self._first_s = now_s
        self._count += 1
        return self._count > REFUSALS and now_s > self._first_s + REFUSED_S

    def forget(self) -> None:
        """Something came that only the other end can have sent."""
        self._count = 0


class Speaker(Protocol):
    """A connection that was closed, and may have something left to say."""

    def join(self, timeout_s: float) -> None:
        """Wait until it is said."""


_SPEAKERS: weakref.WeakSet[Speaker] = weakref.WeakSet()


def say_before_exit(speaker: Speaker) -> None:
    """Let the process not end before this one has said it all, or `EXIT_S` passed."""
    _SPEAKERS.add(speaker)


@atexit.register
def _say_the_last() -> None:
    until_s = time.monotonic() + EXIT_S
    for speaker in list(_SPEAKERS):
        speaker.join(max(until_s - time.monotonic(), 0.0))
