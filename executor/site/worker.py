"""A site's worker on one data connection: each command is checked by itself, then done.

Signature, epoch, expiry, rights and byte range are all in the command and under a key that any
worker derives from the site key; there is no session to look up. What is refused ends the
connection, and nothing else.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from datasets.errors import SessionRefused, TradewindError
from executor.endpoints.landing import MOST_DIGESTS
from executor.endpoints.local import SourceReader
from executor.endpoints.units import Unit
from executor.gateway.command import RIGHT_READ, Command, Kind, object_index, parse
from executor.gateway.crypto import Sealer, check_signature, signed_command
from executor.gateway.records import (
    CHUNK_BYTES,
    FRAME_BYTES,
    RECORD_BYTES,
    ChunkReceiver,
    ChunkSender,
    UnitReader,
    Way,
    acknowledgement,
)
from executor.gateway.session import Session
from executor.gateway.transport import Connection
from executor.site.transfers import Offer, Transfers


class SessionKeys:
    """Derives and remembers the keys of sessions; what it forgets it derives again."""

    def __init__(self, site_key: bytes, epoch: int) -> None:
        self._site_key = site_key
        self._epoch = epoch
        self._ways: dict[Session, Way] = {}
        self._lock = threading.Lock()

    def way(self, session: Session) -> Way:
        """What the commands of a session share, the attempt apart."""
        with self._lock:
            found = self._ways.get(session)
            if found is None:
                if len(self._ways) >= 1024:
                    self._ways.clear()
                found = self._ways[session] = Way(
                    session=session,
                    key=session.key(self._site_key),
                    sealer=Sealer(session.data_key(self._site_key), record_bytes=RECORD_BYTES),
                    attempt=0,
                    chunk_bytes=CHUNK_BYTES,
                    record_bytes=RECORD_BYTES,
                )
            return found

    def checked(self, frame: memoryview, *, now: float) -> tuple[Command, Way]:
        """The command in `frame`, by its signature of a session of this site, and in its rights.

        Raises: SessionRefused.
        """
        command = parse(frame)
        session = Session.claimed_by(command)
        if session.epoch != self._epoch:
            raise SessionRefused(f"a command is of epoch {session.epoch}, not {self._epoch}")
        way = self.way(session)
        check_signature(frame, way.key)
        session.check(command, now=now)
        return command, way


class Worker:
    """Serves one data connection to its end. Use `run` once."""

    def __init__(
        self,
        connection: Connection,
        *,
        keys: SessionKeys,
        transfers: Transfers,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._transfers = transfers
        self._now = now
        self._sending = threading.Lock()
        self._receivers: dict[Session, ChunkReceiver] = {}
        self._sender: tuple[SourceReader, ChunkSender] | None = None

    def run(self) -> str:
        """Serve until the other end is done; why it ended where that is no plain end."""
        frame = memoryview(bytearray(FRAME_BYTES))
        try:
            while True:
                self._connection.receive(frame)
                command, way = self._keys.checked(frame, now=self._now())
                if command.kind is Kind.END:
                    self._say(signed_command(way.session.command(Kind.END), way.key))
                    self._connection.finish()
                    return ""
                self._do(frame, command, way)
        except (TradewindError, OSError) as error:
            return str(error)
        finally:
            self._connection.close()
            if self._sender is not None:
                self._sender[1].close()

    def _do(self, frame: memoryview, command: Command, way: Way) -> None:
        if command.kind is Kind.DATA:
            self._receiver(way).take(frame, command, self._acknowledge(way, command))
        elif command.kind is Kind.FETCH:
            self._fetch(command, way)
        elif command.kind is Kind.ENQUIRE:
            self._describe(command, way)
        else:
            raise SessionRefused(f"a command of kind {command.kind} has no place here")

    def _receiver(self, way: Way) -> ChunkReceiver:
        found = self._receivers.get(way.session)
        if found is None:
            arrivals = self._transfers.arrivals(way.session.transfer)
            found = self._receivers[way.session] = ChunkReceiver(arrivals, way)
        return found

    def _acknowledge(self, way: Way, command: Command) -> Callable[[Unit, int], None]:
        def tell(unit: Unit, chunk: int) -> None:
            # A connection that is gone by now is missed by nobody: the chunk is asked for again.
            with contextlib.suppress(TradewindError):
                self._say(acknowledgement(way, command))

        return tell

    def _say(self, frame: bytes) -> None:
        with self._sending:
            self._connection.send(frame)

    def _describe(self, command: Command, way: Way) -> None:
        """What an object of an upload is, in one command; an object size of 0: not known here."""
        if not way.session.rights & RIGHT_READ:
            raise SessionRefused("an enquiry comes without the right to read")
        unit = self._transfers.upload(way.session.transfer).landing.unit(
            object_index(command.object_id)
        )
        known = unit is not None and way.object_id(unit) == command.object_id
        told = way.session.command(Kind.DESCRIBE, object_id=command.object_id)
        if known and unit is not None:
            entry = unit.entries[0]
            told = replace(
                told,
                object_size=unit.size,
                chunk_size=way.chunk_bytes,
                # The time of change, as two's complement, and the mode, of a unit's first file.
                offset=entry.mtime_ns & ((1 << 64) - 1),
                path=entry.mode,
            )
        self._say(signed_command(told, way.key))

    def _fetch(self, command: Command, way: Way) -> None:
        offer, unit, reader, ids = self._source(command, way)
        if self._sender is None or self._sender[0] is not reader:
            if self._sender is not None:
                self._sender[1].close()
            self._sender = (reader, ChunkSender(UnitReader(reader)))
        asked = replace(way, attempt=command.attempt, ids=ids)
        chunk = command.offset // way.chunk_bytes
        with self._sending:
            digest = self._sender[1].send(self._connection, asked, unit, chunk, path=command.path)
        if offer is not None and len(offer.digests) < MOST_DIGESTS:
            offer.digests[unit.index, chunk] = digest

    def _source(
        self, command: Command, way: Way
    ) -> tuple[Offer | None, Unit, SourceReader, dict[int, bytes]]:
        """What a chunk is read from: an offer, or the spool. Raises: SessionRefused."""
        spool = self._transfers.spool_of(way.session.transfer)
        if spool is not None:
            unit, reader = spool.source(command)
            return None, unit, reader, {unit.index: command.object_id}
        offer = self._transfers.offered(way.session.transfer)
        found = offer.units.get(object_index(command.object_id))
        if found is None or way.object_id(found) != command.object_id:
            raise SessionRefused("a chunk is asked for of no object of this transfer")
        if (command.object_size, command.chunk_size) != (found.size, way.chunk_bytes):
            raise SessionRefused("a chunk is asked for of another size than its object has")
        return offer, found, offer.source, way.ids
