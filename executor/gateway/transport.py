"""The TCP transport: moves frames and knows nothing of keys. Every wait has a timeout."""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass

from datasets.errors import TransferFailed
from executor.gateway.command import COMMAND_BYTES

CONNECT_TIMEOUT_S = 10.0
# Paced lanes send a record every few milliseconds: silence for so long is a stall.
IDLE_TIMEOUT_S = 15.0
# Congestion control where the kernel offers the choice; loopback and veth carry more by cubic.
CONGESTION_CONTROL = b"cubic"


class Closed(TransferFailed):
    """The other end closed the connection."""


@dataclass(slots=True)
class Connection:
    """One TCP connection: send and receive whole frames."""

    sock: socket.socket

    def send(self, frame: memoryview | bytes) -> None:
        """Send all of `frame`. Raises: Closed or TransferFailed."""
        try:
            self.sock.sendall(frame)
        except TimeoutError as error:
            raise TransferFailed(f"nothing could be sent for {IDLE_TIMEOUT_S:.0f} s") from error
        except OSError as error:
            raise Closed(f"the connection broke while sending: {error.strerror}") from error

    def receive_into(self, view: memoryview) -> None:
        """Fill `view`. Raises: Closed at an end of stream, TransferFailed on a timeout."""
        got = 0
        while got < len(view):
            try:
                count = self.sock.recv_into(view[got:], len(view) - got)
            except TimeoutError as error:
                raise TransferFailed(f"nothing came for {IDLE_TIMEOUT_S:.0f} s") from error
            except OSError as error:
                raise Closed(f"the connection broke: {error.strerror}") from error
            if count == 0:
                raise Closed("the other end closed the connection")
            got += count

    def receive_command(self, view: memoryview) -> None:
        """Fill the first 160 bytes of `view`."""
        self.receive_into(view[:COMMAND_BYTES])

    def kernel_received_bytes(self) -> int:
        """Bytes that the kernel counted in on this connection (TCP_INFO, tcpi_bytes_received)."""
        try:
            info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:  # closed already, after a failure that is told elsewhere
            return 0
        return int(struct.unpack_from("<Q", info, 128)[0]) if len(info) >= 136 else 0

    def close(self) -> None:
        """Shut down both directions and close; harmless when repeated."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # already closed by the other end: nothing is left to shut down
            self.sock.close()
            return
        self.sock.close()


def tune(sock: socket.socket) -> Connection:
    """A connected socket, set up for frames."""
    sock.settimeout(IDLE_TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A wish: a plain user may only choose among those that the kernel allows.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION_CONTROL)
    return Connection(sock)


def connect(address: str, port: int, *, own_address: str) -> Connection:
    """Connect from `own_address`, by which the other end knows us. Raises: TransferFailed."""
    try:
        sock = socket.create_connection(
            (address, port), timeout=CONNECT_TIMEOUT_S, source_address=(own_address, 0)
        )
    except OSError as error:
        raise TransferFailed(f"no connection to {address}:{port}: {error.strerror}") from error
    return tune(sock)


def listen(address: str, port: int) -> socket.socket:
    """A listening socket. Raises: OSError if the port is taken."""
    sock = socket.create_server((address, port), backlog=1024, reuse_port=False)
    sock.settimeout(0.5)
    return sock
