from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from executor.gateway import command
from executor.gateway.command import Command, Kind, pack_into
from experiments.formats_page import command_fields, page
from tests.local import relayed_plan

DOCS = Path(__file__).parents[3] / "docs"
PLAIN = Command(kind=Kind.DATA, transfer=bytes(16))
# Field of the page: the field of `Command` and a value of it with every bit set.
FULL = {
    "transfer": ("transfer", b"\xff" * 16),
    "object": ("object_id", b"\xff" * 16),
    "session": ("session", b"\xff" * 16),
    "object size": ("object_size", (1 << 64) - 1),
    "offset of this record in the object": ("offset", (1 << 64) - 1),
    "chunk size": ("chunk_size", (1 << 32) - 1),
    "payload length": ("payload_length", (1 << 32) - 1),
    "attempt": ("attempt", (1 << 32) - 1),
    "session epoch": ("epoch", (1 << 32) - 1),
    "session expiry (Unix s)": ("expiry", (1 << 64) - 1),
    "rights": ("rights", (1 << 32) - 1),
    "path": ("path", (1 << 32) - 1),
    "key id": ("key_id", (1 << 64) - 1),
    "first byte allowed": ("first_byte", (1 << 64) - 1),
    "last byte allowed": ("last_byte", (1 << 64) - 1),
}
FIXED = {'magic "TWND"', "version", "kind", "flags", "reserved, zero", "MAC"}


def packed(about: Command) -> bytes:
    buffer = bytearray(160)
    pack_into(memoryview(buffer), about)
    return bytes(buffer)


def test_the_page_is_up_to_date() -> None:
    """Anew: python -m experiments.formats_page > docs/formats.md"""
    assert (DOCS / "formats.md").read_text() == page()


def test_the_commands_fields_are_where_the_page_says() -> None:
    """A field whose bits are all set changes those bytes, and no others."""
    plain = packed(PLAIN)
    seen = set()
    for field in command_fields():
        seen.add(field.name)
        if field.name in FIXED:
            continue
        name, value = FULL[field.name]
        full = packed(replace(PLAIN, **{name: value}))  # type: ignore[arg-type]  # by name
        changed = [at for at in range(160) if full[at] != plain[at]]
        assert changed == list(range(field.offset, field.offset + field.size)), field
    assert seen == FIXED | set(FULL)
    assert plain[:4] == b"TWND"
    assert plain[4] == 1
    assert plain[5] == Kind.DATA


def test_a_layout_with_a_hole_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    told = (command.__doc__ or "").replace("72 chunk size 4", "72 chunk size 8")
    monkeypatch.setattr(command, "__doc__", told)
    with pytest.raises(ValueError, match="'payload length' is at 76, not 80"):
        command_fields()


def test_every_key_of_a_plan_stands_on_the_page() -> None:
    text = page()
    for key in relayed_plan().as_json():
        assert f"| `{key}` |" in text
