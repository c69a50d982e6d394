"""One end of flows over an emulated link or loopback: `python -m benchmarks.udp_flow`.

    receive KIND ADDRESS PORT SECONDS AFTER_S    prints {"gbps": ...}
    send KIND ADDRESS PORT SECONDS AFTER_S

KIND is `udp` or `tcp` (our transports, frames of 1 MiB), or `cubic:N` and `bbr:N` (N plain TCP
sockets). Goodput is what arrived in SECONDS, beginning AFTER_S after the first byte came. A sender
goes on until it is ended.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time

from datasets.units import MEBIBYTE, gbps_of
from executor.gateway.command import COMMAND_BYTES, TAG_BYTES, Command, Kind, pack_into
from executor.gateway.crypto import signed_command
from executor.gateway.transport import Closed, Connection, Idle, Options, find_transport

KEY = bytes(32)
TRANSFER = bytes(16)
FRAME_BYTES = COMMAND_BYTES + MEBIBYTE + TAG_BYTES
ACCEPT_S = 30.0


class Meter:
    """Bytes that come in a window of time after the first."""

    def __init__(self, seconds: float, after_s: float) -> None:
        self._seconds, self._after_s = seconds, after_s
        self._first_s: float | None = None
        self._bytes = 0
        self._lock = threading.Lock()

    def note(self, count: int) -> bool:
        """So many came now; whether the window is over."""
        now_s = time.monotonic()
        with self._lock:
            if self._first_s is None:
                self._first_s = now_s
            since_s = now_s - self._first_s - self._after_s
            if 0 <= since_s < self._seconds:
                self._bytes += count
            return since_s >= self._seconds

    @property
    def gbps(self) -> float:
        """Goodput in the window."""
        return gbps_of(self._bytes, self._seconds)


def opening() -> bytes:
    """A command that opens a connection, as the transports want one."""
    return signed_command(Command(kind=Kind.HELLO, transfer=TRANSFER), KEY)


def frame() -> bytes:
    """One record of 1 MiB."""
    made = bytearray(FRAME_BYTES)
    payload = MEBIBYTE + TAG_BYTES
    pack_into(memoryview(made), Command(kind=Kind.DATA, transfer=TRANSFER, payload_length=payload))
    return bytes(made)


def receive_frames(kind: str, address: str, port: int, meter: Meter) -> None:
    """By one of our transports."""
    listener = find_transport(kind).listen(
        address, port, admit=lambda command, peer: KEY, options=Options()
    )
    accepted = listener.accept(ACCEPT_S)
    if accepted is None:
        raise TimeoutError("nobody connected")
    connection: Connection = accepted[0]
    view = memoryview(bytearray(FRAME_BYTES))
    try:
        while not meter.note(connection.receive(view)):
            pass
    except (Closed, Idle):
        return


def send_frames(kind: str, address: str, port: int) -> None:
    """By one of our transports, until the other end has had enough."""
    connection = find_transport(kind).connect(
        address, port, own_address="", opening=opening(), secret=KEY, options=Options()
    )
    record = frame()
    try:
        while True:
            connection.send(record)
    except (Closed, Idle):
        return


def receive_plain(count: int, address: str, port: int, meter: Meter) -> None:
    """By plain TCP sockets."""
    done = threading.Event()

    def take(sock: socket.socket) -> None:
        buffer = bytearray(MEBIBYTE)
        while not done.is_set():
            got = sock.recv_into(buffer)
            if not got or meter.note(got):
                done.set()

    with socket.create_server((address, port), backlog=128) as server:
        for _ in range(count):
            sock, _ = server.accept()
            threading.Thread(target=take, args=(sock,), daemon=True).start()
        done.wait(600)


def send_plain(congestion: str, count: int, address: str, port: int) -> None:
    """By plain TCP sockets under that congestion control, until ended."""

    def push() -> None:
        with socket.socket() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
            sock.connect((address, port))
            block = bytes(256 * 1024)
            try:
                while True:
                    sock.sendall(block)
            except OSError:
                return

    threads = [threading.Thread(target=push, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(words: list[str]) -> int:
    """As the module says."""
    side, kind, address, port_word, seconds, after_s = words
    port = int(port_word)
    name, _, count_word = kind.partition(":")
    if side == "send":
        if count_word:
            send_plain(name, int(count_word), address, port)
        else:
            send_frames(kind, address, port)
        return 0
    meter = Meter(float(seconds), float(after_s))
    if count_word:
        receive_plain(int(count_word), address, port, meter)
    else:
        receive_frames(kind, address, port, meter)
    sys.stdout.write(json.dumps({"gbps": meter.gbps}) + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
