"""The destination's own part: check, open, write, acknowledge. Any connection, any order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from datasets.errors import SessionRefused, TradewindError
from executor.control import messages_pb2 as messages
from executor.endpoints.landing import Landing
from executor.endpoints.local import Entry
from executor.endpoints.units import Unit
from executor.gateway.command import COMMAND_BYTES, TAG_BYTES, Command, Kind, object_id_of
from executor.gateway.crypto import Sealer, check_signature, signed_command
from executor.gateway.log import GatewayLog
from executor.gateway.session import Session


class Writer:
    """Writes the records of one transfer. A record that comes twice is written twice, the same."""

    def __init__(
        self,
        *,
        gateway: str,
        configuration: messages.Configuration,
        entries: tuple[Entry, ...],
        session: Session,
        sealer: Sealer,
        log: GatewayLog,
        landing: Landing,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._gateway = gateway
        self._configuration = configuration
        self._session = session
        self._key = session.key(configuration.keys.site_key)
        self._sealer = sealer
        self._log = log
        self._landing = landing
        self._now = now
        self._objects = {
            object_id_of(entry.index, entry.identity(configuration.transfer)): entry
            for entry in entries
        }

    def check(self, command: Command, frame: memoryview) -> None:
        """Raises: SessionRefused unless it is signed, of this session, and of an object here."""
        check_signature(frame, self._key)
        self._session.check(command, now=self._now())
        if command.kind is not Kind.END:
            self._entry_of(command)

    def _entry_of(self, command: Command) -> Entry:
        entry = self._objects.get(command.object_id)
        if command.kind is not Kind.DATA or entry is None:
            raise SessionRefused("a record of no object of this transfer")
        if (command.object_size, command.chunk_size, command.attempt) != (
            entry.size,
            self._configuration.chunk_bytes,
            self._configuration.attempt,
        ):
            raise SessionRefused("a record states another size or attempt than its object has")
        if command.payload_length > self._configuration.record_bytes + TAG_BYTES:
            raise SessionRefused("a record is longer than this transfer's records are")
        return entry

    def write(self, command: Command, frame: memoryview, plain: memoryview) -> None:
        """Open the record in `frame` into `plain` and write it at its place.

        Raises: IntegrityError if it was changed on its way; what the disk refuses, which also
        fails the transfer.
        """
        sealed = frame[COMMAND_BYTES : COMMAND_BYTES + command.payload_length]
        length = self._sealer.open(command, frame, sealed, plain)
        with self._told():
            self._landing.write(self._unit_of(command), command.offset, plain[:length])

    def landed(self, command: Command, then: Callable[[], None]) -> None:
        """All of the chunk of `command` is written: `then`, once it is on disk and was read back.

        Raises: what the disk refuses, which also fails the transfer.
        """
        with self._told():
            chunk = command.offset // command.chunk_size
            self._landing.done(self._unit_of(command), chunk, then)

    def _unit_of(self, command: Command) -> Unit:
        unit = self._landing.unit(self._entry_of(command).index)
        if unit is None:
            raise SessionRefused("a record of no object of this transfer")
        return unit

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except TradewindError as error:
            self._log.fail(f"destination {self._gateway}: {error}")
            raise

    def acknowledgement(self, command: Command, lane: int) -> bytes:
        """The frame that says that the chunk of `command` is written here."""
        chunk = command.offset // command.chunk_size
        acknowledgement = self._session.command(
            Kind.ACKNOWLEDGE,
            object_id=command.object_id,
            object_size=command.object_size,
            offset=chunk * command.chunk_size,
            chunk_size=command.chunk_size,
            attempt=command.attempt,
            path=lane,
            # Which destination: what it stands for in a record has no meaning here.
            key_id=self._configuration.end,
        )
        return signed_command(acknowledgement, self._key)

    def end(self, lane: int) -> bytes:
        """The last frame of a connection."""
        return signed_command(self._session.command(Kind.END, path=lane), self._key)
