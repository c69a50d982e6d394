"""Large segments cut up by hand, against the packets that a wire would have carried."""

from __future__ import annotations

import random
import socket
import struct

import pytest

from executor.providers.wire_segments import (
    GSO_NONE,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CHECKSUM,
    parse_packet,
)

VNET = struct.Struct("=BBHHHH")


def summed(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(packet: bytes | bytearray, protocol: int, length: int) -> bytes:
    addresses = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    return bytes(addresses) + struct.pack(">HH", protocol, length)


def large(kind: int, payload: bytes, size: int, *, flags: int = 0x18) -> bytes:
    """A buffer as a TUN device would hand it over."""
    is_v4 = kind != GSO_TCPV6
    protocol = 17 if kind == GSO_UDP_L4 else 6
    if protocol == 17:
        transport = struct.pack(">HHHH", 5000, 6000, 8 + len(payload), 0)
        offset = 6
    else:
        transport = struct.pack(">HHIIBBHHH", 5000, 6000, 0xFFFFFF00, 7, 0x80, flags, 9, 0, 0)
        transport += b"\1\1\x08\x0a" + bytes(8)
        offset = 16
    above = len(transport) + len(payload)
    if is_v4:
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + above, 65_530, 0x4000, 64, protocol, 0)
        ip += socket.inet_aton("10.1.2.3") + socket.inet_aton("10.3.2.1")
        ip = ip[:10] + struct.pack(">H", ~summed(ip) & 0xFFFF) + ip[12:]
    else:
        ip = struct.pack(">IHBB", 0x60000000, above, protocol, 64) + bytes(range(32))
    header = bytearray(ip + transport)
    struct.pack_into(">H", header, len(ip) + offset, summed(pseudo(header, protocol, above)))
    vnet = VNET.pack(NEEDS_CHECKSUM, kind, len(header), size, len(ip), offset)
    return vnet + header + payload


@pytest.mark.parametrize("kind", [GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4])
def test_parts_carry_what_single_packets_would(kind: int) -> None:
    payload = random.Random(2).randbytes(10 * 1400 + 77)
    raw = large(kind, payload, 1400, flags=0x80 | 0x18 | 0x01)
    packet = parse_packet(raw)
    assert packet.count == 11
    assert packet.wire_bytes(0, 11) == len(payload) + 11 * packet.header_bytes
    assert packet.part(0, 11) == raw
    seen = b""
    for start, end in ((0, 1), (1, 4), (4, 10), (10, 11)):
        part = packet.part(start, end)
        flags, gso, header_bytes, size, at, offset = VNET.unpack_from(part)
        body = part[10:]
        assert flags & NEEDS_CHECKSUM
        assert (gso, size) == ((GSO_NONE, 0) if end - start == 1 else (kind, 1400))
        assert header_bytes == packet.header_bytes
        mine = body[header_bytes:]
        assert mine == payload[start * 1400 : end * 1400]
        assert packet.wire_bytes(start, end) == len(mine) + (end - start) * header_bytes
        protocol = 17 if kind == GSO_UDP_L4 else 6
        (told,) = struct.unpack_from(">H", body, at + offset)
        assert told == summed(pseudo(body, protocol, len(body) - at))
        if body[0] >> 4 == 4:
            assert summed(body[:20]) == 0xFFFF  # IPv4's own checksum holds
            assert struct.unpack_from(">HH", body, 2) == (len(body), (65_530 + start) & 0xFFFF)
        else:
            assert struct.unpack_from(">H", body, 4) == (len(body) - 40,)
        if protocol == 17:
            assert struct.unpack_from(">H", body, at + 4) == (len(body) - at,)
        else:
            (sequence,) = struct.unpack_from(">I", body, at + 4)
            assert sequence == (0xFFFFFF00 + start * 1400) & 0xFFFFFFFF
            assert bool(body[at + 13] & 0x09) == (end == 11)  # FIN, PSH: the last alone
            assert bool(body[at + 13] & 0x80) == (start == 0)  # CWR: the first alone
        seen += mine
    assert seen == payload


def test_what_is_no_large_segment_counts_as_one() -> None:
    for raw in (bytes(10) + bytes(60), bytes(10), VNET.pack(0, GSO_TCPV4, 0, 0, 0, 0) + bytes(40)):
        packet = parse_packet(raw)
        assert packet.count == 1
        assert packet.part(0, 1) == raw
        assert packet.wire_bytes(0, 1) == len(raw) - 10
