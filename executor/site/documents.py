"""Documents over control: JSON in commands of their own kind, over mutual TLS 1.3.

A document longer than a record comes in several commands, each with its place and the whole
length; both are bounded, and a peer that is slow is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from datasets.canonical import Json, canonical_json
from datasets.errors import (
    InputError,
    IntegrityError,
    ProviderError,
    SessionRefused,
    TradewindError,
    TransferFailed,
)
from executor.control.credentials import Credentials
from executor.gateway.command import COMMAND_BYTES, Command, Kind, frame_bytes, pack_into, parse
from executor.gateway.transport import Closed, Idle

# A client that is silent by control for so long is gone; its data connections stand on their own.
CONTROL_TIMEOUT_S = 24 * 3600.0
# Errors by the names that a document gives them.
ERRORS: Mapping[str, type[TradewindError]] = MappingProxyType(
    {
        "input": InputError,
        "refused": SessionRefused,
        "integrity": IntegrityError,
        "failed": TransferFailed,
    }
)
PIECE_BYTES = 1 << 20
# The listing of some two million files.
MOST_DOCUMENT_BYTES = 256 << 20
HANDSHAKE_TIMEOUT_S = 5.0


def roots_told(roots: Mapping[int, bytes]) -> dict[str, Json]:
    """Roots by unit, as a document has them."""
    return {str(index): root.hex() for index, root in sorted(roots.items())}


def roots_from(told: object) -> dict[int, bytes]:
    """What `roots_told` told. Raises: SessionRefused if it is none."""
    try:
        if not isinstance(told, dict):
            raise ValueError("no object")
        return {int(index): bytes.fromhex(str(root)) for index, root in told.items()}
    except ValueError as error:
        raise SessionRefused("what is confirmed is told as roots by unit") from error


def tls_context(credentials: Credentials, *, server: bool) -> ssl.SSLContext:
    """Mutual TLS 1.3, with the authority of `credentials` and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=credentials.authority_pem.decode())
    # The library reads a chain from a file only: one in memory, without a name.
    descriptor = os.memfd_create("tradewind", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, credentials.certificate_pem + credentials.key_pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


@dataclass(slots=True, eq=False)
class Documents:
    """A TLS connection that carries documents, one at a time each way."""

    sock: ssl.SSLSocket

    def send(self, document: Json) -> None:
        """Send one. Raises: Closed, Idle."""
        data = canonical_json(document)
        try:
            for start in range(0, len(data), PIECE_BYTES):
                piece = data[start : start + PIECE_BYTES]
                head = bytearray(COMMAND_BYTES)
                command = Command(
                    kind=Kind.DOCUMENT,
                    transfer=bytes(16),
                    object_size=len(data),
                    offset=start,
                    payload_length=len(piece),
                )
                pack_into(memoryview(head), command)
                self.sock.sendall(bytes(head) + piece)
        except TimeoutError as error:
            raise Idle("the other end does not take what it is told") from error
        except OSError as error:
            raise Closed(f"the control connection broke: {error.strerror or error}") from error

    def receive(self, *, most_bytes: int = MOST_DOCUMENT_BYTES) -> Any:
        """The next one. Raises: Closed, Idle, SessionRefused if what came is none."""
        data = bytearray()
        head = memoryview(bytearray(COMMAND_BYTES))
        while True:
            self._fill(head)
            frame_bytes(head)
            command = parse(head)
            if command.kind is not Kind.DOCUMENT or command.offset != len(data):
                raise SessionRefused("what came by control is no document")
            after = len(data) + command.payload_length
            if not command.payload_length or after > command.object_size:
                raise SessionRefused("a piece of a document reaches beyond it")
            if command.object_size > most_bytes:
                raise SessionRefused(f"a document of {command.object_size} bytes is too long")
            piece = bytearray(command.payload_length)
            self._fill(memoryview(piece))
            data += piece
            if len(data) == command.object_size:
                break
        try:
            return json.loads(data)
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise SessionRefused("a document is no JSON") from error

    def ask(self, document: Json) -> Any:
        """Send one and give the answer. Raises: as the other end did, Closed, Idle."""
        self.send(document)
        return self.receive()

    def _fill(self, view: memoryview) -> None:
        got = 0
        while got < len(view):
            try:
                count = self.sock.recv_into(view[got:])
            except TimeoutError as error:
                raise Idle("nothing came by control") from error
            except OSError as error:
                raise Closed(f"the control connection broke: {error.strerror or error}") from error
            if count == 0:
                raise Closed("the other end closed the control connection")
            got += count

    def close(self) -> None:
        """Close it; harmless when repeated."""
        with contextlib.suppress(OSError):  # already closed by the other end
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def dial(
    address: str, port: int, *, credentials: Credentials, name: str, timeout_s: float
) -> Documents:
    """A control connection to the site whose certificate has `name`.

    Raises: ProviderError if nobody answers there; TransferFailed if who answers is not that site,
    or does not accept the credentials.
    """
    try:
        plain = socket.create_connection((address, port), timeout=HANDSHAKE_TIMEOUT_S)
    except OSError as error:
        raise ProviderError(f"No site answers at {address}:{port}: {error.strerror}.") from error
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    context = tls_context(credentials, server=False)
    try:
        sock = context.wrap_socket(plain, server_hostname=name)
    except ssl.SSLError as error:
        plain.close()
        raise TransferFailed(
            f"Who answers at {address}:{port} is not the site that the credentials are for, or "
            f"does not accept them ({error})."
        ) from error
    except OSError as error:  # it went away in the middle: it may be back in a moment
        plain.close()
        raise ProviderError(f"No site answers at {address}:{port}: {error.strerror}.") from error
    sock.settimeout(timeout_s)
    return Documents(sock)
