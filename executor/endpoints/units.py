"""Units: what is moved. A large file is one; small files are packed, many to a unit.

Both ends make the same units of the same listing. A unit is an object of the wire: it has an id, a
size, chunks and a root; a pack's bytes are those of its files, one after another, so that a record
holds many of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from blake3 import blake3

from executor.endpoints.local import Entry, EntryKind, root_digest

# Files below this are packed; a pack is closed at the other figure. A pack is a single chunk.
SMALL_BYTES = 1 << 20
PACK_BYTES = 2 << 20


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Files, one after another. `index` is that of the first; `size` the sum of all, above 0."""

    index: int
    entries: tuple[Entry, ...]
    size: int
    # A small file by itself is a pack too, and comes as one chunk; unless nothing is packed.
    is_pack: bool

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        starts, at = [], 0
        for entry in self.entries:
            starts.append(at)
            at += entry.size
        return tuple(starts)

    def parts(self, offset: int, size: int) -> Iterator[tuple[Entry, int, int, int]]:
        """What [offset, offset + size) is made of: (entry, offset in it, offset in the range,
        bytes), in order."""
        at = bisect_right(self._starts, offset) - 1
        end = offset + size
        while at < len(self.entries) and self._starts[at] < end:
            entry, start = self.entries[at], self._starts[at]
            first, last = max(offset, start), min(end, start + entry.size)
            yield entry, first - start, first - offset, last - first
            at += 1

    def object_id(self, transfer: bytes) -> bytes:
        """16 bytes: 12 that change when any of its files does, 4 with the index."""
        whole = blake3(self.size.to_bytes(8, "big"))
        for entry in self.entries:
            whole.update(entry.identity(transfer))
        return whole.digest(length=12) + self.index.to_bytes(4, "big")


def units_of(entries: Sequence[Entry], *, packed: bool = True) -> tuple[Unit, ...]:
    """The units of a listing, in order of their indices; what has no bytes is in none.

    Without `packed` each file is a unit of its own, of as many chunks as it has.
    """
    units: list[Unit] = []
    small: list[Entry] = []
    small_bytes = 0

    def close() -> None:
        nonlocal small_bytes
        if small:
            index = small[0].index
            units.append(Unit(index=index, entries=tuple(small), size=small_bytes, is_pack=True))
            small.clear()
            small_bytes = 0

    for entry in entries:
        if entry.kind is not EntryKind.FILE or entry.size == 0:
            continue
        if entry.size >= SMALL_BYTES or not packed:
            units.append(Unit(index=entry.index, entries=(entry,), size=entry.size, is_pack=False))
            continue
        if small_bytes + entry.size > PACK_BYTES:
            close()
        small.append(entry)
        small_bytes += entry.size
    close()
    return tuple(sorted(units, key=lambda unit: unit.index))


def pack_root(unit: Unit, roots: Sequence[bytes]) -> bytes:
    """The root of a pack: over its files' roots, in order."""
    return root_digest(list(roots), unit.size)
