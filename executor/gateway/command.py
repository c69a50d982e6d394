"""The 160-byte command, format v1: the only framing. It stands before each record, and alone.

    0 magic "TWND" 4 | 4 version 1 | 5 kind 1 | 6 flags 2 | 8 transfer 16 | 24 object 16
    40 session 16 | 56 object size 8 | 64 offset of this record in the object 8 | 72 chunk size 4
    76 payload length 4 | 80 attempt 4 | 84 session epoch 4 | 88 session expiry (Unix s) 8
    96 rights 4 | 100 path 4 | 104 key id 8 | 112 first byte allowed 8 | 120 last byte allowed 8
    128 reserved, zero 16 | 144 MAC 16

Big-endian. The MAC covers bytes 0 to 143; the payload's AEAD takes the same bytes as associated
data, which binds a record to its command end to end. The number of chunks is derived, never sent.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from datasets.errors import SessionRefused

COMMAND_BYTES = 160
SIGNED_BYTES = 144
MAC_BYTES = 16
TAG_BYTES = 16
MAGIC = b"TWND"
VERSION = 1
MOST_PAYLOAD_BYTES = (1 << 20) + TAG_BYTES  # one record of 1 MiB, sealed

_LAYOUT = struct.Struct(">4sBBH16s16s16sQQIIIIQIIQQQ16s16s")
if _LAYOUT.size != COMMAND_BYTES:
    raise AssertionError("the command's layout is not 160 bytes")
_RESERVED = bytes(16)
_PAYLOAD_LENGTH_AT = 76


class Kind(IntEnum):
    """What a command asks or says."""

    HELLO = 1  # opens a data connection, under a ticket's key
    READY = 2  # its answer, when the whole lane stands
    DATA = 3  # a sealed record follows
    ACKNOWLEDGE = 4  # the chunk at this offset is written, and on disk
    END = 5  # nothing more comes on this connection
    FETCH = 6  # asks for the chunk at this offset; records of it come back
    ENQUIRE = 7  # asks a site that has chunk 0 what an object is
    DESCRIBE = 8  # its answer: size, chunk size, attempt; an object size of 0: not here
    DOCUMENT = 9  # a document in JSON follows; over TLS only


_WITH_PAYLOAD = (Kind.DATA, Kind.DOCUMENT)

RIGHT_WRITE = 1
RIGHT_READ = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command, its MAC apart. `path` is the index of the Plan's lane."""

    kind: Kind
    transfer: bytes
    object_id: bytes = bytes(16)
    session: bytes = bytes(16)
    object_size: int = 0
    offset: int = 0
    chunk_size: int = 0
    payload_length: int = 0
    attempt: int = 0
    epoch: int = 0
    expiry: int = 0
    rights: int = 0
    path: int = 0
    key_id: int = 0
    first_byte: int = 0
    last_byte: int = 0


def pack_into(buffer: memoryview, command: Command) -> None:
    """Write bytes 0 to 143 and a zero MAC at the start of `buffer`."""
    _LAYOUT.pack_into(
        buffer,
        0,
        MAGIC,
        VERSION,
        int(command.kind),
        0,
        command.transfer,
        command.object_id,
        command.session,
        command.object_size,
        command.offset,
        command.chunk_size,
        command.payload_length,
        command.attempt,
        command.epoch,
        command.expiry,
        command.rights,
        command.path,
        command.key_id,
        command.first_byte,
        command.last_byte,
        _RESERVED,
        bytes(MAC_BYTES),
    )


def frame_bytes(buffer: bytes | bytearray | memoryview) -> int:
    """Length of the frame whose first 160 bytes these are: all that a transport reads of it.

    Raises: SessionRefused if it is no command of this version, or states an impossible length.
    """
    magic, version = struct.unpack_from(">4sB", buffer)
    (payload_length,) = struct.unpack_from(">I", buffer, _PAYLOAD_LENGTH_AT)
    if magic != MAGIC or version != VERSION:
        raise SessionRefused("what came is not a command of version 1")
    if payload_length > MOST_PAYLOAD_BYTES:
        raise SessionRefused(f"a command states {payload_length} bytes of payload")
    return COMMAND_BYTES + int(payload_length)


def parse(buffer: bytes | bytearray | memoryview) -> Command:
    """The command in the first 160 bytes; the MAC is the caller's to check.

    Raises: SessionRefused if it is not a command of this version, or states an impossible length.
    """
    if len(buffer) < COMMAND_BYTES:
        raise SessionRefused(f"a command has {COMMAND_BYTES} bytes; {len(buffer)} came")
    (
        magic,
        version,
        kind,
        flags,
        transfer,
        object_id,
        session,
        object_size,
        offset,
        chunk_size,
        payload_length,
        attempt,
        epoch,
        expiry,
        rights,
        path,
        key_id,
        first_byte,
        last_byte,
        reserved,
        _,
    ) = _LAYOUT.unpack_from(buffer)
    if magic != MAGIC or version != VERSION:
        raise SessionRefused("what came is not a command of version 1")
    if kind not in Kind._value2member_map_ or flags or reserved != _RESERVED:
        raise SessionRefused(f"a command of unknown kind {kind}, or with reserved bits set")
    if payload_length > MOST_PAYLOAD_BYTES or (kind not in _WITH_PAYLOAD and payload_length):
        raise SessionRefused(f"a command of kind {kind} states {payload_length} bytes of payload")
    return Command(
        kind=Kind(kind),
        transfer=transfer,
        object_id=object_id,
        session=session,
        object_size=object_size,
        offset=offset,
        chunk_size=chunk_size,
        payload_length=payload_length,
        attempt=attempt,
        epoch=epoch,
        expiry=expiry,
        rights=rights,
        path=path,
        key_id=key_id,
        first_byte=first_byte,
        last_byte=last_byte,
    )


def object_id_of(index: int, identity: bytes) -> bytes:
    """16 bytes: 12 that name the object's content and place, 4 with its index in the listing."""
    return identity[:12] + index.to_bytes(4, "big")


def object_index(object_id: bytes) -> int:
    """The index in the listing that `object_id_of` put there."""
    return int.from_bytes(object_id[12:], "big")
