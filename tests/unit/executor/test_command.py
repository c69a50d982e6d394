"""The 160-byte command: byte by byte, and against garbage."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import SessionRefused
from executor.gateway.command import (
    COMMAND_BYTES,
    MOST_PAYLOAD_BYTES,
    Command,
    Kind,
    object_id_of,
    object_index,
    pack_into,
    parse,
)
from planner.dispatch import chunk_count

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
ID = st.binary(min_size=16, max_size=16)
COMMANDS = st.builds(
    Command,
    kind=st.just(Kind.DATA),
    transfer=ID,
    object_id=ID,
    session=ID,
    object_size=U64,
    offset=U64,
    chunk_size=U32,
    payload_length=st.integers(0, MOST_PAYLOAD_BYTES),
    attempt=U32,
    epoch=U32,
    expiry=U64,
    rights=U32,
    path=U32,
    key_id=U64,
    first_byte=U64,
    last_byte=U64,
)


def packed(command: Command) -> bytearray:
    buffer = bytearray(COMMAND_BYTES)
    pack_into(memoryview(buffer), command)
    return buffer


@given(COMMANDS)
def test_what_is_packed_is_parsed_back(command: Command) -> None:
    assert parse(packed(command)) == command


def test_the_layout_is_that_of_the_design_byte_by_byte() -> None:
    """Each field at its offset, big-endian, as DESIGN.md's table lists them."""
    buffer = packed(
        Command(
            kind=Kind.DATA,
            transfer=b"T" * 16,
            object_id=b"O" * 16,
            session=b"S" * 16,
            object_size=1,
            offset=2,
            chunk_size=3,
            payload_length=4,
            attempt=5,
            epoch=6,
            expiry=7,
            rights=8,
            path=9,
            key_id=10,
            first_byte=11,
            last_byte=12,
        )
    )
    assert bytes(buffer[:8]) == b"TWND" + bytes([1, Kind.DATA, 0, 0])
    assert bytes(buffer[8:56]) == b"T" * 16 + b"O" * 16 + b"S" * 16
    places = [(56, 8), (64, 8), (72, 4), (76, 4), (80, 4), (84, 4), (88, 8), (96, 4), (100, 4)]
    places += [(104, 8), (112, 8), (120, 8)]
    for number, (offset, width) in enumerate(places, start=1):
        assert int.from_bytes(buffer[offset : offset + width], "big") == number
    assert bytes(buffer[128:160]) == bytes(32)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0, b"X"),  # magic
        (4, b"\x02"),  # version
        (5, b"\x00"),  # kind
        (5, b"\x63"),
        (6, b"\x01"),  # flags
        (76, struct.pack(">I", MOST_PAYLOAD_BYTES + 1)),
        (128, b"\x01"),  # reserved
    ],
)
def test_a_planted_breach_of_the_layout_is_refused(offset: int, value: bytes) -> None:
    buffer = packed(Command(kind=Kind.DATA, transfer=bytes(16), payload_length=17))
    parse(buffer)
    buffer[offset : offset + len(value)] = value
    with pytest.raises(SessionRefused):
        parse(buffer)


def test_only_data_carries_a_payload() -> None:
    buffer = packed(Command(kind=Kind.ACKNOWLEDGE, transfer=bytes(16), payload_length=1))
    with pytest.raises(SessionRefused, match="payload"):
        parse(buffer)


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_never_breaks(garbage: bytes) -> None:
    if len(garbage) >= COMMAND_BYTES and garbage.startswith(b"TWND"):
        return
    with pytest.raises(SessionRefused):
        parse(garbage)


@given(st.binary(min_size=12, max_size=32), U32)
def test_an_object_id_holds_its_index(identity: bytes, index: int) -> None:
    object_id = object_id_of(index, identity)
    assert len(object_id) == 16
    assert object_index(object_id) == index


def test_the_number_of_chunks_is_derived_up_to_34_pebibytes() -> None:
    assert chunk_count(0, 1 << 20) == 0
    assert chunk_count(1, 1 << 20) == 1
    assert chunk_count(34 << 50, 1 << 20) == 36_507_222_016
