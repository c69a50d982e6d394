"""Which records of which chunks came over one connection, in whatever order they came."""

from __future__ import annotations

from datasets.errors import SessionRefused
from executor.gateway.command import TAG_BYTES, Command
from planner.dispatch import chunk_count

# A sender has a few chunks under way on a connection; one that leaves more than so many unfinished
# sends no chunks but wants memory.
MOST_UNFINISHED = 1024


def chunk_bytes_of(command: Command) -> tuple[int, int]:
    """(chunk, payload bytes of the whole chunk) that a record belongs to."""
    chunk = command.offset // command.chunk_size
    return chunk, min(command.chunk_size, command.object_size - chunk * command.chunk_size)


class Arrivals:
    """Tells when a chunk is whole. A record that comes twice counts once.

    Memory: the records' offsets of the chunks that are not whole yet.
    """

    def __init__(self, record_bytes: int) -> None:
        self._record_bytes = record_bytes
        self._unfinished: dict[tuple[bytes, int], set[int]] = {}

    def add(self, command: Command) -> bool:
        """One record came; whether its chunk is whole now. Raises: SessionRefused."""
        chunk, size_bytes = chunk_bytes_of(command)
        inside = command.offset - chunk * command.chunk_size
        length = min(self._record_bytes, size_bytes - inside)
        if inside % self._record_bytes or command.payload_length - TAG_BYTES != length:
            raise SessionRefused("a record is not one of those that its chunk is cut into")
        records = chunk_count(size_bytes, self._record_bytes)
        if records == 1:
            return True
        key = (command.object_id, chunk)
        found = self._unfinished.setdefault(key, set())
        if len(self._unfinished) > MOST_UNFINISHED:
            raise SessionRefused(f"more than {MOST_UNFINISHED} chunks were begun and not finished")
        found.add(inside)
        if len(found) < records:
            return False
        del self._unfinished[key]
        return True
