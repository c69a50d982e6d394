"""Frames over TCP, on blocking sockets: a thread a connection, and the kernel does the rest."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from datasets.errors import SessionRefused, TransferFailed
from datasets.units import gbps_of
from executor.gateway.command import COMMAND_BYTES, MAGIC, frame_bytes
from executor.gateway.transport import (
    CONNECT_TIMEOUT_S,
    Admit,
    Closed,
    Idle,
    Metrics,
    Options,
)

# A stranger who opens a connection and says nothing is held for so long, and so many are held.
OPENING_TIMEOUT_S = 5.0
MOST_OPENING = 2048
_ACCEPT_S = 0.25
_SO_MAX_PACING_RATE = 47
_INFO_BYTES = 280


class TcpConnection:
    """One TCP connection: whole frames, each way."""

    def __init__(self, sock: socket.socket, options: Options) -> None:
        self.sock = sock
        self._timeout_s = options.timeout_s
        sock.settimeout(options.timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A wish: a plain user may only choose among those that the kernel allows.
        with contextlib.suppress(OSError):
            congestion = options.congestion.encode()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion)
        if options.pace_bytes_per_s > 0:
            self.pace(options.pace_bytes_per_s)

    def pace(self, bytes_per_s: float) -> None:
        """Let the kernel space packets at no more than that; the schedule above is the limit."""
        rate = min(int(bytes_per_s), (1 << 32) - 1)
        self.sock.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, rate)

    def set_timeout(self, seconds: float) -> None:
        """As `Connection.set_timeout`."""
        self._timeout_s = seconds
        with contextlib.suppress(OSError):  # closed by another thread: nothing to wait for
            self.sock.settimeout(seconds)

    def send(self, frame: memoryview | bytes) -> None:
        """As `Connection.send`."""
        try:
            self.sock.sendall(frame)
        except TimeoutError as error:
            raise Idle(f"nothing could be sent for {self._timeout_s:.0f} s") from error
        except OSError as error:
            raise Closed(f"the connection broke while sending: {error.strerror}") from error

    def receive_command(self, view: memoryview) -> int:
        """The next frame's command alone; the length of the whole frame, whose payload waits."""
        self._fill(view[:COMMAND_BYTES])
        return frame_bytes(view)

    def receive(self, view: memoryview) -> int:
        """As `Connection.receive`."""
        end = self.receive_command(view)
        if end > len(view):
            raise SessionRefused(f"a frame of {end} bytes came where {len(view)} are the most")
        if end > COMMAND_BYTES:
            self._fill(view[COMMAND_BYTES:end])
        return end

    def _fill(self, view: memoryview) -> None:
        got = 0
        while got < len(view):
            try:
                count = self.sock.recv_into(view[got:], len(view) - got, socket.MSG_WAITALL)
            except TimeoutError as error:
                raise Idle(f"nothing came for {self._timeout_s:.0f} s") from error
            except OSError as error:
                raise Closed(f"the connection broke: {error.strerror}") from error
            if count == 0:
                raise Closed("the other end closed the connection")
            got += count

    def metrics(self) -> Metrics:
        """As `Connection.metrics`: TCP_INFO, as far as this kernel fills it."""
        try:
            info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        except OSError:  # closed already, after a failure that is told elsewhere
            return Metrics()
        return metrics_of(info)

    def finish(self) -> None:
        """As `Connection.finish`."""
        with contextlib.suppress(OSError):  # already closed by the other end
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """As `Connection.close`."""
        with contextlib.suppress(OSError):  # already closed by the other end
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def metrics_of(info: bytes) -> Metrics:
    """The figures in a `struct tcp_info` (linux/tcp.h); an older kernel's is shorter."""

    def at(offset: int, kind: str) -> int | None:
        size = struct.calcsize(kind)
        return struct.unpack_from(kind, info, offset)[0] if len(info) >= offset + size else None

    rtt_us, delivery = at(68, "<I"), at(160, "<Q")
    return Metrics(
        bytes_sent=at(200, "<Q"),
        bytes_received=at(128, "<Q"),
        delivery_gbps=None if delivery is None else gbps_of(delivery, 1.0),
        rtt_ms=None if rtt_us is None else rtt_us / 1e3,
        retransmitted=at(100, "<I"),
        limited_by=_limited_by(at(168, "<Q"), at(176, "<Q"), at(184, "<Q"), info),
    )


def _limited_by(busy: int | None, receiver: int | None, sender: int | None, info: bytes) -> str:
    """What held the sender back, by the times that the kernel counts (microseconds)."""
    if not busy:
        return "application"
    if 2 * (receiver or 0) > busy:
        return "receiver"
    if 2 * (sender or 0) > busy:
        return "sender"
    app_limited = len(info) > 7 and bool(info[7] & 1)
    return "application" if app_limited else "network"


