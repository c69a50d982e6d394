"""Large segments as a TUN device hands them over: how many packets they stand for, and parts of
them.

A buffer is a `struct virtio_net_hdr` of 10 bytes and an IP packet. One whose header names a segment
size stands for several packets on a wire; a part of it is such a buffer too. Checksums are left to
the kernel, which asks only for that of the pseudo header. Source: linux/virtio_net.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

VNET_HEADER_BYTES = 10
NEEDS_CHECKSUM = 1
GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4 = 0, 1, 4, 5
TCP, UDP = 6, 17
_VNET = struct.Struct("=BBHHHH")
_ECN = 0x80
_FIN, _PSH, _CWR = 0x01, 0x08, 0x80
_IPV6_HEADER_BYTES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A buffer: `count` packets of `header_bytes` and at most `segment_bytes` of payload each."""

    raw: bytes
    count: int
    header_bytes: int
    segment_bytes: int
    transport_at: int

    def wire_bytes(self, start: int, end: int) -> int:
        """Bytes, from IP's header on, of packets `start` to `end - 1`."""
        total = len(self.raw) - VNET_HEADER_BYTES - self.header_bytes
        payload = min(end * self.segment_bytes, total) - start * self.segment_bytes
        return payload + (end - start) * self.header_bytes

    def part(self, start: int, end: int) -> bytes:
        """A buffer with packets `start` to `end - 1` alone."""
        if start == 0 and end == self.count:
            return self.raw
        ip = VNET_HEADER_BYTES
        flags, kind, _, size, checksum_at, checksum_offset = _VNET.unpack_from(self.raw)
        header = bytearray(self.raw[ip : ip + self.header_bytes])
        first = ip + self.header_bytes + start * self.segment_bytes
        payload = self.raw[first : first + (end - start) * self.segment_bytes]
        length = self.header_bytes + len(payload)
        above = length - self.transport_at
        is_tcp = kind & ~_ECN in (GSO_TCPV4, GSO_TCPV6)
        if header[0] >> 4 == 4:
            _address_v4(header, length, start)
        else:
            struct.pack_into(">H", header, 4, length - _IPV6_HEADER_BYTES)
        at = self.transport_at
        if is_tcp:
            (sequence,) = struct.unpack_from(">I", header, at + 4)
            moved = (sequence + start * self.segment_bytes) & 0xFFFFFFFF
            struct.pack_into(">I", header, at + 4, moved)
            if end < self.count:
                header[at + 13] &= ~(_FIN | _PSH) & 0xFF
            if start:
                header[at + 13] &= ~_CWR & 0xFF
        else:
            struct.pack_into(">H", header, at + 4, above)
        pseudo = _pseudo_checksum(header, TCP if is_tcp else UDP, above)
        struct.pack_into(">H", header, at + checksum_offset, pseudo)
        alone = end - start == 1
        vnet = _VNET.pack(
            flags | NEEDS_CHECKSUM,
            GSO_NONE if alone else kind,
            self.header_bytes,
            0 if alone else size,
            checksum_at,
            checksum_offset,
        )
        return vnet + header + payload


def parse_packet(raw: bytes) -> Packet:
    """What a buffer holds. A packet that is no large segment counts as one, whatever it is."""
    _, kind, _, size, _, _ = _VNET.unpack_from(raw)
    kind &= ~_ECN
    if kind in (GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4) and size:
        is_v4 = raw[VNET_HEADER_BYTES] >> 4 == 4
        transport_at = (raw[VNET_HEADER_BYTES] & 0x0F) * 4 if is_v4 else _IPV6_HEADER_BYTES
        if kind == GSO_UDP_L4:
            header_bytes = transport_at + 8
        else:
            header_bytes = transport_at + (raw[VNET_HEADER_BYTES + transport_at + 12] >> 4) * 4
        payload = len(raw) - VNET_HEADER_BYTES - header_bytes
        return Packet(
            raw=raw,
            count=max(-(-payload // size), 1),
            header_bytes=header_bytes,
            segment_bytes=size,
            transport_at=transport_at,
        )
    length = len(raw) - VNET_HEADER_BYTES
    return Packet(raw=raw, count=1, header_bytes=0, segment_bytes=length, transport_at=0)


def _address_v4(header: bytearray, length: int, start: int) -> None:
    """IPv4's length, identification and checksum."""
    (identification,) = struct.unpack_from(">H", header, 4)
    struct.pack_into(">HH", header, 2, length, (identification + start) & 0xFFFF)
    struct.pack_into(">H", header, 10, 0)
    words = (header[0] & 0x0F) * 2
    checksum = ~_folded(sum(struct.unpack_from(f">{words}H", header))) & 0xFFFF
    struct.pack_into(">H", header, 10, checksum)


def _pseudo_checksum(header: bytearray, protocol: int, length: int) -> int:
    """The sum of the pseudo header, not inverted: what the kernel adds the rest to."""
    start, words = (12, 4) if header[0] >> 4 == 4 else (8, 16)
    return _folded(sum(struct.unpack_from(f">{words}H", header, start)) + protocol + length)


def _folded(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total
