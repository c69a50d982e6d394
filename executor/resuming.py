"""What earlier attempts at a transfer brought to its destinations, and so need not be sent."""

from __future__ import annotations

from collections.abc import Iterable

from executor.control import messages_pb2 as messages
from executor.control.client import GatewayClient
from executor.endpoints.intervals import IntervalSet
from executor.endpoints.local import Entry

RECEIVED_TIMEOUT_S = 60.0


class Held:
    """Ranges of chunks by object: of several destinations, what all of them have."""

    def __init__(self) -> None:
        self._ranges: dict[int, IntervalSet] | None = None

    def __bool__(self) -> bool:
        return any(ranges.total for ranges in (self._ranges or {}).values())

    def hear(self, client: GatewayClient) -> None:
        """What one more destination has. Raises: as `GatewayClient.stream`."""
        found: dict[int, IntervalSet] = {}
        for message in client.stream("Received", timeout_s=RECEIVED_TIMEOUT_S):
            for entry in message.ranges:
                found.setdefault(entry.object, IntervalSet()).add(entry.first, entry.end)
        if self._ranges is not None:
            found = {
                index: ranges.common(found.get(index, IntervalSet()))
                for index, ranges in self._ranges.items()
            }
        self._ranges = found

    def message(self) -> messages.ChunkRanges:
        """As the head source is told."""
        return messages.ChunkRanges(
            ranges=[
                messages.ChunkRange(object=index, first=first, end=end)
                for index, ranges in (self._ranges or {}).items()
                for first, end in ranges
            ]
        )

    def size_bytes(self, entries: Iterable[Entry], chunk_bytes: int) -> int:
        """How many bytes that is."""
        return sum(
            min(end * chunk_bytes, entry.size) - first * chunk_bytes
            for entry in entries
            for first, end in (self._ranges or {}).get(entry.index, ())
        )
