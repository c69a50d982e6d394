"""UDP sockets in batches: many datagrams a call where the kernel segments and coalesces them."""

from __future__ import annotations

import contextlib
import errno
import functools
import socket
import struct
from collections.abc import Sequence

from executor.gateway.udp_packets import HEADER_BYTES

SOL_UDP = 17
UDP_SEGMENT, UDP_GRO = 103, 104
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_IP_MTU, _IPV6_MTU = 14, 24
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT = 10, 23, 5
_IP_PKTINFO = 8
SOCKET_BYTES = 8 << 20
MOST_BATCH_BYTES = 65_000
MOST_BATCH_DATAGRAMS = 64
# Beyond 1,400 bytes a path may be narrower than its first link (tunnels: 1,460 and less), and is
# found out by loss alone; a loopback interface is the whole path.
ROUTED_DATAGRAM_BYTES = 1400
LOOPBACK_DATAGRAM_BYTES = 62_000
LOOPBACK_WINDOW_BYTES = 3 << 20
LOOPBACK_MTU = 65_535  # 65,536, as IP_MTU tells it
ETHERNET_MTU = 1500
_RECEIVE_BYTES = 65_536
_GRO_SPACE = socket.CMSG_SPACE(4)
_INT = struct.Struct("=i")
# A send waits for the device's queue, never for ever.
_SEND_TIMEOUT = struct.pack("@ll", 1, 0)
# Some devices cannot segment (no checksum offload): one datagram at a time then.
_CANNOT_SEGMENT = (errno.EIO, errno.EINVAL, errno.EOPNOTSUPP)


@functools.cache
def kernel_segments() -> bool:
    """Whether this kernel takes many datagrams in one call (UDP_SEGMENT, Linux 4.18)."""
    return _takes(UDP_SEGMENT, 0)


@functools.cache
def kernel_coalesces() -> bool:
    """Whether it hands over many datagrams in one call (UDP_GRO, Linux 5.0)."""
    return _takes(UDP_GRO, 1)


def _takes(option: int, value: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(SOL_UDP, option, value)
        except OSError:
            return False
    return True


def make_socket(address: str, interface: str = "") -> socket.socket:
    """A UDP socket of the address's family, with large buffers, not yet bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    for forced, asked in (
        (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
        (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
    ):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, SOCKET_BYTES)
        except PermissionError:  # not root: as much as the system lets anybody have
            sock.setsockopt(socket.SOL_SOCKET, asked, SOCKET_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)
    # No word of a stranger's about the path's MTU is believed; what is too large is fragmented.
    with contextlib.suppress(OSError):
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_OMIT)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT)
    if kernel_coalesces():
        sock.setsockopt(SOL_UDP, UDP_GRO, 1)
    if interface:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    return sock


def datagram_bytes_for(sock: socket.socket) -> int:
    """How large the datagrams of a connected socket should be, by its route's first link."""
    if sock.family == socket.AF_INET6:
        mtu, headers = sock.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU), 48
    else:
        mtu, headers = sock.getsockopt(socket.IPPROTO_IP, _IP_MTU), 28
    if mtu >= LOOPBACK_MTU:
        return LOOPBACK_DATAGRAM_BYTES
    return min(ROUTED_DATAGRAM_BYTES, mtu - headers)


def least_window_bytes(sock: socket.socket, datagram_bytes: int) -> int:
    """What may always be under way: within this machine, what a receiver's buffer surely holds.

    There a round trip is what threads take to wake up, and the only queue is that buffer. 0
    elsewhere.
    """
    if datagram_bytes <= ROUTED_DATAGRAM_BYTES:
        return 0
    held_bytes = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return min(held_bytes // 4, LOOPBACK_WINDOW_BYTES)


def one_at_a_time(sock: socket.socket) -> None:
    """Let each call receive a single datagram."""
    if kernel_coalesces():
        sock.setsockopt(SOL_UDP, UDP_GRO, 0)


def tell_own_address(sock: socket.socket) -> None:
    """Let `received_at` say to which of our addresses a datagram came."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


def received_at(ancillary: Sequence[tuple[int, int, bytes]], otherwise: str) -> str:
    """The address of ours that a datagram came to."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return socket.inet_ntop(socket.AF_INET, data[8:12])
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return socket.inet_ntop(socket.AF_INET6, data[:16])
    return otherwise


class Datagrams:
    """Batches in and out of one connected socket. For one thread."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = memoryview(bytearray(_RECEIVE_BYTES))
        self._segments = kernel_segments()
        # Whether the network said that nobody listens there, since this was last cleared.
        self.refused = False

    def receive(self, slot: memoryview | None = None) -> tuple[memoryview, int] | None:
        """The next datagrams and the size of each (the last may be shorter); None if none waits.

        What did not fit is dropped. With `slot`, what follows the first 24 bytes is in it as far
        as it fits, and what is at its place in the answer is of no meaning.
        """
        buffers = [self._buffer]
        if slot is not None:
            after = HEADER_BYTES + len(slot)
            buffers = [self._buffer[:HEADER_BYTES], slot, self._buffer[after:]]
        try:
            count, ancillary, flags, _ = self.sock.recvmsg_into(
                buffers, _GRO_SPACE, socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return None
        except ConnectionRefusedError:
            self.refused = True
            return self._buffer[:0], 0
        if flags & socket.MSG_TRUNC:
            return self._buffer[:0], 0
        segment_bytes = count
        for level, kind, data in ancillary:
            if level == SOL_UDP and kind == UDP_GRO:
                (segment_bytes,) = _INT.unpack(data)
        return self._buffer[:count], segment_bytes

    def send(self, parts: list[bytes | memoryview], segment_bytes: int, *, count: int) -> None:
        """Send `parts`, joined, as `count` datagrams of `segment_bytes`; two parts a datagram.

        What the kernel does not take (no room, no route just now) is lost, as on any network.
        """
        if count > 1 and self._segments:
            ancillary = [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", segment_bytes))]
            try:
                self.sock.sendmsg(parts, ancillary)
            except (ConnectionRefusedError, BlockingIOError) as error:
                self.refused |= isinstance(error, ConnectionRefusedError)
            except OSError as error:
                if error.errno not in _CANNOT_SEGMENT:
                    return
                self._segments = False
            else:
                return
            if self._segments:
                return
        for at in range(0, len(parts), 2):
            try:
                self.sock.sendmsg(parts[at : at + 2])
            except ConnectionRefusedError:
                self.refused = True
            except OSError:  # told by what is missing at the other end
                continue
