"""A byte fuzzer over what a peer may send: `python -m benchmarks.fuzz --cases 1000000`.

Every case begins from a valid signed command or control document and is then spoiled: bits and
bytes turned, cut, made longer, mixed with others, or drawn anew. Nothing may come of it but
SessionRefused (or a document's own refusal), and nothing that was spoiled may be accepted: the
signature is checked as a worker checks it, and what passes must be the original to the last bit.
The same seed gives the same cases.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.page import write_block
from datasets.errors import SessionRefused, TradewindError
from executor.endpoints.listing import entries_of
from executor.gateway.command import (
    COMMAND_BYTES,
    RIGHT_READ,
    RIGHT_WRITE,
    SIGNED_BYTES,
    TAG_BYTES,
    Command,
    Kind,
    frame_bytes,
    pack_into,
    parse,
)
from executor.gateway.crypto import sign
from executor.gateway.session import Session
from executor.site.documents import Documents, roots_from
from executor.site.worker import SessionKeys

Spoil = Callable[[random.Random, bytearray], bytes]
_NOW_S = 1_800_000_000.0
_TOLD = 100_000
_CHUNK_BYTES = 8 << 20


# --- Ways to spoil bytes.


def _one_bit(rng: random.Random, data: bytearray) -> bytes:
    at = rng.randrange(len(data) * 8)
    data[at // 8] ^= 1 << at % 8
    return bytes(data)


def _some_bytes(rng: random.Random, data: bytearray) -> bytes:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _cut(rng: random.Random, data: bytearray) -> bytes:
    return bytes(data[: rng.randrange(len(data))])


def _longer(rng: random.Random, data: bytearray) -> bytes:
    at = rng.randrange(len(data))
    return bytes(data[:at] + rng.randbytes(rng.randint(1, 64)) + data[at:])


def _extreme(rng: random.Random, data: bytearray) -> bytes:
    width = rng.choice((1, 2, 4, 8))
    at = rng.randrange(len(data) - width) // width * width
    data[at : at + width] = rng.choice((b"\0", b"\x7f", b"\x80", b"\xff")) * width
    return bytes(data)


def _swapped(rng: random.Random, data: bytearray) -> bytes:
    width = rng.choice((4, 8, 16))
    one, other = (rng.randrange(len(data) // width) * width for _ in range(2))
    data[one : one + width], data[other : other + width] = (
        data[other : other + width],
        data[one : one + width],
    )
    return bytes(data)


def _random(rng: random.Random, data: bytearray) -> bytes:
    return rng.randbytes(rng.randint(0, 2 * COMMAND_BYTES))


def _headed(rng: random.Random, data: bytearray) -> bytes:
    """A right beginning and anything after."""
    return bytes(data[: rng.choice((4, 5, 6, 8))]) + rng.randbytes(COMMAND_BYTES)


SPOILS: tuple[Spoil, ...] = (
    _one_bit,
    _some_bytes,
    _cut,
    _longer,
    _extreme,
    _swapped,
    _random,
    _headed,
)


# --- What is spoiled, and who judges it.


@dataclass(slots=True)
class Tally:
    """How many cases of a target were refused, and by what; the defects, if any."""

    cases: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unspoiled: int = 0
    defects: list[str] = field(default_factory=list)


class Commands:
    """A worker's checks of a command: frame, layout, session, signature."""

    name = "command"

    def __init__(self, rng: random.Random) -> None:
        self._site_key = rng.randbytes(32)
        self._keys = SessionKeys(self._site_key, 3)
        self._session = Session(
            transfer=rng.randbytes(16),
            session=rng.randbytes(16),
            epoch=3,
            expiry=int(_NOW_S) + 3600,
            rights=RIGHT_WRITE | RIGHT_READ,
            first_byte=0,
            last_byte=(1 << 40) - 1,
        )
        self._key = self._session.key(self._site_key)
        self._kept = [self._signed(rng, kind) for kind in Kind for _ in range(8)]

    def _signed(self, rng: random.Random, kind: Kind) -> bytes:
        payload = kind in (Kind.DATA, Kind.DOCUMENT)
        command = self._session.command(
            kind,
            object_id=rng.randbytes(16),
            object_size=1 << 39,
            offset=rng.randrange(1 << 15) * _CHUNK_BYTES,
            chunk_size=_CHUNK_BYTES,
            payload_length=rng.randint(1, 1 << 20) + TAG_BYTES if payload else 0,
            attempt=rng.randrange(1 << 16),
            path=rng.randrange(8),
            key_id=rng.randrange(1 << 63),
        )
        buffer = memoryview(bytearray(COMMAND_BYTES))
        pack_into(buffer, command)
        sign(buffer, self._key)
        return bytes(buffer)

    def original(self, rng: random.Random) -> bytes:
        """A command that is right in all."""
        return rng.choice(self._kept)

    def judge(self, data: bytes) -> Command:
        """As a worker does. Raises: SessionRefused."""
        if len(data) >= COMMAND_BYTES:  # fewer never leave the transport
            frame_bytes(data)
        command, _ = self._keys.checked(memoryview(bytearray(data[:COMMAND_BYTES])), now=_NOW_S)
        return command

    def is_accepted_rightly(self, data: bytes, original: bytes) -> bool:
        """Whether what was accepted is the original; what follows a command is not its matter."""
        return data[:COMMAND_BYTES] == original[:COMMAND_BYTES] or (
            data[:COMMAND_BYTES] in self._kept
        )


