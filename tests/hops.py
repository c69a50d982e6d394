"""Connections in memory, for tests of what stands on top of them."""

from __future__ import annotations

import threading
from collections import deque

from executor.gateway.beats import Hop
from executor.gateway.transport import Closed, Metrics

KEY = bytes(32)


class FakeConnection:
    """Gives `frames` one by one, keeps what was sent; `slow` holds senders until it is set."""

    def __init__(self, *, slow: threading.Event | None = None) -> None:
        self.frames: deque[bytes] = deque()
        self.sent: list[bytes] = []
        self.closed = False
        self._slow = slow

    def send(self, frame: memoryview | bytes) -> None:
        if self._slow is not None and not self._slow.wait(30.0):
            raise Closed("nobody let it go on")
        if self.closed:
            raise Closed("closed")
        self.sent.append(bytes(frame))

    def receive(self, view: memoryview) -> int:
        if not self.frames:
            raise Closed("the other end closed the connection")
        frame = self.frames.popleft()
        view[: len(frame)] = frame
        return len(frame)

    def set_timeout(self, seconds: float) -> None:
        pass

    def metrics(self) -> Metrics:
        return Metrics(bytes_sent=sum(len(frame) for frame in self.sent))

    def finish(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
        if self._slow is not None:
            self._slow.set()


def hop_of(connection: FakeConnection, *, peer: str = "aws:a-1#0") -> Hop:
    """A hop on it, its beats signed under `KEY`."""
    return Hop(connection, peer=peer, ticket=bytes(16), key=KEY, transfer=bytes(16))
