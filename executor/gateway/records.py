"""Chunks as sealed records: what every sender and every receiver of them does, whoever asks.

Each works in one frame of its own, made once: a record is read into its place there, sealed in
place and sent; received, opened in place and written. So a connection holds one frame at either
end, whatever is moved, and it stays in the processor's cache; a pack is read whole, up to
`PACK_BYTES` more (docs/data_plane.md has the formula of a whole process).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from blake3 import blake3

from datasets.errors import SessionRefused
from executor.endpoints.intervals import IntervalSet
from executor.endpoints.landing import Landing
from executor.endpoints.local import Entry, SourceReader, chunk_digest, read_into, root_digest
from executor.endpoints.units import PACK_BYTES, Unit, pack_root
from executor.gateway.command import COMMAND_BYTES, TAG_BYTES, Command, Kind, object_index
from executor.gateway.crypto import Sealer, new_key_id, signed_command
from executor.gateway.session import Session
from executor.gateway.transport import Connection
from planner.dispatch import chunk_count

RECORD_BYTES = 1 << 20
CHUNK_BYTES = 8 << 20
FRAME_BYTES = COMMAND_BYTES + RECORD_BYTES + TAG_BYTES
# Chunks of one connection that may be begun and not whole: transports may reorder records, but a
# peer that only begins chunks is refused.
MOST_BEGUN = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What the commands of one direction of a transfer share."""

    session: Session
    key: bytes
    sealer: Sealer
    attempt: int
    chunk_bytes: int = CHUNK_BYTES
    record_bytes: int = RECORD_BYTES
    ids: dict[int, bytes] = field(default_factory=dict)

    def object_id(self, unit: Unit) -> bytes:
        """The unit's id in this transfer, digested once."""
        found = self.ids.get(unit.index)
        if found is None:
            found = self.ids[unit.index] = unit.object_id(self.session.transfer)
        return found

    def about(self, kind: Kind, unit: Unit, *, offset: int, path: int = 0) -> Command:
        """A command about a place in a unit."""
        return self.session.command(
            kind,
            object_id=self.object_id(unit),
            object_size=unit.size,
            offset=offset,
            chunk_size=self.chunk_bytes,
            attempt=self.attempt,
            path=path,
        )


