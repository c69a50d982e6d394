"""Frames over UDP: reliable, guarded and congestion-controlled in user space.

Where one TCP connection collapses, on long paths that lose packets at random, this does not; and
no frame waits for an earlier one that lost a packet. The parts, in reading order: `udp_packets`
(layout and keys), `udp_control` (how fast), `udp_outgoing` and `udp_reassembly` (what is under way,
what arrived), `udp_socket` (datagrams in batches), `udp_connection` (the thread that joins them).

A listener answers nobody whom `admit` refuses, and keeps nothing of them. Whoever is admitted gets
a socket of its own on the same port, connected to its address, and is handed out by `accept` when
its first packet under the connection's keys came: an opening that was recorded and sent again gets
that far never, and an answer is smaller than what it answers.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections import deque

from datasets.errors import SessionRefused, TransferFailed
from executor.gateway.transport import (
    CONNECT_TIMEOUT_S,
    Admit,
    Closed,
    Options,
)
from executor.gateway.udp_connection import OPENING_TIMEOUT_S, UdpConnection
from executor.gateway.udp_packets import (
    OPEN_BYTES,
    RANDOM_BYTES,
    Accept,
    Open,
    connection_keys,
    is_opened_by,
    opening_key,
    parse_accept,
    parse_open,
)
from executor.gateway.udp_socket import (
    datagram_bytes_for,
    make_socket,
    one_at_a_time,
    received_at,
    tell_own_address,
)

# So many may be on their way in at once; later ones are not answered until some are in.
MOST_OPENING = 512
# An opening that was admitted is not admitted again for so long, however often it comes.
KNOWN_S = 60.0
FIRST_RETRY_S, LAST_RETRY_S = 0.25, 2.0
_LISTEN_S = 0.25


class UdpListener:
    """See `Listener`: one thread hears openings, each connection has a socket of its own."""

    def __init__(self, sock: socket.socket, address: str, admit: Admit, options: Options) -> None:
        self._sock = sock
        self._address = address
        self._admit = admit
        self._options = options
        self._port = int(sock.getsockname()[1])
        self._ready: deque[tuple[UdpConnection, bytes, str]] = deque()
        # By the client's random number: since when. Those on their way in, and all of late.
        self._opening: dict[bytes, float] = {}
        self._known: dict[bytes, float] = {}
        self._changed = threading.Condition()
        self._closed = threading.Event()
        threading.Thread(target=self._run, daemon=True, name="udp-listener").start()

    @property
    def port(self) -> int:
        """As `Listener.port`."""
        return self._port

    def _run(self) -> None:
        buffer = memoryview(bytearray(OPEN_BYTES + 1))
        while not self._closed.is_set():
            try:
                count, ancillary, _, peer = self._sock.recvmsg_into([buffer], 256)
            except TimeoutError:
                self._expire()
                continue
            except OSError:
                if self._closed.is_set():
                    return
                continue  # an error that an earlier answer met
            opened = parse_open(buffer[:count])
            if opened is not None and not self._closed.is_set():
                at = received_at(ancillary, self._address)
                self._on_open(opened, bytes(buffer[:count]), peer, at)

    def _expire(self) -> None:
        now_s = time.monotonic()
        with self._changed:
            for table, kept_s in ((self._opening, OPENING_TIMEOUT_S), (self._known, KNOWN_S)):
                while table and next(iter(table.values())) < now_s - kept_s:
                    del table[next(iter(table))]

    def _on_open(self, opened: Open, packet: bytes, peer: tuple[str, int], at: str) -> None:
        self._expire()
        if opened.client_random in self._known or len(self._opening) >= MOST_OPENING:
            return  # its own socket answers a repetition
        try:
            secret = self._admit(opened.opening, peer[0])
        except (TransferFailed, SessionRefused):
            secret = None
        if secret is None or not is_opened_by(packet, secret, opened):
            return
        try:
            sock = self._socket_for(peer, at)
        except OSError:
            return  # out of descriptors, or the peer is out of reach: it may ask again
        datagram_bytes = min(opened.datagram_bytes, datagram_bytes_for(sock))
        server_random = secrets.token_bytes(RANDOM_BYTES)
        accept = Accept(
            datagram_bytes=datagram_bytes,
            client_random=opened.client_random,
            server_random=server_random,
        )
        address = peer[0]

        def confirmed(connection: UdpConnection) -> None:
            with self._changed:
                self._opening.pop(opened.client_random, None)
                if self._closed.is_set():
                    connection.close()
                    return
                self._ready.append((connection, opened.opening, address))
                self._changed.notify()

        with self._changed:
            now_s = time.monotonic()
            self._opening[opened.client_random] = self._known[opened.client_random] = now_s
        UdpConnection(
            sock,
            keys=connection_keys(secret, opened.client_random, server_random, client=False),
            datagram_bytes=datagram_bytes,
            options=self._options,
            accepting=(packet, accept.packet(opening_key(secret, opened.client_random))),
            confirmed=confirmed,
        )

    def _socket_for(self, peer: tuple[str, int], at: str) -> socket.socket:
        sock = make_socket(at, self._options.interface)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((at, self._port))
            sock.connect(peer)
        except OSError:
            sock.close()
            raise
        return sock

    def accept(self, timeout_s: float) -> tuple[UdpConnection, bytes, str] | None:
        """As `Listener.accept`."""
        with self._changed:
            if not self._ready and not self._closed.is_set():
                self._changed.wait(timeout_s)
            if self._ready:
                return self._ready.popleft()
            if self._closed.is_set():
                raise Closed("the listener is closed")
            return None

    def close(self) -> None:
        """As `Listener.close`."""
        self._closed.set()
        self._sock.close()
        with self._changed:
            self._changed.notify_all()


class Udp:
    """The transport for long paths that lose packets."""

    def connect(
        self,
        address: str,
        port: int,
        *,
        own_address: str,
        opening: bytes,
        secret: bytes,
        options: Options,
    ) -> UdpConnection:
        """As `Transport.connect`; the opening is repeated until it is answered."""
        sock = make_socket(address, options.interface)
        try:
            if own_address:
                sock.bind((own_address, 0))
            sock.connect((address, port))
            wished_bytes = datagram_bytes_for(sock)
        except OSError as error:
            sock.close()
            raise TransferFailed(f"no connection to {address}:{port}: {error.strerror}") from error
        opened = Open(
            datagram_bytes=wished_bytes,
            client_random=secrets.token_bytes(RANDOM_BYTES),
            opening=opening,
        )
        try:
            accept, rtt_s = _answered(sock, opened, opening_key(secret, opened.client_random))
        except TransferFailed:
            sock.close()
            raise TransferFailed(
                f"no connection to {address}:{port}: nothing answered for {CONNECT_TIMEOUT_S:.0f} s"
            ) from None
        keys = connection_keys(secret, opened.client_random, accept.server_random, client=True)
        return UdpConnection(
            sock,
            keys=keys,
            datagram_bytes=min(accept.datagram_bytes, wished_bytes),
            options=options,
            rtt_s=rtt_s,
        )

    def listen(self, address: str, port: int, *, admit: Admit, options: Options) -> UdpListener:
        """As `Transport.listen`."""
        sock = make_socket(address)
        try:
            # First alone on the port, so that a port that is taken is seen; then the connections'
            # own sockets may join, of this user's only.
            sock.bind((address, port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            tell_own_address(sock)
            one_at_a_time(sock)
            sock.settimeout(_LISTEN_S)
        except OSError:
            sock.close()
            raise
        return UdpListener(sock, address, admit, options)


def _answered(sock: socket.socket, opened: Open, key: bytes) -> tuple[Accept, float | None]:
    """Send OPEN until an ACCEPT of it comes; it and the round trip, unless it is not known which
    of several it answers. Raises: TransferFailed."""
    packet, buffer = opened.packet(key), memoryview(bytearray(OPEN_BYTES))
    begun_s = time.monotonic()
    retry_s = FIRST_RETRY_S
    while time.monotonic() < begun_s + CONNECT_TIMEOUT_S:
        sent_s = time.monotonic()
        try:
            sock.send(packet)
        except OSError:  # refused or unreachable just now
            time.sleep(retry_s / 4)
        while (left_s := sent_s + retry_s - time.monotonic()) > 0:
            sock.settimeout(left_s)
            try:
                count = sock.recv_into(buffer)
            except TimeoutError:
                break
            except OSError:  # a stranger can say that nobody listens; ask again
                time.sleep(min(left_s, retry_s / 4))
                continue
            accept = parse_accept(buffer[:count], key)
            if accept is not None and accept.client_random == opened.client_random:
                sock.setblocking(True)
                first = retry_s == FIRST_RETRY_S
                return accept, time.monotonic() - sent_s if first else None
        retry_s = min(2 * retry_s, LAST_RETRY_S)
    raise TransferFailed("nothing answered")
