"""What one end of a UDP connection received: packet numbers to acknowledge, and frames made whole.

Two state machines without I/O. Frames complete in any order and are handed out as they do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from executor.gateway.command import COMMAND_BYTES, MOST_PAYLOAD_BYTES
from executor.gateway.udp_outgoing import bit_runs, slices_of
from executor.gateway.udp_packets import HEADER_BYTES, MOST_RANGES, Run

MOST_FRAME_BYTES = COMMAND_BYTES + MOST_PAYLOAD_BYTES
KEPT_RANGES = 2 * MOST_RANGES
INITIAL_CREDIT_BYTES = 16 << 20
MOST_CREDIT_BYTES = 64 << 20


class ReceivedPackets:
    """Numbers of the packets that arrived, as inclusive ranges; the oldest are forgotten."""

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []

    def add(self, low: int, high: int) -> bool:
        """Packets `low` to `high` arrived; whether any of them is new."""
        lows, highs = self._lows, self._highs
        if highs and low == highs[-1] + 1:  # by far the most usual
            highs[-1] = high
            return True
        at = bisect_right(lows, low)
        if at and highs[at - 1] >= high:
            return False
        if at and highs[at - 1] >= low - 1:
            at -= 1
            low = lows[at]
        until = at
        while until < len(lows) and lows[until] <= high + 1:
            high = max(high, highs[until])
            until += 1
        lows[at:until], highs[at:until] = [low], [high]
        if len(lows) > KEPT_RANGES:
            del lows[0], highs[0]
        return True

    def newest(self, most: int = MOST_RANGES) -> tuple[tuple[int, int], ...]:
        """The latest ranges, newest first."""
        pairs = zip(self._lows[-most:], self._highs[-most:], strict=True)
        return tuple(pairs)[::-1]


@dataclass(slots=True, kw_only=True)
class IncomingFrame:
    """A frame of which something came: `missing` has a bit for each slice that did not."""

    number: int
    length: int
    buffer: bytearray
    missing: int


class Reassembly:
    """Puts slices where they belong. Never more than the credit is held.

    `give` is called with each whole frame's buffer and length. `take_buffer` gives a buffer of a
    length.
    """

    def __init__(
        self,
        *,
        slice_bytes: int,
        give: Callable[[bytearray, int], None],
        take_buffer: Callable[[int], bytearray] = bytearray,
    ) -> None:
        self._slice_bytes = slice_bytes
        self._give = give
        self._take_buffer = take_buffer
        self._open: dict[int, IncomingFrame] = {}
        self._done = ReceivedFrames()
        # (frame, slice, length of the frame) that should come next; length 0: unknown.
        self._expected = (0, 0, 0)
        self._spare = bytearray()
        self.end: int | None = None
        self.held_bytes = 0
        self.received_bytes = 0
        self.credit_bytes = INITIAL_CREDIT_BYTES
        self.window_bytes = INITIAL_CREDIT_BYTES
        self._given_bytes = 0
        self._marked_bytes = 0
        self._marked_s = 0.0

    @property
    def is_ended(self) -> bool:
        """Whether the other end finished, and all of its frames are whole."""
        return self.end is not None and self._done.all_below(self.end)

    def expected_slot(self) -> memoryview | None:
        """Where the slice belongs that follows the last one, in its frame or in one like it."""
        number, at, length = self._expected
        if not length or number in self._done:
            return None
        frame = self._open.get(number)
        if frame is None:
            if len(self._spare) != length:
                self._spare = self._take_buffer(length)
            buffer = self._spare
        elif frame.length == length and frame.missing >> at & 1:
            buffer = frame.buffer
        else:
            return None
        return memoryview(buffer)[at * self._slice_bytes : (at + 1) * self._slice_bytes]

    def is_expected(self, run: Run) -> bool:
        """Whether this is the slice that `expected_slot` has room for."""
        return (run.frame, run.slice, run.length) == self._expected

    def _expect_after(self, run: Run, slices: int) -> None:
        following = run.slice + run.count
        if following < slices:
            self._expected = (run.frame, following, run.length)
        else:
            self._expected = (run.frame + 1, 0, run.length)

    def add(self, run: Run, received: memoryview, *, in_place: bool = False) -> bool:
        """Take a run's slices; False if it breaks the rules, and must not be acknowledged.

        `in_place`: the slice is in `expected_slot` already.
        """
        if run.length == 0:
            if run.slice or run.count > 1 or (self.end is not None and self.end != run.frame):
                return False
            self.end = run.frame
            return True
        slices = slices_of(run.length, self._slice_bytes)
        if run.slice + run.count > slices or not self._fits(run, slices):
            return False
        if run.frame in self._done:
            return True
        frame = self._open.get(run.frame) or self._begin(run, slices)
        if frame is None or frame.length != run.length:
            return False
        new = frame.missing >> run.slice & ((1 << run.count) - 1)
        for first, count in bit_runs(new):
            if not in_place:
                self._copy(frame, run, first, count, received)
            to = (run.slice + first) * self._slice_bytes
            self.received_bytes += min(count * self._slice_bytes, frame.length - to)
        self._expect_after(run, slices)
        frame.missing &= ~(new << run.slice)
        if not frame.missing:
            del self._open[run.frame]
            self._done.add(run.frame)
            self._give(frame.buffer, frame.length)
        return True

    def _fits(self, run: Run, slices: int) -> bool:
        """Whether every slice is as long as its place in the frame says."""
        last_bytes = (run.end - run.at) - (run.count - 1) * run.segment_bytes - HEADER_BYTES
        whole = run.segment_bytes - HEADER_BYTES == self._slice_bytes
        if run.count > 1 and not whole:
            return False
        if run.slice + run.count < slices:
            return last_bytes == self._slice_bytes
        return last_bytes == run.length - (slices - 1) * self._slice_bytes

    def _begin(self, run: Run, slices: int) -> IncomingFrame | None:
        over = self.held_bytes + run.length > self.window_bytes
        if (
            run.length > MOST_FRAME_BYTES
            or over
            or (self.end is not None and run.frame >= self.end)
        ):
            return None
        if len(self._spare) == run.length:
            buffer, self._spare = self._spare, bytearray()
        else:
            buffer = self._take_buffer(run.length)
        frame = IncomingFrame(
            number=run.frame,
            length=run.length,
            buffer=buffer,
            missing=(1 << slices) - 1,
        )
        self._open[run.frame] = frame
        self.held_bytes += run.length
        return frame

    def _copy(
        self, frame: IncomingFrame, run: Run, first: int, count: int, received: memoryview
    ) -> None:
        """Copy `count` slices, from the run's slice `first` on, into the frame."""
        step, size = run.segment_bytes, self._slice_bytes
        to = (run.slice + first) * size
        at = run.at + first * step + HEADER_BYTES
        alike = count if run.at + (first + count) * step <= run.end else count - 1
        if alike > 1 and step - HEADER_BYTES == size:
            source = np.ndarray((alike, size), np.uint8, received, offset=at, strides=(step, 1))
            np.ndarray((alike, size), np.uint8, frame.buffer, offset=to)[...] = source
            done = alike
        else:
            done = 0
        for number in range(done, count):
            start = at + number * step
            end = min(start + step - HEADER_BYTES, run.end)
            place = to + number * size
            frame.buffer[place : place + end - start] = received[start:end]

    def given(self, length: int, *, rtt_s: float, now_s: float) -> bool:
        """The application took a frame; whether the other end should hear of its credit now.

        The window doubles, up to its most, while half of it goes in less than four round trips.
        """
        self.held_bytes -= length
        self._given_bytes += length
        if self._given_bytes - self._marked_bytes >= self.window_bytes // 2:
            if now_s - self._marked_s < 4 * rtt_s + 0.01:
                self.window_bytes = min(2 * self.window_bytes, MOST_CREDIT_BYTES)
            self._marked_bytes, self._marked_s = self._given_bytes, now_s
        told = self.credit_bytes
        self.credit_bytes = self._given_bytes + self.window_bytes
        return self.credit_bytes // (self.window_bytes // 4) > told // (self.window_bytes // 4)


class ReceivedFrames:
    """Numbers of the frames that are whole: all below a number, and some above it."""

    def __init__(self) -> None:
        self._below = 0
        self._above: set[int] = set()

    def add(self, number: int) -> None:
        """This frame is whole."""
        self._above.add(number)
        while self._below in self._above:
            self._above.remove(self._below)
            self._below += 1

    def __contains__(self, number: int) -> bool:
        return number < self._below or number in self._above

    def all_below(self, number: int) -> bool:
        """Whether every frame before this one is whole."""
        return self._below >= number