class TcpListener:
    """Accepts, waits for each connection's opening in a lobby without threads, and asks `admit`.

    A stranger costs one descriptor for at most `OPENING_TIMEOUT_S`; where too many wait, the one
    that has waited longest goes, so that who comes with an opening is always served.
    `other` takes connections that begin with another byte than a command does: TLS, for control.
    """

    def __init__(
        self,
        sock: socket.socket,
        admit: Admit,
        options: Options,
        other: Callable[[socket.socket, str], None] | None = None,
    ) -> None:
        self._sock = sock
        self._admit = admit
        self._options = options
        self._other = other
        self._ready: deque[tuple[TcpConnection, bytes, str]] = deque()
        self._changed = threading.Condition()
        self._lobby: OrderedDict[int, tuple[socket.socket, str, float]] = OrderedDict()
        self._selector = selectors.DefaultSelector()
        # Strangers who brought no opening: nobody else hears of them.
        self.dismissed = 0
        self._closed = False
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ)
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def port(self) -> int:
        """As `Listener.port`."""
        return int(self._sock.getsockname()[1])

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select(_ACCEPT_S):
                if key.fileobj is self._sock:
                    self._accept_all()
                else:
                    self._look(key.fd)
            self._evict(time.monotonic() - OPENING_TIMEOUT_S)
        for sock, _, _ in self._lobby.values():
            sock.close()
        self._selector.close()

    def _accept_all(self) -> None:
        while not self._closed:
            try:
                sock, (address, *_) = self._sock.accept()
            except BlockingIOError:
                return
            except OSError:
                # Out of descriptors, or closed: the longest wait gives one back.
                if not self._closed and self._lobby:
                    self._dismiss(next(iter(self._lobby)))
                return
            if len(self._lobby) >= MOST_OPENING:
                self._dismiss(next(iter(self._lobby)))
            sock.setblocking(False)
            # Not readable before an opening is whole: one that comes byte by byte wakes nobody.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, COMMAND_BYTES)
            self._lobby[sock.fileno()] = (sock, address, time.monotonic())
            self._selector.register(sock, selectors.EVENT_READ)

    def _evict(self, before_s: float) -> None:
        while self._lobby:
            descriptor, (_, _, since_s) = next(iter(self._lobby.items()))
            if since_s > before_s:
                return
            self._dismiss(descriptor)

    def _leave_lobby(self, descriptor: int) -> tuple[socket.socket, str]:
        sock, address, _ = self._lobby.pop(descriptor)
        self._selector.unregister(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        return sock, address

    def _dismiss(self, descriptor: int) -> None:
        self._leave_lobby(descriptor)[0].close()
        self.dismissed += 1

    def _look(self, descriptor: int) -> None:
        if descriptor not in self._lobby:  # dismissed in this very round
            return
        sock = self._lobby[descriptor][0]
        try:
            head = sock.recv(COMMAND_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            head = b""
        if not head:
            self._dismiss(descriptor)
        elif head[:1] != MAGIC[:1] and self._other is not None:
            sock, address = self._leave_lobby(descriptor)
            self._other(sock, address)
        elif not MAGIC.startswith(head[: len(MAGIC)]):
            self._dismiss(descriptor)
        elif len(head) == COMMAND_BYTES:
            self._open(descriptor)

    def _open(self, descriptor: int) -> None:
        sock, address = self._leave_lobby(descriptor)
        opening = memoryview(bytearray(COMMAND_BYTES))
        try:
            connection = TcpConnection(sock, self._options)
            length = connection.receive(opening)
            # A stranger learns nothing: `admit` counts what it refuses.
            secret = self._admit(bytes(opening), address) if length == COMMAND_BYTES else None
        except (TransferFailed, SessionRefused, OSError):
            secret = None
        if secret is None:
            sock.close()
            return
        with self._changed:
            self._ready.append((connection, bytes(opening), address))
            self._changed.notify()

    def accept(self, timeout_s: float) -> tuple[TcpConnection, bytes, str] | None:
        """As `Listener.accept`."""
        with self._changed:
            if not self._ready and not self._closed:
                self._changed.wait(timeout_s)
            if self._ready:
                return self._ready.popleft()
            if self._closed:
                raise Closed("the listener is closed")
            return None

    def close(self) -> None:
        """As `Listener.close`."""
        self._closed = True
        self._sock.close()
        with self._changed:
            self._changed.notify_all()


class Tcp:
    """The default transport."""

    def connect(
        self,
        address: str,
        port: int,
        *,
        own_address: str,
        opening: bytes,
        secret: bytes,
        options: Options,
    ) -> TcpConnection:
        """As `Transport.connect`; TCP has no packets of its own to sign, so `secret` is unused."""
        try:
            sock = _connected(address, port, own_address, options.interface)
        except OSError as error:
            raise TransferFailed(f"no connection to {address}:{port}: {error.strerror}") from error
        connection = TcpConnection(sock, options)
        connection.send(opening)
        return connection

    def listen(self, address: str, port: int, *, admit: Admit, options: Options) -> TcpListener:
        """As `Transport.listen`."""
        sock = socket.create_server((address, port), backlog=1024, reuse_port=False)
        return TcpListener(sock, admit, options)


def _connected(address: str, port: int, own_address: str, interface: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(CONNECT_TIMEOUT_S)
        if interface:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        if own_address:
            sock.bind((own_address, 0))
        sock.connect((address, port))
    except OSError:
        sock.close()
        raise
    return sock