class Layout:
    """`parse` alone, without a key: whatever comes back must say the very same bytes again."""

    name = "layout"

    def __init__(self, rng: random.Random) -> None:
        self._commands = Commands(rng)

    def original(self, rng: random.Random) -> bytes:
        """A right command."""
        return self._commands.original(rng)

    def judge(self, data: bytes) -> Command:
        """Parse, and pack again. Raises: SessionRefused."""
        command = parse(data)
        again = memoryview(bytearray(COMMAND_BYTES))
        pack_into(again, command)
        if again[:SIGNED_BYTES] != data[:SIGNED_BYTES]:
            raise ValueError("what was parsed packs to other bytes")
        return command

    def is_accepted_rightly(self, data: bytes, original: bytes) -> bool:
        """Any bytes that pack again are a command: whose it is, the signature says."""
        return True


# What a hostile listing may claim of a path, a target, a size, a mode or a time.
_HOSTILE: tuple[object, ...] = (
    *("..", "../up", "a/..", "a/../b", "/etc", "/", "a//b", "a/", ".", "a/.", "a\0b", "\u1234"),
    *("a/file/below", "a/link/below", "a/" * 3000, "", "x" * 300),
    *(-1, 1 << 63, 1 << 64, 10**400, 0o7777, 0o4755, 3, True, None, 0.5, float("inf")),
    *([], {}, [["", 1, 0, 0, 0, ""]]),
)


