"""Session: who may write which bytes of a transfer until when. A state without any I/O.

It is granted once over mutual TLS and then travels in every command, so that a worker has nothing
to look up but the site's key.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from datasets.errors import SessionRefused
from executor.gateway.command import (
    RIGHT_READ,
    RIGHT_WRITE,
    TAG_BYTES,
    Command,
    Kind,
)
from executor.gateway.crypto import session_data_key, session_key

_GRANT = struct.Struct(">IQIQQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One grant, as it stands in every command: rights over `first_byte` to `last_byte`."""

    transfer: bytes
    session: bytes
    epoch: int
    expiry: int
    rights: int
    first_byte: int
    last_byte: int

    @classmethod
    def claimed_by(cls, command: Command) -> Session:
        """The session that a command says it is of: true if it is signed under that one's key."""
        return cls(
            transfer=command.transfer,
            session=command.session,
            epoch=command.epoch,
            expiry=command.expiry,
            rights=command.rights,
            first_byte=command.first_byte,
            last_byte=command.last_byte,
        )

    def grant(self) -> bytes:
        """All that was granted, as bytes: what the session's key is derived from."""
        return (
            self.transfer
            + self.session
            + _GRANT.pack(self.epoch, self.expiry, self.rights, self.first_byte, self.last_byte)
        )

    def key(self, site_key: bytes) -> bytes:
        """The key that signs this session's commands at the site of `site_key`."""
        return session_key(site_key, self.grant())

    def data_key(self, site_key: bytes) -> bytes:
        """The master key of its data, at a site that is an end of it."""
        return session_data_key(site_key, self.grant())

    def command(self, kind: Kind, **fields: int | bytes) -> Command:
        """A command of this session."""
        base = Command(
            kind=kind,
            transfer=self.transfer,
            session=self.session,
            epoch=self.epoch,
            expiry=self.expiry,
            rights=self.rights,
            first_byte=self.first_byte,
            last_byte=self.last_byte,
        )
        return replace(base, **fields)  # type: ignore[arg-type]

    def check(self, command: Command, *, now: float, data_needs: int = RIGHT_WRITE) -> None:
        """Raises: SessionRefused unless `command` is of this session and within its rights.

        `data_needs`: the right under which records come: to write, at a site; to read, from one.

        The signature is checked before (`crypto.check_signature`); what is refused here was
        signed, and is stale, widened or out of its bounds.
        """
        if command.transfer != self.transfer or command.session != self.session:
            raise SessionRefused("a command belongs to another transfer or session")
        if command.epoch != self.epoch:
            raise SessionRefused(f"a command is of epoch {command.epoch}, not {self.epoch}")
        if command.expiry != self.expiry or now > self.expiry:
            raise SessionRefused("a command's session has expired")
        granted = (command.rights, command.first_byte, command.last_byte)
        if granted != (self.rights, self.first_byte, self.last_byte):
            raise SessionRefused("a command claims other rights than were granted")
        if command.kind is Kind.DATA:
            if not self.rights & data_needs:
                raise SessionRefused("a record comes without the right to")
            self._check_range(command, command.payload_length - TAG_BYTES)
        elif command.kind is Kind.FETCH:
            self._check_fetch(command)

    def _check_fetch(self, command: Command) -> None:
        if not self.rights & RIGHT_READ:
            raise SessionRefused("a command reads without the right to")
        self._check_range(command, min(command.chunk_size, command.object_size - command.offset))
        if command.offset % command.chunk_size:
            raise SessionRefused("a chunk is asked for that begins where none does")

    def _check_range(self, command: Command, length: int) -> None:
        if command.chunk_size == 0:
            raise SessionRefused("a record states a chunk size of 0")
        if length <= 0 or command.offset + length > command.object_size:
            raise SessionRefused("a record reaches beyond its object")
        if command.offset < self.first_byte or command.offset + length - 1 > self.last_byte:
            raise SessionRefused("a record reaches beyond its session's bytes")
