"""The spool: chunks of objects that are for another site, which fetches them from here at the end.

An object first seen by any chunk of a valid session is accepted: a sparse file of the size that
its commands state, within the session's bytes. What it is, is asked of the site that it is for, by
one command each way; where that says something else, the object is refused from then on.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import SessionRefused
from executor.endpoints.landing import Landing, landing_at
from executor.endpoints.listing import HIDDEN_PREFIX
from executor.endpoints.local import Entry, EntryKind, SourceReader, list_source
from executor.endpoints.units import Unit
from executor.gateway.command import Command
from executor.gateway.records import Way

FOLDER_PREFIX = HIDDEN_PREFIX + b"spool-"
# Objects of one transfer that are open at once; beyond, whoever was first is closed, not lost.
MOST_OBJECTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the site that an object is for says of it."""

    object_size: int
    chunk_size: int
    mtime_ns: int
    mode: int


# Asks that site; None where it cannot be asked now.
Enquire = Callable[[Command], About | None]


class Spool:
    """One transfer's objects at a site that they are not for. Safe between threads."""

    def __init__(self, root: bytes, transfer: bytes, enquire: Enquire) -> None:
        self._folder = os.path.join(root, FOLDER_PREFIX + transfer.hex().encode())
        self._enquire = enquire
        self._lock = threading.Lock()
        self._open: dict[bytes, Landing] = {}
        self.abouts: dict[bytes, About] = {}
        os.makedirs(self._folder, mode=0o700, exist_ok=True)

    def find(self, command: Command, way: Way) -> tuple[Landing, Unit]:
        """As `Arrivals.find`: what was never seen is begun."""
        if command.chunk_size != way.chunk_bytes:
            raise SessionRefused("a record states another chunk size than this site's")
        with self._lock:
            landing = self._open.get(command.object_id)
            if landing is None:
                landing = self._begin(command)
            unit = landing.units[0]
        if unit.size != command.object_size:
            raise SessionRefused("a record states another size than its object has")
        return landing, unit

    def _begin(self, command: Command) -> Landing:
        known = self.abouts.get(command.object_id) or self._enquire(command)
        if known is not None:
            if (known.object_size, known.chunk_size) != (command.object_size, command.chunk_size):
                raise SessionRefused("an object is not what the site that it is for says of it")
            self.abouts[command.object_id] = known
        entry = Entry(
            index=0,
            path=b"",
            kind=EntryKind.FILE,
            size=command.object_size,
            mode=0o600,
            mtime_ns=0,
        )
        while len(self._open) >= MOST_OBJECTS:
            self._open.pop(next(iter(self._open))).close()
        folder = os.path.join(self._folder, command.object_id.hex().encode())
        landing = Landing(folder, (entry,), chunk_bytes=command.chunk_size, sparse=True)
        self._open[command.object_id] = landing
        return landing

    def held(self) -> dict[bytes, list[tuple[int, int]]]:
        """Object: ranges of chunks that are on disk here."""
        found: dict[bytes, list[tuple[int, int]]] = {}
        with self._lock:
            for name in sorted(os.listdir(self._folder)):
                if len(name) != 32:
                    continue
                object_id = bytes.fromhex(name.decode())
                landing = self._open.get(object_id) or self._reopen(object_id)
                found[object_id] = list(landing.received().get(0, ()))
        return found

    def _reopen(self, object_id: bytes) -> Landing:
        landing = landing_at(os.path.join(self._folder, object_id.hex().encode()), sparse=True)
        self._open[object_id] = landing
        return landing

    def source(self, command: Command) -> tuple[Unit, SourceReader]:
        """What a FETCH reads from. Raises: SessionRefused if that chunk is not here."""
        with self._lock:
            folder = os.path.join(self._folder, command.object_id.hex().encode())
            if not os.path.isdir(folder):
                raise SessionRefused("a chunk is asked for of no object of this transfer")
            landing = self._open.get(command.object_id) or self._reopen(command.object_id)
        unit = landing.units[0]
        chunk = command.offset // command.chunk_size
        if unit.size != command.object_size or not landing.has(unit, chunk):
            raise SessionRefused("a chunk is asked for that is not here")
        tree = os.path.join(folder, b"tree")
        return unit, SourceReader(tree, list_source(Path(os.fsdecode(tree))))

    def drop(self) -> None:
        """Remove all of it."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Close what is open; it stays on disk."""
        with self._lock:
            for landing in self._open.values():
                landing.close()
            self._open.clear()
