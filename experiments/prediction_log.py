"""The log of predictions: JSON lines, each with the digest of the one before it.

Only appended to, under a lock, and synced before it is told. A line inserted, changed or taken out
breaks the chain; a log that was rewritten as a whole does not, so publish its last digest with it.
Nothing in a line is a path, a host's name or a secret.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from datasets.canonical import Json, canonical_json
from datasets.errors import DataError, InputError

LOG_SCHEMA_VERSION = 1
PREDICTION, SCORE = "prediction", "score"
_KEYS = {"schema_version", "kind", "at_utc", "previous", "content", "digest"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: when it was written, what of, and its digest, which the next one holds."""

    kind: str
    at_utc: str
    previous: str
    content: Mapping[str, Any]
    digest: str

    def as_json(self) -> dict[str, Json]:
        """As in the log."""
        return {
            "schema_version": LOG_SCHEMA_VERSION,
            "kind": self.kind,
            "at_utc": self.at_utc,
            "previous": self.previous,
            "content": dict(self.content),
            "digest": self.digest,
        }

    @property
    def at(self) -> datetime:
        """When it was written."""
        return datetime.fromisoformat(self.at_utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Whether the chain holds; if not, the number of the first line (from 1) that breaks it."""

    lines: tuple[Line, ...]
    broken_at: int | None = None
    why: str = ""

    @property
    def last_digest(self) -> str:
        """What the next line refers to; empty for an empty log."""
        return self.lines[-1].digest if self.lines else ""


def line_digest(content: Mapping[str, Json]) -> str:
    """SHA-256, in full, over the canonical JSON of a line without its digest."""
    return hashlib.sha256(canonical_json(dict(content))).hexdigest()


def read_log(path: Path) -> Verified:
    """All lines of a log and whether its chain holds. Raises: InputError if it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the log {path}: {error.strerror}.") from error
    return verified(data)


def verified(data: bytes) -> Verified:
    """The chain of a log's bytes, line by line, up to the first that breaks it."""
    lines: list[Line] = []
    for number, raw in enumerate(data.splitlines(keepends=True), 1):
        try:
            line = _line(raw)
            if line.previous != (lines[-1].digest if lines else ""):
                raise DataError("it does not follow the line before it")
            if lines and line.at < lines[-1].at:
                raise DataError("it is older than the line before it")
        except DataError as error:
            return Verified(lines=tuple(lines), broken_at=number, why=str(error))
        lines.append(line)
    return Verified(lines=tuple(lines))


def append(
    path: Path,
    kind: str,
    content_of: Callable[[Sequence[Line]], Mapping[str, Json]],
    *,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> Line:
    """Add a line; `content_of` sees those before it, with nobody else writing meanwhile.

    On return it is on disk. Raises: InputError if the log cannot be written or its chain is broken,
    and whatever `content_of` raises, with nothing written.
    """
    with _locked(path) as (descriptor, data):
        before = verified(data)
        if before.broken_at is not None:
            raise InputError(
                f"The log {path} is broken at line {before.broken_at} ({before.why}); it is not "
                "continued. Give another one by --log."
            )
        content: dict[str, Json] = {
            "schema_version": LOG_SCHEMA_VERSION,
            "kind": kind,
            "at_utc": _in_words(max([now(), *(line.at for line in before.lines[-1:])])),
            "previous": before.last_digest,
            "content": dict(content_of(before.lines)),
        }
        digest = line_digest(content)
        _write(descriptor, canonical_json({**content, "digest": digest}) + b"\n", path)
    return _line(canonical_json({**content, "digest": digest}) + b"\n")


@contextmanager
def _locked(path: Path) -> Iterator[tuple[int, bytes]]:
    """The log's descriptor and bytes, its lock held."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InputError(f"Cannot write the log {path}: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read()
        yield descriptor, data
    finally:
        os.close(descriptor)


def _write(descriptor: int, line: bytes, path: Path) -> None:
    """One write, synced, the folder's entry too; a torn line is cut off again."""
    end = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(None, "the disk is full")
        os.fsync(descriptor)
        folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        os.ftruncate(descriptor, end)
        raise InputError(f"Cannot write the log {path}: {error.strerror}.") from error


def _line(raw: bytes) -> Line:
    """Raises: DataError, in words that say what is wrong with the line."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError("it is not JSON, or was cut short") from error
    if not isinstance(value, dict) or set(value) != _KEYS:
        raise DataError("it is no line of a log of predictions")
    if value["schema_version"] != LOG_SCHEMA_VERSION or value["kind"] not in (PREDICTION, SCORE):
        raise DataError("its version or kind is not known")
    if not raw.endswith(b"\n"):
        raise DataError("it was cut short")
    try:
        digest = line_digest({key: entry for key, entry in value.items() if key != "digest"})
        written = canonical_json(value) + b"\n"
    except (ValueError, UnicodeError) as error:
        raise DataError("it holds what no line holds") from error
    if digest != value["digest"]:
        raise DataError("it no longer matches its digest")
    if raw != written:  # a key twice, a space: read by others, it might say something else
        raise DataError("it is not written as this tool writes lines")
    if not isinstance(value["content"], dict):
        raise DataError("it holds nothing")
    line = Line(
        kind=value["kind"],
        at_utc=str(value["at_utc"]),
        previous=str(value["previous"]),
        content=value["content"],
        digest=str(value["digest"]),
    )
    try:
        aware = line.at.tzinfo is not None
    except ValueError as error:
        raise DataError("its time is none") from error
    if not aware:
        raise DataError("its time has no zone")
    return line


def _in_words(at: datetime) -> str:
    return at.astimezone(timezone.utc).isoformat(timespec="microseconds")
