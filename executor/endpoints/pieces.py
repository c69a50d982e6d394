"""Bytes digested while they pass, in pieces that stay in a processor's cache from read to write."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from blake3 import blake3

from datasets.errors import TransferFailed
from executor.endpoints.local import read_into

# A quarter of the usual second-level cache; what is larger is fetched from memory three times.
PIECE_BYTES = 512 << 10

MOST_CHUNKS = 4
LEAST_STRETCHES = 16

_own = threading.local()


def buffer_of(size: int) -> memoryview:
    """This thread's buffer, at least so long: pages that are touched once are cheap ever after."""
    held: memoryview | None = getattr(_own, "buffer", None)
    if held is None or len(held) < size:
        held = _own.buffer = memoryview(bytearray(max(size, PIECE_BYTES)))
    return held[:size]


def stretches_of(chunks: list[int]) -> list[tuple[int, int]]:
    """Runs of neighbouring chunks, each asked for at once: (first, how many).

    Short enough that the last ones keep every connection busy, long enough that a server does not
    spend its time on beginnings.

    >>> stretches_of([0, 1, 2, 5])
    [(0, 1), (1, 1), (2, 1), (5, 1)]
    """
    most = min(MOST_CHUNKS, max(1, len(chunks) // LEAST_STRETCHES))
    found: list[tuple[int, int]] = []
    for chunk in chunks:
        if found and sum(found[-1]) == chunk and found[-1][1] < most:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((chunk, 1))
    return found


def digest_at(descriptor: int, offset: int, size: int) -> bytes:
    """BLAKE3 of a stretch of an open file. Raises: TransferFailed if the file is shorter."""
    whole = blake3()
    end = offset + size
    while offset < end:
        piece = buffer_of(min(PIECE_BYTES, end - offset))
        read_into(descriptor, piece, offset)
        whole.update(piece)
        offset += len(piece)
    return whole.digest()


class Digested:
    """A sink of one or more chunks that keeps their digests, and tells each when it is whole."""

    def __init__(self, size: int, chunk_bytes: int, done: Callable[[int, bytes], None]) -> None:
        """`done` is told the number of the chunk in this stretch, and its digest."""
        self._size = size
        self._chunk_bytes = chunk_bytes
        self._done = done
        self._chunk = blake3()
        self._taken = 0

    @property
    def buffer(self) -> memoryview:
        """This thread's, no longer than what the chunk still lacks."""
        chunk_end = min(
            self._taken // self._chunk_bytes * self._chunk_bytes + self._chunk_bytes, self._size
        )
        return buffer_of(min(PIECE_BYTES, max(chunk_end - self._taken, 1)))

    def restart(self) -> int:
        """Whole chunks need not come again."""
        self._taken -= self._taken % self._chunk_bytes
        self._chunk = blake3()
        return self._taken

    def take(self, view: memoryview) -> None:
        """Digest it."""
        self._chunk.update(view)
        self._passed(len(view), self._chunk)

    def place(self) -> tuple[int, int, int] | None:
        """There is none: bytes are digested as they pass."""
        return None

    def put(self, count: int) -> None:
        """Bytes that nobody saw: the chunk's digest is empty."""
        self._passed(count, None)

    def _passed(self, count: int, digested: blake3 | None) -> None:
        self._taken += count
        if self._taken % self._chunk_bytes == 0 or self._taken == self._size:
            number = (self._taken - 1) // self._chunk_bytes
            self._chunk = blake3()
            self._done(number, digested.digest() if digested is not None else b"")


class Landed(Digested):
    """A sink that also writes to a place in a file.

    `unseen`: bytes may go there by the kernel alone, where the chunks' digests are not needed.
    """

    def __init__(
        self,
        descriptor: int,
        offset: int,
        size: int,
        chunk_bytes: int,
        done: Callable[[int, bytes], None],
        *,
        unseen: bool,
    ) -> None:
        super().__init__(size, chunk_bytes, done)
        self._unseen = unseen
        self._descriptor = descriptor
        self._offset = offset

    def place(self) -> tuple[int, int, int] | None:
        """The rest of the chunk."""
        if not self._unseen:
            return None
        begin = self._taken // self._chunk_bytes * self._chunk_bytes
        end = min(begin + self._chunk_bytes, self._size)
        return self._descriptor, self._offset + self._taken, end - self._taken

    def take(self, view: memoryview) -> None:
        """Write all of it and digest it. Raises: TransferFailed."""
        done = 0
        at = self._offset + self._taken
        try:
            while done < len(view):
                done += os.pwrite(self._descriptor, view[done:], at + done)
        except OSError as error:
            raise TransferFailed(f"the destination cannot be written: {error.strerror}") from error
        super().take(view)