class UnitReader:
    """Reads units of a listing's files, one open at a time, and notices one that changed."""

    def __init__(self, source: SourceReader) -> None:
        self._source = source
        self._open: tuple[Entry, int] | None = None

    def read(self, unit: Unit, offset: int, view: memoryview) -> None:
        """Fill `view` from a unit that is one file. Raises: TransferFailed if it changed."""
        descriptor = self._descriptor(unit.entries[0])
        read_into(descriptor, view, offset)
        self._source.check_unchanged(unit.entries[0].index, descriptor)

    def read_pack(self, unit: Unit, view: memoryview) -> bytes:
        """Fill `view` with all of a pack; its root. Raises as `read`."""
        roots = []
        at = 0
        for entry in unit.entries:
            descriptor = self._source.open(entry.index)
            try:
                part = view[at : at + entry.size]
                read_into(descriptor, part, 0)
                self._source.check_unchanged(entry.index, descriptor)
            finally:
                os.close(descriptor)
            roots.append(root_digest([chunk_digest(part)], entry.size))
            at += entry.size
        return pack_root(unit, roots)

    def _descriptor(self, entry: Entry) -> int:
        if self._open is None or self._open[0].index != entry.index:
            self.close()
            self._open = (entry, self._source.open(entry.index))
        return self._open[1]

    def close(self) -> None:
        """Close what is open."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None


class ChunkSender:
    """Reads, digests, seals and sends chunks on one connection. Not thread-safe.

    The key id is drawn here, anew for each connection, and a record is sealed under it once.
    """

    def __init__(
        self,
        reader: UnitReader,
        *,
        pace: Callable[[int], None] = lambda size_bytes: None,
    ) -> None:
        self._reader = reader
        self._pace = pace
        self._pack: memoryview | None = None
        self._frame = memoryview(bytearray(FRAME_BYTES))
        self._key_id = new_key_id()
        self._sealed: dict[bytes, IntervalSet] = {}

    def send(
        self, connection: Connection, way: Way, unit: Unit, chunk: int, *, path: int = 0
    ) -> bytes:
        """Send one chunk; its digest. Raises: TransferFailed, Closed, Idle."""
        self._once(way, unit, chunk)
        base = way.about(Kind.DATA, unit, offset=0, path=path)
        first = chunk * way.chunk_bytes
        size = min(way.chunk_bytes, unit.size - first)
        pack, digest = (None, None)
        if unit.is_pack:
            pack, digest = self._read_pack(unit)
        whole = blake3()
        for start in range(0, size, way.record_bytes):
            length = min(way.record_bytes, size - start)
            plain = self._frame[COMMAND_BYTES : COMMAND_BYTES + length]
            if pack is None:
                self._reader.read(unit, first + start, plain)
                whole.update(plain)
            else:
                plain[:] = pack[start : start + length]
            command = Command(
                kind=Kind.DATA,
                transfer=base.transfer,
                object_id=base.object_id,
                session=base.session,
                object_size=base.object_size,
                offset=first + start,
                chunk_size=base.chunk_size,
                payload_length=length + TAG_BYTES,
                attempt=base.attempt,
                epoch=base.epoch,
                expiry=base.expiry,
                rights=base.rights,
                path=path,
                key_id=self._key_id,
                first_byte=base.first_byte,
                last_byte=base.last_byte,
            )
            end = way.sealer.seal(self._frame, command, plain, way.key)
            self._pace(end)
            connection.send(self._frame[:end])
        return digest or whole.digest()

    def _read_pack(self, unit: Unit) -> tuple[memoryview, bytes]:
        if self._pack is None:
            self._pack = memoryview(bytearray(PACK_BYTES))
        return self._pack, self._reader.read_pack(unit, self._pack)

    def _once(self, way: Way, unit: Unit, chunk: int) -> None:
        """A record is sealed once under a key id: asked again, it takes another."""
        name = way.object_id(unit) + way.attempt.to_bytes(4, "big")
        sealed = self._sealed.setdefault(name, IntervalSet())
        if chunk in sealed:
            self._key_id = new_key_id()
            self._sealed = {name: IntervalSet()}
        self._sealed[name].add(chunk, chunk + 1)

    def close(self) -> None:
        """Close what is open."""
        self._reader.close()


class Arrivals(Protocol):
    """Where records of a transfer land: one landing for a listing, or one for each object."""

    def find(self, command: Command, way: Way) -> tuple[Landing, Unit]:
        """The landing and the unit of a record. Raises: SessionRefused if it fits none."""


class ListedArrivals:
    """The objects of one listing, and no others."""

    def __init__(self, landing: Landing) -> None:
        self._landing = landing

    def find(self, command: Command, way: Way) -> tuple[Landing, Unit]:
        """As `Arrivals.find`."""
        unit = self._landing.unit(object_index(command.object_id))
        if unit is None or way.object_id(unit) != command.object_id:
            raise SessionRefused("a record of no object of this transfer")
        if (command.object_size, command.chunk_size) != (unit.size, way.chunk_bytes):
            raise SessionRefused("a record states another size than its object has")
        return self._landing, unit


class ChunkReceiver:
    """Opens and writes the records of one connection, in any order, and says when a chunk is whole.

    Whoever calls `take` has received the frame and checked signature and session.
    """

    def __init__(self, arrivals: Arrivals, way: Way) -> None:
        self._arrivals = arrivals
        self._way = way
        self._begun: dict[tuple[bytes, int], IntervalSet] = {}

    def take(self, frame: memoryview, command: Command, then: Callable[[Unit, int], None]) -> bool:
        """Write one DATA record; `then(unit, chunk)` when its chunk is whole and on disk.

        True: with this record all of the chunk has come.

        Raises: SessionRefused, IntegrityError, TransferFailed.
        """
        landing, unit = self._arrivals.find(command, self._way)
        length = command.payload_length - TAG_BYTES
        chunk, inside = divmod(command.offset, self._way.chunk_bytes)
        size = min(self._way.chunk_bytes, unit.size - chunk * self._way.chunk_bytes)
        if not 0 < length <= size - inside:
            raise SessionRefused("a record reaches beyond its chunk")
        sealed = frame[COMMAND_BYTES : COMMAND_BYTES + command.payload_length]
        plain = sealed[:length]
        self._way.sealer.open(command, frame, sealed, plain)
        if landing.has(unit, chunk):
            # It came before, perhaps by another way: told again, written once.
            last = inside + length == size
            if last:
                then(unit, chunk)
            return last
        landing.write(unit, command.offset, plain)
        whole = self._is_whole((command.object_id, chunk), inside, length, size)
        if whole:
            landing.done(unit, chunk, lambda: then(unit, chunk))
        return whole

    def _is_whole(self, key: tuple[bytes, int], inside: int, length: int, size: int) -> bool:
        if length == size:
            return True
        begun = self._begun.setdefault(key, IntervalSet())
        begun.add(inside, inside + length)
        if begun.total == size:
            del self._begun[key]
            return True
        if len(self._begun) > MOST_BEGUN:
            raise SessionRefused("a connection began more chunks than it may leave open")
        return False


def roots_of(
    units: Iterable[Unit],
    source: SourceReader,
    digests: Mapping[tuple[int, int], bytes],
    *,
    chunk_bytes: int,
) -> dict[int, bytes]:
    """Each unit's root at the source; chunks that are not in `digests` are read again.

    Raises: TransferFailed if a file changed.
    """
    reader = UnitReader(source)
    buffer = memoryview(bytearray(chunk_bytes))

    def digest(unit: Unit, chunk: int) -> bytes:
        found = digests.get((unit.index, chunk))
        if found is not None:
            return found
        if unit.is_pack:
            return reader.read_pack(unit, buffer)
        offset = chunk * chunk_bytes
        view = buffer[: min(chunk_bytes, unit.size - offset)]
        reader.read(unit, offset, view)
        return blake3(view).digest()

    def root(unit: Unit) -> bytes:
        if unit.is_pack:
            return digest(unit, 0)
        count = chunk_count(unit.size, chunk_bytes)
        return root_digest((digest(unit, chunk) for chunk in range(count)), unit.size)

    try:
        return {unit.index: root(unit) for unit in units}
    finally:
        reader.close()


def acknowledgement(way: Way, about: Command) -> bytes:
    """The signed command that says that the chunk that a record was of is on disk."""
    command = way.session.command(
        Kind.ACKNOWLEDGE,
        object_id=about.object_id,
        object_size=about.object_size,
        offset=about.offset - about.offset % about.chunk_size,
        chunk_size=about.chunk_size,
        attempt=about.attempt,
        path=about.path,
    )
    return signed_command(command, way.key)
