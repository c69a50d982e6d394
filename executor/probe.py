"""What this machine can carry: sealed, moved over loopback and opened again."""

from __future__ import annotations

import socket
import threading
import time

from datasets.units import gbps_of
from executor.gateway.command import COMMAND_BYTES, TAG_BYTES, Command, Kind
from executor.gateway.crypto import Sealer, new_key
from executor.gateway.session import Session

PROBE_S = 0.25
_RECORD_BYTES = 1 << 18


def measure_gbps(seconds: float = PROBE_S) -> float:
    """Gbit/s that this machine seals, moves over loopback and opens again, by one connection.

    What the gateways do for one hop, without their pacing: the yardstick for a local run's scale.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(listener.getsockname())
    receiver, _ = listener.accept()
    listener.close()
    session = Session(
        transfer=bytes(16),
        session=bytes(16),
        epoch=1,
        expiry=1 << 40,
        rights=2,
        first_byte=0,
        last_byte=1 << 50,
    )
    sealer = Sealer(new_key(), record_bytes=_RECORD_BYTES)
    moved = 0

    def open_all() -> None:
        nonlocal moved
        buffer = memoryview(bytearray(COMMAND_BYTES + _RECORD_BYTES + TAG_BYTES))
        plain = memoryview(bytearray(_RECORD_BYTES))
        number = 0
        while True:
            got = 0
            while got < len(buffer):
                count = receiver.recv_into(buffer[got:])
                if count == 0:
                    return
                got += count
            command = _probe_command(session, number)
            sealer.open(command, buffer, buffer[COMMAND_BYTES:], plain)
            moved += _RECORD_BYTES
            number += 1

    thread = threading.Thread(target=open_all, daemon=True)
    thread.start()
    plain = memoryview(bytearray(_RECORD_BYTES))
    buffer = memoryview(bytearray(COMMAND_BYTES + _RECORD_BYTES + TAG_BYTES))
    begin = time.monotonic()
    number = 0
    key = new_key()
    while time.monotonic() - begin < seconds:
        sealer.seal(buffer, _probe_command(session, number), plain, key)
        sender.sendall(buffer)
        number += 1
    sender.close()
    thread.join(timeout=5.0)
    receiver.close()
    return gbps_of(moved, time.monotonic() - begin)


def _probe_command(session: Session, number: int) -> Command:
    return session.command(Kind.DATA, offset=number * _RECORD_BYTES)
