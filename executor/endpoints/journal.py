"""The receipt journal of a transfer that comes in: which chunks are on disk, and each attempt.

Append-only records of 32 bytes, each with a check of its own, so that a torn end is noticed and
left. A process that opens a transfer's folder begins a journal of its own in it; what arrived is
the union of all: several workers of one site may write side by side.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Iterable

from blake3 import blake3

from executor.endpoints.disk import Disk
from executor.endpoints.intervals import IntervalSet

PREFIX = b"journal-"
_RECORD = struct.Struct(">QQQ8s")
RECORD_BYTES = _RECORD.size
_ATTEMPT = (1 << 64) - 1
_SALT = b"tradewind journal v1"


def _sealed(unit: int, first: int, end: int) -> bytes:
    body = struct.pack(">QQQ", unit, first, end)
    return body + blake3(_SALT + body).digest(length=8)


class Journal:
    """One process's journal in `folder`. `received` and `attempt` are those of all of them."""

    def __init__(self, folder: bytes, disk: Disk) -> None:
        self._disk = disk
        self._folder = folder
        self.received: dict[int, IntervalSet] = {}
        self.attempt = 0
        self.load()
        self._create()

    def _create(self) -> None:
        name = PREFIX + secrets.token_hex(8).encode()
        self._descriptor = self._disk.create(os.path.join(self._folder, name))
        self._length = 0
        self._disk.sync_folder(self._folder)

    def load(self) -> None:
        """Take in what all journals of the folder say: other workers may have written some."""
        for name in sorted(os.listdir(self._folder)):
            if name.startswith(PREFIX):
                self._load(os.path.join(self._folder, name))

    def _load(self, path: bytes) -> None:
        with open(path, "rb") as file:
            data = file.read()
        for start in range(0, len(data) - RECORD_BYTES + 1, RECORD_BYTES):
            record = data[start : start + RECORD_BYTES]
            unit, first, end, _ = _RECORD.unpack(record)
            if record != _sealed(unit, first, end):
                break  # a torn end: what follows was never acknowledged
            if unit == _ATTEMPT:
                self.attempt = max(self.attempt, first)
            else:
                self.received.setdefault(unit, IntervalSet()).add(first, end)

    def next_attempt(self) -> int:
        """A number that no attempt at this transfer had, on disk before it is told. From 1."""
        self.attempt += 1
        self._append([_sealed(_ATTEMPT, self.attempt, self.attempt)])
        return self.attempt

    def write(self, chunks: Iterable[tuple[int, int]]) -> None:
        """These (unit, chunk) are on disk; so is that, when this returns. Raises: OSError."""
        added: dict[int, IntervalSet] = {}
        for unit, chunk in chunks:
            added.setdefault(unit, IntervalSet()).add(chunk, chunk + 1)
        self._append(
            [_sealed(unit, first, end) for unit, ranges in added.items() for first, end in ranges]
        )

    def note(self, chunks: Iterable[tuple[int, int]]) -> None:
        """`received` has them too: after `write`, which waits for the disk and touches it not."""
        for unit, chunk in chunks:
            self.received.setdefault(unit, IntervalSet()).add(chunk, chunk + 1)

    def forget(self, units: set[int]) -> None:
        """These units' chunks are not what they should be: they count as never having come.

        A new journal says what is left before the old ones go. Raises: OSError.
        """
        for unit in units:
            self.received.pop(unit, None)
        old = [name for name in os.listdir(self._folder) if name.startswith(PREFIX)]
        self._disk.close(self._descriptor)
        self._create()
        self._append(
            [
                _sealed(_ATTEMPT, self.attempt, self.attempt),
                *(
                    _sealed(unit, first, end)
                    for unit, ranges in self.received.items()
                    for first, end in ranges
                ),
            ]
        )
        for name in old:
            self._disk.unlink(os.path.join(self._folder, name))
        self._disk.sync_folder(self._folder)

    def _append(self, records: list[bytes]) -> None:
        data = b"".join(records)
        self._disk.write(self._descriptor, data, self._length)
        self._disk.sync(self._descriptor)
        self._length += len(data)

    def close(self) -> None:
        """Close the file; it stays."""
        self._disk.close(self._descriptor)
