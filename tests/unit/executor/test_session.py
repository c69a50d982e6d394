"""A session's bounds: stale, expired, widened, beyond its bytes: each is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datasets.errors import SessionRefused
from executor.gateway.command import RIGHT_READ, RIGHT_WRITE, TAG_BYTES, Kind
from executor.gateway.session import Session

SESSION = Session(
    transfer=b"t" * 16,
    session=b"s" * 16,
    epoch=3,
    expiry=1000,
    rights=RIGHT_WRITE,
    first_byte=100,
    last_byte=999,
)
GOOD = SESSION.command(
    Kind.DATA, object_size=2000, offset=100, chunk_size=900, payload_length=900 + TAG_BYTES
)


def test_a_command_within_its_rights_passes() -> None:
    SESSION.check(GOOD, now=1000)
    SESSION.check(SESSION.command(Kind.END), now=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"transfer": b"x" * 16}, "another transfer"),
        ({"session": b"x" * 16}, "another transfer or session"),
        ({"epoch": 2}, "epoch"),
        ({"expiry": 2000}, "expired"),
        ({"rights": RIGHT_WRITE | RIGHT_READ}, "other rights"),
        ({"first_byte": 0}, "other rights"),
        ({"last_byte": 1 << 40}, "other rights"),
        ({"offset": 0}, "beyond its session"),
        ({"payload_length": 901 + TAG_BYTES}, "beyond its session"),
        ({"object_size": 999}, "beyond its object"),
        ({"payload_length": TAG_BYTES}, "beyond its object"),
        ({"chunk_size": 0}, "chunk size"),
    ],
)
def test_a_planted_breach_is_refused(change: dict[str, int | bytes], said: str) -> None:
    with pytest.raises(SessionRefused, match=said):
        SESSION.check(replace(GOOD, **change), now=500)  # type: ignore[arg-type]


def test_an_expired_session_is_refused() -> None:
    with pytest.raises(SessionRefused, match="expired"):
        SESSION.check(GOOD, now=1001)


def test_writing_needs_the_right_to_write() -> None:
    reader = replace(SESSION, rights=RIGHT_READ)
    with pytest.raises(SessionRefused, match="without the right"):
        reader.check(replace(GOOD, rights=RIGHT_READ), now=500)
