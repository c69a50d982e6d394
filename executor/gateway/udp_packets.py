"""The packets of the UDP transport: their layout, byte by byte, and the keys that guard them.

All numbers are big-endian. Every packet's first byte is its kind.

DATA and PING are numbered, and answered by ACK. Their header is 24 bytes; the slice follows.

    0 kind 8 bits | frame, high 8 bits | packet number 48 bits
    8 frame, low 31 bits | slice 12 bits | length of the whole frame in bytes 21 bits
    16 tag 8: the first half of AES-256(data key, bytes 0 to 15)

One block of AES is a pseudo-random function of a message of exactly 16 bytes, so the tag is a MAC
of the header, and a batch of headers is tagged in one call. A frame of length 0 says that nothing
more comes (`finish`). The slice is not covered: frames are sealed or signed end to end.

    OPEN    0 kind 1 | 1 version 1 | 2 datagram bytes 2 | 4 zero 4 | 8 client's random 16
            24 opening command 160 | 184 tag 16
    ACCEPT  0 kind 1 | 1 version 1 | 2 datagram bytes 2 | 4 zero 4 | 8 client's random 16
            24 server's random 16 | 40 tag 16
    ACK     0 kind 1 | 1 zero 1 | 2 ranges 2 | 4 delay in microseconds 4 | 8 number 8
            16 largest packet 8 | 24 credit in frame bytes 8
            32 for each range, newest first: packets in it 4, packets missing below it 4 | tag 16
    CLOSE   0 kind 1 | 1 answer 1 | 2 zero 6 | 8 number 8 | 16 tag 16

These four end in a tag of their own: BLAKE2b of all before it, keyed. Keys come by HKDF-SHA256
from the connection's secret and both sides' random numbers, one for each direction and purpose,
so a recorded connection means nothing to another.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from executor.gateway.command import COMMAND_BYTES

VERSION = 1
OPEN, ACCEPT, DATA, PING, ACK, CLOSE = 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6
HEADER_BYTES = 24
RANDOM_BYTES = 16
TAG_BYTES = 16
MOST_RANGES = 128
MOST_FRAME_BYTES = (1 << 21) - 1
MOST_SLICES = 1 << 12
# The least datagram whose slices of the longest frame can be numbered.
LEAST_DATAGRAM_BYTES = 548
OPEN_BYTES = 24 + COMMAND_BYTES + TAG_BYTES
ACCEPT_BYTES = 40 + TAG_BYTES
CLOSE_BYTES = 16 + TAG_BYTES

_HEADER = struct.Struct(">QQQ")
_WORDS = struct.Struct(">QQ")
_OPEN = struct.Struct(f">BBH4x{RANDOM_BYTES}s{COMMAND_BYTES}s")
_ACCEPT = struct.Struct(f">BBH4x{RANDOM_BYTES}s{RANDOM_BYTES}s")
_ACK = struct.Struct(">BxHIQQQ")
_CLOSE = struct.Struct(">BB6xQ")
_MASK_48 = (1 << 48) - 1
_NEXT_SLICE = 1 << 21


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionKeys:
    """The keys of one direction: of data packets' headers, and of control packets."""

    data: bytes
    control: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionKeys:
    """Both directions' keys, as one end has them."""

    sending: DirectionKeys
    receiving: DirectionKeys


def opening_key(secret: bytes, client_random: bytes) -> bytes:
    """The key of OPEN and ACCEPT."""
    return _derive(secret, client_random, b"tradewind udp opening v1", 32)


def connection_keys(
    secret: bytes, client_random: bytes, server_random: bytes, *, client: bool
) -> ConnectionKeys:
    """The keys of a connection, as its client or its server has them."""
    salt = client_random + server_random
    material = _derive(secret, salt, b"tradewind udp connection v1", 128)
    upward = DirectionKeys(data=material[:32], control=material[32:64])
    downward = DirectionKeys(data=material[64:96], control=material[96:])
    if client:
        return ConnectionKeys(sending=upward, receiving=downward)
    return ConnectionKeys(sending=downward, receiving=upward)


def _derive(secret: bytes, salt: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=purpose).derive(secret)


def _tag(packet: bytes | memoryview, key: bytes) -> bytes:
    return blake2b(packet, key=key, digest_size=TAG_BYTES).digest()


