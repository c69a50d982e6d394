"""Two ends of a transport on loopback, and frames to send between them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from executor.gateway.command import COMMAND_BYTES, Command, Kind, pack_into
from executor.gateway.crypto import signed_command
from executor.gateway.transport import Admit, Connection, Listener, Options, find_transport

KEY = bytes(range(32))
TRANSFER = bytes(range(16))
ACCEPT_S = 10.0
MOST_FRAME_BYTES = COMMAND_BYTES + (1 << 20) + 16


def opening(number: int = 0) -> bytes:
    """A signed command that opens a connection."""
    return signed_command(Command(kind=Kind.HELLO, transfer=TRANSFER, path=number), KEY)


def frame_of(payload_bytes: int, *, number: int = 0) -> bytes:
    """A whole frame whose payload follows from its number."""
    frame = bytearray(COMMAND_BYTES + payload_bytes)
    kind = Kind.DATA if payload_bytes else Kind.ACKNOWLEDGE
    command = Command(
        kind=kind, transfer=TRANSFER, payload_length=payload_bytes, object_size=number
    )
    pack_into(memoryview(frame), command)
    frame[COMMAND_BYTES:] = random.Random(number).randbytes(payload_bytes)
    return bytes(frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A connection's two ends, and who listens."""

    near: Connection
    far: Connection
    listener: Listener


def admit_all(command: bytes, address: str) -> bytes | None:
    """The right key for the right opening."""
    return KEY if command == opening() else None


def received(connection: Connection, count: int) -> list[bytes]:
    """The next `count` frames."""
    view = memoryview(bytearray(MOST_FRAME_BYTES))
    return [bytes(view[: connection.receive(view)]) for _ in range(count)]


@contextmanager
def listening(
    name: str, *, admit: Admit = admit_all, options: Options | None = None
) -> Iterator[Listener]:
    """A listener on a free port of loopback."""
    listener = find_transport(name).listen(
        "127.0.0.1", 0, admit=admit, options=options or Options()
    )
    try:
        yield listener
    finally:
        listener.close()


@contextmanager
def connected(name: str, *, options: Options | None = None) -> Iterator[Pair]:
    """Two ends of one connection."""
    asked = options or Options()
    with listening(name, options=asked) as listener:
        near = connect(name, listener.port, options=asked)
        accepted = listener.accept(ACCEPT_S)
        assert accepted is not None
        far, command, address = accepted
        assert (command, address) == (opening(), "127.0.0.1")
        try:
            yield Pair(near=near, far=far, listener=listener)
        finally:
            near.close()
            far.close()


def connect(
    name: str, port: int, *, options: Options | None = None, secret: bytes = KEY, number: int = 0
) -> Connection:
    """Connect to a listener on loopback."""
    return find_transport(name).connect(
        "127.0.0.1",
        port,
        own_address="",
        opening=opening(number),
        secret=secret,
        options=options or Options(),
    )
