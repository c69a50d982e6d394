"""One record in, several out: each branch at its own pace, none decrypted, none stopped by others.

A branch holds up to `QUEUE_RECORDS` records in memory; what it cannot take beyond goes to a file
without a name, sealed as it is, and from there in order. Only a branch that is so far behind that
its file is full (`spill_bytes`) holds up the others.

Memory of one connection with B branches, for records of R bytes (160 of command, 16 of tag):

    (B · QUEUE_RECORDS + 2) · (R + 176)   buffers shared by the branches
    + B · (R + 176)                       one to read a branch's file into

and on disk at most B · spill_bytes.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from datasets.errors import TradewindError, TransferFailed
from executor.control import messages_pb2 as messages
from executor.gateway.beats import BEAT_S, Hop

QUEUE_RECORDS = 4
# How long the last records of a lane may take to leave once nothing follows them.
DRAIN_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """A way on: the connection and the edge of the lane that it is one of."""

    hop: Hop
    branch: messages.Branch


class Frame:
    """A buffer that several branches send from; it goes back to its pool after the last."""

    def __init__(self, size_bytes: int) -> None:
        self.view = memoryview(bytearray(size_bytes))
        self.length = 0
        self.holders = 0


class Spill:
    """Records that wait on disk, in order: a ring in a file that has no name."""

    def __init__(self, *, frame_bytes: int, most_bytes: int) -> None:
        self._slot_bytes = frame_bytes
        self._slots = max(most_bytes // frame_bytes, 1)
        self._lengths: deque[int] = deque()
        self._first = self._next = 0
        self._descriptor = -1

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return len(self._lengths) >= self._slots

    def write(self, frame: memoryview) -> None:
        """Put one behind the others; `added` makes it count. Raises: TransferFailed."""
        done = 0
        try:
            if self._descriptor < 0:
                with tempfile.TemporaryFile(prefix="tradewind-") as file:
                    self._descriptor = os.dup(file.fileno())
            while done < len(frame):
                at = self._next * self._slot_bytes + done
                done += os.pwrite(self._descriptor, frame[done:], at)
        except OSError as error:
            raise TransferFailed(f"a slow branch's file: {error.strerror}") from error

    def added(self, length: int) -> None:
        """The one just written counts."""
        self._lengths.append(length)
        self._next = (self._next + 1) % self._slots

    def read(self, view: memoryview) -> int:
        """The first one into `view`; its length. Raises: TransferFailed."""
        length = self._lengths[0]
        got = os.preadv(self._descriptor, [view[:length]], self._first * self._slot_bytes)
        if got != length:
            raise TransferFailed("a slow branch's file is shorter than what was written to it")
        return length

    def taken(self) -> None:
        """The first one is sent."""
        self._lengths.popleft()
        self._first = (self._first + 1) % self._slots

    def close(self) -> None:
        """Give the disk back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Fanout:
    """The branches of one connection; `send` waits for a branch's limits and sends."""

    def __init__(
        self,
        outlets: Sequence[Outlet],
        *,
        frame_bytes: int,
        spill_bytes: int,
        send: Callable[[Outlet, memoryview], None],
        broken: Callable[[Outlet, TradewindError], None],
    ) -> None:
        self._frame_bytes = frame_bytes
        self._free: list[Frame] = []
        self._lock = threading.Lock()
        self.branches = [
            _Branch(
                outlet,
                spill=Spill(frame_bytes=frame_bytes, most_bytes=spill_bytes),
                buffer=memoryview(bytearray(frame_bytes)),
                send=send,
                broken=broken,
                release=self.release,
            )
            for outlet in outlets
        ]
        self._threads = [
            threading.Thread(target=branch.run, daemon=True) for branch in self.branches
        ]
        for thread in self._threads:
            thread.start()

    def frame(self) -> Frame:
        """A free buffer. There are never more than the branches' queues can hold, and two."""
        with self._lock:
            found = self._free.pop() if self._free else Frame(self._frame_bytes)
        found.holders = 1
        return found

    def put(self, frame: Frame, length: int) -> None:
        """Hand the first `length` bytes of `frame` to every branch. Raises: TransferFailed."""
        frame.length = length
        try:
            for branch in self.branches:
                with self._lock:
                    frame.holders += 1
                if not branch.put(frame):
                    self.release(frame)
        finally:
            self.release(frame)

    def release(self, frame: Frame) -> None:
        """One holder less; the last one frees it."""
        with self._lock:
            frame.holders -= 1
            if frame.holders == 0:
                self._free.append(frame)

    @property
    def spilled_bytes(self) -> int:
        """Bytes that went by way of a file, so far."""
        return sum(branch.spilled_bytes for branch in self.branches)

    def drain(self) -> None:
        """Wait until every branch has sent all. Raises: TransferFailed."""
        for branch in self.branches:
            branch.drain()

    def close(self) -> None:
        """Stop; what waits is dropped."""
        for branch in self.branches:
            branch.close()

    def dispose(self) -> None:
        """Stop, and give memory and disk back; of the thread that puts, after its connections
        are closed."""
        self.close()
        for thread in self._threads:
            thread.join()
        for branch in self.branches:
            branch.dispose()


class _Branch:
    """One branch: a queue in memory, then a file, and the thread that sends."""

    def __init__(
        self,
        outlet: Outlet,
        *,
        spill: Spill,
        buffer: memoryview,
        send: Callable[[Outlet, memoryview], None],
        broken: Callable[[Outlet, TradewindError], None],
        release: Callable[[Frame], None],
    ) -> None:
        self.outlet = outlet
        self.spilled_bytes = 0
        self._spill = spill
        self._buffer = buffer
        self._send = send
        self._broken = broken
        self._release = release
        self._queue: deque[Frame] = deque()
        self._busy = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> bool:
        """Take a frame; whether it is held (and released later). Raises: TransferFailed."""
        with self._changed:
            while self._spill.full and not self._closed:
                self._changed.wait(BEAT_S)
            if self._closed:
                raise TransferFailed("a branch is closed")
            if not self._spill and len(self._queue) < QUEUE_RECORDS:
                self._queue.append(frame)
                self._changed.notify_all()
                return True
        # Only this thread adds, and the sender takes from the other end: no lock while writing.
        self._spill.write(frame.view[: frame.length])
        with self._changed:
            self._spill.added(frame.length)
            self.spilled_bytes += frame.length
            self._changed.notify_all()
        return False

    def run(self) -> None:
        """Send until closed."""
        try:
            while self._next():
                pass
        except TradewindError as error:
            self.close()
            self._broken(self.outlet, error)

    def _next(self) -> bool:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            if not (self._queue or self._spill or self._closed):
                self._changed.wait(BEAT_S)
            if self._closed:
                return False
            frame = self._queue.popleft() if self._queue else None
            self._busy = frame is not None or bool(self._spill)
        if frame is not None:
            try:
                self._send(self.outlet, frame.view[: frame.length])
            finally:
                self._release(frame)
        elif self._busy:
            length = self._spill.read(self._buffer)
            self._send(self.outlet, self._buffer[:length])
            with self._changed:
                self._spill.taken()
        else:
            self.outlet.hop.beat()
        return True

    def drain(self) -> None:
        """Wait until all is sent. Raises: TransferFailed."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: self._closed or not (self._queue or self._spill or self._busy), DRAIN_S
            )
            if self._closed or not done:
                raise TransferFailed("a branch ended before it had sent all")

    def close(self) -> None:
        """Send no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def dispose(self) -> None:
        """Give the disk back."""
        self._spill.close()