def _tagged(packet: bytes, key: bytes) -> bytes:
    return packet + _tag(packet, key)


def _is_tagged(packet: bytes | memoryview, key: bytes) -> bool:
    return hmac.compare_digest(_tag(packet[:-TAG_BYTES], key), bytes(packet[-TAG_BYTES:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A client's wish to connect."""

    datagram_bytes: int
    client_random: bytes
    opening: bytes

    def packet(self, key: bytes) -> bytes:
        """As sent, under the opening key."""
        head = _OPEN.pack(OPEN, VERSION, self.datagram_bytes, self.client_random, self.opening)
        return _tagged(head, key)


def parse_open(packet: bytes | memoryview) -> Open | None:
    """What an OPEN says, unauthenticated as yet; None if it is none."""
    if len(packet) != OPEN_BYTES:
        return None
    kind, version, datagram_bytes, client_random, opening = _OPEN.unpack_from(packet)
    if kind != OPEN or version != VERSION or datagram_bytes < LEAST_DATAGRAM_BYTES:
        return None
    return Open(datagram_bytes=datagram_bytes, client_random=client_random, opening=opening)


def is_opened_by(packet: bytes | memoryview, secret: bytes, opened: Open) -> bool:
    """Whether who sent this OPEN holds the secret."""
    return _is_tagged(packet, opening_key(secret, opened.client_random))


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """A server's answer to OPEN."""

    datagram_bytes: int
    client_random: bytes
    server_random: bytes

    def packet(self, key: bytes) -> bytes:
        """As sent, under the opening key."""
        head = _ACCEPT.pack(
            ACCEPT, VERSION, self.datagram_bytes, self.client_random, self.server_random
        )
        return _tagged(head, key)


def parse_accept(packet: bytes | memoryview, key: bytes) -> Accept | None:
    """What an ACCEPT under this opening key says; None if it is none."""
    if len(packet) != ACCEPT_BYTES or packet[0] != ACCEPT or not _is_tagged(packet, key):
        return None
    _, version, datagram_bytes, client_random, server_random = _ACCEPT.unpack_from(packet)
    if version != VERSION or datagram_bytes < LEAST_DATAGRAM_BYTES:
        return None
    return Accept(
        datagram_bytes=datagram_bytes, client_random=client_random, server_random=server_random
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """What arrived: inclusive `ranges` of packet numbers, newest first; and how much may come.

    `credit_bytes` counts from the connection's beginning, in bytes of whole frames.
    """

    number: int
    delay_s: float
    credit_bytes: int
    ranges: tuple[tuple[int, int], ...]

    def packet(self, key: bytes) -> bytes:
        """As sent. At least one range, at most MOST_RANGES."""
        words: list[int] = []
        for at, (low, high) in enumerate(self.ranges):
            below = self.ranges[at + 1][1] if at + 1 < len(self.ranges) else low - 1
            words += (high - low + 1, low - 1 - below)
        head = _ACK.pack(
            ACK,
            len(self.ranges),
            min(int(self.delay_s * 1e6), 0xFFFFFFFF),
            self.number,
            self.ranges[0][1],
            self.credit_bytes,
        )
        return _tagged(head + struct.pack(f">{len(words)}I", *words), key)


def parse_ack(packet: bytes | memoryview, key: bytes) -> Ack | None:
    """What an ACK under this control key says; None if it is none."""
    if len(packet) < _ACK.size + TAG_BYTES or packet[0] != ACK or not _is_tagged(packet, key):
        return None
    _, count, delay_us, number, high, credit_bytes = _ACK.unpack_from(packet)
    if not 1 <= count <= MOST_RANGES or len(packet) != _ACK.size + 8 * count + TAG_BYTES:
        return None
    ranges = []
    words = struct.unpack_from(f">{2 * count}I", packet, _ACK.size)
    for length, gap in zip(words[::2], words[1::2], strict=True):
        low = high - length + 1
        if length < 1 or low < 0:
            return None
        ranges.append((low, high))
        high = low - 1 - gap
    return Ack(
        number=number, delay_s=delay_us / 1e6, credit_bytes=credit_bytes, ranges=tuple(ranges)
    )


def close_packet(number: int, *, is_answer: bool, key: bytes) -> bytes:
    """CLOSE, or the answer to it."""
    return _tagged(_CLOSE.pack(CLOSE, int(is_answer), number), key)


def parse_close(packet: bytes | memoryview, key: bytes) -> bool | None:
    """Whether a CLOSE under this control key is an answer; None if it is none."""
    if len(packet) != CLOSE_BYTES or packet[0] != CLOSE or not _is_tagged(packet, key):
        return None
    return bool(packet[1])


@dataclass(frozen=True, slots=True)
class Run:
    """Packets of consecutive numbers with consecutive slices of one frame; `at` in the buffer.

    `segment_bytes` apart; only the last may be shorter, and ends at `end`. Positional, unlike other
    values: one is made for every batch that arrives.
    """

    kind: int
    packet: int
    frame: int
    slice: int
    length: int
    count: int
    at: int
    segment_bytes: int
    end: int


class HeaderTagger:
    """Makes and checks the headers of numbered packets, a batch at a time. For one thread."""

    def __init__(self, key: bytes) -> None:
        # ECB of single blocks, each of them different: a pseudo-random function, nothing is hidden.
        cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305
        self._block: Callable[[bytes], bytes] = cipher.encryptor().update

    def headers(
        self, kind: int, packet: int, frame: int, first_slice: int, length: int, count: int
    ) -> bytes:
        """`count` headers of 24 bytes, of consecutive packets with consecutive slices."""
        first = kind << 56 | (frame >> 31) << 48 | packet
        second = (frame & 0x7FFFFFFF) << 33 | first_slice << 21 | length
        if count == 1:
            words = _WORDS.pack(first, second)
            return words + self._block(words)[:8]
        steps = np.arange(count, dtype=np.uint64)
        table = np.empty((count, 3), dtype=">u8")
        table[:, 0] = np.uint64(first) + steps
        table[:, 1] = np.uint64(second) + steps * np.uint64(_NEXT_SLICE)
        tags = self._block(table[:, :2].tobytes())
        table[:, 2] = np.frombuffer(tags, dtype=">u8")[::2]
        return table.tobytes()

    def runs(self, received: memoryview, segment_bytes: int) -> Sequence[Run]:
        """The runs among datagrams of `segment_bytes` (the last may be shorter) in `received`.

        What is too short, of another kind or not tagged is left out.
        """
        total = len(received)
        if total <= segment_bytes:
            return self._only(received)
        count = total // segment_bytes + (total % segment_bytes >= HEADER_BYTES)
        if segment_bytes < HEADER_BYTES or count == 0:
            return ()
        table = np.ndarray((count, 3), ">u8", received, strides=(segment_bytes, 8))
        tags = np.frombuffer(self._block(table[:, :2].tobytes()), dtype=">u8")[::2]
        first, second = table[:, 0].astype(np.uint64), table[:, 1].astype(np.uint64)
        good = tags == table[:, 2]
        breaks = (np.diff(first) != 1) | (np.diff(second) != _NEXT_SLICE)
        breaks |= ~good[1:] | ~good[:-1]
        starts = [0, *(np.flatnonzero(breaks) + 1).tolist()]
        found = []
        for start, after in zip(starts, [*starts[1:], count], strict=True):
            if good[start]:
                at, end = start * segment_bytes, min(after * segment_bytes, total)
                words = int(first[start]), int(second[start])
                found.append(_run(*words, after - start, at, segment_bytes, end))
        return found

    def _only(self, received: memoryview) -> Sequence[Run]:
        """A single datagram, without the price of arrays."""
        if len(received) < HEADER_BYTES:
            return ()
        first, second, tag = _HEADER.unpack_from(received)
        if self._block(bytes(received[:16]))[:8] != tag.to_bytes(8, "big"):
            return ()
        return (_run(first, second, 1, 0, len(received), len(received)),)


def _run(first: int, second: int, count: int, at: int, segment_bytes: int, end: int) -> Run:
    """From the two words of a header."""
    frame = (first >> 48 & 0xFF) << 31 | second >> 33
    kind, packet = first >> 56, first & _MASK_48
    number, length = second >> 21 & 0xFFF, second & MOST_FRAME_BYTES
    return Run(kind, packet, frame, number, length, count, at, segment_bytes, end)
