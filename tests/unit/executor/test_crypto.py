"""Sealing: what was changed is not opened; no nonce covers two plaintexts."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import IntegrityError, SessionRefused
from executor.gateway import crypto
from executor.gateway.command import COMMAND_BYTES, TAG_BYTES, Command, Kind, parse
from executor.gateway.crypto import (
    SPAN_BYTES,
    Sealer,
    check_signature,
    new_key,
    signed_command,
)
from executor.gateway.session import Session

RECORD_BYTES = 4096
KEY = bytes(range(32))
SIGNING = b"s" * 32


def command_at(offset: int, length: int, *, object_id: bytes = bytes(16)) -> Command:
    return Command(
        kind=Kind.DATA,
        transfer=b"t" * 16,
        object_id=object_id,
        object_size=1 << 50,
        offset=offset,
        chunk_size=1 << 20,
        payload_length=length + TAG_BYTES,
        attempt=1,
        key_id=offset // SPAN_BYTES,
    )


def sealed(plain: bytes, offset: int = 0) -> bytearray:
    buffer = bytearray(COMMAND_BYTES + len(plain) + TAG_BYTES)
    sealer = Sealer(KEY, record_bytes=RECORD_BYTES)
    end = sealer.seal(
        memoryview(buffer), command_at(offset, len(plain)), memoryview(plain), SIGNING
    )
    assert end == len(buffer)
    return buffer


def opened(buffer: bytearray) -> bytes:
    view = memoryview(buffer)
    into = memoryview(bytearray(RECORD_BYTES))
    length = Sealer(KEY, record_bytes=RECORD_BYTES).open(
        parse(buffer), view, view[COMMAND_BYTES:], into
    )
    return bytes(into[:length])


@given(st.binary(min_size=1, max_size=RECORD_BYTES), st.integers(0, 1 << 30))
def test_what_is_sealed_opens_to_the_same_bytes(plain: bytes, record: int) -> None:
    buffer = sealed(plain, record * RECORD_BYTES)
    assert plain not in bytes(buffer) or len(plain) < 8
    assert opened(buffer) == plain


@given(st.integers(0, 143 * 8 - 1))
def test_any_flipped_bit_of_the_command_is_found_by_signature_and_seal(bit: int) -> None:
    buffer = sealed(b"payload" * 100)
    buffer[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SessionRefused):
        check_signature(memoryview(buffer), SIGNING)
    with pytest.raises((SessionRefused, IntegrityError)):
        opened(buffer)


@given(st.integers(0, 700 * 8 - 1))
def test_any_flipped_bit_of_the_payload_is_found(bit: int) -> None:
    buffer = sealed(b"payload" * 100)
    buffer[COMMAND_BYTES + bit // 8] ^= 1 << bit % 8
    with pytest.raises(IntegrityError):
        opened(buffer)


def test_a_record_put_elsewhere_does_not_open() -> None:
    buffer = sealed(b"x" * RECORD_BYTES, 0)
    other = sealed(b"y" * RECORD_BYTES, RECORD_BYTES)
    buffer[:COMMAND_BYTES] = other[:COMMAND_BYTES]
    with pytest.raises(IntegrityError):
        opened(buffer)


def test_another_key_does_not_open() -> None:
    buffer = sealed(b"payload")
    view = memoryview(buffer)
    with pytest.raises(IntegrityError):
        Sealer(new_key(), record_bytes=RECORD_BYTES).open(
            parse(buffer), view, view[COMMAND_BYTES:], memoryview(bytearray(64))
        )


def test_no_key_and_nonce_cover_two_records() -> None:
    """Every record of three objects, with spans of 8 records, has a (key, nonce) of its own."""
    seen = set()
    with mock.patch.object(crypto, "SPAN_BYTES", 8 * RECORD_BYTES):
        sealer = Sealer(KEY, record_bytes=RECORD_BYTES)
        made: dict[int, bytes] = {}
        real = crypto._derive

        def derive(key: bytes, purpose: bytes) -> bytes:
            derived = real(key, purpose)
            made[len(made)] = derived
            return derived

        with mock.patch.object(crypto, "_derive", derive):
            for name in (b"a" * 16, b"b" * 16, b"c" * 16):
                for record in range(40):
                    offset = record * RECORD_BYTES
                    command = Command(
                        kind=Kind.DATA,
                        transfer=bytes(16),
                        object_id=name,
                        offset=offset,
                        key_id=offset // crypto.SPAN_BYTES,
                        attempt=1,
                    )
                    cipher, nonce = sealer._place(command)
                    seen.add((id(cipher), nonce))
    assert len(seen) == 3 * 40
    assert len(set(made.values())) == 3 * 5


def test_a_record_may_only_begin_where_records_begin() -> None:
    with pytest.raises(SessionRefused, match="begins"):
        sealed(b"x", RECORD_BYTES // 2)


GRANT = Session(
    transfer=b"t" * 16,
    session=b"s" * 16,
    epoch=1,
    expiry=1000,
    rights=1,
    first_byte=0,
    last_byte=99,
)


@pytest.mark.parametrize(
    "change",
    [
        {"transfer": b"u" * 16},
        {"session": b"z" * 16},
        {"epoch": 2},
        {"expiry": 1001},
        {"rights": 3},
        {"first_byte": 1},
        {"last_byte": 100},
    ],
)
def test_a_signature_is_of_its_site_and_all_that_was_granted(
    change: dict[str, int | bytes],
) -> None:
    site = new_key()
    key = GRANT.key(site)
    frame = bytearray(signed_command(GRANT.command(Kind.END), key))
    check_signature(memoryview(frame), key)
    widened = replace(GRANT, **change)  # type: ignore[arg-type]  # by name
    for other in (widened.key(site), GRANT.key(new_key())):
        with pytest.raises(SessionRefused):
            check_signature(memoryview(frame), other)
    assert widened.data_key(site) != GRANT.data_key(site)
    assert GRANT.data_key(site) != key


def test_a_record_is_sealed_and_opened_in_its_place() -> None:
    plain = bytes(range(256)) * 8
    key = new_key()
    sealer = Sealer(key, record_bytes=RECORD_BYTES)
    command = Command(
        kind=Kind.DATA, transfer=bytes(16), payload_length=len(plain) + TAG_BYTES, key_id=7
    )
    apart, frame = bytearray(4096), bytearray(4096)
    end = sealer.seal(memoryview(apart), command, memoryview(plain), key)
    frame[COMMAND_BYTES : COMMAND_BYTES + len(plain)] = plain
    view = memoryview(frame)
    assert sealer.seal(view, command, view[COMMAND_BYTES : COMMAND_BYTES + len(plain)], key) == end
    assert frame == apart
    sealed = view[COMMAND_BYTES:end]
    sealer.open(command, view, sealed, sealed[: len(plain)])
    assert bytes(sealed[: len(plain)]) == plain