class _Wire:
    """What a control connection would give, from bytes; its end is the peer's."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def recv_into(self, view: memoryview, size: int = 0) -> int:
        """As a socket does."""
        count = min(size or len(view), len(self._data))
        view[:count] = self._data[:count]
        self._data = self._data[count:]
        return count

    def settimeout(self, _: float) -> None:
        """As a socket has it."""


def _framed(document: bytes) -> bytes:
    head = memoryview(bytearray(COMMAND_BYTES))
    size = len(document)
    fields = {"object_size": size, "payload_length": size}
    pack_into(head, Command(kind=Kind.DOCUMENT, transfer=bytes(16), **fields))  # type: ignore[arg-type]
    return bytes(head) + document


class ControlDocuments:
    """Listings and roots as they come by control: framing, JSON, and what they claim."""

    name = "documents"

    def __init__(self, rng: random.Random) -> None:
        rows = [
            ["", 1, 0, 0o755, 1, ""],
            ["a", 1, 0, 0o755, 1, ""],
            ["a/file", 0, 1 << 33, 0o644, 1_700_000_000_000_000_000, ""],
            ["a/link", 2, 0, 0o777, 1, "file"],
        ]
        ask = {"ask": "put", "path": "x", "name": "a", "entries": rows}
        roots = {"ask": "confirm", "transfer": "00" * 16, "roots": {"0": "ab" * 32}}
        self._rows = rows
        self._kept = [_framed(json.dumps(one).encode()) for one in (ask, roots)]

    def original(self, rng: random.Random) -> bytes:
        """A right document; or one with hostile fields, or spoiled JSON, framed rightly again."""
        kept = rng.choice(self._kept)
        kind = rng.random()
        if kind < 0.3:
            return kept
        if kind < 0.7:
            rows = [list(row) for row in self._rows]
            for _ in range(rng.randint(1, 2)):
                row = rng.choice(rows)
                row[rng.randrange(len(row))] = rng.choice(_HOSTILE)
            return _framed(json.dumps({"ask": "put", "entries": rows}).encode())
        return _framed(rng.choice(SPOILS)(rng, bytearray(kept[COMMAND_BYTES:])) or b"0")

    def judge(self, data: bytes) -> object:
        """Receive it and take it at its word. Raises: TradewindError."""
        told = Documents(_Wire(data)).receive(most_bytes=1 << 20)  # type: ignore[arg-type]
        if not isinstance(told, dict):
            raise SessionRefused("no object")
        roots_from(told.get("roots", {}))
        entries = entries_of(told.get("entries"))
        for entry in entries:
            parts = entry.path.split(b"/")
            if entry.path and (b".." in parts or b"" in parts or b"\0" in entry.path):
                raise ValueError(f"a listing was accepted with the path {entry.path!r}")
            if entry.mode & ~0o1777 or entry.size < 0:
                raise ValueError(f"a listing was accepted with {entry}")
        return entries

    def is_accepted_rightly(self, data: bytes, original: bytes) -> bool:
        """Another listing that holds all rules is a right one: TLS says whose it is."""
        return True


Target = Commands | Layout | ControlDocuments


def fuzz(target: Target, cases: int, seed: int, tell: Callable[[int], None]) -> Tally:
    """So many cases of one target."""
    rng = random.Random(f"{seed}-{target.name}")
    tally = Tally()
    for number in range(cases):
        original = target.original(rng)
        spoil = rng.choice(SPOILS)
        data = spoil(rng, bytearray(original))
        tally.cases += 1
        try:
            target.judge(data)
        except SessionRefused as error:
            tally.refused[_kind_of(str(error))] += 1
        except TradewindError as error:
            tally.refused[type(error).__name__] += 1
        except Exception as error:  # whatever it is, it is what is looked for
            tally.defects.append(f"case {number}, {spoil.__name__}: {error!r} of {data.hex()}")
        else:
            if data == original:
                tally.unspoiled += 1
            elif target.is_accepted_rightly(data, original):
                tally.refused["accepted: a right one, or the same"] += 1
            else:
                tally.defects.append(f"case {number}, {spoil.__name__}: accepted {data.hex()}")
        if (number + 1) % _TOLD == 0:
            tell(number + 1)
    return tally


def _kind_of(text: str) -> str:
    """A refusal's sentence without its numbers."""
    words = [word for word in text.split() if not any(sign.isdigit() for sign in word)]
    return " ".join(words[:9])


def targets(rng: random.Random) -> tuple[Target, ...]:
    """All that is fuzzed."""
    return (Commands(rng), Layout(rng), ControlDocuments(rng))


@click.command()
@click.option(
    "--cases", default=1_000_000, show_default=True, type=click.IntRange(1), help="Of each target."
)
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--write",
    "page",
    type=click.Path(path_type=Path),
    help="Put what is printed into the page's block.",
)
def main(cases: int, seed: int, as_json: bool, page: Path | None) -> None:
    """Spoil commands and control documents; say what became of each kind of case."""
    told = []
    failed = False
    screen = Console(highlight=False, width=96, record=page is not None)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("target", "cases", "seconds", "what became of them", "how many"):
        table.add_column(column, justify="left" if column[0] in "tw" else "right")
    found = targets(random.Random(seed))
    for target in found:
        begin = time.perf_counter()

        def tell(number: int, name: str = target.name) -> None:
            click.echo(f"{name}: {number:,}", err=True)

        tally = fuzz(target, cases, seed, tell)
        seconds = time.perf_counter() - begin
        failed = failed or bool(tally.defects)
        rows = [*sorted(tally.refused.items()), ("not spoiled after all", tally.unspoiled)]
        rows.append(("crashed, or accepted wrongly", len(tally.defects)))
        for at, (what, count) in enumerate(rows):
            head = (target.name, f"{tally.cases:,}", f"{seconds:.1f}") if at == 0 else ("", "", "")
            table.add_row(*head, what, f"{count:,}")
        for defect in tally.defects[:5]:
            click.echo(f"{target.name}: {defect}", err=True)
        told.append(
            {
                "target": target.name,
                "cases": tally.cases,
                "refused": dict(tally.refused),
                "unspoiled": tally.unspoiled,
                "defects": tally.defects[:100],
            }
        )
    if as_json:
        click.echo(json.dumps({"seed": seed, "targets": told}))
    else:
        screen.print(table)
        screen.print(f"seed {seed}; the same seed gives the same cases.")
        if page is not None:
            command = f"python -m benchmarks.fuzz --cases {cases} --seed {seed}"
            write_block(page, "fuzz", command, screen.export_text())
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
